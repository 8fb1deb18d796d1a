import { GymError } from '../../core/errors.js';
import type { Awaitable, Metrics } from '../../core/types.js';
import type { Callback, TrainContext } from '../train.js';

type Arguments<O, A> = [context: TrainContext<O, A>, metrics: Readonly<Metrics>];

/** What is done after an epoch, where that is all there is to a callback; what it returns joins the epoch's metrics. */
export type EpochFunction<O, A> =
  | ((...args: Arguments<O, A>) => Awaitable<Metrics | undefined>)
  | ((...args: Arguments<O, A>) => Awaitable<void>);

/**
 * Calls a function after every so many epochs, and after the last one.
 * @param epochs how many, at least 1.
 * @throws GymError E_VALUE when `epochs` is no whole number from 1.
 */
export function everyEpochs<O, A>(epochs: number, call: EpochFunction<O, A>): Callback<O, A> {
  if (!Number.isInteger(epochs) || epochs < 1)
    throw new GymError('E_VALUE', `everyEpochs: must be a whole number of epochs from 1, actual value ${epochs}.`);
  return {
    name: `every ${epochs} epochs`,
    epoch: async (context, metrics) =>
      context.last || context.epoch % epochs === 0 ? ((await call(context, metrics)) ?? undefined) : undefined,
  };
}
