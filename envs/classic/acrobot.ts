import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import { shown } from '../../core/shown.js';
import type { StepResult } from '../env.js';
import { Box } from '../spaces/box.js';
import { Discrete } from '../spaces/discrete.js';
import { black, Canvas, type Point } from './canvas.js';
import { ClassicEnv, type ClassicOptions, checkNumber, clip, invalidAction } from './classic-env.js';

export interface AcrobotOptions extends ClassicOptions {
  /** Whether the equations are those of Sutton and Barto's book or of Sutton's NIPS paper of 1996. Default 'book'. */
  dynamics?: 'book' | 'nips' | undefined;
  /** Uniform noise of up to this size is added to the torque. Default 0. */
  torqueNoise?: number | undefined;
}

const maxSpeed1 = 4 * Math.PI;
const maxSpeed2 = 9 * Math.PI;
const gravity = 9.8;
/** Where on a link its centre of mass lies. A link has length 1, mass 1, and moment of inertia 1. */
const centre = 0.5;
const tau = 0.2;

type Angles = readonly [theta1: number, theta2: number, dTheta1: number, dTheta2: number];

function wrap(angle: number): number {
  // Of an angle of many turns, as reset options and snapshots may have it, turns are taken off all at once: one by one it
  // would take long, and for ever where a turn is less than the angle's rounding.
  let wrapped = Math.abs(angle) > 100 ? angle % (2 * Math.PI) : angle;
  while (wrapped > Math.PI) wrapped -= 2 * Math.PI;
  while (wrapped < -Math.PI) wrapped += 2 * Math.PI;
  return wrapped;
}

/**
 * Two links hang from a fixed point, with a motor in the joint between them. The task is to swing the tip above a line
 * (Sutton 1996). The dynamics are those of Gymnasium's Acrobot-v1.
 *
 * - Observation, float32 [6]: cos θ1, sin θ1, cos θ2, sin θ2, θ̇1 in ±4π, θ̇2 in ±9π.
 * - Action: 0, 1 or 2 for a torque of −1, 0 or 1.
 * - Reward: −1 for each step, and 0 for the one that reaches the line, with which the episode ends (`terminated`).
 * - Reset options: `low` and `high` bound the first state, which is uniform (default −0.1 and 0.1).
 */
export class Acrobot extends ClassicEnv<NdArray<Float32Array>, number, 'low' | 'high'> {
  readonly observationSpace = new Box([-1, -1, -1, -1, -maxSpeed1, -maxSpeed2], [1, 1, 1, 1, maxSpeed1, maxSpeed2]);
  readonly actionSpace = new Discrete(3);
  protected readonly resetOptions = { low: -0.1, high: 0.1 };
  readonly #nips: boolean;
  readonly #noise: number;
  #angles: Angles = [0, 0, 0, 0];

  /** @throws GymError E_CONFIG on an unknown value of `dynamics`. */
  constructor({ dynamics = 'book', torqueNoise = 0, ...options }: AcrobotOptions = {}) {
    super(options);
    if (dynamics !== 'book' && dynamics !== 'nips')
      throw new GymError(
        'E_CONFIG',
        `Acrobot: \`dynamics\` must be 'book' or 'nips', actual value ${shown(dynamics)}.`,
      );
    checkNumber('Acrobot', 'torqueNoise', torqueNoise, 0);
    this.#nips = dynamics === 'nips';
    this.#noise = torqueNoise;
  }

  get state(): number[] {
    return [...this.#angles];
  }

  set state([theta1 = 0, theta2 = 0, dTheta1 = 0, dTheta2 = 0]: readonly number[]) {
    this.#angles = [theta1, theta2, dTheta1, dTheta2];
  }

  protected start({ low, high }: { low: number; high: number }): void {
    const draw = () => Math.fround(this.random.uniform(low, high)); // Gymnasium's first state is of float32.
    this.#angles = [draw(), draw(), draw(), draw()];
  }

  protected observe(): NdArray<Float32Array> {
    const [theta1, theta2, dTheta1, dTheta2] = this.#angles;
    return {
      data: Float32Array.of(Math.cos(theta1), Math.sin(theta1), Math.cos(theta2), Math.sin(theta2), dTheta1, dTheta2),
      shape: [6],
    };
  }

  protected override draw(): Canvas {
    const canvas = new Canvas(500, 500);
    const middle = canvas.width / 2;
    const scale = canvas.width / 4.4;
    const [theta1, theta2] = this.#angles;
    const from = ([x, y]: Point, angle: number): Point => [x + scale * Math.sin(angle), y + scale * Math.cos(angle)];
    const joint = from([middle, middle], theta1);
    const tip = from(joint, theta1 + theta2);
    return canvas
      .line([0, middle - scale], [canvas.width, middle - scale], 1, black)
      .line([middle, middle], joint, 20, [0, 204, 204])
      .line(joint, tip, 20, [0, 204, 204])
      .circle([middle, middle], 11, [204, 204, 0])
      .circle(joint, 11, [204, 204, 0]);
  }

  #derivative([theta1, theta2, dTheta1, dTheta2]: Angles, torque: number): Angles {
    const d1 = centre ** 2 + (1 + centre ** 2 + 2 * centre * Math.cos(theta2)) + 2;
    const d2 = centre ** 2 + centre * Math.cos(theta2) + 1;
    const phi2 = centre * gravity * Math.cos(theta1 + theta2 - Math.PI / 2);
    const phi1 =
      -centre * dTheta2 ** 2 * Math.sin(theta2) -
      2 * centre * dTheta2 * dTheta1 * Math.sin(theta2) +
      (centre + 1) * gravity * Math.cos(theta1 - Math.PI / 2) +
      phi2;
    const coriolis = this.#nips ? 0 : centre * dTheta1 ** 2 * Math.sin(theta2);
    const ddTheta2 = (torque + (d2 / d1) * phi1 - coriolis - phi2) / (centre ** 2 + 1 - d2 ** 2 / d1);
    return [dTheta1, dTheta2, -(d2 * ddTheta2 + phi1) / d1, ddTheta2];
  }

  /** @throws GymError E_VALUE on an action other than 0, 1 and 2. */
  step(action: number): StepResult<NdArray<Float32Array>> {
    if (action !== 0 && action !== 1 && action !== 2) throw invalidAction('Acrobot', action, this.actionSpace);
    const torque = action - 1 + (this.#noise > 0 ? this.random.uniform(-this.#noise, this.#noise) : 0);
    // One step of the Runge-Kutta method of fourth order.
    const s = this.#angles;
    const moved = (k: Angles, h: number): Angles => [
      s[0] + h * k[0],
      s[1] + h * k[1],
      s[2] + h * k[2],
      s[3] + h * k[3],
    ];
    const k1 = this.#derivative(s, torque);
    const k2 = this.#derivative(moved(k1, tau / 2), torque);
    const k3 = this.#derivative(moved(k2, tau / 2), torque);
    const k4 = this.#derivative(moved(k3, tau), torque);
    const next = (i: 0 | 1 | 2 | 3) => s[i] + (tau / 6) * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]);
    const [theta1, theta2] = [wrap(next(0)), wrap(next(1))];
    this.#angles = [theta1, theta2, clip(next(2), -maxSpeed1, maxSpeed1), clip(next(3), -maxSpeed2, maxSpeed2)];
    const terminated = -Math.cos(theta1) - Math.cos(theta2 + theta1) > 1;
    return { observation: this.observe(), reward: terminated ? 0 : -1, terminated, truncated: false, info: {} };
  }
}
