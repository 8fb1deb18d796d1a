import type { NdArray } from '../../core/ndarray.js';
import type { StepResult } from '../env.js';
import { Box } from '../spaces/box.js';
import { Discrete } from '../spaces/discrete.js';
import { black, Canvas } from './canvas.js';
import { ClassicEnv, type ClassicOptions, invalidAction } from './classic-env.js';

export interface CartPoleOptions extends ClassicOptions {
  /** The reward of Sutton and Barto's book: 0 a step, −1 for the fall. Default false: 1 a step. */
  suttonBartoReward?: boolean | undefined;
}

const gravity = 9.8;
const poleMass = 0.1;
const totalMass = 1.0 + poleMass;
/** Half of the pole. */
const length = 0.5;
const poleMassLength = poleMass * length;
const forceSize = 10.0;
/** Seconds a step. */
const tau = 0.02;
const angleLimit = (12 * 2 * Math.PI) / 360;
const positionLimit = 2.4;

/**
 * Balancing a pole on a cart (Barto, Sutton and Anderson 1983), as Gymnasium's CartPole-v1.
 * Observation: position, velocity, angle, angular velocity, float32 [4]. Action: 0 pushes left, 1 right. Reward 1 a
 * step, the last one too. Ends (`terminated`) when |position| > 2.4 or |angle| > 12°.
 * Reset options `low`, `high` bound the uniform first state (default ±0.05).
 */
export class CartPole extends ClassicEnv<NdArray<Float32Array>, number, 'low' | 'high'> {
  readonly observationSpace = new Box(
    [-2 * positionLimit, Number.NEGATIVE_INFINITY, -2 * angleLimit, Number.NEGATIVE_INFINITY],
    [2 * positionLimit, Number.POSITIVE_INFINITY, 2 * angleLimit, Number.POSITIVE_INFINITY],
  );
  readonly actionSpace = new Discrete(2);
  protected readonly resetOptions = { low: -0.05, high: 0.05 };
  readonly #suttonBarto: boolean;
  #x = 0;
  #xDot = 0;
  #theta = 0;
  #thetaDot = 0;
  #fallen = false;

  constructor(options: CartPoleOptions = {}) {
    super(options);
    this.#suttonBarto = options.suttonBartoReward ?? false;
  }

  get state(): number[] {
    return [this.#x, this.#xDot, this.#theta, this.#thetaDot];
  }

  set state(state: readonly number[]) {
    [this.#x = 0, this.#xDot = 0, this.#theta = 0, this.#thetaDot = 0] = state;
    this.#fallen = this.#isOut();
  }

  #isOut(): boolean {
    return Math.abs(this.#x) > positionLimit || Math.abs(this.#theta) > angleLimit;
  }

  protected start({ low, high }: { low: number; high: number }): void {
    const { random } = this;
    this.state = [
      random.uniform(low, high),
      random.uniform(low, high),
      random.uniform(low, high),
      random.uniform(low, high),
    ];
    this.#fallen = false;
  }

  protected observe(): NdArray<Float32Array> {
    const data = new Float32Array(4);
    data[0] = this.#x;
    data[1] = this.#xDot;
    data[2] = this.#theta;
    data[3] = this.#thetaDot;
    return { data, shape: [4] };
  }

  protected override draw(): Canvas {
    const canvas = new Canvas(600, 400);
    const scale = canvas.width / (2 * positionLimit);
    const [x, y] = [canvas.width / 2 + this.#x * scale, 300];
    const reach = scale * 2 * length;
    const tip = [x + reach * Math.sin(this.#theta), y - 7 - reach * Math.cos(this.#theta)] as const;
    return canvas
      .line([0, y], [canvas.width, y], 1, black)
      .polygon(
        [
          [x - 25, y - 15],
          [x + 25, y - 15],
          [x + 25, y + 15],
          [x - 25, y + 15],
        ],
        black,
      )
      .line([x, y - 7], tip, 10, [202, 152, 101])
      .circle([x, y - 7], 5, [129, 132, 203]);
  }

  /** After the end the reward is 0. @throws GymError E_VALUE on an action other than 0 and 1. */
  step(action: number): StepResult<NdArray<Float32Array>> {
    if (action !== 0 && action !== 1) throw invalidAction('CartPole', action, this.actionSpace);
    const force = action === 1 ? forceSize : -forceSize;
    const cos = Math.cos(this.#theta);
    const sin = Math.sin(this.#theta);
    // Florian (2005), "Correct equations for the dynamics of the cart-pole system", eq. 23 and 24
    const push = (force + poleMassLength * this.#thetaDot * this.#thetaDot * sin) / totalMass;
    const thetaAcceleration =
      (gravity * sin - cos * push) / (length * (4.0 / 3.0 - (poleMass * cos * cos) / totalMass));
    const xAcceleration = push - (poleMassLength * thetaAcceleration * cos) / totalMass;
    // explicit Euler: positions move by the old velocities
    this.#x += tau * this.#xDot;
    this.#xDot += tau * xAcceleration;
    this.#theta += tau * this.#thetaDot;
    this.#thetaDot += tau * thetaAcceleration;
    const over = this.#fallen;
    const terminated = this.#isOut();
    this.#fallen = over || terminated;
    const reward = over ? 0 : this.#suttonBarto ? (terminated ? -1 : 0) : 1;
    return { observation: this.observe(), reward, terminated, truncated: false, info: {} };
  }
}
