import type { NdArray } from '../../core/ndarray.js';
import type { StepResult } from '../env.js';
import { Box } from '../spaces/box.js';
import { Discrete } from '../spaces/discrete.js';
import { black, Canvas, type Point } from './canvas.js';
import { ClassicEnv, type ClassicOptions, checkNumber, clip, invalidAction, scalarAction } from './classic-env.js';

export interface MountainCarOptions extends ClassicOptions {
  /** The least velocity with which the car must reach the goal. Default 0. */
  goalVelocity?: number | undefined;
}

const minPosition = -1.2;
const maxPosition = 0.6;
const maxSpeed = 0.07;

/** What both mountain cars share: the valley y = sin(3x), and a state of position and velocity. */
abstract class Valley<A> extends ClassicEnv<NdArray<Float32Array>, A, 'low' | 'high'> {
  readonly observationSpace = new Box([minPosition, -maxSpeed], [maxPosition, maxSpeed]);
  protected readonly resetOptions = { low: -0.6, high: -0.4 };
  protected readonly goalVelocity: number;
  protected position = 0;
  protected velocity = 0;

  constructor({ goalVelocity = 0, ...options }: MountainCarOptions = {}) {
    super(options);
    checkNumber('MountainCar', 'goalVelocity', goalVelocity);
    this.goalVelocity = goalVelocity;
  }

  get state(): number[] {
    return [this.position, this.velocity];
  }

  set state(state: readonly number[]) {
    [this.position = 0, this.velocity = 0] = state;
  }

  protected start({ low, high }: { low: number; high: number }): void {
    this.state = [this.random.uniform(low, high), 0];
  }

  protected observe(): NdArray<Float32Array> {
    return { data: Float32Array.of(this.position, this.velocity), shape: [2] };
  }

  protected abstract readonly goal: number;

  protected override draw(): Canvas {
    const canvas = new Canvas(600, 400);
    const scale = canvas.width / (maxPosition - minPosition);
    const at = (x: number, above = 0): Point => [
      (x - minPosition) * scale,
      canvas.height - (Math.sin(3 * x) * 0.45 + 0.55) * scale - above,
    ];
    for (let i = 0; i < 100; i++) {
      const x = (k: number) => minPosition + (k / 100) * (maxPosition - minPosition);
      canvas.line(at(x(i)), at(x(i + 1)), 2, black);
    }
    const [poleX, poleY] = at(this.goal);
    canvas.line([poleX, poleY], [poleX, poleY - 50], 2, black);
    canvas.polygon(
      [
        [poleX, poleY - 50],
        [poleX, poleY - 40],
        [poleX + 25, poleY - 45],
      ],
      [204, 204, 0],
    );
    // The slope of the road as it is drawn, where y points downwards.
    const slope = -Math.cos(3 * this.position) * 1.35;
    const along = [Math.cos(Math.atan(slope)), Math.sin(Math.atan(slope))] as const;
    const [x, y] = at(this.position);
    const corner = (a: number, up: number): Point => [
      x + a * along[0] + up * along[1],
      y + a * along[1] - up * along[0],
    ];
    return canvas
      .polygon([corner(-20, 10), corner(20, 10), corner(20, 30), corner(-20, 30)], black)
      .circle(corner(-10, 8), 8, [128, 128, 128])
      .circle(corner(10, 8), 8, [128, 128, 128]);
  }

  /** Accelerates the car and moves it. The wall on the left stops it. */
  protected drive(acceleration: number): void {
    this.velocity = clip(this.velocity + acceleration, -maxSpeed, maxSpeed);
    this.position = clip(this.position + this.velocity, minPosition, maxPosition);
    if (this.position === minPosition && this.velocity < 0) this.velocity = 0;
  }
}

/**
 * A car in a valley is too weak to drive up the hill on the right, and must gain speed by driving back and forth (Moore
 * 1990). The dynamics are those of Gymnasium's MountainCar-v0.
 *
 * - Observation, float32 [2]: position in −1.2..0.6, velocity in ±0.07.
 * - Action: 0 accelerates to the left, 1 not at all, 2 to the right.
 * - Reward: −1 for each step.
 * - The episode ends (`terminated`) at position 0.5.
 * - Reset options: `low` and `high` bound the first position, which is uniform (default −0.6 and −0.4).
 */
export class MountainCar extends Valley<number> {
  readonly actionSpace = new Discrete(3);
  protected readonly goal = 0.5;

  /** Accelerates and moves the car. @throws GymError E_VALUE on an action other than 0, 1 and 2. */
  step(action: number): StepResult<NdArray<Float32Array>> {
    if (action !== 0 && action !== 1 && action !== 2) throw invalidAction('MountainCar', action, this.actionSpace);
    this.drive((action - 1) * 0.001 + Math.cos(3 * this.position) * -0.0025);
    const terminated = this.position >= this.goal && this.velocity >= this.goalVelocity;
    return { observation: this.observe(), reward: -1, terminated, truncated: false, info: {} };
  }
}

/**
 * The same with a continuous action, as Gymnasium's MountainCarContinuous-v0: a force, float32 [1], which is clipped
 * into −1..1. The reward is −0.1 · action² for each step, of the action as it was before it was clipped, and 100 more
 * for reaching the goal, which is at position 0.45.
 */
export class MountainCarContinuous extends Valley<NdArray<Float32Array>> {
  readonly actionSpace = new Box(-1, 1, [1]);
  protected readonly goal = 0.45;

  /** Accelerates and moves the car. @throws GymError E_VALUE on an action that is not one number. */
  step(action: NdArray<Float32Array>): StepResult<NdArray<Float32Array>> {
    const a = scalarAction('MountainCarContinuous', action, this.actionSpace);
    this.drive(clip(a, -1, 1) * 0.0015 - 0.0025 * Math.cos(3 * this.position));
    const terminated = this.position >= this.goal && this.velocity >= this.goalVelocity;
    // Gymnasium keeps the state of this environment in float32.
    this.state = [Math.fround(this.position), Math.fround(this.velocity)];
    const reward = (terminated ? 100 : 0) - a * a * 0.1;
    return { observation: this.observe(), reward, terminated, truncated: false, info: {} };
  }
}
