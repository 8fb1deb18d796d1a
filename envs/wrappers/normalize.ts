import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import type { Snapshot } from '../../core/snapshot.js';
import { snapshotNumbers, snapshotParts } from '../checks.js';
import { Box } from '../spaces/box.js';
import type { DType } from '../spaces/dtype.js';
import type { Space } from '../spaces/space.js';
import { type Modification, type Modifier, needSpace, stepModification } from './modifier.js';

/**
 * Mean and variance of a stream of vectors, updated a batch at a time (Chan, Golub and LeVeque 1979). They begin as if
 * 1e-4 vectors of mean 0 and variance 1 had been seen, as Gymnasium's RunningMeanStd does.
 */
class RunningMeanStd {
  readonly mean: Float64Array;
  readonly variance: Float64Array;
  count = 1e-4;
  #pending: ArrayLike<number>[] = [];

  constructor(size: number) {
    this.mean = new Float64Array(size);
    this.variance = new Float64Array(size).fill(1);
  }

  /** Notes a vector. At the next {@link flush} all vectors that were noted count as one batch. */
  note(values: ArrayLike<number>): void {
    this.#pending.push(values);
  }

  flush(): void {
    const n = this.#pending.length;
    if (n === 0) return;
    const total = this.count + n;
    for (let k = 0; k < this.mean.length; k++) {
      let mean = 0;
      for (const values of this.#pending) mean += values[k]! / n;
      let variance = 0;
      for (const values of this.#pending) variance += (values[k]! - mean) ** 2 / n;
      const delta = mean - this.mean[k]!;
      const squares = this.variance[k]! * this.count + variance * n + (delta ** 2 * this.count * n) / total;
      this.mean[k] = this.mean[k]! + (delta * n) / total;
      this.variance[k] = squares / total;
    }
    this.count = total;
    this.#pending = [];
  }

  state(): Snapshot {
    return { mean: [...this.mean], variance: [...this.variance], count: this.count };
  }

  restore(name: string, state: Snapshot): void {
    const { mean, variance, count } = snapshotParts(name, state, ['mean', 'variance', 'count']);
    const saved = [snapshotNumbers(name, mean, this.mean.length), snapshotNumbers(name, variance, this.mean.length)];
    this.count = snapshotNumbers(name, [count], 1)[0]!;
    this.mean.set(saved[0]!);
    this.variance.set(saved[1]!);
  }
}

/** A normalisation. While `updating` is false its statistics do not change, as an evaluation needs it. */
export interface Normalization<O, A, InnerO, InnerA> extends Modification<O, A, InnerO, InnerA> {
  updating: boolean;
}

function checkEpsilon(name: string, epsilon: number): void {
  if (!(epsilon > 0)) throw new GymError('E_CONFIG', `${name}: epsilon must be above 0, actual value ${epsilon}.`);
}

/** Observes (x − mean) / √(variance + ε), float32, with the mean and the variance of all observations so far. */
export function normalizeObservation<A>({
  epsilon = 1e-8,
}: {
  epsilon?: number | undefined;
} = {}): Normalization<NdArray, A, NdArray, A> {
  checkEpsilon('NormalizeObservation', epsilon);
  const normalization: Normalization<NdArray, A, NdArray, A> = {
    name: 'NormalizeObservation',
    updating: true,
    around: ({ observationSpace, actionSpace }) => {
      const { shape, low } = needSpace('NormalizeObservation', observationSpace, Box) as unknown as Box<DType>;
      const statistics = new RunningMeanStd(low.length);
      const normalized = ({ data }: NdArray): NdArray => {
        statistics.flush();
        const { mean, variance } = statistics;
        const out = new Float32Array(data.length);
        for (let k = 0; k < out.length; k++) out[k] = (data[k]! - mean[k]!) / Math.sqrt(variance[k]! + epsilon);
        return { data: out, shape };
      };
      const note = ({ observation }: { observation: NdArray }) => {
        if (normalization.updating) statistics.note(observation.data);
      };
      const modifier: Modifier<NdArray, A, NdArray, A> = {
        prepare: note,
        first: (result) => ({ ...result, observation: normalized(result.observation) }),
        action: (action) => action,
        next: (result) => ({ ...result, observation: normalized(result.observation) }),
        state: () => statistics.state(),
        restore: (state, result) => {
          statistics.restore('NormalizeObservation', state);
          return { ...result, observation: normalized(result.observation) };
        },
      };
      const space = new Box(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, shape);
      return { observationSpace: space as Space<NdArray>, actionSpace, modifier: () => modifier };
    },
  };
  return normalization;
}

/**
 * Divides rewards by the standard deviation of the discounted return: r / √(var(G) + ε), where G ← γ G + r. No mean is
 * subtracted. G begins at 0 in each episode, also after one that was truncated, where Gymnasium's wrapper of single
 * environments lets it run on.
 */
export function normalizeReward<O, A>({
  gamma = 0.99,
  epsilon = 1e-8,
}: {
  gamma?: number | undefined;
  epsilon?: number | undefined;
} = {}): Normalization<O, A, O, A> {
  checkEpsilon('NormalizeReward', epsilon);
  if (!(gamma >= 0 && gamma <= 1))
    throw new GymError('E_CONFIG', `NormalizeReward: gamma must be in [0, 1], actual value ${gamma}.`);
  const plain = stepModification<O, A>('NormalizeReward', () => {
    const statistics = new RunningMeanStd(1);
    return () => {
      let discounted = 0;
      return {
        first: (result) => {
          discounted = 0;
          return result;
        },
        prepare: (result) => {
          if (!('reward' in result)) return;
          discounted = gamma * discounted + result.reward;
          if (normalization.updating) statistics.note([discounted]);
        },
        next: (result) => {
          statistics.flush();
          return { ...result, reward: result.reward / Math.sqrt(statistics.variance[0]! + epsilon) };
        },
        state: () => ({ statistics: statistics.state(), discounted }),
        restore: (state, result) => {
          const saved = snapshotParts('NormalizeReward', state, ['statistics', 'discounted']);
          statistics.restore('NormalizeReward', saved.statistics);
          discounted = snapshotNumbers('NormalizeReward', [saved.discounted], 1)[0]!;
          return result;
        },
      };
    };
  });
  const normalization: Normalization<O, A, O, A> = { ...plain, settings: String(gamma), updating: true };
  return normalization;
}
