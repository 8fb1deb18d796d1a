import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { type StepMeanRow, stepMean } from '../../backend/index.js';
import { GymError, unknownName } from '../../core/errors.js';
import { readPythonJson } from '../../core/files.js';
import { checkIntegers, takeFields } from '../../networks/config-fields.js';
import { writeJson } from '../../networks/model-folder.js';
import type { GaussianStep, Scheduler } from './gaussian-sampler.js';
import { BETA_SCHEDULES, cumulativeAlphas, makeBetas, type NoiseScheduleConfig } from './noise-schedule.js';

/** What the network's output is: the noise, the clean sample, or the velocity √ᾱ·ε − √(1−ᾱ)·x_0. */
export const PREDICTION_TYPES = ['epsilon', 'sample', 'v_prediction'] as const;
export type PredictionType = (typeof PREDICTION_TYPES)[number];

/** Which of the T training steps a short chain visits (Lin et al. 2023, arXiv:2305.08891, table 2). */
export const TIMESTEP_SPACINGS = ['leading', 'trailing', 'linspace'] as const;
export type TimestepSpacing = (typeof TIMESTEP_SPACINGS)[number];

/** The fields that every scheduler shares, named and meant as in diffusers. */
export interface SchedulerConfig extends NoiseScheduleConfig {
  readonly prediction_type: PredictionType;
  readonly timestep_spacing: TimestepSpacing;
  /** Added to every timestep of leading spacing. */
  readonly steps_offset: number;
  /** Whether the predicted x_0 is clipped to ±clip_sample_range. */
  readonly clip_sample: boolean;
  readonly clip_sample_range: number;
  /** Dynamic thresholding of the predicted x_0 (Saharia et al. 2022, arXiv:2205.11487, §2.3); takes the place of clip_sample. */
  readonly thresholding: boolean;
  readonly dynamic_thresholding_ratio: number;
  readonly sample_max_value: number;
}

/**
 * One transition x_t → x_p as plain numbers, so that a batch may mix timesteps:
 *
 * - x̂_0 = original.sample · x_t + original.output · out, then clipped where the configuration says so;
 * - μ = mean.original · x̂_0 + mean.sample · x_t + mean.output · out;
 * - x_p = μ + sigma · noise.
 */
export interface StepCoefficients extends GaussianStep {
  /** p, the timestep of the result; negative after the last step. */
  readonly previousTimestep: number;
  /** ᾱ_t. */
  readonly alphaProd: number;
  /** ᾱ_p; what the configuration says for the end where p is negative. */
  readonly alphaProdPrev: number;
  readonly original: { readonly sample: number; readonly output: number };
  readonly mean: { readonly original: number; readonly sample: number; readonly output: number };
}

/** |∂μ/∂output| of a step: directly and by way of x̂_0, where that is not clipped. */
export function gainOf(original: StepCoefficients['original'], mean: StepCoefficients['mean']): number {
  return Math.abs(mean.original * original.output + mean.output);
}

export interface StepOptions {
  /** Share of the ancestral noise, 0 (deterministic) to 1. DDIM's default is 0, DDPM's 1. */
  readonly eta?: number;
  /** DDIM only: derive ε̂ from the clipped x̂_0 and not from the network's output. Default false. */
  readonly useClippedModelOutput?: boolean;
}

/** A scheduler whose x_t = √ᾱ_t·x_0 + √(1−ᾱ_t)·ε keeps the variance (Song et al. 2021, arXiv:2011.13456, §3.4). */
export interface VariancePreservingScheduler extends Scheduler<StepCoefficients> {
  readonly config: SchedulerConfig;
  /** ᾱ_0 .. ᾱ_{T−1}. */
  readonly alphasCumprod: Float32Array;
  /** The numbers of the transition that starts at `timestep`. */
  coefficients(timestep: number, options?: StepOptions): StepCoefficients;
  step(
    modelOutput: tf.Tensor4D,
    timestep: number,
    sample: tf.Tensor4D,
    options?: StepOptions & { readonly noise?: tf.Tensor4D },
  ): { prevSample: tf.Tensor4D; predOriginal: tf.Tensor4D };
  /** √ᾱ_t·noise − √(1−ᾱ_t)·x_0, what a v_prediction network learns; one timestep a row. */
  velocity(original: tf.Tensor4D, noise: tf.Tensor4D, timesteps: readonly number[]): tf.Tensor4D;
}

/** A configuration as read from a file: any class's, any keys. */
export type ConfigFile = Readonly<Record<string, unknown>>;

const CONFIG_FILE = 'scheduler_config.json';
/** Published models have 1000 training steps, some 4000; a schedule is as long as this number. */
export const MOST_TIMESTEPS = 100_000;

/** Reads `scheduler_config.json` of a folder. @throws GymError E_FILE when it is missing or broken. */
export async function readSchedulerConfig(folder: string): Promise<ConfigFile> {
  return (await readPythonJson(join(folder, CONFIG_FILE))) as ConfigFile;
}

/** Writes `scheduler_config.json` into a folder. @throws GymError E_FILE when it cannot be written. */
export function writeSchedulerConfig(folder: string, className: string, config: object): Promise<void> {
  return writeJson(join(folder, CONFIG_FILE), { ...config, _class_name: className });
}

export const SHARED_DEFAULTS: SchedulerConfig = {
  num_train_timesteps: 1000,
  beta_start: 0.0001,
  beta_end: 0.02,
  beta_schedule: 'linear',
  trained_betas: null,
  clip_sample: true,
  clip_sample_range: 1,
  steps_offset: 0,
  prediction_type: 'epsilon',
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  sample_max_value: 1,
  timestep_spacing: 'leading',
  rescale_betas_zero_snr: false,
};

/**
 * Takes from a configuration file the keys that a class has, and the class's defaults for those it lacks; keys of other
 * classes are left out, as `DDIMScheduler.from_config(pndm.config)` does in Python.
 * @throws GymError E_CONFIG naming the field and its value when the type is wrong; E_NAME on an unknown name.
 */
export function readConfig<C extends SchedulerConfig>(where: string, defaults: C, file: ConfigFile): C {
  const config = takeFields(where, defaults, file);
  const { trained_betas: betas } = config;
  if (betas !== null && !(Array.isArray(betas) && betas.every((beta) => Number.isFinite(beta))))
    throw new GymError('E_CONFIG', `${where}: trained_betas must be null or a list of numbers.`);
  for (const [key, names] of [
    ['beta_schedule', BETA_SCHEDULES],
    ['prediction_type', PREDICTION_TYPES],
    ['timestep_spacing', TIMESTEP_SPACINGS],
  ] as const)
    if (!(names as readonly string[]).includes(config[key])) throw unknownName(where, key, config[key], names);
  const { dynamic_thresholding_ratio: ratio, sample_max_value: most } = config;
  if (!(ratio >= 0 && ratio <= 1 && most >= 1))
    throw new GymError(
      'E_CONFIG',
      `${where}: dynamic_thresholding_ratio must be in 0..1 and sample_max_value at least 1, actual values ${ratio} and ${most}.`,
    );
  if (!(config.clip_sample_range > 0))
    throw new GymError(
      'E_CONFIG',
      `${where}: clip_sample_range must be above 0, actual value ${config.clip_sample_range}.`,
    );
  checkIntegers(where, config, ['num_train_timesteps'], 1, MOST_TIMESTEPS);
  checkIntegers(where, config, ['steps_offset'], 0, MOST_TIMESTEPS);
  return Object.freeze(config);
}

/** numpy.round: halves go to the even neighbour. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** One number a row, shaped to multiply a batch. */
function column<T>(rows: readonly T[], value: (row: T) => number): tf.Tensor4D {
  return tf.tensor4d(
    Float32Array.from(rows, (row) => value(row)),
    [rows.length, 1, 1, 1],
  );
}

/** Where in a chain a timestep is. @throws GymError E_STATE without a chain, E_VALUE when it is not in it. */
export function placeInChain(where: string, timesteps: readonly number[], timestep: number): number {
  if (timesteps.length === 0)
    throw new GymError('E_STATE', `${where}: no timesteps were chosen; call setTimesteps(count) first.`);
  const index = timesteps.indexOf(timestep);
  if (index < 0)
    throw new GymError(
      'E_VALUE',
      `${where}: timestep ${timestep} is not one of the chain's ${timesteps.length} ` +
        `(${timesteps.slice(0, 3).join(', ')}, ...); take them from scheduler.timesteps.`,
    );
  return index;
}

/** x_p = μ + σ · noise of a whole batch at one timestep. @throws GymError E_VALUE when σ > 0 and there is no noise. */
export function gaussianStep<Step extends GaussianStep>(
  where: string,
  scheduler: Pick<Scheduler<Step>, 'mean'>,
  row: Step,
  modelOutput: tf.Tensor4D,
  sample: tf.Tensor4D,
  noise: tf.Tensor4D | undefined,
): { prevSample: tf.Tensor4D; predOriginal: tf.Tensor4D } {
  if (row.sigma > 0 && !noise)
    throw new GymError(
      'E_VALUE',
      `${where}.step: the step at timestep ${row.timestep} has sigma ${row.sigma} and no noise was given; ` +
        'pass `noise`, or `eta: 0` for a deterministic step.',
    );
  if (noise) checkBatch(`${where}.step, noise`, noise, sample, sample.shape[0]);
  return tf.tidy(() => {
    const rows = Array.from({ length: sample.shape[0] }, () => row);
    const { mean, predOriginal } = scheduler.mean(modelOutput, sample, rows);
    if (row.sigma === 0 || !noise) return { prevSample: mean, predOriginal };
    return { prevSample: mean.add(noise.mul(row.sigma)) as tf.Tensor4D, predOriginal };
  });
}

export function checkBatch(where: string, a: tf.Tensor4D, b: tf.Tensor4D, rows: number): void {
  if (a.shape.length !== b.shape.length || a.shape.some((n, axis) => n !== b.shape[axis]))
    throw new GymError('E_SHAPE', `${where}: shapes [${a.shape}] and [${b.shape}] differ.`);
  if (a.shape[0] !== rows)
    throw new GymError('E_SHAPE', `${where}: a batch of ${a.shape[0]} with ${rows} timesteps; give one a row.`);
}

/** What DDIM and DDPM share; each adds only the numbers of its transition. */
export abstract class GaussianScheduler<C extends SchedulerConfig> implements VariancePreservingScheduler {
  readonly config: C;
  readonly alphasCumprod: Float32Array;
  readonly initNoiseSigma = 1;
  readonly #className: string;
  #timesteps: readonly number[] = [];

  protected constructor(className: string, config: C) {
    this.#className = className;
    this.config = config;
    this.alphasCumprod = cumulativeAlphas(makeBetas(className, config));
  }

  abstract coefficients(timestep: number, options?: StepOptions): StepCoefficients;

  /** 0 .. T−1. */
  get trainTimesteps(): readonly number[] {
    return Array.from(this.alphasCumprod, (_, t) => t);
  }

  get timesteps(): readonly number[] {
    return this.#timesteps;
  }

  /**
   * Chooses a chain of `count` steps by the configured spacing.
   * @throws GymError E_VALUE when there are not that many training steps or `steps_offset` leads out of them.
   */
  setTimesteps(count: number): void {
    const { num_train_timesteps: total, timestep_spacing: spacing, steps_offset: offset } = this.config;
    if (!(Number.isInteger(count) && count >= 1 && count <= total))
      throw new GymError(
        'E_VALUE',
        `${this.#className}.setTimesteps: the number of steps must be an integer in 1..${total}, actual value ${count}.`,
      );
    // numpy.arange(total, 0, -total / count) adds this difference, not the ratio itself: it decides how halves round.
    // (For a few counts, 61 of 1000 for one, rounding gives numpy one element more, timestep -1, which is no step.)
    const stride = total - total / count - total;
    const timesteps = Array.from({ length: count }, (_, i) => {
      if (spacing === 'leading') return (count - 1 - i) * Math.floor(total / count) + offset;
      if (spacing === 'trailing') return roundHalfEven(total + i * stride) - 1;
      return count === 1 ? 0 : roundHalfEven((count - 1 - i) * ((total - 1) / (count - 1)));
    });
    if (timesteps[0]! >= total)
      throw new GymError(
        'E_VALUE',
        `${this.#className}.setTimesteps: with ${count} steps, steps_offset ${offset} leads to timestep ${timesteps[0]}, ` +
          `but the last is ${total - 1}; take fewer steps or a smaller offset.`,
      );
    this.#timesteps = Object.freeze(timesteps);
  }

  mean(
    modelOutput: tf.Tensor4D,
    sample: tf.Tensor4D,
    rows: readonly StepCoefficients[],
  ): { mean: tf.Tensor4D; predOriginal: tf.Tensor4D } {
    checkBatch(`${this.#className}.mean`, modelOutput, sample, rows.length);
    const { clip_sample: clips, thresholding, clip_sample_range: range } = this.config;
    return tf.tidy(() => {
      if (thresholding) {
        const predOriginal = this.#threshold(mixture(rows.map((row) => row.original)));
        const direction = mixture(rows.map((row) => row.mean));
        return {
          mean: predOriginal.mul(column(rows, (row) => row.mean.original)).add<tf.Tensor4D>(direction),
          predOriginal,
        };
      }
      if (clips) {
        const clipped = (row: StepCoefficients, weight: number) => ({ ...row.original, weight });
        const mean = rows.map((row) => ({ ...row.mean, clipped: clipped(row, row.mean.original) }));
        const original = rows.map((row) => ({ sample: 0, output: 0, clipped: clipped(row, 1) }));
        return { mean: mixture(mean, range), predOriginal: mixture(original, range) };
      }
      // x̂_0 put into μ on paper: one multiplication less, and no cancellation of large terms at small ᾱ.
      const mean = rows.map((row) => ({
        sample: row.mean.sample + row.mean.original * row.original.sample,
        output: row.mean.output + row.mean.original * row.original.output,
      }));
      return { mean: mixture(mean), predOriginal: mixture(rows.map((row) => row.original)) };
    });

    function mixture(numbers: readonly StepMeanRow[], range?: number) {
      return stepMean(sample, modelOutput, numbers, range);
    }
  }

  step(
    modelOutput: tf.Tensor4D,
    timestep: number,
    sample: tf.Tensor4D,
    options: StepOptions & { readonly noise?: tf.Tensor4D } = {},
  ): { prevSample: tf.Tensor4D; predOriginal: tf.Tensor4D } {
    return gaussianStep(
      this.#className,
      this,
      this.coefficients(timestep, options),
      modelOutput,
      sample,
      options.noise,
    );
  }

  predOriginal(modelOutput: tf.Tensor4D, sample: tf.Tensor4D, timesteps: readonly number[]): tf.Tensor4D {
    checkBatch(`${this.#className}.predOriginal`, modelOutput, sample, timesteps.length);
    const rows = timesteps.map((timestep) => originalFrom(this.config.prediction_type, this.alphaProd(timestep)));
    return tf.tidy(() => {
      const original = combine(
        rows,
        sample,
        (row) => row.sample,
        modelOutput,
        (row) => row.output,
      );
      return this.#clips ? this.#clip(original) : original;
    });
  }

  addNoise(original: tf.Tensor4D, noise: tf.Tensor4D, timesteps: readonly number[]): tf.Tensor4D {
    checkBatch(`${this.#className}.addNoise`, original, noise, timesteps.length);
    const alphas = timesteps.map((timestep) => this.alphaProd(timestep));
    return tf.tidy(() => combine(alphas, original, Math.sqrt, noise, (alpha) => Math.sqrt(1 - alpha)));
  }

  velocity(original: tf.Tensor4D, noise: tf.Tensor4D, timesteps: readonly number[]): tf.Tensor4D {
    checkBatch(`${this.#className}.velocity`, original, noise, timesteps.length);
    const alphas = timesteps.map((timestep) => this.alphaProd(timestep));
    return tf.tidy(() => combine(alphas, noise, Math.sqrt, original, (alpha) => -Math.sqrt(1 - alpha)));
  }

  target(original: tf.Tensor4D, noise: tf.Tensor4D, timesteps: readonly number[]): tf.Tensor4D {
    if (this.config.prediction_type === 'v_prediction') return this.velocity(original, noise, timesteps);
    checkBatch(`${this.#className}.target`, original, noise, timesteps.length);
    return (this.config.prediction_type === 'epsilon' ? noise : original).clone();
  }

  save(folder: string): Promise<void> {
    return writeSchedulerConfig(folder, this.#className, this.config);
  }

  /** ᾱ of a training step. @throws GymError E_VALUE outside 0 .. T−1. */
  protected alphaProd(timestep: number): number {
    const alpha = this.alphasCumprod[timestep];
    if (alpha === undefined)
      throw new GymError(
        'E_VALUE',
        `${this.#className}: timestep must be an integer in 0..${this.alphasCumprod.length - 1}, actual value ${timestep}.`,
      );
    return alpha;
  }

  /** The place of a timestep in the chain. @throws GymError E_STATE without a chain, E_VALUE when it is not in it. */
  protected indexOf(timestep: number): number {
    return placeInChain(this.#className, this.#timesteps, timestep);
  }

  get #clips(): boolean {
    return this.config.clip_sample || this.config.thresholding;
  }

  #clip(original: tf.Tensor4D): tf.Tensor4D {
    if (this.config.thresholding) return this.#threshold(original);
    return tf.clipByValue(original, -this.config.clip_sample_range, this.config.clip_sample_range);
  }

  /** Dynamic thresholding: per row s = a high quantile of |x̂_0|, at least 1; x̂_0 / s is clipped to ±1. */
  #threshold(original: tf.Tensor4D): tf.Tensor4D {
    const rows = original.shape[0];
    const size = original.size / rows;
    const place = this.config.dynamic_thresholding_ratio * (size - 1);
    const flat = original.as2D(rows, size);
    // The quantile is a weighted sum of two elements; which two does not depend on their values' derivative.
    const weights = constantIn(flat, (values) => {
      const below = Math.floor(place);
      const order = tf.topk(values.abs(), size - below).indices;
      const last = order.shape[1]! - 1;
      const lower = tf.oneHot(order.slice([0, last], [rows, 1]).reshape([rows]).toInt(), size);
      const upper = tf.oneHot(
        order
          .slice([0, Math.max(last - 1, 0)], [rows, 1])
          .reshape([rows])
          .toInt(),
        size,
      );
      return lower.mul(1 - (place - below)).add(upper.mul(place - below));
    });
    const quantile = flat.abs().mul(weights).sum(1, true);
    const s = tf.clipByValue(quantile, 1, this.config.sample_max_value);
    return tf.clipByValue(flat.div(s), -1, 1).reshape(original.shape);
  }
}

/** x̂_0 = sample · x_t + output · out, for each prediction type. */
export function originalFrom(prediction: PredictionType, alphaProd: number): { sample: number; output: number } {
  const [signal, noise] = [Math.sqrt(alphaProd), Math.sqrt(1 - alphaProd)];
  if (prediction === 'sample') return { sample: 0, output: 1 };
  if (prediction === 'v_prediction') return { sample: signal, output: -noise };
  if (alphaProd === 0)
    throw new GymError(
      'E_VALUE',
      'epsilon prediction: alpha-bar is 0 at this timestep, so the noise says nothing about the sample; ' +
        'use v_prediction or sample with a zero terminal SNR.',
    );
  return { sample: 1 / signal, output: -noise / signal };
}

/** a·x + b·y with one a and one b a row. */
export function combine<T>(
  rows: readonly T[],
  x: tf.Tensor4D,
  a: (row: T) => number,
  y: tf.Tensor4D,
  b: (row: T) => number,
): tf.Tensor4D {
  return stepMean(
    x,
    y,
    rows.map((row) => ({ sample: a(row), output: b(row) })),
  );
}

/** f(x) as a constant: no gradient flows through it. */
function constantIn(x: tf.Tensor2D, f: (x: tf.Tensor2D) => tf.Tensor): tf.Tensor {
  const op = tf.customGrad((input) => ({
    value: f(input as tf.Tensor2D),
    gradFunc: () => tf.zerosLike(input as tf.Tensor2D),
  }));
  return op(x);
}
