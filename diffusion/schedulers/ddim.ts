import { GymError } from '../../core/errors.js';
import {
  type ConfigFile,
  GaussianScheduler,
  gainOf,
  originalFrom,
  readConfig,
  readSchedulerConfig,
  type SchedulerConfig,
  SHARED_DEFAULTS,
  type StepCoefficients,
  type StepOptions,
} from './scheduler.js';

export interface DDIMConfig extends SchedulerConfig {
  /** ᾱ after the last step: 1 when true, else ᾱ_0. */
  readonly set_alpha_to_one: boolean;
}

const NAME = 'DDIMScheduler';
const DEFAULTS: DDIMConfig = { ...SHARED_DEFAULTS, set_alpha_to_one: true };

/**
 * Denoising diffusion implicit models (Song et al. 2021, arXiv:2010.02502), with η of the ancestral noise; η = 1 is what
 * DDPO samples and trains with. Numbers and configuration are those of Python's `diffusers.DDIMScheduler`.
 */
export class DDIMScheduler extends GaussianScheduler<DDIMConfig> {
  /**
   * From a configuration of any scheduler class: keys that DDIM has are taken, others left out, absent ones are DDIM's
   * defaults.
   * @throws GymError E_CONFIG or E_NAME naming the field that is wrong.
   */
  static fromConfig(config: ConfigFile = {}): DDIMScheduler {
    return new DDIMScheduler(NAME, readConfig(NAME, DEFAULTS, config));
  }

  /** From the `scheduler_config.json` in a folder. @throws GymError E_FILE, E_CONFIG or E_NAME. */
  static async load(folder: string): Promise<DDIMScheduler> {
    return DDIMScheduler.fromConfig(await readSchedulerConfig(folder));
  }

  /**
   * The transition from `timestep` (equations 12 and 16 of the paper). The timestep before it is always t − ⌊T/N⌋,
   * whatever the spacing, as in Python.
   * @throws GymError E_STATE before setTimesteps, E_VALUE on a timestep outside the chain or an η outside 0..1.
   */
  coefficients(timestep: number, { eta = 0, useClippedModelOutput = false }: StepOptions = {}): StepCoefficients {
    if (!(eta >= 0 && eta <= 1)) throw new GymError('E_VALUE', `${NAME}: eta must be in 0..1, actual value ${eta}.`);
    this.indexOf(timestep);
    const { num_train_timesteps: total, prediction_type: prediction, set_alpha_to_one: toOne } = this.config;
    const previousTimestep = timestep - Math.floor(total / this.timesteps.length);
    const alphaProd = this.alphaProd(timestep);
    const alphaProdPrev = previousTimestep >= 0 ? this.alphaProd(previousTimestep) : toOne ? 1 : this.alphaProd(0);

    const variance = ((1 - alphaProdPrev) / (1 - alphaProd)) * (1 - alphaProd / alphaProdPrev);
    const sigma = eta * Math.sqrt(Math.max(variance, 0));
    const direction = Math.sqrt(Math.max(1 - alphaProdPrev - sigma * sigma, 0));

    // ε̂ = noise.original · x̂_0 + noise.sample · x_t + noise.output · out
    const [signal, spread] = [Math.sqrt(alphaProd), Math.sqrt(1 - alphaProd)];
    let noise: StepCoefficients['mean'];
    if (useClippedModelOutput) noise = { original: -signal / spread, sample: 1 / spread, output: 0 };
    else if (prediction === 'epsilon') noise = { original: 0, sample: 0, output: 1 };
    else if (prediction === 'sample') noise = { original: 0, sample: 1 / spread, output: -signal / spread };
    else noise = { original: 0, sample: spread, output: signal };

    const original = originalFrom(prediction, alphaProd);
    const mean = {
      original: Math.sqrt(alphaProdPrev) + direction * noise.original,
      sample: direction * noise.sample,
      output: direction * noise.output,
    };
    return {
      timestep,
      previousTimestep,
      alphaProd,
      alphaProdPrev,
      sigma,
      gain: gainOf(original, mean),
      original,
      mean,
    };
  }
}
