import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Agent } from '../agents/agent.js';
import { CategoricalMlp, DenoisingPolicy, GaussianMlp, makeAgent } from '../agents/index.js';
import type { PreparedVectors } from '../agents/policies/actor-critic.js';
import type { Policy } from '../agents/policy.js';
import { GymError } from '../core/errors.js';
import type { NdArray } from '../core/ndarray.js';
import { Random } from '../core/random.js';
import type { RewardLike } from '../core/reward.js';
import type { Awaitable } from '../core/types.js';
import {
  DDIMScheduler,
  DDPMScheduler,
  type Denoiser,
  disposeDenoiser,
  encodePrompts,
  loadDenoiser,
  type Scheduler,
  saveDenoiser,
} from '../diffusion/index.js';
import { Denoising, identityDecode } from '../envs/denoising/denoising.js';
import { type PromptSource, promptGenerator, promptList, readPrompts } from '../envs/denoising/prompts.js';
import { makeVec } from '../envs/registry.js';
import { Discrete } from '../envs/spaces/discrete.js';
import type { Space } from '../envs/spaces/space.js';
import type { VectorEnv } from '../envs/vector-env.js';
import { makeReward, shapesPrompts } from '../rewards/index.js';
import { isDenoising, type RunConfig } from './config.js';
import { packageRoot } from './package-root.js';

/** The parts of a run. A run knows nothing of what its observations and actions are. */
export interface Composition {
  readonly agent: Agent<unknown, unknown>;
  readonly envs: readonly VectorEnv<unknown, unknown>[];
  /** For evaluation alone. */
  readonly evaluationEnvs: readonly VectorEnv<unknown, unknown>[];
  /** Latents to images, where there are any. */
  readonly decode?: (latents: NdArray<Float32Array>) => Awaitable<NdArray>;
  /** Writes the model with the agent's present weights, in the layout of diffusers, where there is one. */
  saveModel?(folder: string): Promise<void>;
  /** Frees networks and environments. */
  close(): Promise<void>;
}

export interface ComposeOptions {
  /** Instead of the one that the configuration names. */
  readonly reward?: RewardLike;
  /** Instead of what the configuration says of prompts. */
  readonly prompts?: PromptSource;
  /** Told what looks wrong, and what to do about it. */
  readonly warn?: (message: string) => void;
}

/**
 * Makes the parts that a configuration names. The backend must be ready.
 * @throws GymError E_FILE, E_NAME, E_CONFIG for what is missing, unknown or does not fit.
 */
export async function compose(config: RunConfig, options: ComposeOptions = {}): Promise<Composition> {
  return isDenoising(config) ? await composeDenoising(config, options) : await composeOrdinary(config, options);
}

/** Where a model lies: the path as given, or the one of that name that comes with this package. @throws GymError E_FILE. */
export function modelFolder(model: string): string {
  for (const folder of [model, join(packageRoot(), model)]) if (existsSync(folder)) return folder;
  throw new GymError(
    'E_FILE',
    `model ${model}: there is no such folder; give the path of a model in the layout of diffusers (model_index.json, unet/, ...), or make one by \`pretrain --out ${model}\`.`,
  );
}

/** The scheduler of a run: that of the model, with the run's spacing, set to the run's steps. */
export function makeScheduler(denoiser: Denoiser, sampling: RunConfig['sampling']): Scheduler {
  const config = { ...denoiser.scheduler.config, timestep_spacing: sampling.spacing };
  const scheduler = sampling.scheduler === 'ddim' ? DDIMScheduler.fromConfig(config) : DDPMScheduler.fromConfig(config);
  scheduler.setTimesteps(sampling.steps);
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
export function denoisingPolicy(
  denoiser: Denoiser,
  scheduler: Scheduler,
  sampling: RunConfig['sampling'],
): DenoisingPolicy {
  const embed = denoiser.textEncoder ? (prompts: readonly string[]) => encodePrompts(denoiser, prompts) : undefined;
  const { eta, guidanceScale } = sampling;
  return new DenoisingPolicy({ unet: denoiser.unet, scheduler, embed }, { eta, guidanceScale });
}

/** The prompts that a configuration asks for. */
export async function makePrompts(config: RunConfig['prompts'], seed: number): Promise<PromptSource> {
  const { kind, kinds, list, path, limit, order } = config;
  if (kind === 'file') return promptList(limited(await readPrompts(path!), limit, seed), { order });
  if (kind === 'list') return promptList(limited(list!, limit, seed), { order });
  // Each kind as often as another, however many captions it has.
  const share = (i: number) => limit && Math.floor(limit / kinds.length) + (i < limit % kinds.length ? 1 : 0);
  const captions = kinds
    .map((k, i) => limited(shapesPrompts(k), share(i), seed))
    .filter((captions) => captions.length > 0);
  return promptGenerator((episode, random) => {
    const turn = captions[order === 'sequential' ? episode % captions.length : random.integer(captions.length)]!;
    return order === 'sequential'
      ? turn[Math.floor(episode / captions.length) % turn.length]!
      : turn[random.integer(turn.length)]!;
  });
}

function limited<T>(list: readonly T[], limit: number | undefined, seed: number): readonly T[] {
  if (limit === undefined || limit >= list.length) return list;
  const order = new Random(seed).child('prompts').permutation(list.length);
  return Array.from(order.subarray(0, limit), (i) => list[i]!);
}

async function composeDenoising(config: RunConfig, options: ComposeOptions): Promise<Composition> {
  // What fails soonest comes first: a mistyped reward should not wait for a model to load.
  const reward = options.reward ?? (await makeReward(config.reward));
  const prompts = options.prompts ?? (await makePrompts(config.prompts, config.seed));
  const denoiser = await loadDenoiser(modelFolder(config.model));
  try {
    return composeWith(denoiser, config, prompts, reward, options);
  } catch (error) {
    disposeDenoiser(denoiser);
    throw error;
  }
}

function composeWith(
  denoiser: Denoiser,
  config: RunConfig,
  prompts: PromptSource,
  reward: RewardLike,
  options: ComposeOptions,
): Composition {
  const scheduler = makeScheduler(denoiser, config.sampling);
  const policy = denoisingPolicy(denoiser, scheduler, config.sampling);
  const { name, collect = { episodes: config.samplesPerEpoch }, ...agentOptions } = config.agent;
  const make = (numEnvs: number) =>
    new Denoising({
      timesteps: scheduler.timesteps,
      latentShape: latentShape(denoiser),
      initNoiseSigma: scheduler.initNoiseSigma,
      decode: identityDecode,
      prompts,
      reward,
      numEnvs,
      seed: config.seed,
      rewardTimeoutMs: config.rewardTimeout * 1000,
    });
  const batches = 'episodes' in collect ? Math.ceil(collect.episodes / config.numEnvs) : config.overlap + 1;
  const envs = Array.from({ length: Math.min(config.overlap + 1, batches) }, () => make(config.numEnvs));
  const evaluationSize = Math.min(config.numEnvs, Math.max(1, config.evaluation.samples));
  const evaluationEnvs = envs.slice(0, 2).map(() => make(evaluationSize));
  const random = new Random(config.seed).child('agent');
  const agent = makeAgent(name, policy, { ...agentOptions, collect, warn: options.warn }, random);
  return {
    agent: agent as Agent<unknown, unknown>,
    envs: envs as unknown as VectorEnv<unknown, unknown>[],
    evaluationEnvs: evaluationEnvs as unknown as VectorEnv<unknown, unknown>[],
    decode: identityDecode,
    saveModel: (folder) => saveDenoiser(folder, denoiser),
    close: async () => {
      for (const env of [...envs, ...evaluationEnvs]) env.close();
      agent.dispose();
      disposeDenoiser(denoiser);
    },
  };
}

/** An environment without a denoiser: a small network by its action space. */
async function composeOrdinary(config: RunConfig, options: ComposeOptions): Promise<Composition> {
  if (options.reward !== undefined || options.prompts !== undefined)
    throw new GymError('E_CONFIG', `compose: ${config.env} brings its own reward and has no prompts; leave them out.`);
  const env = await makeVec(config.env, config.numEnvs, config.envOptions);
  const evaluationEnv = await makeVec(
    config.env,
    Math.min(config.numEnvs, Math.max(1, config.evaluation.samples)),
    config.envOptions,
  );
  const random = new Random(config.seed);
  const { observationSpace, actionSpace } = env;
  const policy =
    actionSpace instanceof Discrete
      ? new CategoricalMlp(observationSpace, actionSpace as Space<number>, config.policy, random.child('policy'))
      : new GaussianMlp(
          observationSpace,
          actionSpace as Space<NdArray<Float32Array>>,
          config.policy,
          random.child('policy'),
        );
  const { name, collect = { episodes: config.samplesPerEpoch }, ...agentOptions } = config.agent;
  const agent = makeAgent(
    name,
    policy as Policy<unknown, unknown, PreparedVectors>,
    { ...agentOptions, collect, warn: options.warn },
    random.child('agent'),
  );
  return {
    agent,
    envs: [env],
    evaluationEnvs: [evaluationEnv],
    close: async () => {
      await env.close?.();
      await evaluationEnv.close?.();
      agent.dispose();
    },
  };
}
