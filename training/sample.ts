import { GymError } from '../core/errors.js';
import type { NdArray } from '../core/ndarray.js';
import { Random } from '../core/random.js';
import { shownJson } from '../core/shown.js';
import type { Condition } from '../diffusion/index.js';
import { promptList } from '../envs/denoising/prompts.js';
import { completeConfig } from './config/index.js';
import { evaluateWithPictures } from './evaluation/index.js';
import { modelFolder } from './families/denoising.js';
import { groupSizeOf } from './families/groups.js';
import { compose } from './families/index.js';
import { openCheckpoint } from './trained.js';
import type { TrustOptions } from './trust.js';

export interface SampleOptions extends TrustOptions {
  /** Folder of a denoiser. */
  readonly model?: string;
  /** A LoRA for it: a file or folder, in any of the formats that `readLora` knows. */
  readonly lora?: string | undefined;
  /** Folder of a run, instead: its model with the weights of its latest checkpoint. */
  readonly run?: string;
  /** Which of its checkpoints, by the epoch. Default: the latest. */
  readonly fromCheckpoint?: number | undefined;
  /** True: not a checkpoint, but the best agent that the run keeps (`keepBest`). */
  readonly best?: boolean | undefined;
  /** For a model that takes none, which is the only one that needs none, one that is empty. */
  readonly prompts?: readonly string[] | undefined;
  /** Whether prompts that are too long are cut instead of refused. Default false. */
  readonly truncation?: boolean;
  /** Pictures of each prompt. Default 1. */
  readonly count?: number;
  /** Over the run's own, or over the defaults of `Denoising-v0`: `steps`, `scheduler`, `spacing`, `guidanceScale`, ..., and not `eta`. */
  readonly sampling?: Readonly<Record<string, unknown>>;
  /** 0 (default): deterministic sampling. */
  readonly eta?: number;
  readonly seed?: number;
  /** Pictures in one forward pass. Default 32. */
  readonly batch?: number;
  /** Whether the way to the pictures is animated, which of a model with an autoencoder is much work. Default false. */
  readonly animation?: boolean;
}

export interface Sampled {
  /** uint8 [h, w, 3], all pictures of the first prompt, then of the second, ... */
  readonly images: readonly NdArray[];
  readonly prompts: readonly string[];
  /** A PNG of all of them. */
  readonly png: Buffer;
  /** Animated WebP of how the first ones came to be, where it was asked for. */
  readonly webp: Buffer | undefined;
}

/**
 * Makes pictures with a denoiser. The backend must be ready.
 * @throws GymError E_FILE, E_CONFIG for a model or a run that is not there or does not fit; E_VALUE for a prompt too long.
 */
export async function sampleImages(options: SampleOptions): Promise<Sampled> {
  const { count = 1, eta = 0, seed = 0, batch = 32, truncation, animation = false } = options;
  const { run, trust, warn, fromCheckpoint: from, best } = options;
  const trained =
    run === undefined ? undefined : await openCheckpoint(run, { from, best, trust, warn, prompts: false });
  if (run !== undefined && options.model !== undefined)
    throw new GymError(
      'E_CONFIG',
      `sample: a run (${run}) has its own model; leave out model ${options.model}, or sample that one without a run.`,
    );
  if (options.sampling !== undefined && 'eta' in options.sampling)
    throw new GymError(
      'E_CONFIG',
      `sample: sampling.eta (${shownJson(options.sampling.eta)}) would be ignored; eta stands beside sampling here.`,
    );
  if (run !== undefined && options.lora !== undefined)
    throw new GymError(
      'E_CONFIG',
      `sample: a run (${run}) has its own weights; leave out lora ${options.lora}, or sample a model with it.`,
    );
  const model = (trained?.config as { model?: string } | undefined)?.model ?? options.model ?? 'models/shapes';
  const given = await promptsFor(model, options.prompts);
  const prompts = given.flatMap((prompt) => Array<string>(count).fill(prompt));
  // An agent that compares groups takes whole groups only, also where nothing is learned.
  const groupSize = trained && groupSizeOf(trained.config);
  const config = await completeConfig(
    {
      ...trained?.config,
      ...(options.model !== undefined && { model: options.model }),
      ...(options.lora !== undefined && { lora: options.lora }),
      sampling: { ...(trained?.config.sampling as object | undefined), ...options.sampling, eta: eta > 0 ? eta : 1 },
      ...(truncation && { prompts: { ...(trained?.config as { prompts?: object } | undefined)?.prompts, truncation } }),
      seed,
      numEnvs: Math.min(batch, prompts.length),
      samplesPerEpoch: undefined,
      agent: {
        ...(trained?.config.agent ?? { name: 'ppo' }),
        collect: { episodes: prompts.length * (groupSize ?? 1) },
      },
      evaluation: { samples: prompts.length },
      // What accompanies a training does not matter here.
      ...{ keepBest: 'none', patience: 0, stopAtReward: undefined, callbacks: [], watch: undefined },
    },
    'sample',
  );
  const parts = await compose(config, {
    prompts: promptList(prompts, { order: 'sequential' }),
    // Nothing is learned here.
    reward: ({ prompts }) => new Float64Array(prompts.length),
    animation,
    warn,
  });
  try {
    if (trained) await parts.agent.restore(trained.path);
    const { evaluation, png, webp } = await evaluateWithPictures(parts.agent, 0, {
      envs: parts.evaluationEnvs,
      samples: prompts.length,
      pictures: prompts.length,
      explore: eta > 0,
      random: new Random(seed),
      decode: animation ? parts.decode : undefined,
    });
    return { images: evaluation.episodes.map(({ info }) => info.image as NdArray), prompts, png: png!, webp };
  } finally {
    await parts.close();
  }
}

/** What a model takes as prompts. @throws GymError E_FILE, E_CONFIG where there is no such model. */
export async function promptsTakenBy(model: string): Promise<Condition> {
  const { conditionOfFolder } = await import('../diffusion/index.js');
  return conditionOfFolder(modelFolder(model));
}

/** @throws GymError E_CONFIG where a model takes prompts, and none were given, or takes none, and one was. */
async function promptsFor(model: string, given: readonly string[] | undefined): Promise<readonly string[]> {
  const condition = await promptsTakenBy(model);
  const useless = condition === 'none' && given?.find((prompt) => prompt !== '');
  if (useless)
    throw new GymError(
      'E_CONFIG',
      `sample: the model ${model} is unconditional, its pictures are the same whatever the prompt, actual value ${shownJson(useless)}; leave it out.`,
    );
  if (given) return given;
  if (condition === 'none') return [''];
  const what = condition === 'text' ? 'a text' : 'the number of a class';
  throw new GymError('E_CONFIG', `sample: the model ${model} takes ${what} as a prompt; give one by --prompt.`);
}
