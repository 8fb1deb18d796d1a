import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import { shown } from '../../core/shown.js';
import type { Snapshot } from '../../core/snapshot.js';
import { type Awaitable, isPromiseLike } from '../../core/types.js';
import { checkFirst, checkReset, isStep, nameOf, noStep, snapshotCount, snapshotParts } from '../checks.js';
import type { Env, ResetOptions, ResetResult, StepResult } from '../env.js';
import { TimeLimit } from './time-limit.js';
import { after, PlainWrapper } from './wrapper.js';

const phases = ['new', 'running', 'over'] as const;
type Phase = (typeof phases)[number];

/**
 * Turns mistakes of the caller and of the environment into errors that say what is wrong:
 * - a step or a picture before the first reset (as in Gymnasium), and a step after the end of an episode (which
 *   Gymnasium leaves undefined);
 * - a reset whose options are no options;
 * - results that an environment must not return, such as a step without a reward.
 */
export class OrderEnforcing<O, A> extends PlainWrapper<O, A> {
  declare readonly render?: () => Awaitable<NdArray | string>;
  #phase: Phase = 'new';
  /** Whether the environment inside checks its results itself. Then it is not done twice. */
  readonly #checked: boolean;
  /** The number of steps of the present episode so far. */
  #steps = 0;

  constructor(env: Env<O, A>) {
    super(env);
    this.#checked = env instanceof TimeLimit;
    if (env.render)
      this.render = () => {
        if (this.#phase === 'new') throw this.#error('render() before reset(); call reset() first.');
        return env.render!();
      };
  }

  #error(what: string): GymError {
    return new GymError('E_STATE', `${nameOf(this.env)}: ${what}`);
  }

  /** @throws GymError E_VALUE on a seed that is no number, or options that are no object. */
  override reset(options?: ResetOptions): Awaitable<ResetResult<O>> {
    checkReset(nameOf(this.env), options);
    return after(this.env.reset(options), (result) => {
      checkFirst(this.env, 'reset', result);
      this.#phase = 'running';
      this.#steps = 0;
      return result;
    });
  }

  /**
   * @throws GymError E_STATE when no episode runs; E_VALUE when the environment returns what is no result of a step.
   */
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
    this.#steps++;
    if (!this.#checked && !isStep(result)) throw noStep(this.env, result, this.#steps);
    if (result.terminated || result.truncated) this.#phase = 'over';
    return result;
  }

  protected override ownState(): Snapshot {
    return { phase: this.#phase, steps: this.#steps };
  }

  protected override restoreOwn(state: Snapshot): void {
    const { phase, steps } = snapshotParts('OrderEnforcing', state, ['phase', 'steps']);
    this.#steps = snapshotCount('OrderEnforcing', steps);
    if (!phases.includes(phase as Phase))
      throw new GymError(
        'E_STATE',
        `OrderEnforcing.restore: the phase must be one of ${phases.join(', ')}, actual value ${shown(phase)}; the snapshot is damaged.`,
      );
    this.#phase = phase as Phase;
  }
}
