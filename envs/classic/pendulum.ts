import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import type { StepResult } from '../env.js';
import { Box } from '../spaces/box.js';
import { black, Canvas } from './canvas.js';
import { ClassicEnv, type ClassicOptions, checkNumber, clip, scalarAction } from './classic-env.js';

export interface PendulumOptions extends ClassicOptions {
  /** The gravitational acceleration in m/s². Default 10. */
  g?: number | undefined;
}

const maxSpeed = 8;
const maxTorque = 2;
const tau = 0.05;

/** The same angle in −π..π. The remainder is floored, since that of `%` has the sign of its first operand. */
function normalized(angle: number): number {
  const turn = 2 * Math.PI;
  return angle + Math.PI - turn * Math.floor((angle + Math.PI) / turn) - Math.PI;
}

/**
 * A pendulum hangs from a motor, which must swing it up and hold it there. The dynamics are those of Gymnasium's
 * Pendulum-v1.
 *
 * - Observation, float32 [3]: cos θ, sin θ, angular velocity in ±8. At θ = 0 the pendulum points upwards.
 * - Action, float32 [1]: a torque, which is clipped into ±2.
 * - Reward: −(θ² + 0.1 θ̇² + 0.001 torque²), of the state before the step.
 * - The episode never ends by itself.
 * - Reset options: the first angle is uniform in ±`x_init` (default π), the first velocity in ±`y_init` (default 1).
 */
export class Pendulum extends ClassicEnv<NdArray<Float32Array>, NdArray<Float32Array>, 'x_init' | 'y_init'> {
  readonly observationSpace = new Box([-1, -1, -maxSpeed], [1, 1, maxSpeed]);
  readonly actionSpace = new Box(-maxTorque, maxTorque, [1]);
  protected readonly resetOptions = { x_init: Math.PI, y_init: 1 };
  readonly #g: number;
  #theta = 0;
  #thetaDot = 0;

  constructor({ g = 10, ...options }: PendulumOptions = {}) {
    super(options);
    checkNumber('Pendulum', 'g', g);
    this.#g = g;
  }

  get state(): number[] {
    return [this.#theta, this.#thetaDot];
  }

  set state(state: readonly number[]) {
    [this.#theta = 0, this.#thetaDot = 0] = state;
  }

  protected start({ x_init: x, y_init: y }: { x_init: number; y_init: number }): void {
    if (x < 0 || y < 0)
      throw new GymError(
        'E_VALUE',
        `Pendulum.reset: options \`x_init\` and \`y_init\` are the largest angle and velocity, at least 0; actual values ${x}, ${y}.`,
      );
    this.state = [this.random.uniform(-x, x), this.random.uniform(-y, y)];
  }

  protected observe(): NdArray<Float32Array> {
    return { data: Float32Array.of(Math.cos(this.#theta), Math.sin(this.#theta), this.#thetaDot), shape: [3] };
  }

  protected override draw(): Canvas {
    const canvas = new Canvas(500, 500);
    const middle = canvas.width / 2;
    const reach = canvas.width / 4.4;
    const tip = [middle - reach * Math.sin(this.#theta), middle - reach * Math.cos(this.#theta)] as const;
    return canvas.line([middle, middle], tip, 22, [204, 77, 77]).circle([middle, middle], 5, black);
  }

  /** Applies a torque. @throws GymError E_VALUE on an action that is not one number. */
  step(action: NdArray<Float32Array>): StepResult<NdArray<Float32Array>> {
    const u = Math.fround(clip(scalarAction('Pendulum', action, this.actionSpace), -maxTorque, maxTorque));
    // NumPy multiplies an action of float32 by constants in float32.
    const effort = Math.fround(Math.fround(0.001) * Math.fround(u * u));
    const cost = normalized(this.#theta) ** 2 + 0.1 * this.#thetaDot ** 2 + effort;
    // The mass and the length are 1. The angle moves by the velocity after the step, when that was clipped.
    const acceleration = ((3 * this.#g) / 2) * Math.sin(this.#theta) + Math.fround(3 * u);
    this.#thetaDot = clip(this.#thetaDot + acceleration * tau, -maxSpeed, maxSpeed);
    this.#theta += this.#thetaDot * tau;
    return { observation: this.observe(), reward: -cost, terminated: false, truncated: false, info: {} };
  }
}
