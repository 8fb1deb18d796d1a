export { Acrobot, type AcrobotOptions } from './acrobot.js';
export { Bandit, type BanditOptions } from './bandit.js';
export { Canvas, type Colour, type Point } from './canvas.js';
export { CartPole, type CartPoleOptions } from './cart-pole.js';
export { ClassicEnv, type ClassicOptions } from './classic-env.js';
export { Identity, type IdentityKind, type IdentityOptions } from './identity.js';
export { MountainCar, MountainCarContinuous, type MountainCarOptions } from './mountain-car.js';
export { Pendulum, type PendulumOptions } from './pendulum.js';
export { Probe, type ProbeAction, type ProbeKind, type ProbeOptions, probeKinds } from './probe.js';
