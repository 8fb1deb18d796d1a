import { unknownName } from '../../core/errors.js';
import { takeFields } from '../../networks/config-fields.js';
import { DDIMScheduler } from './ddim.js';
import { DDPMScheduler } from './ddpm.js';
import { FlowMatchEulerDiscreteScheduler } from './flow-match-euler.js';
import { type ConfigFile, readSchedulerConfig } from './scheduler.js';

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
  'DEISMultistepScheduler',
  'DPMSolverSDEScheduler',
  'HeunDiscreteScheduler',
  'KDPM2AncestralDiscreteScheduler',
  'KDPM2DiscreteScheduler',
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
 * @param warn is told where the configuration is that of another solver.
 * @throws GymError E_FILE, E_CONFIG, or E_NAME on a class that is none of these.
 */
export async function loadScheduler(folder: string, warn?: (message: string) => void): Promise<ModelScheduler> {
  const config = await readSchedulerConfig(folder);
  const { _class_name: name } = takeFields(folder, { _class_name: 'DDIMScheduler' }, config);
  if (name === 'FlowMatchEulerDiscreteScheduler') return FlowMatchEulerDiscreteScheduler.fromConfig(config);
  if (name === 'DDPMScheduler') return DDPMScheduler.fromConfig(config);
  if (SAMPLED_WITH_DDIM.includes(name)) {
    const scheduler = DDIMScheduler.fromConfig(config);
    if (name !== 'DDIMScheduler') warn?.(readAsDdim(folder, name, config, scheduler));
    return scheduler;
  }
  throw unknownName(folder, 'scheduler', name, [
    'FlowMatchEulerDiscreteScheduler',
    'DDPMScheduler',
    ...SAMPLED_WITH_DDIM,
  ]);
}

/** What to say of the configuration of another solver. */
function readAsDdim(folder: string, name: string, config: ConfigFile, { config: taken }: DDIMScheduler): string {
  // DDIM clips by default, and the class of most other solvers has no such key, so that Python, too, clips without being told.
  const clips =
    config.clip_sample === undefined && taken.clip_sample
      ? ` It says nothing of clip_sample, which DDIM has true by default: predicted samples are clipped to ±${taken.clip_sample_range}, also if they are latents; add "clip_sample": false to scheduler_config.json where that is not meant.`
      : '';
  return `${folder}: the configuration of a ${name} is read as DDIM's, with the same noise and timesteps (${taken.timestep_spacing} spacing), as DDIMScheduler.from_config does in Python.${clips}`;
}
