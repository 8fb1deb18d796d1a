import { GymError } from '../../core/errors.js';
import type { Snapshot } from '../../core/snapshot.js';
import { type Awaitable, type Info, isPromiseLike } from '../../core/types.js';
import { checkVectorStep, otherSnapshot, snapshotFlags, snapshotList, snapshotParts, wrongActions } from '../checks.js';
import type { EnvSpec, ResetResult, StepResult } from '../env.js';
import type { Space } from '../spaces/space.js';
import { zeroOf } from '../spaces/zero.js';
import type { Autoreset, VectorEnv, VectorResetOptions, VectorResetResult, VectorStepResult } from '../vector-env.js';
import { identityOf, type Modification, type Modifier } from './modifier.js';
import { after } from './wrapper.js';

/** A vector environment around another one, with a modifier for each environment in it. Made by `wrap`. */
export class ModifiedVectorEnv<O, A, InnerO, InnerA> implements VectorEnv<O, A> {
  readonly env: VectorEnv<InnerO, InnerA>;
  readonly numEnvs: number;
  readonly observationSpace: Space<O>;
  readonly actionSpace: Space<A>;
  readonly autoreset: Autoreset;
  readonly horizon?: number;
  readonly spec?: EnvSpec;
  readonly render?: VectorEnv<O, A>['render'];
  readonly snapshot?: () => Awaitable<Snapshot>;
  readonly restore?: (snapshot: Snapshot) => Awaitable<VectorResetResult<O>>;
  readonly #name: string;
  readonly #identity: string;
  readonly #modifiers: readonly Modifier<O, A, InnerO, InnerA>[];
  /** 1 for each environment that the next step resets, under `next-step`. */
  readonly #ended: Uint8Array;
  #observations: O[] = [];
  /** The call that still runs, if there is one. */
  #pending: Promise<unknown> | undefined;

  constructor(env: VectorEnv<InnerO, InnerA>, modification: Modification<O, A, InnerO, InnerA>) {
    const { observationSpace, actionSpace, modifier } = modification.around(env);
    this.env = env;
    this.numEnvs = env.numEnvs;
    this.observationSpace = observationSpace;
    this.actionSpace = actionSpace;
    this.autoreset = env.autoreset;
    if (env.horizon !== undefined) this.horizon = env.horizon;
    if (env.spec !== undefined) this.spec = env.spec;
    this.#name = modification.name;
    this.#identity = identityOf(modification, this);
    this.#modifiers = Array.from({ length: env.numEnvs }, modifier);
    this.#ended = new Uint8Array(env.numEnvs);
    if (env.render) this.render = () => env.render!();
    if (env.snapshot && env.restore) {
      this.snapshot = () =>
        this.#inOrder(() =>
          after(
            env.snapshot!(),
            (inner): Snapshot => ({
              of: this.#identity,
              inner,
              own: this.#modifiers.map((own) => own.state?.() ?? null),
              ended: [...this.#ended],
            }),
          ),
        );
      this.restore = (snapshot) => {
        const { of, inner, ...lists } = snapshotParts(modification.name, snapshot, ['of', 'inner', 'own', 'ended']);
        if (of !== this.#identity) throw otherSnapshot(modification.name, of, this.#identity);
        const own = snapshotList(modification.name, lists.own);
        if (own.length !== this.numEnvs)
          throw new GymError(
            'E_STATE',
            `${modification.name}.restore: the snapshot is of ${own.length} environments, these are ${this.numEnvs}.`,
          );
        const ended = snapshotFlags(modification.name, lists.ended, this.numEnvs);
        return this.#inOrder(() =>
          after(env.restore!(inner), (result) => {
            this.#ended.set(ended);
            return this.#started(result, (i, r) => {
              const modifier = this.#modifiers[i]!;
              return modifier.restore?.(own[i]!, r) ?? modifier.first(r);
            });
          }),
        );
      };
    }
  }

  /**
   * Calls at once or, while an earlier call is pending, when that has settled. The modifiers remember one episode at a
   * time. If a reset came before the rewards of the last step, which `Denoising` allows, these would count as rewards
   * of the next episode.
   */
  #inOrder<T>(call: () => Awaitable<T>): Awaitable<T> {
    const result = this.#pending === undefined ? call() : this.#pending.then(call, call);
    if (!isPromiseLike(result)) return result;
    const pending = Promise.resolve(result).finally(() => {
      if (this.#pending === pending) this.#pending = undefined;
    });
    this.#pending = pending;
    return pending;
  }

  #started(
    { observations, infos }: VectorResetResult<InnerO>,
    begin: (i: number, result: ResetResult<InnerO>) => ResetResult<O>,
  ): VectorResetResult<O> {
    const results = observations.map((observation, i) => begin(i, { observation, info: infos[i]! }));
    this.#observations = results.map((result) => result.observation);
    return { observations: [...this.#observations], infos: results.map((result) => result.info) };
  }

  reset(options?: VectorResetOptions): Awaitable<VectorResetResult<O>> {
    return this.#inOrder(() => this.#reset(options));
  }

  #reset(options: VectorResetOptions = {}): Awaitable<VectorResetResult<O>> {
    const { seed, mask } = options;
    return after(this.env.reset(options), (result) => {
      this.#modifiers.forEach((modifier, i) => {
        if (mask === undefined || mask[i] === 1)
          modifier.prepare?.({ observation: result.observations[i]!, info: result.infos[i]! });
      });
      return this.#started(result, (i, r) => {
        if (mask !== undefined && mask[i] === 0) return { observation: this.#observations[i]!, info: r.info };
        this.#ended[i] = 0;
        return this.#modifiers[i]!.first(r, {
          seed: typeof seed === 'number' ? seed + i : seed?.[i],
          options: options.options,
        });
      });
    });
  }

  step(actions: readonly A[]): Awaitable<VectorStepResult<O>> {
    return this.#inOrder(() => this.#step(actions));
  }

  #step(actions: readonly A[]): Awaitable<VectorStepResult<O>> {
    if (actions?.length !== this.numEnvs) throw wrongActions(this.#name, this.numEnvs, actions);
    // An environment that is due to be reset ignores its action, which the modifier must not see: any valid one will
    // do.
    const inner = actions.map((action, i) =>
      this.#ended[i] === 1 ? zeroOf(this.env.actionSpace) : this.#modifiers[i]!.action(action),
    );
    return after(this.env.step(inner), (result) => this.#stepped(result, actions));
  }

  #stepped(inner: VectorStepResult<InnerO>, actions: readonly A[]): VectorStepResult<O> {
    const n = this.numEnvs;
    checkVectorStep(this.env, n, inner);
    const out: VectorStepResult<O> = {
      observations: new Array<O>(n),
      rewards: new Float64Array(n),
      terminated: inner.terminated,
      truncated: inner.truncated,
      infos: new Array<Info>(n),
    };
    // What each environment did: it took a step, began an episode, or, under `same-step`, both.
    const parts = this.#modifiers.map((modifier, i) => {
      const observation = inner.observations[i]!;
      const info = inner.infos[i]!;
      let step: StepResult<InnerO> | undefined;
      let begun: ResetResult<InnerO> | undefined;
      if (this.#ended[i] === 1) {
        // A member of a group that waits for the others stands where it ended.
        if (info.idle === true) return undefined;
        begun = { observation, info };
      } else {
        const [terminated, truncated] = [inner.terminated[i] === 1, inner.truncated[i] === 1];
        step = { observation, reward: inner.rewards[i]!, terminated, truncated, info };
        if (this.autoreset === 'same-step' && (terminated || truncated)) {
          const { finalObservation, finalInfo, ...rest } = info;
          step = { ...step, observation: finalObservation as InnerO, info: finalInfo as Info };
          begun = { observation, info: rest };
        }
      }
      if (step !== undefined) modifier.prepare?.(step);
      if (begun !== undefined) modifier.prepare?.(begun);
      return { step, begun };
    });
    parts.forEach((part, i) => {
      if (part === undefined) {
        out.observations[i] = this.#observations[i]!;
        out.infos[i] = inner.infos[i]!;
        return;
      }
      const { step, begun } = part;
      const modifier = this.#modifiers[i]!;
      const stepped = step && modifier.next(step, actions[i]!);
      const first = begun && modifier.first(begun);
      out.rewards[i] = stepped?.reward ?? 0;
      out.observations[i] = first === undefined ? stepped!.observation : first.observation;
      out.infos[i] =
        first === undefined
          ? stepped!.info
          : stepped === undefined
            ? first.info
            : { ...first.info, finalObservation: stepped.observation, finalInfo: stepped.info };
      const over = step !== undefined && (step.terminated || step.truncated);
      this.#ended[i] = over && this.autoreset === 'next-step' ? 1 : 0;
    });
    this.#observations = [...out.observations];
    return out;
  }

  close(): Awaitable<void> {
    return this.env.close?.();
  }

  toString(): string {
    return `<${this.#name}${String(this.env)}>`;
  }
}
