import * as z from 'zod';
import type { Agent } from '../../agents/agent.js';
import { GymError } from '../../core/errors.js';
import { Random } from '../../core/random.js';
import { type AdaptationOptions, networkNames } from '../../envs/adaptation/options.js';
import type { Env } from '../../envs/env.js';
import { SyncVectorEnv } from '../../envs/sync-vector-env.js';
import type { VectorEnv } from '../../envs/vector-env.js';
import { OrderEnforcing } from '../../envs/wrappers/order-enforcing.js';
import type { RunConfig } from '../config/run-config.js';
import type { ComposeOptions, Composition, Family } from './family.js';
import { rivalOption, rivalProblems } from './rival.js';

const count = z.int().min(1);
const text = z.string().min(1).max(4096);
const domains = z.union([text, z.array(text).min(1).max(64)]);

const settings = z
  .strictObject({
    learningRate: z.number().positive().default(0.02).describe('step size of SGD'),
    momentum: z.number().min(0).lt(1).default(0.9).describe('of SGD'),
    weightDecay: z.number().min(0).default(5e-4).describe('of SGD'),
    batchSize: count.min(2).max(4096).default(64).describe('samples of one update'),
    reward: z
      .enum(['label-free', 'accuracy', 'sparse'])
      .default('label-free')
      .describe(
        'label-free: the growth of the information maximisation score; accuracy: that of the accuracy; sparse: the accuracy at the end. The last two use labels of the target',
      ),
    keyMomentum: z.number().min(0).lt(1).default(0.99).describe('what the momentum network keeps at an update'),
    temperature: z.number().positive().default(0.07).describe('of the contrastive loss'),
    queueSize: count.default(1024).describe('the most keys that are kept as negatives'),
    history: count.default(5).describe("T: how many previous epochs' labels an agent is shown"),
    neighbours: count.default(10).describe('k of the vote by which is measured; an agent has its own'),
    sourceSize: count.default(1500).describe('pictures that the network is first trained on'),
    targetSize: count.default(1500).describe('pictures of each target that it adapts to'),
    passes: count.default(12).describe('knobs: passes over a target in an episode; without knobs epochs says it'),
    imageSize: count
      .min(8)
      .max(4096)
      .optional()
      .describe('height and width to which your own pictures are brought; default: 28, and 224 for a ResNet'),
    sourceEpochs: count.default(10).describe('passes over the source, at most'),
    sourceLearningRate: z
      .number()
      .positive()
      .optional()
      .describe('step size of SGD on the source; default: 0.05, and 0.01 for a ResNet'),
    probeSize: count.default(500).describe("pictures of each target's test split that are measured on"),
  })
  .prefault({});

const options = {
  source: text
    .default('texture')
    .describe('what the network was trained on: a domain, or a folder or list of pictures'),
  target: domains.default('mnist').describe('what it adapts to: the same; a list: one after another'),
  network: z
    .enum(networkNames)
    .default('small')
    .describe("what is adapted: a small network for digits, or one of torchvision's for pictures of all kinds"),
  weights: text.optional().describe("for a ResNet: a safetensors file of torchvision's weights that it begins with"),
  sourceFolder: text.optional().describe('where the files of the source lie, if they have to be looked for'),
  targetFolder: text.optional().describe('the same for targets'),
  setting: z
    .enum(['offline', 'online', 'continual'])
    .optional()
    .describe(
      'several passes over a target, a single one, or one target after another; default: offline, or continual for several targets',
    ),
  knobs: z
    .boolean()
    .default(false)
    .describe(
      'true: a step is a pass, for which a learning agent such as ppo sets seven knobs of the guided pseudo-labels; epochs are its updates',
    ),
  adaptation: settings.describe('how it is adapted'),
  ...rivalOption,
};

/** The options of this family, validated. */
export type AdaptationConfig = RunConfig & z.output<z.ZodObject<typeof options>>;

const owned = /^SourceFreeAdaptation(-v\d+)?$/;

const listed = (target: AdaptationConfig['target']) => [target].flat();

/** Source-free adaptation: an epoch of a run is a pass over the target. */
export const adaptation: Family = {
  name: 'adaptation',
  title: 'SourceFreeAdaptation-v0',
  owns: (env) => owned.test(env),
  policyKind: 'network',
  options,
  // Of an episode that takes a minute, an evaluation before and after would be two more.
  defaults: { numEnvs: 1, epochs: 12, evaluation: { samples: 0, explore: false } },
  nameOf: (config) => {
    const { source, target } = config as AdaptationConfig;
    return [source, ...listed(target)].join('-');
  },
  words: {
    episodes: 'adaptations',
    fixed: 'adaptations with fixed seeds',
    pairs: 'The same picture before and after.',
    groups: [
      {
        prefix: 'term/',
        title: 'At the end of an adaptation',
        unit: 'share',
        about: 'Accuracies of the network and of the vote of neighbours, mean over classes, and the information score.',
      },
    ],
    headline: (config) => {
      const { source, target } = config as AdaptationConfig;
      return `adapts a network that was trained on **${source}** to **${listed(target).join('**, then **')}**, without a label of it`;
    },
  },
  check: (given) => {
    const { setting, target, numEnvs, epochs, knobs, network, weights } = given as AdaptationConfig;
    const targets = listed(target).length;
    const problems = rivalProblems(given);
    if (numEnvs !== 1) problems.push(`numEnvs: must be 1, because a run is one adaptation, actual value ${numEnvs}.`);
    if (setting !== undefined && (setting === 'continual') !== targets > 1)
      problems.push(`setting: ${setting}, but target names ${targets}; continual has several, the others have one.`);
    if (setting === 'online' && !knobs && epochs !== 1)
      problems.push(`epochs: must be 1, because setting is online, which is one pass, actual value ${epochs}.`);
    if (network === 'small' && weights !== undefined)
      problems.push('weights: are for a ResNet; leave them out, or name one by network.');
    if (!knobs && epochs % targets !== 0)
      problems.push(
        `epochs: must be a multiple of the ${targets} targets, which have as many each, actual value ${epochs}.`,
      );
    return problems;
  },
  inputs: async (given) => {
    const { source, sourceFolder, target, targetFolder, weights } = given as AdaptationConfig;
    const { filesOf } = await import('../../envs/data/domains.js');
    const of = async (what: string, name: string, folder: string | undefined) =>
      (await filesOf(name, folder)).map((file) => [`${what}/${file}`, file]);
    const files = await Promise.all([
      of('source', source, sourceFolder),
      ...listed(target).map((name) => of('target', name, targetFolder)),
    ]);
    return Object.fromEntries([...files.flat(), ...(weights === undefined ? [] : [['weights', weights]])]);
  },
  report: async (run) => (await import('./adaptation-report.js')).adaptationReport(run),
  compose: async (given: RunConfig, options: ComposeOptions): Promise<Composition> => {
    const config = given as AdaptationConfig;
    if (options.env !== undefined || options.reward !== undefined || options.prompts !== undefined)
      throw new GymError(
        'E_CONFIG',
        `compose: ${config.env} brings its own reward and has no prompts; leave them out, and give an environment of your own another name by \`env\`.`,
      );
    const [{ makeAdaptation }, { makeAgent }, { byPasses }, { AdaptationKnobs }, { networkPolicy }] = await Promise.all(
      [
        import('../../envs/adaptation/make.js'),
        import('../../agents/registry.js'),
        import('./adaptation-passes.js'),
        import('../../envs/adaptation/knobs.js'),
        import('../../agents/policies/index.js'),
      ],
    );
    const closing: (() => unknown)[] = [];
    const close = async () => {
      for (const end of closing.splice(0).reverse()) await end();
    };
    try {
      const open = async () => {
        const env = await makeAdaptation(environmentOptions(config));
        closing.push(() => env.close());
        return env;
      };
      const env = await open();
      const played = (one: typeof env) => vectorOf(config.knobs ? new AdaptationKnobs(one) : one);
      const vector = played(env);
      const evaluationEnvs = config.evaluation.samples > 0 ? [played(await open())] : [];
      const random = new Random(config.seed);
      const { name, ...agentOptions } = config.agent;
      const made = (await makeAgent(options.agent ?? name, {
        env: vector,
        policy: () => networkPolicy(vector, { hidden: [32, 32] }, random.child('policy')),
        kind: 'network',
        options: agentOptions,
        random: random.child('agent'),
        warn: options.warn,
      })) as Agent<unknown, unknown>;
      closing.push(() => made.dispose());
      if (config.knobs) return { agent: made, envs: [vector], evaluationEnvs, close };
      const { agent, callback } = byPasses(made, env);
      return { agent, envs: [vector], evaluationEnvs, callbacks: [callback], close };
    } catch (error) {
      await close();
      throw error;
    }
  },
};

function vectorOf(env: { step: unknown }): VectorEnv<unknown, unknown> {
  return new SyncVectorEnv([new OrderEnforcing(env as Env<unknown, unknown>)], { autoreset: 'disabled' }) as VectorEnv<
    unknown,
    unknown
  >;
}

function environmentOptions(config: AdaptationConfig): AdaptationOptions {
  const { source, target, network, weights, sourceFolder, targetFolder, setting, seed, epochs, knobs } = config;
  const { passes, imageSize, sourceLearningRate, ...adaptation } = config.adaptation;
  return {
    ...adaptation,
    ...(imageSize !== undefined && { imageSize }),
    ...(sourceLearningRate !== undefined && { sourceLearningRate }),
    ...(weights !== undefined && { weights }),
    ...{
      source,
      target,
      network,
      seed,
      epochs: knobs ? (setting === 'online' ? 1 : passes) : epochs / listed(target).length,
    },
    ...(sourceFolder !== undefined && { sourceFolder }),
    ...(targetFolder !== undefined && { targetFolder }),
    ...(setting !== undefined && { setting }),
  };
}
