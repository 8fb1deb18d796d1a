import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import { shown } from '../../core/shown.js';
import type { StepResult } from '../env.js';
import { Box } from '../spaces/box.js';
import { Discrete } from '../spaces/discrete.js';
import { ClassicEnv, type ClassicOptions, checkNumber, invalidAction } from './classic-env.js';

export interface BanditOptions extends ClassicOptions {
  /** The mean reward of each arm. Default [0, 0.5, 1]. */
  arms?: readonly number[] | undefined;
  /** The standard deviation of rewards. Default 0. */
  std?: number | undefined;
}

/**
 * A bandit with k arms. An episode has one step: the action is an arm, and the reward is drawn from the normal
 * distribution around that arm's mean. The observation is always [0].
 */
export class Bandit extends ClassicEnv<NdArray<Float32Array>, number> {
  readonly observationSpace = new Box(-1, 1, [1]);
  readonly actionSpace: Discrete;
  protected readonly resetOptions = {};
  readonly #arms: readonly number[];
  readonly #std: number;

  /** @throws GymError E_CONFIG when there are no arms, or numbers are not finite. */
  constructor({ arms = [0, 0.5, 1], std = 0, ...options }: BanditOptions = {}) {
    super(options);
    if (!Array.isArray(arms) || arms.length === 0 || !arms.every(Number.isFinite))
      throw new GymError('E_CONFIG', `Bandit: \`arms\` must be a list of numbers, actual value ${shown(arms)}.`);
    checkNumber('Bandit', 'std', std, 0);
    this.#arms = [...arms];
    this.#std = std;
    this.actionSpace = new Discrete(arms.length);
  }

  get state(): number[] {
    return [];
  }

  set state(_: readonly number[]) {
    // A bandit has no state that could change.
  }

  protected start(): void {
    // All episodes begin alike.
  }

  protected observe(): NdArray<Float32Array> {
    return { data: new Float32Array(1), shape: [1] };
  }

  /** The arms and their means. */
  override render(): string {
    return this.#arms.map((mean, arm) => `arm ${arm}: ${mean}`).join('\n');
  }

  /** Draws the reward of an arm. @throws GymError E_VALUE on an arm that does not exist. */
  step(action: number): StepResult<NdArray<Float32Array>> {
    const mean = this.#arms[action];
    if (mean === undefined) throw invalidAction('Bandit', action, this.actionSpace);
    const reward = this.#std === 0 ? mean : mean + this.#std * this.random.normal();
    return { observation: this.observe(), reward, terminated: true, truncated: false, info: {} };
  }
}
