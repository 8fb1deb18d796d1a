import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import type { Snapshot } from '../../core/snapshot.js';
import { type Awaitable, isPromiseLike } from '../../core/types.js';
import { isStep, noStep, snapshotFlags, snapshotList } from '../checks.js';
import type { Env, ResetOptions, ResetResult, StepResult } from '../env.js';
import { Box } from '../spaces/box.js';
import type { DType } from '../spaces/dtype.js';
import { zeros } from '../spaces/dtype.js';
import { elementFromJson, elementToJson } from '../spaces/json.js';
import { needSpace } from './modifier.js';
import { after, PlainWrapper } from './wrapper.js';

/** Takes each action `times` times, or fewer if the episode ends, and returns the sum of the rewards. */
export class RepeatAction<O, A> extends PlainWrapper<O, A> {
  readonly times: number;

  /** @throws GymError E_CONFIG unless times is an integer of at least 1. */
  constructor(env: Env<O, A>, times: number) {
    super(env);
    if (!Number.isInteger(times) || times < 1)
      throw new GymError('E_CONFIG', `RepeatAction: times must be an integer of at least 1, actual value ${times}.`);
    this.times = times;
  }

  /** Called with the result of each repeated step, for a subclass that needs more of them than their rewards. */
  protected see(_result: StepResult<O>): void {}

  protected override identity(): string {
    return `${super.identity()} ${this.times}`;
  }

  override step(action: A): Awaitable<StepResult<O>> {
    return this.#repeat(action, 0, 0);
  }

  #repeat(action: A, done: number, sum: number): Awaitable<StepResult<O>> {
    let [k, reward] = [done, sum];
    for (;;) {
      const result = this.env.step(action);
      if (isPromiseLike(result)) {
        const [before, so] = [k, reward];
        return result.then((r) => {
          if (!isStep(r)) throw noStep(this.env, r);
          this.see(r);
          const total = so + r.reward;
          const last = before + 1 === this.times || r.terminated || r.truncated;
          return last ? { ...r, reward: total } : this.#repeat(action, before + 1, total);
        });
      }
      if (!isStep(result)) throw noStep(this.env, result);
      this.see(result);
      reward += result.reward;
      k++;
      if (k === this.times || result.terminated || result.truncated) return { ...result, reward };
    }
  }
}

/**
 * Takes each action `skip` times, and observes for each number the larger of its values in the last two of these steps.
 * This removes the flicker of games that draw some objects in every other frame only (Mnih et al. 2015).
 */
export class MaxAndSkipObservation<A> extends RepeatAction<NdArray, A> {
  /**
   * The last two observations of the last step. After a reset there are none, and its observation is shown as it is.
   */
  #frames: NdArray[] = [];

  /**
   * @throws GymError E_SPACE where observations are no arrays of one shape, E_CONFIG unless skip is an integer of at
   *   least 1.
   */
  constructor(env: Env<NdArray, A>, skip = 4) {
    super(env, skip);
    needSpace('MaxAndSkipObservation', env.observationSpace, Box);
  }

  override reset(options?: ResetOptions): Awaitable<ResetResult<NdArray>> {
    this.#frames = [];
    return super.reset(options);
  }

  protected override see({ observation }: StepResult<NdArray>): void {
    this.#frames = [...this.#frames.slice(-1), observation];
  }

  override step(action: A): Awaitable<StepResult<NdArray>> {
    this.#frames = [];
    return after(super.step(action), (result) => ({ ...result, observation: this.#largest(result.observation) }));
  }

  /** The larger value of the two frames for each number; without frames, the observation itself. */
  #largest(observation: NdArray): NdArray {
    const [a, b = a] = this.#frames;
    if (a === undefined || b === undefined) return observation;
    const data = zeros((this.observationSpace as Box<DType>).dtype, a.data.length);
    for (let i = 0; i < data.length; i++) data[i] = Math.max(a.data[i]!, b.data[i]!);
    return { data, shape: a.shape };
  }

  protected override ownState(): Snapshot {
    return this.#frames.map((frame) => elementToJson(this.observationSpace, frame) as Snapshot);
  }

  protected override restoreOwn(state: Snapshot): void {
    const saved = snapshotList('MaxAndSkipObservation', state);
    if (saved.length > 2)
      throw new GymError(
        'E_STATE',
        `MaxAndSkipObservation.restore: the snapshot has ${saved.length} frames, at most 2 are kept; it is damaged.`,
      );
    this.#frames = saved.map((frame) => elementFromJson(this.observationSpace, frame));
  }

  protected override restored({ observation, info }: ResetResult<NdArray>): ResetResult<NdArray> {
    return { observation: this.#largest(observation), info };
  }
}

/**
 * Resets the environment by itself: the step after the end of an episode ignores its action, and returns the first
 * observation of the next episode with reward 0.
 */
export class AutoresetWrapper<O, A> extends PlainWrapper<O, A> {
  #ended = false;

  override reset(options?: ResetOptions): Awaitable<ResetResult<O>> {
    this.#ended = false;
    return this.env.reset(options);
  }

  override step(action: A): Awaitable<StepResult<O>> {
    if (this.#ended) {
      this.#ended = false;
      return after(this.env.reset(), ({ observation, info }) => ({
        observation,
        reward: 0,
        terminated: false,
        truncated: false,
        info,
      }));
    }
    return after(this.env.step(action), (result) => {
      if (!isStep(result)) throw noStep(this.env, result);
      this.#ended = result.terminated || result.truncated;
      return result;
    });
  }

  protected override ownState(): Snapshot {
    return this.#ended ? 1 : 0;
  }

  protected override restoreOwn(state: Snapshot): void {
    this.#ended = snapshotFlags('AutoresetWrapper', [state], 1)[0] === 1;
  }
}
