import { GymError } from '../../core/errors.js';
import { shown } from '../../core/shown.js';
import type { Snapshot } from '../../core/snapshot.js';
import { type Awaitable, isPromiseLike } from '../../core/types.js';
import { isStep, noStep, snapshotCount } from '../checks.js';
import type { Env, ResetOptions, ResetResult, StepResult } from '../env.js';
import { PlainWrapper } from './wrapper.js';

/**
 * Cuts an episode after a number of steps: `truncated` is then true, and `terminated` stays as the environment gave it.
 */
export class TimeLimit<O, A> extends PlainWrapper<O, A> {
  readonly maxEpisodeSteps: number;
  #elapsed = 0;

  /** @throws GymError E_VALUE unless the limit is an integer of at least 1. */
  constructor(env: Env<O, A>, maxEpisodeSteps: number) {
    super(env);
    if (!Number.isInteger(maxEpisodeSteps) || maxEpisodeSteps < 1)
      throw new GymError(
        'E_VALUE',
        `TimeLimit: maxEpisodeSteps must be an integer of at least 1, actual value ${shown(maxEpisodeSteps)}.`,
      );
    this.maxEpisodeSteps = maxEpisodeSteps;
  }

  /** The number of steps since the last reset. */
  get elapsed(): number {
    return this.#elapsed;
  }

  override reset(options?: ResetOptions): Awaitable<ResetResult<O>> {
    this.#elapsed = 0;
    return this.env.reset(options);
  }

  override step(action: A): Awaitable<StepResult<O>> {
    const result = this.env.step(action);
    return isPromiseLike(result) ? result.then((r) => this.#count(r)) : this.#count(result);
  }

  #count(result: StepResult<O>): StepResult<O> {
    this.#elapsed++;
    if (!isStep(result)) throw noStep(this.env, result, this.#elapsed);
    return this.#elapsed < this.maxEpisodeSteps ? result : { ...result, truncated: true };
  }

  protected override identity(): string {
    return `${super.identity()} ${this.maxEpisodeSteps}`;
  }

  protected override ownState(): Snapshot {
    return this.#elapsed;
  }

  protected override restoreOwn(state: Snapshot): void {
    this.#elapsed = snapshotCount('TimeLimit', state);
  }
}
