import * as z from 'zod';
import { GymError } from '../../core/errors.js';
import { Random } from '../../core/random.js';
import type { Env } from '../../envs/env.js';
import type { VectorEnv } from '../../envs/vector-env.js';
import type { RunConfig } from '../config/run-config.js';
import type { ComposeOptions, Composition, Family } from './family.js';

const options = {
  envOptions: z
    .record(z.string(), z.json())
    .default({})
    .describe('options of the environment; `list environments` says which it has'),
  policy: z
    .strictObject({
      hidden: z.array(z.int().min(1).max(8192)).max(32).default([64, 64]).describe('widths of the hidden layers'),
    })
    .prefault({})
    .describe('the network'),
};

/** The options of this family, validated. */
type GymConfig = RunConfig & z.output<z.ZodObject<typeof options>>;

type AnyVectorEnv = VectorEnv<unknown, unknown>;

/** Environments with spaces that a small network suits: classic control, and any of a user's own. */
export const gym: Family = {
  name: 'gym',
  title: 'Environments with a small network',
  owns: () => true,
  policyKind: 'network',
  options,
  defaults: { numEnvs: 8, evaluation: { samples: 20, explore: false } },
  words: {
    episodes: 'episodes',
    fixed: 'fixed episodes',
    pairs: 'The same episode before and after training.',
    headline: (config) => `learns **${config.env}**`,
  },
  compose: async (given: RunConfig, options: ComposeOptions): Promise<Composition> => {
    const config = given as GymConfig;
    if (options.reward !== undefined || options.prompts !== undefined)
      throw new GymError(
        'E_CONFIG',
        `compose: ${config.env} brings its own reward and has no prompts; leave them out.`,
      );
    const [{ makeAgent }, { networkPolicy }] = await Promise.all([
      import('../../agents/registry.js'),
      import('../../agents/policies/index.js'),
    ]);
    const random = new Random(config.seed);
    const closing: (() => unknown)[] = [];
    const close = async () => {
      for (const end of closing.splice(0)) await end();
    };
    try {
      const open = async (numEnvs: number) => {
        const env = await makeEnv(config, options, numEnvs);
        closing.push(() => env.close?.());
        return env;
      };
      const env = await open(config.numEnvs);
      const evaluationEnv = await open(Math.min(config.numEnvs, Math.max(1, config.evaluation.samples)));
      const { name, ...agentOptions } = config.agent;
      const agent = await makeAgent<unknown, unknown>(options.agent ?? name, {
        env,
        policy: () => networkPolicy(env, config.policy, random.child('policy')),
        kind: 'network',
        options: agentOptions,
        random: random.child('agent'),
        warn: options.warn,
      });
      closing.push(() => agent.dispose());
      return { agent, envs: [env], evaluationEnvs: [evaluationEnv], close };
    } catch (error) {
      await close();
      throw error;
    }
  },
};

async function makeEnv(config: GymConfig, { env }: ComposeOptions, numEnvs: number): Promise<AnyVectorEnv> {
  if (env === undefined) {
    const { makeVec } = await import('../../envs/registry.js');
    return (await makeVec(config.env, numEnvs, config.envOptions)) as AnyVectorEnv;
  }
  const first = await env(numEnvs);
  if ('numEnvs' in first) return first;
  const { SyncVectorEnv } = await import('../../envs/sync-vector-env.js');
  const singles = [first];
  while (singles.length < numEnvs) singles.push((await env(numEnvs)) as Env<unknown, unknown>);
  return new SyncVectorEnv(singles);
}
