import type { NdArray } from '../../core/ndarray.js';
import type { StepResult } from '../env.js';
import { Box } from '../spaces/box.js';
import { Discrete } from '../spaces/discrete.js';
import { black, Canvas } from './canvas.js';
import { ClassicEnv, type ClassicOptions, checkFlag, invalidAction } from './classic-env.js';

export interface CartPoleOptions extends ClassicOptions {
  /**
   * Whether the reward is that of Sutton and Barto's book: 0 for each step, and −1 for the one in which the pole falls.
   * Default false: 1 for each step.
   */
  suttonBartoReward?: boolean | undefined;
}

const gravity = 9.8;
const poleMass = 0.1;
const totalMass = 1.0 + poleMass;
/** Half of the length of the pole. */
const length = 0.5;
const poleMassLength = poleMass * length;
const forceSize = 10.0;
/** The seconds that a step takes. */
const tau = 0.02;
const angleLimit = (12 * 2 * Math.PI) / 360;
const positionLimit = 2.4;

/**
 * A pole stands on a cart, which must be pushed so that the pole does not fall (Barto, Sutton and Anderson 1983). The
 * dynamics are those of Gymnasium's CartPole-v1.
 *
 * - Observation, float32 [4]: position, velocity, angle, angular velocity.
 * - Action: 0 pushes the cart to the left, 1 to the right.
 * - Reward: 1 for each step, the last one included.
 * - The episode ends (`terminated`) when |position| > 2.4 or |angle| > 12°.
 * - Reset options: `low` and `high` bound the first state, which is uniform (default −0.05 and 0.05).
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

  /** @throws GymError E_CONFIG on an option of another type. */
  constructor({ suttonBartoReward = false, ...options }: CartPoleOptions = {}) {
    super(options);
    checkFlag('CartPole', 'suttonBartoReward', suttonBartoReward);
    this.#suttonBarto = suttonBartoReward;
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

  /**
   * Pushes the cart. Steps after the end of the episode have reward 0.
   * @throws GymError E_VALUE on an action other than 0 and 1.
   */
  step(action: number): StepResult<NdArray<Float32Array>> {
    if (action !== 0 && action !== 1) throw invalidAction('CartPole', action, this.actionSpace);
    const force = action === 1 ? forceSize : -forceSize;
    const cos = Math.cos(this.#theta);
    const sin = Math.sin(this.#theta);
    // Equations 23 and 24 of Florian (2005), "Correct equations for the dynamics of the cart-pole system".
    const push = (force + poleMassLength * this.#thetaDot * this.#thetaDot * sin) / totalMass;
    const thetaAcceleration =
      (gravity * sin - cos * push) / (length * (4.0 / 3.0 - (poleMass * cos * cos) / totalMass));
    const xAcceleration = push - (poleMassLength * thetaAcceleration * cos) / totalMass;
    // The explicit Euler method: positions move by the velocities before the step.
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
