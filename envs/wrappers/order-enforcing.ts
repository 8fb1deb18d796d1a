import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import type { Snapshot } from '../../core/snapshot.js';
import { type Awaitable, isPromiseLike } from '../../core/types.js';
import { checkReset } from '../checks.js';
import type { Env, ResetOptions, ResetResult, StepResult } from '../env.js';
import { after, PlainWrapper } from './wrapper.js';

/**
 * An error instead of nonsense for calls out of order: a step or a picture before the first reset (as Gymnasium), and a
 * step after the end of an episode (which Gymnasium leaves undefined). So for a reset with what are no options.
 */
export class OrderEnforcing<O, A> extends PlainWrapper<O, A> {
  declare readonly render?: () => Awaitable<NdArray | string>;
  #phase: 'new' | 'running' | 'over' = 'new';

  constructor(env: Env<O, A>) {
    super(env);
    if (env.render)
      this.render = () => {
        if (this.#phase === 'new') throw this.#error('render() before reset(); call reset() first.');
        return env.render!();
      };
  }

  #error(what: string): GymError {
    return new GymError('E_STATE', `${this.spec?.id ?? String(this.env)}: ${what}`);
  }

  /** @throws GymError E_VALUE on a seed that is no number, or options that are no object. */
  override reset(options?: ResetOptions): Awaitable<ResetResult<O>> {
    checkReset(this.spec?.id ?? String(this.env), options);
    return after(this.env.reset(options), (result) => {
      this.#phase = 'running';
      return result;
    });
  }

  override step(action: A): Awaitable<StepResult<O>> {
    if (this.#phase !== 'running')
      throw this.#error(
        this.#phase === 'new'
          ? 'step() before reset(); call reset() first.'
          : 'step() after the episode ended; call reset() to begin the next one.',
      );
    const result = this.env.step(action);
    return isPromiseLike(result) ? result.then((r) => this.#note(r)) : this.#note(result);
  }

  #note(result: StepResult<O>): StepResult<O> {
    if (result.terminated || result.truncated) this.#phase = 'over';
    return result;
  }

  protected override ownState(): Snapshot {
    return this.#phase;
  }

  protected override restoreOwn(state: Snapshot): void {
    this.#phase = state as 'new' | 'running' | 'over';
  }
}
