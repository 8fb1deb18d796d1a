export { Acrobot, type AcrobotOptions } from './classic/acrobot.js';
export { Bandit, type BanditOptions } from './classic/bandit.js';
export { CartPole, type CartPoleOptions } from './classic/cart-pole.js';
export { ClassicEnv, type ClassicOptions } from './classic/classic-env.js';
export { MountainCar, MountainCarContinuous, type MountainCarOptions } from './classic/mountain-car.js';
export { Pendulum, type PendulumOptions } from './classic/pendulum.js';
export { Probe, type ProbeAction, type ProbeKind, type ProbeOptions, probeKinds } from './classic/probe.js';
export * from './denoising/index.js';
export type { Env, EnvSpec, ResetOptions, ResetResult, StepResult } from './env.js';
export { NumpyRandom, type NumpyRandomState } from './numpy-random.js';
export { type RandomKind, type RandomSource, type RandomSourceState, randomSource } from './random-source.js';
export type { Registration } from './registration.js';
export {
  type EnvOf,
  type KnownEnvs,
  type KnownVectorEnvs,
  type MakeOptions,
  type MakeVecOptions,
  make,
  makeVec,
  register,
  registrations,
  spec,
  unregister,
  type VectorEnvOf,
} from './registry.js';
export * from './spaces/index.js';
export { SyncVectorEnv, type SyncVectorOptions } from './sync-vector-env.js';
export type { Autoreset, VectorEnv, VectorResetOptions, VectorResetResult, VectorStepResult } from './vector-env.js';
export * from './wrappers/index.js';
