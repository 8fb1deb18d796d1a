import * as z from 'zod';
import { GymError } from '../core/errors.js';
import { isNdArray, type NdArray } from '../core/ndarray.js';
import type { Snapshot } from '../core/snapshot.js';
import { fromJson, toJson } from '../core/snapshot-json.js';
import type { Extras } from './agent.js';
import type { Span, Transitions } from './transitions.js';

/** Transitions to be learned from: those of earlier rollouts come first. */
export interface Replayed<O, A> {
  readonly transitions: Transitions<O, A>;
  /** How many of them are of earlier rollouts. */
  readonly replayed: number;
}

/** An episode from its start to its end. Its infos, pictures above all, are not kept. */
interface Episode<O, A> {
  /** How many rollouts ago it was made. */
  readonly age: number;
  readonly observations: readonly O[];
  readonly actions: readonly A[];
  readonly rewards: Float64Array;
  readonly terminated: Uint8Array;
  readonly truncated: Uint8Array;
  readonly extras: Extras;
}

/** Arrays of numbers are saved as NdArrays. */
const numbers = <T>(type: new (...args: never[]) => T) =>
  z
    .custom<NdArray>((value) => isNdArray(value) && value.data instanceof type)
    .transform((array) => array.data as unknown as T);

const stateSchema = z.array(
  z.strictObject({
    age: z.int().min(0),
    observations: z.array(z.unknown()).min(1),
    actions: z.array(z.unknown()),
    rewards: numbers(Float64Array),
    terminated: numbers(Uint8Array),
    truncated: numbers(Uint8Array),
    extras: z.record(z.string(), z.union([numbers(Float32Array), z.array(z.custom<NdArray>(isNdArray))])),
  }),
);

/**
 * The episodes of the last rollouts, first in, first out, so that a rollout serves more than one `learn`. What older weights
 * sampled is weighed by its importance ratio, which says less the older it is; so there is a limit on age too.
 */
export class ReplayBuffer<O, A> {
  #episodes: readonly Episode<O, A>[] = [];

  /**
   * @param size the most transitions that are held; the rollout at hand is always held as a whole.
   * @param rollouts how many rollouts an episode outlives its own by; 0 holds the present one alone.
   */
  constructor(
    readonly size: number,
    readonly rollouts: number,
  ) {}

  /**
   * Takes in what was just made, and lets go of what is too old or too much.
   * @returns all that is held; of the rollout at hand only whole episodes, since the others have no return.
   */
  add(made: Transitions<O, A>): Replayed<O, A> {
    const fresh = made.spans.filter((span) => span.complete).map((span) => episodeOf(made, span));
    const aged = this.#episodes.map((episode) => ({ ...episode, age: episode.age + 1 }));
    let room = this.size - lengthOf(fresh);
    let from = aged.length;
    while (from > 0 && aged[from - 1]!.age <= this.rollouts && aged[from - 1]!.rewards.length <= room)
      room -= aged[--from]!.rewards.length;
    const kept = aged.slice(from);
    this.#episodes = [...kept, ...fresh];
    return { transitions: joined(this.#episodes), replayed: lengthOf(kept) };
  }

  /** All that it holds, as plain JSON. @throws GymError E_STATE where observations or actions are no plain values. */
  state(): unknown {
    const saved = (values: Float64Array | Float32Array | Uint8Array): NdArray => ({
      data: values,
      shape: [values.length],
    });
    const episodes = this.#episodes.map(({ rewards, terminated, truncated, extras, ...episode }) => ({
      ...episode,
      rewards: saved(rewards),
      terminated: saved(terminated),
      truncated: saved(truncated),
      extras: Object.fromEntries(
        Object.entries(extras).map(([name, values]) => [name, values instanceof Float32Array ? saved(values) : values]),
      ),
    }));
    return toJson(episodes as unknown as Snapshot);
  }

  /** @throws GymError E_STATE on what is no state of a buffer. */
  restore(state: unknown): void {
    const { data, error } = stateSchema.safeParse(fromJson(state));
    const isWhole = ({ observations: { length }, actions, rewards, terminated, truncated, extras }: Episode<O, A>) =>
      [actions, rewards, terminated, truncated, ...Object.values(extras)].every((list) => list.length === length);
    const episodes = data as readonly Episode<O, A>[] | undefined;
    if (!episodes?.every(isWhole))
      throw new GymError(
        'E_STATE',
        `ReplayBuffer: the saved state must be a list of episodes with an entry a step in each part (${error?.issues[0]?.message ?? 'lengths differ'}); the file is damaged.`,
      );
    this.#episodes = episodes;
  }
}

function lengthOf(episodes: readonly { readonly rewards: Float64Array }[]): number {
  return episodes.reduce((sum, { rewards }) => sum + rewards.length, 0);
}

function episodeOf<O, A>(made: Transitions<O, A>, { first, end }: Span): Episode<O, A> {
  return {
    age: 0,
    observations: made.observations.slice(first, end),
    actions: made.actions.slice(first, end),
    rewards: made.rewards.slice(first, end),
    terminated: made.terminated.slice(first, end),
    truncated: made.truncated.slice(first, end),
    extras: Object.fromEntries(Object.entries(made.extras).map(([name, values]) => [name, values.slice(first, end)])),
  };
}

/** Episodes as a list of transitions, one after the other. */
function joined<O, A>(episodes: readonly Episode<O, A>[]): Transitions<O, A> {
  const extras: Record<string, Float32Array | readonly NdArray[]> = {};
  for (const [name, sample] of Object.entries(episodes[0]?.extras ?? {})) {
    const all = episodes.flatMap((episode) => [...episode.extras[name]!]);
    extras[name] = sample instanceof Float32Array ? Float32Array.from(all as number[]) : (all as NdArray[]);
  }
  const spans: Span[] = [];
  for (const { rewards } of episodes) {
    const first = spans.at(-1)?.end ?? 0;
    spans.push({ first, end: first + rewards.length, complete: true });
  }
  return {
    observations: episodes.flatMap((episode) => episode.observations),
    actions: episodes.flatMap((episode) => episode.actions),
    rewards: Float64Array.from(episodes.flatMap((episode) => [...episode.rewards])),
    terminated: Uint8Array.from(episodes.flatMap((episode) => [...episode.terminated])),
    truncated: Uint8Array.from(episodes.flatMap((episode) => [...episode.truncated])),
    infos: episodes.flatMap((episode) => Array.from(episode.rewards, () => ({}))),
    extras,
    successors: episodes.map(() => undefined),
    spans,
  };
}
