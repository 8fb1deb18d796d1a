import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import * as z from 'zod';
import type { Agent } from '../../agents/agent.js';
import type { DenoisingNetwork, DenoisingPolicy } from '../../agents/policies/denoising.js';
import { GymError } from '../../core/errors.js';
import { Random } from '../../core/random.js';
import type { RewardLike } from '../../core/reward.js';
import { longestTimeoutMs } from '../../core/score.js';
import type { Denoiser, Scheduler } from '../../diffusion/index.js';
import type { PromptSource } from '../../envs/denoising/prompts.js';
import type { VectorEnv } from '../../envs/vector-env.js';
import { adaptedUnet, adapterOptions, adapterProblems, loraFiles, modelWriters } from '../adapter.js';
import type { RunConfig } from '../config/run-config.js';
import { packageRoot } from '../package-root.js';
import { filesBelow } from '../run-folder/index.js';
import { captionsOf, makePrompts, promptsOption } from './denoising-prompts.js';
import type { MakeDenoising } from './denoising-watch.js';
import type { ComposeOptions, Composition, Family } from './family.js';
import { groupProblems, groupSizeOf } from './groups.js';

const count = z.int().min(1);
const text = z.string().min(1).max(4096);
const sampling = z
  .strictObject({
    steps: count.default(10).describe('denoising steps an episode'),
    scheduler: z
      .enum(['auto', 'ddim', 'ddpm', 'flow-match'])
      .default('auto')
      .describe('the rule from x_t to x_{t-1}; auto: flow-match for a model of flow matching, ddim for all others'),
    spacing: z
      .enum(['trailing', 'leading', 'linspace'])
      .default('trailing')
      .describe('which timesteps of the training schedule are used; flow matching has its own rule'),
    eta: z
      .number()
      .min(0)
      .max(1)
      .default(1)
      .describe(
        "DDIM's η, or the noise level of flow matching: how much noise a step adds; learning needs more than 0",
      ),
    guidanceScale: z.number().min(0).default(1).describe('classifier-free guidance; 1 is none and half the work'),
    sharedNoise: z
      .boolean()
      .default(false)
      .describe('agents that compare groups: whether the samples of a group start from the same noise'),
  })
  .prefault({});

const watch = z
  .strictObject({
    every: z.int().min(0).default(0).describe('epochs between looks at what training does to pictures; 0: no watch'),
    samples: count.max(4096).default(32).describe('how many pictures a look makes with noise, and without'),
    perPrompt: count.default(4).describe('how many of them of each prompt, whose diversity is measured'),
    prompts: z
      .array(z.string())
      .min(1)
      .optional()
      .describe('held-out prompts; default: the captions that prompts.limit leaves out, or else those of training'),
    guard: text.optional().describe('a reward that is not trained on: a name, a file or an expression'),
    rule: z
      .enum(['warn', 'stop', 'rollback'])
      .default('warn')
      .describe(
        'once the trained reward has risen and the guard fallen: say so, end the run, or end it as it was before',
      ),
    tolerance: z
      .number()
      .min(0)
      .default(0.5)
      .describe('how far the guard may fall, in standard deviations of its scores at the start'),
  })
  .prefault({});

const options = {
  model: text.default('models/shapes').describe('the folder of the denoiser, in the layout of diffusers'),
  ...adapterOptions,
  reward: text
    .default('jpeg-incompressibility')
    .describe("a reward's name, a file with your own (./reward.ts), or an expression over names"),
  rewardTimeout: z
    .number()
    .positive()
    .max(longestTimeoutMs / 1000)
    .default(300)
    .describe('seconds that the reward may take for one batch'),
  prompts: promptsOption.describe('where prompts come from'),
  sampling: sampling.describe('how samples are made'),
  samplesPerEpoch: count
    .max(1_000_000)
    .default(64)
    .describe('samples (finished episodes) an epoch; short for agent.collect'),
  workers: z
    .union([z.literal('auto'), z.int().min(0)])
    .default('auto')
    .describe('threads that compute batches and micro-batches, with the same numbers; auto: one a core where it pays'),
  overlap: z
    .int()
    .min(0)
    .max(256)
    .default(4)
    .describe('how many batches may still be scored while the next one of the epoch is sampled'),
  watch: watch.describe('what training does to pictures beside raising their reward'),
  evaluation: z.strictObject({
    pictures: z.int().min(0).max(4096).default(64).describe('how many of the evaluated samples are kept as pictures'),
  }),
};

/** The options of this family, validated. */
export type DenoisingConfig = RunConfig &
  Omit<z.output<z.ZodObject<typeof options>>, 'evaluation' | 'samplesPerEpoch'> & {
    readonly evaluation: RunConfig['evaluation'] & { readonly pictures: number };
    /** Absent where the agent itself says how much makes a rollout. */
    readonly samplesPerEpoch?: number;
  };

type SamplingConfig = DenoisingConfig['sampling'];

/** What is read of a model's folder: not its pictures, nor weights in other precisions beside those that are read. */
const modelFile =
  /^(model_index\.json|(unet|scheduler|text_encoder|tokenizer)\/[^/]+(?<!\.(fp16|bf16|non_ema))\.(json|txt|safetensors))$/;

/** Fine-tuning of a diffusion model: `Denoising-v0` with a model, prompts and a reward. */
export const denoising: Family = {
  name: 'denoising',
  title: 'Denoising-v0',
  owns: (env) => /^(OneStep)?Denoising(-v\d+)?$/.test(env),
  policyKind: 'denoising',
  options,
  defaults: { numEnvs: 32, evaluation: { samples: 64, explore: true } },
  shorthand: { option: 'samplesPerEpoch', agentOption: 'collect', of: (episodes) => ({ episodes }) },
  nameOf: (config) => (config as DenoisingConfig).reward,
  words: {
    episodes: 'samples',
    fixed: 'fixed prompts and noises',
    pairs: 'The same prompts and the same noise, by the model as it was and after training, each with its reward.',
    headline: (config) => {
      const { model, reward, adapter } = config as DenoisingConfig;
      const part = adapter.rank > 0 ? ` by a LoRA of rank ${adapter.rank}` : '';
      return `fine-tunes **${model}**${part} for more **${reward}**`;
    },
  },
  check: (given) => {
    const config = given as DenoisingConfig;
    const problems = adapterProblems(config);
    const { kind, list, path } = config.prompts;
    if (kind === 'list' && list === undefined) problems.push('prompts.list: needed because prompts.kind is list.');
    if (kind === 'file' && path === undefined) problems.push('prompts.path: needed because prompts.kind is file.');
    if (kind !== 'list' && list !== undefined)
      problems.push(`prompts.list: given, but prompts.kind is ${kind}; say prompts.kind: list.`);
    if (kind !== 'file' && path !== undefined)
      problems.push(`prompts.path: given, but prompts.kind is ${kind}; say prompts.kind: file.`);
    if (config.samplesPerEpoch !== undefined && config.samplesPerEpoch % config.numEnvs !== 0)
      problems.push(
        `samplesPerEpoch: must be a multiple of numEnvs (${config.numEnvs}), because samples are made in batches of that size, actual value ${config.samplesPerEpoch}.`,
      );
    problems.push(...groupProblems(config, config.sampling));
    const { every, guard, rule, samples, perPrompt } = config.watch;
    if (every === 0 && (guard !== undefined || rule !== 'warn'))
      problems.push('watch: there is none, because watch.every is 0; say after how many epochs it looks.');
    if (every > 0 && rule !== 'warn' && guard === undefined)
      problems.push(`watch.guard: needed, because watch.rule is ${rule}; name a reward that is not trained on.`);
    if (samples % perPrompt !== 0)
      problems.push(`watch.samples: must be a multiple of watch.perPrompt (${perPrompt}), actual value ${samples}.`);
    if (every > 0 && isOneStep(config))
      problems.push(
        `watch.every: must be 0, because ${config.env} has no steps whose KL could be watched; or take Denoising-v0.`,
      );
    if (config.sampling.eta === 0 && config.sampling.scheduler !== 'ddpm')
      problems.push('sampling.eta: must be more than 0, because without noise there is no probability to learn from.');
    return problems;
  },
  inputs: async (given) => {
    const { model, lora, prompts } = given as DenoisingConfig;
    const folder = modelFolder(model);
    const files = (await filesBelow(folder)).filter((file) => modelFile.test(file));
    return Object.fromEntries([
      ...files.map((file) => [`model/${file}`, join(folder, file)]),
      ...(lora === undefined ? [] : (await loraFiles(lora)).map((file) => [`lora/${basename(file)}`, file])),
      ...(prompts.kind === 'file' ? [['prompts.path', prompts.path!]] : []),
    ]);
  },
  compose: async (given, options) => {
    const config = given as DenoisingConfig;
    if (options.env !== undefined)
      throw new GymError(
        'E_CONFIG',
        `compose: ${config.env} is made from a model, prompts and a reward; give an environment of your own another name by \`env\`.`,
      );
    const { makeReward } = await import('../../rewards/index.js');
    // What fails soonest comes first: a mistyped reward should not wait for a model to load.
    const reward = options.reward ?? (await makeReward(config.reward));
    const prompts = options.prompts ?? (await makePrompts(config.prompts, config.seed));
    return await withDenoiser(config, (denoiser) => composeWith(denoiser, config, prompts, reward, options));
  },
  replica: async (given) => {
    const config = given as DenoisingConfig;
    const { promptList } = await import('../../envs/denoising/prompts.js');
    return await withDenoiser(config, (denoiser) =>
      // It never scores, and needs a reward of the form of the run's.
      agentOn(denoiser, config, promptList(['']), { name: 'none', score: () => [], combine: () => 0 }, {}),
    );
  },
};

/** Whether a decision is a whole chain. */
function isOneStep({ env }: DenoisingConfig): boolean {
  return env.startsWith('OneStep');
}

/** Loads the run's model, and frees it where what is made with it fails. */
async function withDenoiser<T>(config: DenoisingConfig, make: (denoiser: Denoiser) => Promise<T>): Promise<T> {
  const { disposeDenoiser, loadDenoiser } = await import('../../diffusion/index.js');
  const denoiser = await loadDenoiser(modelFolder(config.model));
  try {
    return await make(denoiser);
  } catch (error) {
    disposeDenoiser(denoiser);
    throw error;
  }
}

/** The run's agent with its policy, and how environments for it are made. */
async function agentOn(
  denoiser: Denoiser,
  config: DenoisingConfig,
  prompts: PromptSource,
  reward: RewardLike,
  options: ComposeOptions,
) {
  const [{ Denoising, identityDecode }, { makeAgent }] = await Promise.all([
    import('../../envs/denoising/denoising.js'),
    import('../../agents/registry.js'),
  ]);
  const scheduler = await makeScheduler(denoiser, config.sampling);
  const unet = await adaptedUnet(denoiser, config);
  const oneStep = isOneStep(config);
  const policy = await denoisingPolicy({ ...denoiser, unet }, scheduler, config.sampling, oneStep);
  const make: MakeDenoising = (numEnvs, other = {}) =>
    new Denoising({
      timesteps: oneStep ? scheduler.timesteps.slice(0, 1) : scheduler.timesteps,
      latentShape: latentShape(denoiser),
      initNoiseSigma: scheduler.initNoiseSigma,
      decode: identityDecode,
      prompts,
      reward,
      numEnvs,
      seed: config.seed,
      rewardTimeoutMs: config.rewardTimeout * 1000,
      ...other,
    });
  const groups = { groupSize: groupSizeOf(config), sharedNoise: config.sampling.sharedNoise };
  const makeTraining = () => make(config.numEnvs, groups);
  const first = makeTraining();
  const { name, ...agentOptions } = config.agent;
  try {
    const agent = (await makeAgent(options.agent ?? name, {
      env: first as VectorEnv<unknown, unknown>,
      policy: policy as never,
      kind: 'denoising',
      options: agentOptions,
      random: new Random(config.seed).child('agent'),
      combineReward: typeof reward === 'object' && reward.combine ? (terms) => reward.combine!(terms) : undefined,
      warn: options.warn,
    })) as Agent<unknown, unknown>;
    return { agent, unet, policy, first, make, makeTraining };
  } catch (error) {
    policy.dispose();
    throw error;
  }
}

async function composeWith(
  denoiser: Denoiser,
  config: DenoisingConfig,
  prompts: PromptSource,
  reward: RewardLike,
  options: ComposeOptions,
): Promise<Composition> {
  const [{ identityDecode }, { disposeDenoiser }] = await Promise.all([
    import('../../envs/denoising/denoising.js'),
    import('../../diffusion/index.js'),
  ]);
  const { agent, unet, policy, first, make, makeTraining } = await agentOn(denoiser, config, prompts, reward, options);
  const pool = await workersFor(agent, config, options);
  // More environments than a rollout has batches would never be used.
  const batches =
    typeof agent.collect === 'object' && 'episodes' in agent.collect
      ? Math.ceil(agent.collect.episodes / config.numEnvs)
      : config.overlap + 1;
  const envs = [first];
  while (envs.length < Math.min(config.overlap + 1, batches)) envs.push(makeTraining());
  const evaluationSize = Math.min(config.numEnvs, Math.max(1, config.evaluation.samples));
  const evaluationEnvs = envs.slice(0, 2).map(() => make(evaluationSize));
  const watched = config.watch.every > 0 ? await watchOf(config, policy, { make, prompts, reward }) : undefined;
  // Rewards that are pending are aborted now, and not only when everything that goes on has ended.
  const stop = () => {
    for (const env of [...envs, ...evaluationEnvs, ...(watched?.envs ?? [])]) env.close?.();
  };
  options.signal?.addEventListener('abort', stop);
  return {
    agent,
    envs: envs as VectorEnv<unknown, unknown>[],
    evaluationEnvs: evaluationEnvs as VectorEnv<unknown, unknown>[],
    decode: identityDecode,
    watch: watched,
    pictures: config.evaluation.pictures,
    ...(await modelWriters(denoiser, unet)),
    close: async () => {
      options.signal?.removeEventListener('abort', stop);
      stop();
      await pool?.close();
      agent.dispose();
      // The policy's reference, where it keeps one; the network itself may be freed twice.
      policy.dispose();
      disposeDenoiser(denoiser);
    },
  };
}

/** Workers for an agent that has units of work for them, where the configuration says so. */
async function workersFor(agent: Agent<unknown, unknown>, config: DenoisingConfig, options: ComposeOptions) {
  const [{ hasUnits }, { WorkerPool }, { useBackend }] = await Promise.all([
    import('../../agents/optimization/work-units.js'),
    import('../workers/pool.js'),
    import('../../backend/index.js'),
  ]);
  const explicit = config.workers !== 'auto';
  const workers = config.workers === 'auto' ? availableParallelism() : config.workers;
  // One worker computes what the main thread would, and no sooner, unless it is asked for.
  if (workers === 0 || (workers === 1 && !explicit)) return undefined;
  const obstacle = options.agent
    ? 'the agent is an object of this program, which a worker cannot make'
    : hasUnits(agent)
      ? undefined
      : `the agent ${config.agent.name} has no units of work for them`;
  if (obstacle !== undefined || !hasUnits(agent)) {
    if (explicit)
      throw new GymError('E_CONFIG', `workers: must be 0 or auto here, because ${obstacle}, actual value ${workers}.`);
    return undefined;
  }
  const { name: backend } = await useBackend();
  const pool = new WorkerPool({ config, backend }, { workers, explicit, warn: options.warn });
  agent.computeWith(pool);
  // Who asks for workers gets them from the first unit on; otherwise they join when they are there.
  if (explicit) await pool.begun();
  return pool;
}

/** Where a model lies: the path as given, or the one of that name that comes with this package. @throws GymError E_FILE. */
export function modelFolder(model: string): string {
  for (const folder of [model, join(packageRoot(), model)]) if (existsSync(folder)) return folder;
  throw new GymError(
    'E_FILE',
    `model ${model}: there is no such folder; give the path of a model in the layout of diffusers (model_index.json, unet/, ...), or make one by \`pretrain --out ${model}\`.`,
  );
}

/**
 * The scheduler of a run: that of the model, with the run's spacing, set to the run's steps.
 * @throws GymError E_CONFIG when the run wants a scheduler that the model was not trained for.
 */
export async function makeScheduler(denoiser: Denoiser, sampling: SamplingConfig): Promise<Scheduler> {
  const { DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler } = await import('../../diffusion/index.js');
  const own = denoiser.scheduler;
  const isFlow = own instanceof FlowMatchEulerDiscreteScheduler;
  const { scheduler: wanted, spacing, steps } = sampling;
  if (wanted !== 'auto' && isFlow !== (wanted === 'flow-match'))
    throw new GymError(
      'E_CONFIG',
      `sampling.scheduler: must be ${isFlow ? 'flow-match' : 'ddim or ddpm'} (or auto) for this model, because it was ${isFlow ? '' : 'not '}trained by flow matching, actual value ${wanted}.`,
    );
  const config = { ...own.config, timestep_spacing: spacing };
  const kind = isFlow ? FlowMatchEulerDiscreteScheduler : wanted === 'ddpm' ? DDPMScheduler : DDIMScheduler;
  const scheduler: Scheduler = kind.fromConfig(config);
  scheduler.setTimesteps(steps);
  return scheduler;
}

/** Height, width and channels of what the network denoises. */
export function latentShape(denoiser: Denoiser): [number, number, number] {
  const { sample_size: size, in_channels: channels } = denoiser.unet.config;
  const [height, width] = typeof size === 'number' ? [size, size] : (size ?? []);
  if (height === undefined || width === undefined)
    throw new GymError(
      'E_CONFIG',
      'model: unet/config.json has no sample_size, so the size of samples is unknown; add it.',
    );
  return [height, width, channels];
}

/** The policy of a denoiser with the run's way of sampling. The policy owns the UNet; the text encoder stays the denoiser's. */
export async function denoisingPolicy(
  denoiser: Omit<Denoiser, 'unet'> & { readonly unet: DenoisingNetwork },
  sampler: Scheduler,
  { eta, guidanceScale }: SamplingConfig,
  oneStep = false,
): Promise<DenoisingPolicy> {
  const [{ DenoisingPolicy }, { OneStepDenoisingPolicy }, { encodePrompts }] = await Promise.all([
    import('../../agents/policies/denoising.js'),
    import('../../agents/policies/one-step.js'),
    import('../../diffusion/index.js'),
  ]);
  const Policy = oneStep ? OneStepDenoisingPolicy : DenoisingPolicy;
  const embed = denoiser.textEncoder ? (texts: readonly string[]) => encodePrompts(denoiser, texts) : undefined;
  return new Policy({ unet: denoiser.unet, sampler, embed }, { eta, guidanceScale });
}

async function watchOf(
  config: DenoisingConfig,
  policy: DenoisingPolicy,
  parts: { make: MakeDenoising; prompts: PromptSource; reward: RewardLike },
) {
  const [{ shapesPrompts }, { watchParts }] = await Promise.all([
    import('../../rewards/index.js'),
    import('./denoising-watch.js'),
  ]);
  const captions = config.prompts.kind === 'shapes' ? captionsOf(config.prompts, config.seed, shapesPrompts) : [];
  return await watchParts(config, policy, { ...parts, trained: new Set(captions.flat()) });
}
