import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import { shownJson } from '../../core/shown.js';
import { checkIntegers, takeFields } from '../../networks/config-fields.js';
import type { GaussianStep, Scheduler } from './gaussian-sampler.js';
import {
  type ConfigFile,
  checkBatch,
  combine,
  gaussianStep,
  MOST_TIMESTEPS,
  placeInChain,
  readSchedulerConfig,
  writeSchedulerConfig,
} from './scheduler.js';

/** The fields that are known of diffusers' class, named and meant as there. */
export interface FlowMatchConfig {
  readonly num_train_timesteps: number;
  /** Moves the steps of a chain towards the noise: σ becomes shift·σ / (1 + (shift − 1)·σ). 1 moves nothing. */
  readonly shift: number;
}

/** One transition: μ = mean.sample · x + mean.output · v, and x' = μ + sigma · noise. */
export interface FlowMatchStep extends GaussianStep {
  /** The share of noise in x, from 1 (noise) to 0 (sample): the σ of the flow, and not that of the step. */
  readonly level: number;
  /** The share of noise in x'. */
  readonly nextLevel: number;
  readonly mean: { readonly sample: number; readonly output: number };
}

const NAME = 'FlowMatchEulerDiscreteScheduler';
const DEFAULTS: FlowMatchConfig = { num_train_timesteps: 1000, shift: 1 };
/** Settings of diffusers' class that change the chain, and what they must be here. */
const UNSUPPORTED = {
  use_dynamic_shifting: false,
  shift_terminal: null,
  invert_sigmas: false,
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  stochastic_sampling: false,
};

/**
 * Flow matching on straight paths x_σ = (1 − σ)·x_0 + σ·ε, whose network predicts the velocity v = ε − x_0 (Lipman et al.
 * 2023, arXiv:2210.02747; rectified flow: Liu et al. 2023, arXiv:2209.03003). Numbers and configuration are those of
 * Python's `diffusers.FlowMatchEulerDiscreteScheduler`; a timestep is T·σ, which need not be an integer.
 *
 * With η > 0 a step is one of the stochastic differential equation that has the same marginal distributions as the flow
 * (Flow-GRPO, arXiv:2505.05470, equations 8 and 9), so that a flow has a policy. η is that paper's noise level a, which is
 * 0.7 there.
 */
export class FlowMatchEulerDiscreteScheduler implements Scheduler<FlowMatchStep> {
  readonly config: FlowMatchConfig;
  readonly initNoiseSigma = 1;
  /** σ of each step of the chain, and of its end. */
  #levels: readonly number[] = [];
  #timesteps: readonly number[] = [];

  private constructor(config: FlowMatchConfig) {
    this.config = config;
  }

  /**
   * From a configuration; keys of other classes are left out, absent ones are the class's defaults.
   * @throws GymError E_CONFIG naming the field that is wrong or not supported.
   */
  static fromConfig(config: ConfigFile = {}): FlowMatchEulerDiscreteScheduler {
    const taken = takeFields(NAME, DEFAULTS, config);
    checkIntegers(NAME, taken, ['num_train_timesteps'], 1, MOST_TIMESTEPS);
    if (!(taken.shift > 0))
      throw new GymError('E_CONFIG', `${NAME}: shift must be above 0, actual value ${taken.shift}.`);
    for (const [key, only] of Object.entries(UNSUPPORTED))
      if (config[key] !== undefined && config[key] !== only)
        throw new GymError(
          'E_CONFIG',
          `${NAME}: ${key} ${shownJson(config[key])} is not supported; it must be ${only} here.`,
        );
    return new FlowMatchEulerDiscreteScheduler(Object.freeze(taken));
  }

  /** From the `scheduler_config.json` in a folder. @throws GymError E_FILE or E_CONFIG. */
  static async load(folder: string): Promise<FlowMatchEulerDiscreteScheduler> {
    return FlowMatchEulerDiscreteScheduler.fromConfig(await readSchedulerConfig(folder));
  }

  get timesteps(): readonly number[] {
    return this.#timesteps;
  }

  /** T·σ for σ = 1/T .. 1, shifted as the configuration says. */
  get trainTimesteps(): readonly number[] {
    const total = this.config.num_train_timesteps;
    return Array.from({ length: total }, (_, i) => Math.fround(total * this.#trainLevel(i + 1)));
  }

  /**
   * Chooses a chain of `count` steps, evenly from the most noise of training to the least, shifted (for the second time:
   * diffusers shifts the ends too), and then to the sample.
   * @throws GymError E_VALUE when there are not that many training steps.
   */
  setTimesteps(count: number): void {
    const { num_train_timesteps: total, shift } = this.config;
    if (!(Number.isInteger(count) && count >= 1 && count <= total))
      throw new GymError(
        'E_VALUE',
        `${NAME}.setTimesteps: the number of steps must be an integer in 1..${total}, actual value ${count}.`,
      );
    const [most, least] = [this.#trainLevel(total), this.#trainLevel(1)];
    const levels = Array.from({ length: count }, (_, i) => {
      const level = count === 1 ? most : most + ((least - most) * i) / (count - 1);
      return Math.fround((shift * level) / (1 + (shift - 1) * level));
    });
    this.#timesteps = Object.freeze(levels.map((level) => Math.fround(level * total)));
    this.#levels = [...levels, 0];
  }

  /**
   * The transition that starts at a timestep of the chain. With ς = η·√(σ / (1 − σ)) and dt = σ' − σ < 0,
   * μ = x + [v + ς²/(2σ)·(x + (1 − σ)·v)]·dt, and the standard deviation is ς·√(−dt) (Flow-GRPO, equation 9).
   * @param options.eta 0 (default): Euler's step along the flow, without noise.
   * @throws GymError E_STATE before setTimesteps, E_VALUE on a timestep outside the chain or an η outside 0..1.
   */
  coefficients(timestep: number, { eta = 0 }: { readonly eta?: number | undefined } = {}): FlowMatchStep {
    if (!(eta >= 0 && eta <= 1)) throw new GymError('E_VALUE', `${NAME}: eta must be in 0..1, actual value ${eta}.`);
    const index = placeInChain(NAME, this.#timesteps, timestep);
    const [level, nextLevel] = [this.#levels[index]!, this.#levels[index + 1]!];
    // At σ = 1 there is no finite ς; Flow-GRPO's code takes the second σ of the chain in the denominator there.
    const variance = (eta * eta * level) / (1 - (level === 1 ? this.#levels[1]! : level));
    const dt = nextLevel - level;
    const drift = (variance / (2 * level)) * dt;
    const output = dt + drift * (1 - level);
    return {
      timestep,
      level,
      nextLevel,
      sigma: Math.sqrt(variance * -dt),
      gain: Math.abs(output),
      mean: { sample: 1 + drift, output },
    };
  }

  mean(
    modelOutput: tf.Tensor4D,
    sample: tf.Tensor4D,
    rows: readonly FlowMatchStep[],
  ): { mean: tf.Tensor4D; predOriginal: tf.Tensor4D } {
    checkBatch(`${NAME}.mean`, modelOutput, sample, rows.length);
    return tf.tidy(() => ({
      mean: combine(
        rows,
        sample,
        (row) => row.mean.sample,
        modelOutput,
        (row) => row.mean.output,
      ),
      predOriginal: atLevels(
        sample,
        modelOutput,
        rows.map(({ level }) => level),
      ),
    }));
  }

  step(
    modelOutput: tf.Tensor4D,
    timestep: number,
    sample: tf.Tensor4D,
    options: { readonly eta?: number; readonly noise?: tf.Tensor4D } = {},
  ): { prevSample: tf.Tensor4D; predOriginal: tf.Tensor4D } {
    return gaussianStep(NAME, this, this.coefficients(timestep, options), modelOutput, sample, options.noise);
  }

  /** x̂_0 = x − σ·v; the timesteps may be any of 0..T. */
  predOriginal(modelOutput: tf.Tensor4D, sample: tf.Tensor4D, timesteps: readonly number[]): tf.Tensor4D {
    checkBatch(`${NAME}.predOriginal`, modelOutput, sample, timesteps.length);
    return tf.tidy(() => atLevels(sample, modelOutput, this.#levelsOf(timesteps)));
  }

  /** (1 − σ)·x_0 + σ·noise; the timesteps may be any of 0..T. */
  addNoise(original: tf.Tensor4D, noise: tf.Tensor4D, timesteps: readonly number[]): tf.Tensor4D {
    checkBatch(`${NAME}.addNoise`, original, noise, timesteps.length);
    const levels = this.#levelsOf(timesteps);
    return tf.tidy(() =>
      combine(
        levels,
        original,
        (level) => 1 - level,
        noise,
        (level) => level,
      ),
    );
  }

  /** v = noise − x_0, whatever the timestep. */
  target(original: tf.Tensor4D, noise: tf.Tensor4D, timesteps: readonly number[]): tf.Tensor4D {
    checkBatch(`${NAME}.target`, original, noise, timesteps.length);
    return noise.sub(original);
  }

  save(folder: string): Promise<void> {
    return writeSchedulerConfig(folder, NAME, this.config);
  }

  /** σ of training step 1..T, in float32 as in Python. */
  #trainLevel(step: number): number {
    const { num_train_timesteps: total, shift } = this.config;
    const level = Math.fround(step / total);
    return Math.fround(Math.fround(shift * level) / Math.fround(1 + Math.fround((shift - 1) * level)));
  }

  #levelsOf(timesteps: readonly number[]): number[] {
    const total = this.config.num_train_timesteps;
    return timesteps.map((timestep) => {
      if (!(timestep >= 0 && timestep <= total))
        throw new GymError('E_VALUE', `${NAME}: timestep must be in 0..${total}, actual value ${timestep}.`);
      return timestep / total;
    });
  }
}

/** x − σ·v, with one σ a row. */
function atLevels(sample: tf.Tensor4D, velocity: tf.Tensor4D, levels: readonly number[]): tf.Tensor4D {
  return combine(
    levels,
    sample,
    () => 1,
    velocity,
    (level) => -level,
  );
}
