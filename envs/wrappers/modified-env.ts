import type { Snapshot } from '../../core/snapshot.js';
import type { Awaitable } from '../../core/types.js';
import { checkFirst, isStep, noStep } from '../checks.js';
import type { Env, ResetOptions, ResetResult, StepResult } from '../env.js';
import type { Space } from '../spaces/space.js';
import { identityOf, type Modification, type Modifier } from './modifier.js';
import { TimeLimit } from './time-limit.js';
import { after, findWrapper, Wrapper } from './wrapper.js';

/** An environment around another one, with a modifier for its steps. Made by `wrap`. */
export class ModifiedEnv<O, A, InnerO, InnerA> extends Wrapper<O, A, InnerO, InnerA> {
  readonly observationSpace: Space<O>;
  readonly actionSpace: Space<A>;
  readonly #name: string;
  readonly #identity: string;
  readonly #modifier: Modifier<O, A, InnerO, InnerA>;
  #saved: Snapshot = null;

  constructor(env: Env<InnerO, InnerA>, modification: Modification<O, A, InnerO, InnerA>) {
    super(env);
    const limit = findWrapper(env as Env<unknown, unknown>, TimeLimit)?.maxEpisodeSteps;
    const { observationSpace, actionSpace, modifier } = modification.around({
      observationSpace: env.observationSpace,
      actionSpace: env.actionSpace,
      spec:
        limit === undefined
          ? env.spec
          : { id: String(env), description: 'made by hand', ...env.spec, maxEpisodeSteps: limit },
    });
    this.observationSpace = observationSpace;
    this.actionSpace = actionSpace;
    this.#name = modification.name;
    this.#identity = identityOf(modification, this);
    this.#modifier = modifier();
  }

  reset(options?: ResetOptions): Awaitable<ResetResult<O>> {
    return after(this.env.reset(options), (result) => {
      checkFirst(this.env, 'reset', result);
      this.#modifier.prepare?.(result);
      return this.#modifier.first(result, options);
    });
  }

  step(action: A): Awaitable<StepResult<O>> {
    return after(this.env.step(this.#modifier.action(action)), (result) => {
      if (!isStep(result)) throw noStep(this.env, result);
      this.#modifier.prepare?.(result);
      return this.#modifier.next(result, action);
    });
  }

  protected override identity(): string {
    return this.#identity;
  }

  protected override ownState(): Snapshot {
    return this.#modifier.state?.() ?? null;
  }

  protected override restoreOwn(state: Snapshot): void {
    this.#saved = state;
  }

  protected restored(result: ResetResult<InnerO>): ResetResult<O> {
    return this.#modifier.restore?.(this.#saved, result) ?? this.#modifier.first(result);
  }

  override toString(): string {
    return `<${this.#name}${String(this.env)}>`;
  }
}
