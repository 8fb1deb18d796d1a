import type { Tensor1D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { Awaitable } from '../../core/types.js';
import type { Decision } from '../agent.js';
import type { GradientSource, MinibatchOptimizer } from './minibatches.js';
import { timed, type UnitState, type UnitWeights, type WorkUnits } from './work-units.js';

/**
 * Who computes an agent's units: workers, once there are some, and the agent itself until then. It knows which weights and
 * which batch they must have, and sends them what they do not have yet.
 */
export class SharedWork {
  readonly #weights: () => Awaitable<UnitWeights>;
  #units: WorkUnits | undefined;
  #weightsVersion = 0;
  #batchVersion = 0;

  /** @param weights what a copy of the agent takes over in its `setWeights`. */
  constructor(weights: () => Awaitable<UnitWeights>) {
    this.#weights = weights;
  }

  computeWith(units: WorkUnits): void {
    this.#units = units;
  }

  /** How many units can be computed at once. */
  get lanes(): number {
    return Math.max(1, this.#units?.lanes ?? 1);
  }

  /** What workers have of the weights is old. */
  weightsChanged(): void {
    this.#weightsVersion++;
  }

  /** Rows are taken from another batch than before. */
  batchChanged(): void {
    this.#batchVersion++;
  }

  /** The decisions for some observations. @param here makes them without workers. */
  decide<A>(
    observations: readonly unknown[],
    explore: boolean,
    here: () => Awaitable<Decision<A>>,
  ): Awaitable<Decision<A>> {
    const units = this.#units;
    if (units === undefined) return here();
    if (units.lanes > 0) return units.sample(observations, explore, this.#state()) as Promise<Decision<A>>;
    return timed(units, async () => here());
  }

  /**
   * Where the gradients of a minibatch come from.
   * @param batch what its rows are taken from, as a copy of the agent takes it over in its `setBatch`.
   * @param count how many rows it has.
   * @param here computes a pass without workers.
   */
  source(optimizer: MinibatchOptimizer, batch: unknown, count: number, here: GradientSource['pass']): GradientSource {
    const units = this.#units;
    // A minibatch of one pass leaves nothing to do at the same time, and a worker is no faster at it.
    if (units === undefined || units.lanes === 0 || count <= optimizer.microBatch)
      return { lanes: 1, pass: (rows, share) => timed(units, () => here(rows, share)) };
    const state = this.#state({ version: this.#batchVersion, read: () => batch });
    return {
      lanes: units.lanes,
      pass: (rows, share) =>
        units.gradient(rows, share, state, ({ gradient, ...rest }) => ({
          // A product copies the array at once, which tensor1d alone does not on each backend.
          gradient: tf.tidy(() => tf.tensor1d(gradient).mul<Tensor1D>(1)),
          ...rest,
        })),
    };
  }

  #state(batch?: UnitState['batch']): UnitState {
    return { weights: { version: this.#weightsVersion, read: this.#weights }, ...(batch && { batch }) };
  }
}
