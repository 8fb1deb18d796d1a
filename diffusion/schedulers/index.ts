import { unknownName } from '../../core/errors.js';
import { takeFields } from '../../networks/config-fields.js';
import { DDIMScheduler } from './ddim.js';
import { DDPMScheduler } from './ddpm.js';
import { FlowMatchEulerDiscreteScheduler } from './flow-match-euler.js';
import { readSchedulerConfig } from './scheduler.js';

export { type DDIMConfig, DDIMScheduler } from './ddim.js';
export { type DDPMConfig, DDPMScheduler, VARIANCE_TYPES, type VarianceType } from './ddpm.js';
export {
  type FlowMatchConfig,
  FlowMatchEulerDiscreteScheduler,
  type FlowMatchStep,
} from './flow-match-euler.js';
export type { ForwardProcess, GaussianSampler, GaussianStep, Scheduler } from './gaussian-sampler.js';
export { gaussianLogProb } from './log-prob.js';
export { BETA_SCHEDULES, type BetaSchedule, flooredCosineBetas, type NoiseScheduleConfig } from './noise-schedule.js';
export {
  type ConfigFile,
  PREDICTION_TYPES,
  type PredictionType,
  type SchedulerConfig,
  type StepCoefficients,
  type StepOptions,
  TIMESTEP_SPACINGS,
  type TimestepSpacing,
  type VariancePreservingScheduler,
} from './scheduler.js';

/**
 * Schedulers of diffusers that fix the noise as DDIM does and differ only in the solver. A checkpoint that names one is
 * sampled with DDIM, as `DDIMScheduler.from_config(pipeline.scheduler.config)` does in every DDPO implementation.
 */
const SAMPLED_WITH_DDIM = [
  'DDIMScheduler',
  'PNDMScheduler',
  'LMSDiscreteScheduler',
  'EulerDiscreteScheduler',
  'EulerAncestralDiscreteScheduler',
  'DPMSolverMultistepScheduler',
  'DPMSolverSinglestepScheduler',
  'UniPCMultistepScheduler',
];

/** A scheduler that a model's folder may name. */
export type ModelScheduler = DDIMScheduler | DDPMScheduler | FlowMatchEulerDiscreteScheduler;

/**
 * The scheduler of a folder by the class that its `scheduler_config.json` names: flow matching, DDPM, or DDIM for it and
 * the solvers of the same noise.
 * @throws GymError E_FILE, E_CONFIG, or E_NAME on a class that is none of these.
 */
export async function loadScheduler(folder: string): Promise<ModelScheduler> {
  const config = await readSchedulerConfig(folder);
  const { _class_name: name } = takeFields(folder, { _class_name: 'DDIMScheduler' }, config);
  if (name === 'FlowMatchEulerDiscreteScheduler') return FlowMatchEulerDiscreteScheduler.fromConfig(config);
  if (name === 'DDPMScheduler') return DDPMScheduler.fromConfig(config);
  if (SAMPLED_WITH_DDIM.includes(name)) return DDIMScheduler.fromConfig(config);
  throw unknownName(folder, 'scheduler', name, [
    'FlowMatchEulerDiscreteScheduler',
    'DDPMScheduler',
    ...SAMPLED_WITH_DDIM,
  ]);
}
