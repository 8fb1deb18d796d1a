import { GymError, unknownName } from '../../core/errors.js';
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

/** σ² of a step: the posterior's (small; its log form gives the same numbers) or β_t's (large). */
export const VARIANCE_TYPES = ['fixed_small', 'fixed_small_log', 'fixed_large'] as const;
export type VarianceType = (typeof VARIANCE_TYPES)[number];

export interface DDPMConfig extends SchedulerConfig {
  readonly variance_type: VarianceType;
}

const NAME = 'DDPMScheduler';
const DEFAULTS: DDPMConfig = { ...SHARED_DEFAULTS, variance_type: 'fixed_small' };

/**
 * Denoising diffusion probabilistic models (Ho et al. 2020, arXiv:2006.11239). Numbers and configuration are those of
 * Python's `diffusers.DDPMScheduler`; variances that the network predicts (`learned`, `learned_range`) are not known here.
 */
export class DDPMScheduler extends GaussianScheduler<DDPMConfig> {
  /**
   * From a configuration of any scheduler class: keys that DDPM has are taken, others left out, absent ones are DDPM's
   * defaults.
   * @throws GymError E_CONFIG or E_NAME naming the field that is wrong.
   */
  static fromConfig(config: ConfigFile = {}): DDPMScheduler {
    const checked = readConfig(NAME, DEFAULTS, config);
    if (!VARIANCE_TYPES.includes(checked.variance_type))
      throw unknownName(NAME, 'variance_type', checked.variance_type, VARIANCE_TYPES);
    return new DDPMScheduler(NAME, checked);
  }

  /** From the `scheduler_config.json` in a folder. @throws GymError E_FILE, E_CONFIG or E_NAME. */
  static async load(folder: string): Promise<DDPMScheduler> {
    return DDPMScheduler.fromConfig(await readSchedulerConfig(folder));
  }

  /**
   * The transition from `timestep` to the next of the chain (equations 6 and 7 of the paper, with β of the longer
   * stride). The step at timestep 0 adds no noise.
   * @param options.eta share of the step's own noise: 1 is DDPM, 0 the mean alone.
   * @throws GymError E_STATE before setTimesteps, E_VALUE on a timestep outside the chain or an η outside 0..1.
   */
  coefficients(timestep: number, { eta = 1 }: StepOptions = {}): StepCoefficients {
    if (!(eta >= 0 && eta <= 1)) throw new GymError('E_VALUE', `${NAME}: eta must be in 0..1, actual value ${eta}.`);
    const previousTimestep = this.timesteps[this.indexOf(timestep) + 1] ?? -1;
    const alphaProd = this.alphaProd(timestep);
    const alphaProdPrev = previousTimestep >= 0 ? this.alphaProd(previousTimestep) : 1;
    const alpha = alphaProd / alphaProdPrev;
    const beta = 1 - alpha;

    // Python keeps the small variance at 1e-20 or more, for the sake of its logarithm; here 0 says "no noise" plainly.
    const small = ((1 - alphaProdPrev) / (1 - alphaProd)) * beta;
    const variance = timestep === 0 ? 0 : this.config.variance_type === 'fixed_large' ? beta : small;

    const original = originalFrom(this.config.prediction_type, alphaProd);
    const mean = {
      original: (Math.sqrt(alphaProdPrev) * beta) / (1 - alphaProd),
      sample: (Math.sqrt(alpha) * (1 - alphaProdPrev)) / (1 - alphaProd),
      output: 0,
    };
    return {
      timestep,
      previousTimestep,
      alphaProd,
      alphaProdPrev,
      sigma: eta * Math.sqrt(Math.max(variance, 0)),
      gain: gainOf(original, mean),
      original,
      mean,
    };
  }
}
