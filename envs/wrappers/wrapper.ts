import type { NdArray } from '../../core/ndarray.js';
import type { Snapshot } from '../../core/snapshot.js';
import { type Awaitable, isPromiseLike } from '../../core/types.js';
import { checkEnvironment, checkFirst, otherSnapshot, snapshotParts } from '../checks.js';
import type { Env, EnvSpec, ResetOptions, ResetResult, StepResult } from '../env.js';
import type { Space } from '../spaces/space.js';

/** Applies a function to a value, or to the value of a promise. Only for a promise is the result a promise. */
export function after<T, U>(value: Awaitable<T>, then: (value: T) => Awaitable<U>): Awaitable<U> {
  return isPromiseLike(value) ? value.then(then) : then(value);
}

/**
 * An environment around another one, for subclasses that change something of it. `render`, `snapshot` and `restore` are
 * there if the inner environment has them, and `close` closes it. A subclass that remembers something returns it from
 * `ownState` and takes it back in `restoreOwn`; so it is saved and restored together with the inner environment.
 */
export abstract class Wrapper<O, A, InnerO = O, InnerA = A> implements Env<O, A> {
  readonly env: Env<InnerO, InnerA>;
  readonly spec?: EnvSpec;
  readonly render?: () => Awaitable<NdArray | string>;
  readonly snapshot?: () => Awaitable<Snapshot>;
  readonly restore?: (snapshot: Snapshot) => Awaitable<ResetResult<O>>;
  abstract readonly observationSpace: Space<O>;
  abstract readonly actionSpace: Space<A>;

  /** @throws GymError E_CONFIG when `env` is no environment. */
  constructor(env: Env<InnerO, InnerA>) {
    checkEnvironment(new.target.name, env);
    this.env = env;
    if (env.spec !== undefined) this.spec = env.spec;
    if (env.render) this.render = () => env.render!();
    if (env.snapshot && env.restore) {
      this.snapshot = () =>
        after(env.snapshot!(), (inner): Snapshot => ({ of: this.identity(), inner, own: this.ownState() }));
      this.restore = (snapshot) => {
        const { of, inner, own } = snapshotParts(this.constructor.name, snapshot, ['of', 'inner', 'own']);
        if (of !== this.identity()) throw otherSnapshot(this.constructor.name, of, this.identity());
        // The inner environment comes first, so that nothing has changed where it refuses the snapshot.
        return after(env.restore!(inner), (result) => {
          checkFirst(env, 'restore', result);
          this.restoreOwn(own);
          return this.restored(result);
        });
      };
    }
  }

  abstract reset(options?: ResetOptions): Awaitable<ResetResult<O>>;
  abstract step(action: A): Awaitable<StepResult<O>>;

  /**
   * What names this wrapper in a snapshot, which is refused by a wrapper of another name. A subclass adds the settings
   * on which the meaning of its own state depends, unless the observation space shows them.
   */
  protected identity(): string {
    return `${this.constructor.name} ${this.observationSpace}`;
  }

  /** What this wrapper itself remembers, for a snapshot. */
  protected ownState(): Snapshot {
    return null;
  }

  /** Takes back what {@link ownState} gave. */
  protected restoreOwn(_state: Snapshot): void {}

  /**
   * The result of the inner environment's `restore` as this wrapper shows it. Its own state has been restored before.
   */
  protected abstract restored(result: ResetResult<InnerO>): Awaitable<ResetResult<O>>;

  close(): Awaitable<void> {
    return this.env.close?.();
  }

  toString(): string {
    return `<${this.constructor.name}${String(this.env)}>`;
  }
}

/**
 * A wrapper whose observations and actions are those of the inner environment, for subclasses that change something
 * else.
 */
export class PlainWrapper<O, A> extends Wrapper<O, A> {
  readonly observationSpace: Space<O>;
  readonly actionSpace: Space<A>;

  constructor(env: Env<O, A>) {
    super(env);
    this.observationSpace = env.observationSpace;
    this.actionSpace = env.actionSpace;
  }

  reset(options?: ResetOptions): Awaitable<ResetResult<O>> {
    return this.env.reset(options);
  }

  step(action: A): Awaitable<StepResult<O>> {
    return this.env.step(action);
  }

  protected restored(result: ResetResult<O>): ResetResult<O> {
    return result;
  }
}

/** The innermost environment. */
export function unwrapped(env: Env<unknown, unknown>): Env<unknown, unknown> {
  let inner = env;
  while (inner instanceof Wrapper) inner = inner.env;
  return inner;
}

/** The outermost wrapper of a class (or the environment itself), or undefined. */
export function findWrapper<T>(env: Env<unknown, unknown>, type: abstract new (...args: never[]) => T): T | undefined {
  for (let inner: unknown = env; ; inner = inner.env) {
    if (inner instanceof type) return inner;
    if (!(inner instanceof Wrapper)) return undefined;
  }
}
