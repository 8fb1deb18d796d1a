/** What may be a value or a promise of one. A loop over synchronous parts should pay for no promise: see {@link isPromiseLike}. */
export type Awaitable<T> = T | PromiseLike<T>;

/** Free-form facts beside an observation, keyed by name; never needed to act. */
export type Info = Readonly<Record<string, unknown>>;

/** Flat numbers of one epoch: `train/loss`, `reward/mean`, ... */
export type Metrics = Record<string, number>;

/** True for a promise or anything else with a `then`: check it before awaiting, so that synchronous steps stay synchronous. */
export function isPromiseLike<T>(value: Awaitable<T>): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
