import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import type { Snapshot } from '../../core/snapshot.js';
import { snapshotNumbers, snapshotParts } from '../checks.js';
import { Box } from '../spaces/box.js';
import type { DType } from '../spaces/dtype.js';
import type { Space } from '../spaces/space.js';
import { type Around, type Modification, type Modifier, needSpace, stepModification } from './modifier.js';

/**
 * Mean and variance of a stream of vectors, updated a batch at a time (Chan, Golub and LeVeque 1979). They begin as if
 * 1e-4 vectors of mean 0 and variance 1 had been seen, as Gymnasium's RunningMeanStd does.
 */
export class RunningMeanStd {
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

  /** The numbers as plain lists, without vectors that were only noted. */
  state(): { mean: number[]; variance: number[]; count: number } {
    return { mean: [...this.mean], variance: [...this.variance], count: this.count };
  }

  /**
   * Takes back what {@link state} gave.
   * @param name what errors begin with.
   * @throws GymError E_STATE when it is no such state, or one of vectors of another length.
   */
  restore(name: string, state: Snapshot): void {
    const { mean, variance, count } = snapshotParts(name, state, ['mean', 'variance', 'count']);
    const saved = [snapshotNumbers(name, mean, this.mean.length), snapshotNumbers(name, variance, this.mean.length)];
    this.count = snapshotNumbers(name, [count], 1)[0]!;
    this.mean.set(saved[0]!);
    this.variance.set(saved[1]!);
    this.#pending = [];
  }
}

/** A normalisation. While `updating` is false its statistics do not change, as an evaluation needs it. */
export interface Normalization<O, A, InnerO, InnerA> extends Modification<O, A, InnerO, InnerA> {
  updating: boolean;
  /** The statistics of the environment that it was put around last; undefined before. */
  readonly statistics: RunningMeanStd | undefined;
}

/** Options that both normalisations have. */
export interface NormalizationOptions {
  /** Is added to the variance, so that nothing is divided by zero. Default 1e-8. */
  epsilon?: number | undefined;
  /** Normalised numbers are cut to plus or minus this; Stable-Baselines3 cuts at 10. Default: they are not cut. */
  clip?: number | undefined;
  /**
   * The statistics of another normalisation, which both then have in common: an evaluation takes those of the training,
   * and sets `updating` to false. Default: new ones for each environment that it is put around.
   */
  statistics?: RunningMeanStd | undefined;
}

function cut(value: number, limit: number): number {
  return Math.min(limit, Math.max(-limit, value));
}

function checkOptions(name: string, { epsilon, clip }: { epsilon: number; clip: number }): void {
  if (!(epsilon > 0)) throw new GymError('E_CONFIG', `${name}: epsilon must be above 0, actual value ${epsilon}.`);
  if (!(clip > 0)) throw new GymError('E_CONFIG', `${name}: clip must be above 0, actual value ${clip}.`);
}

/** @throws GymError E_SPACE when the statistics that were handed in are of vectors of another length. */
function statisticsFor(name: string, size: number, given: RunningMeanStd | undefined): RunningMeanStd {
  const statistics = given ?? new RunningMeanStd(size);
  if (statistics.mean.length !== size)
    throw new GymError(
      'E_SPACE',
      `${name}: the statistics are of ${statistics.mean.length} numbers, an observation has ${size}; hand in those of an environment that was made alike.`,
    );
  return statistics;
}

/**
 * Observes (x − mean) / √(variance + ε), float32, with the mean and the variance of all observations so far.
 * @throws GymError E_CONFIG unless `epsilon` and `clip` are above 0.
 */
export function normalizeObservation<A>({
  epsilon = 1e-8,
  clip = Number.POSITIVE_INFINITY,
  statistics: given,
}: NormalizationOptions = {}): Normalization<NdArray, A, NdArray, A> {
  checkOptions('NormalizeObservation', { epsilon, clip });
  const normalization = {
    name: 'NormalizeObservation',
    updating: true,
    statistics: given,
    around: ({ observationSpace, actionSpace }: Around<NdArray, A>) => {
      const { shape, low } = needSpace('NormalizeObservation', observationSpace, Box) as unknown as Box<DType>;
      const statistics = statisticsFor('NormalizeObservation', low.length, given);
      normalization.statistics = statistics;
      const normalized = ({ data }: NdArray): NdArray => {
        statistics.flush();
        const { mean, variance } = statistics;
        const out = new Float32Array(data.length);
        for (let k = 0; k < out.length; k++)
          out[k] = cut((data[k]! - mean[k]!) / Math.sqrt(variance[k]! + epsilon), clip);
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
 * @throws GymError E_CONFIG unless `epsilon` and `clip` are above 0, and `gamma` is in [0, 1].
 */
export function normalizeReward<O, A>({
  gamma = 0.99,
  epsilon = 1e-8,
  clip = Number.POSITIVE_INFINITY,
  statistics: given,
}: NormalizationOptions & {
  /** Discounts the return whose deviation rewards are divided by. Default 0.99. */
  gamma?: number | undefined;
} = {}): Normalization<O, A, O, A> {
  checkOptions('NormalizeReward', { epsilon, clip });
  if (!(gamma >= 0 && gamma <= 1))
    throw new GymError('E_CONFIG', `NormalizeReward: gamma must be in [0, 1], actual value ${gamma}.`);
  const plain = stepModification<O, A>('NormalizeReward', () => {
    const statistics = statisticsFor('NormalizeReward', 1, given);
    normalization.statistics = statistics;
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
          return { ...result, reward: cut(result.reward / Math.sqrt(statistics.variance[0]! + epsilon), clip) };
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
  const normalization = { ...plain, settings: String(gamma), updating: true, statistics: given };
  return normalization;
}
