import { existsSync } from 'node:fs';
import { availableParallelism, freemem } from 'node:os';
import { basename, join } from 'node:path';
import type { Agent } from '../../agents/agent.js';
import type { DenoisingNetwork, DenoisingPolicy } from '../../agents/policies/denoising.js';
import { GymError } from '../../core/errors.js';
import { Random } from '../../core/random.js';
import type { Reward, RewardLike } from '../../core/reward.js';
import type { Denoiser, LoadOptions, ModelScheduler } from '../../diffusion/index.js';
import type { Decode } from '../../envs/denoising/decode.js';
import type { ListedPrompt, PromptSource } from '../../envs/denoising/prompts.js';
import type { VectorEnv } from '../../envs/vector-env.js';
import { adaptedUnet, loraFiles, modelWriters } from '../adapter.js';
import { packageRoot } from '../package-root.js';
import { type DenoisingConfig, denoisingOptions, denoisingProblems, isOneStep } from './denoising-options.js';
import { captionsOf, checkPrompts, makePrompts } from './denoising-prompts.js';
import type { Judges, MakeDenoising } from './denoising-watch.js';
import type { ComposeOptions, Composition, Family } from './family.js';
import { groupSizeOf } from './groups.js';

export type { DenoisingConfig };

type SamplingConfig = DenoisingConfig['sampling'];

/** Fine-tuning of a diffusion model: `Denoising-v0` with a model, prompts and a reward. */
export const denoising: Family = {
  name: 'denoising',
  title: 'Denoising-v0',
  owns: (env) => /^(OneStep)?Denoising(-v\d+)?$/.test(env),
  policyKind: 'denoising',
  options: denoisingOptions,
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
  check: (config) => denoisingProblems(config as DenoisingConfig),
  inputs: async (given) => {
    const { model, lora, prompts } = given as DenoisingConfig;
    const folder = modelFolder(model);
    const { denoiserFiles } = await import('../../diffusion/index.js');
    const files = await denoiserFiles(folder);
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
    const { loadVisionNet, makeReward } = await import('../../rewards/index.js');
    const made: Pick<Reward, 'dispose'>[] = [];
    const owned = <T extends Pick<Reward, 'dispose'>>(part: T): T => {
      made.push(part);
      return part;
    };
    const makeOwn = async (spec: string): Promise<Reward> => owned(await makeReward(spec, config.rewards));
    const freeOwned = () => {
      for (const part of made.splice(0)) part.dispose?.();
    };
    try {
      // What fails soonest comes first: a mistyped reward should not wait for a model to load.
      const reward = options.reward ?? (await makeOwn(config.reward));
      const { guard: guardName, features } = config.watch;
      const guard = guardName === undefined ? undefined : await makeOwn(guardName);
      const net = features ? owned(await loadVisionNet()) : undefined;
      const prompts = options.prompts ?? (await makePrompts(config.prompts, config.seed));
      const composed = await withDenoiser(config, { warn: options.warn }, async (denoiser) => {
        await checkPrompts(denoiser, promptsOfRun(config, prompts), { ...config.prompts, warn: options.warn });
        return await composeWith(denoiser, config, prompts, { reward, guard, net }, options);
      });
      const close = async () => {
        await composed.close();
        freeOwned();
      };
      return { ...composed, close };
    } catch (error) {
      freeOwned();
      throw error;
    }
  },
  replica: async (given) => {
    const config = given as DenoisingConfig;
    const { promptList } = await import('../../envs/denoising/prompts.js');
    return await withDenoiser(config, { vae: false }, (denoiser) =>
      // It never decodes nor scores, and needs a reward of the form of the run's.
      agentOn(denoiser, config, promptList(['']), { name: 'none', score: () => [], combine: () => 0 }, {}),
    );
  },
};

/** Loads the run's model, and frees it where what is made with it fails. */
async function withDenoiser<T>(
  config: DenoisingConfig,
  options: LoadOptions,
  make: (denoiser: Denoiser) => Promise<T>,
): Promise<T> {
  const { disposeDenoiser, loadDenoiser } = await import('../../diffusion/index.js');
  const denoiser = await loadDenoiser(modelFolder(config.model), options);
  try {
    return await make(denoiser);
  } catch (error) {
    disposeDenoiser(denoiser);
    throw error;
  }
}

/** The prompts of a run that are known before it begins. */
function promptsOfRun({ sampling, watch }: DenoisingConfig, { listed = [] }: PromptSource): ListedPrompt[] {
  const guided = sampling.guidanceScale !== 1;
  return [
    ...listed,
    ...(guided ? [{ prompt: sampling.negativePrompt, where: 'sampling.negativePrompt' }] : []),
    ...(watch.prompts ?? []).map((prompt, i) => ({ prompt, where: `watch.prompts[${i}]` })),
  ];
}

/** The run's agent with its policy, and how environments for it are made. */
async function agentOn(
  denoiser: Denoiser,
  config: DenoisingConfig,
  prompts: PromptSource,
  reward: RewardLike,
  options: ComposeOptions,
) {
  const [{ Denoising }, { makeAgent }] = await Promise.all([
    import('../../envs/denoising/denoising.js'),
    import('../../agents/registry.js'),
  ]);
  const scheduler = await makeScheduler(denoiser, config.sampling);
  const unet = await adaptedUnet(denoiser, config);
  const oneStep = isOneStep(config);
  const policy = await denoisingPolicy(denoiser, unet, scheduler, config, oneStep);
  const decode = await decoderOf(denoiser, config.sampling.tile);
  const make: MakeDenoising = (numEnvs, other = {}) =>
    new Denoising({
      timesteps: oneStep ? scheduler.timesteps.slice(0, 1) : scheduler.timesteps,
      latentShape: latentShape(denoiser, config.sampling.size),
      initNoiseSigma: scheduler.initNoiseSigma,
      decode,
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
    return { agent, unet, policy, scheduler, decode, first, make, makeTraining };
  } catch (error) {
    policy.dispose();
    throw error;
  }
}

async function composeWith(
  denoiser: Denoiser,
  config: DenoisingConfig,
  prompts: PromptSource,
  { reward, guard, net }: { reward: RewardLike } & Judges,
  options: ComposeOptions,
): Promise<Composition> {
  const { disposeDenoiser } = await import('../../diffusion/index.js');
  const { agent, unet, policy, scheduler, decode, first, make, makeTraining } = await agentOn(
    denoiser,
    config,
    prompts,
    reward,
    options,
  );
  const pool = await workersFor(agent, denoiser, config, options);
  // More environments than a rollout has batches would never be used.
  const batches =
    typeof agent.collect === 'object' && 'episodes' in agent.collect
      ? Math.ceil(agent.collect.episodes / config.numEnvs)
      : config.overlap + 1;
  const envs = [first];
  while (envs.length < Math.min(config.overlap + 1, batches)) envs.push(makeTraining());
  const evaluationSize = Math.min(config.numEnvs, Math.max(1, config.evaluation.samples));
  const evaluationEnvs = envs.slice(0, 2).map(() => make(evaluationSize));
  const watched =
    config.watch.every > 0 ? await watchOf(config, policy, { make, prompts, reward, guard, net }) : undefined;
  // Rewards that are pending are aborted now, and not only when everything that goes on has ended.
  const stop = () => {
    for (const env of [...envs, ...evaluationEnvs, ...(watched?.envs ?? [])]) env.close?.();
  };
  options.signal?.addEventListener('abort', stop);
  return {
    agent,
    envs: envs as VectorEnv<unknown, unknown>[],
    evaluationEnvs: evaluationEnvs as VectorEnv<unknown, unknown>[],
    // An autoencoder would have to decode every step of a chain for it.
    decode: denoiser.vae && !options.animation ? undefined : decode,
    watch: watched,
    pictures: config.evaluation.pictures,
    // What it was trained to be sampled with: a chain of other timesteps would make other pictures of it.
    ...(await modelWriters({ ...denoiser, scheduler }, unet)),
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
async function workersFor(
  agent: Agent<unknown, unknown>,
  denoiser: Denoiser,
  config: DenoisingConfig,
  options: ComposeOptions,
) {
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
  const gigabytes = (workers * memoryOf(denoiser)) / 1e9;
  if (!explicit && gigabytes > freemem() / 2e9) {
    options.warn?.(
      `workers: none, because ${workers} threads with a copy of the model each would take ${gigabytes.toFixed(1)} GB more; TF_NUM_INTRAOP_THREADS=${workers} gives these threads to TensorFlow instead.`,
    );
    return undefined;
  }
  const { name: backend } = await useBackend();
  const pool = new WorkerPool({ config, backend }, { workers, explicit, warn: options.warn });
  agent.computeWith(pool);
  // Who asks for workers gets them from the first unit on; otherwise they join when they are there.
  if (explicit) await pool.begun();
  return pool;
}

/** The bytes of the weights that a worker has of a model. */
function memoryOf({ unet, textEncoder }: Denoiser): number {
  const weights = [...unet.parameters.values(), ...(textEncoder?.parameters.values() ?? [])];
  return weights.reduce((bytes, { size }) => bytes + 4 * size, 0);
}

/** Where a model lies: the path as given, or the one of that name that comes with this package. @throws GymError E_FILE. */
export function modelFolder(model: string): string {
  for (const folder of [model, join(packageRoot(), model)]) if (existsSync(folder)) return folder;
  throw new GymError(
    'E_FILE',
    `model ${model}: there is no such folder; give the path of a model in the layout of diffusers (model_index.json, unet/, ...), or make one by \`pretrain --out ${model}\`.`,
  );
}

/** How latents become pictures. @throws GymError E_CONFIG, E_VALUE where they cannot in tiles of that size. */
async function decoderOf({ vae }: Denoiser, tile: number | undefined): Promise<Decode> {
  if (tile !== undefined && !vae)
    throw new GymError(
      'E_CONFIG',
      `sampling.tile: given, actual value ${tile}, but this model has no autoencoder, whose pictures it is for; leave it out.`,
    );
  vae?.checkTile('sampling.tile:', tile);
  const [{ identityDecode }, { latentDecoder }] = await Promise.all([
    import('../../envs/denoising/decode.js'),
    import('../../diffusion/index.js'),
  ]);
  return vae ? latentDecoder(vae, { tile }) : identityDecode;
}

/**
 * The scheduler of a run: that of the model, with the run's spacing if it names one, set to the run's steps.
 * @throws GymError E_CONFIG when the run wants a scheduler that the model was not trained for.
 */
async function makeScheduler(denoiser: Denoiser, sampling: SamplingConfig): Promise<ModelScheduler> {
  const { DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler } = await import('../../diffusion/index.js');
  const own = denoiser.scheduler;
  const isFlow = own instanceof FlowMatchEulerDiscreteScheduler;
  const { scheduler: wanted, spacing, steps } = sampling;
  if (wanted !== 'auto' && isFlow !== (wanted === 'flow-match'))
    throw new GymError(
      'E_CONFIG',
      `sampling.scheduler: must be ${isFlow ? 'flow-match' : 'ddim or ddpm'} (or auto) for this model, because it was ${isFlow ? '' : 'not '}trained by flow matching, actual value ${wanted}.`,
    );
  const config = { ...own.config, ...(spacing !== 'auto' && { timestep_spacing: spacing }) };
  const kind = isFlow ? FlowMatchEulerDiscreteScheduler : wanted === 'ddpm' ? DDPMScheduler : DDIMScheduler;
  const scheduler: ModelScheduler = kind.fromConfig(config);
  scheduler.setTimesteps(steps);
  return scheduler;
}

/**
 * Height, width and channels of what the network denoises.
 * @param pixels height and width of the pictures; default: what the UNet's configuration says.
 * @throws GymError E_CONFIG where no size is known, or the autoencoder cannot make pictures of that one.
 */
export function latentShape({ unet, vae }: Pick<Denoiser, 'unet' | 'vae'>, pixels?: number): [number, number, number] {
  const { sample_size: own, in_channels: channels } = unet.config;
  const factor = vae?.factor ?? 1;
  if (pixels !== undefined && pixels % factor !== 0)
    throw new GymError(
      'E_CONFIG',
      `sampling.size: must be a multiple of ${factor}, the pixels that a latent stands for, actual value ${pixels}.`,
    );
  const size = pixels === undefined ? own : pixels / factor;
  const [height, width] = typeof size === 'number' ? [size, size] : (size ?? []);
  if (height === undefined || width === undefined)
    throw new GymError(
      'E_CONFIG',
      'model: unet/config.json has no sample_size, so the size of samples is unknown; say sampling.size.',
    );
  return [height, width, channels];
}

/**
 * The policy of a denoiser with the run's way of sampling.
 * @param unet what is trained of the denoiser, which the policy owns; the text encoder stays the denoiser's.
 */
async function denoisingPolicy(
  denoiser: Denoiser,
  unet: DenoisingNetwork,
  sampler: ModelScheduler,
  { sampling: { eta, guidanceScale, negativePrompt }, prompts: { truncation } }: DenoisingConfig,
  oneStep: boolean,
): Promise<DenoisingPolicy> {
  const [{ DenoisingPolicy }, { OneStepDenoisingPolicy }, { conditionOf, encodePrompts }] = await Promise.all([
    import('../../agents/policies/denoising.js'),
    import('../../agents/policies/one-step.js'),
    import('../../diffusion/index.js'),
  ]);
  const Policy = oneStep ? OneStepDenoisingPolicy : DenoisingPolicy;
  const embed =
    conditionOf(denoiser) === 'none'
      ? undefined
      : (texts: readonly string[]) => encodePrompts(denoiser, texts, { truncation });
  return new Policy({ unet, sampler, embed }, { eta, guidanceScale, negativePrompt });
}

async function watchOf(
  config: DenoisingConfig,
  policy: DenoisingPolicy,
  parts: { make: MakeDenoising; prompts: PromptSource; reward: RewardLike } & Judges,
) {
  const [{ shapesPrompts }, { watchParts }] = await Promise.all([
    import('../../rewards/index.js'),
    import('./denoising-watch.js'),
  ]);
  const captions = config.prompts.kind === 'shapes' ? captionsOf(config.prompts, config.seed, shapesPrompts) : [];
  return await watchParts(config, policy, { ...parts, trained: new Set(captions.flat()) });
}
