import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import { differentiable, empty } from './differentiable.js';
import { fusedKernel } from './kernels.js';

/** The numbers of a weighted sum, `sample` · x + `output` · out. */
interface Mixture {
  readonly sample: number;
  readonly output: number;
}

/** The numbers of one row of {@link stepMean}. */
export interface StepMeanRow extends Mixture {
  /** `weight` times this other weighted sum, which is clipped, is added. Default: nothing. */
  readonly clipped?: Mixture & { readonly weight: number };
}

/**
 * The mean of a step of a sampler, of which each row of the batch may be at another timestep:
 * `sample · x + output · out + weight · clip(sample' · x + output' · out)`; clip goes to ±`range`, and the primed numbers
 * are those of `clipped`. It is what every step of DDIM (Song et al. 2021, equation 12), of DDPM and of flow matching
 * comes to, with x̂_0 as the sum that may be clipped.
 *
 * @param x [batch, ...], the sample x_t
 * @param out of the same shape, what the network says of it
 * @param rows one a row of the batch
 * @throws GymError E_SHAPE on shapes that differ, or another number of rows
 */
export function stepMean<T extends tf.Tensor>(x: T, out: T, rows: readonly StepMeanRow[], range = 1): T {
  if (x.shape.join() !== out.shape.join() || x.shape[0] !== rows.length)
    throw new GymError(
      'E_SHAPE',
      `stepMean: x has shape [${x.shape}], out [${out.shape}], and there are ${rows.length} rows.`,
    );
  if (x.size === 0) return empty(x.shape, [x, out]);
  const kernel = fusedKernel('FusedStepMean');
  if (!kernel) return tf.tidy(() => composedMean(x, out, rows, range));
  const list = Float32Array.from(
    rows.flatMap((row) => [...factors(row), row.clipped?.weight ?? 0, ...factors(row.clipped)]),
  );
  return differentiable(
    [x, out],
    () => {
      const numbers = tf.tensor2d(list, [rows.length, stepMeanNumbers]);
      return { value: kernel({ x, out, numbers }, { range })[0], kept: [x, out, numbers] };
    },
    (dy, [x, out, numbers]) =>
      fusedKernel('FusedStepMeanGrad')!({ dy, x: x!, out: out!, numbers: numbers! }, { range }),
  );
}

/** How many numbers a row of a kernel has: three of each sum, and the weight of the clipped one before its own. */
const stepMeanNumbers = 7;

/**
 * k, a, b of k · (a x + b out). The difference is taken before it is made large: at small ᾱ that keeps a digit of x̂_0 that
 * two products would lose.
 */
function factors({ sample, output }: Mixture = { sample: 0, output: 0 }): [k: number, a: number, b: number] {
  return sample === 0 ? [1, 0, output] : [sample, 1, output / sample];
}

function composedMean<T extends tf.Tensor>(x: T, out: T, rows: readonly StepMeanRow[], range: number): T {
  const sum = mixed(x, out, rows);
  if (rows.every(({ clipped }) => clipped === undefined)) return sum ?? tf.zerosLike(x);
  const none = { sample: 0, output: 0 };
  const unclipped =
    mixed(
      x,
      out,
      rows.map(({ clipped = none }) => clipped),
    ) ?? tf.zerosLike(x);
  const weights = column(
    x,
    rows.map(({ clipped }) => clipped?.weight ?? 0),
  );
  const clipped = tf.clipByValue(unclipped, -range, range).mul<T>(weights);
  return sum ? clipped.add(sum) : clipped;
}

/** The weighted sums in few operations; nothing where all weights are 0. */
function mixed<T extends tf.Tensor>(x: T, out: T, rows: readonly Mixture[]): T | undefined {
  const [samples, outputs] = [rows.map(({ sample }) => sample), rows.map(({ output }) => output)];
  const [noSample, noOutput] = [samples, outputs].map((list) => list.every((value) => value === 0));
  if (noOutput) return noSample ? undefined : x.mul(column(x, samples));
  if (noSample) return out.mul(column(x, outputs));
  const all = rows.map((row) => factors(row));
  const factor = (i: 0 | 1 | 2) =>
    column(
      x,
      all.map((row) => row[i]),
    );
  const some = samples.includes(0) ? x.mul<T>(factor(1)) : x;
  return some.add(out.mul(factor(2))).mul(factor(0));
}

/** One number a row, in a shape that goes along with that of `x`. */
function column(x: tf.Tensor, values: readonly number[]): tf.Tensor {
  return tf.tensor(Float32Array.from(values), [x.shape[0]!, ...x.shape.slice(1).map(() => 1)]);
}

/**
 * `scale · mean((value − mean)²) + offset`, with a mean over all axes but the first: with −1 / 2σ² and −ln σ − ½ ln 2π the
 * log-density of a Gaussian step, averaged over dimensions.
 *
 * @param value [batch, ...], a constant. @param mean of the same shape, differentiable.
 * @param scale, offset one a row of the batch
 * @returns [batch]
 * @throws GymError E_SHAPE on shapes that differ
 */
export function scaledDistance(
  value: tf.Tensor,
  mean: tf.Tensor,
  scale: Float32Array,
  offset: Float32Array,
): tf.Tensor1D {
  const rows = mean.shape[0] ?? 0;
  if (value.shape.join() !== mean.shape.join() || scale.length !== rows || offset.length !== rows)
    throw new GymError(
      'E_SHAPE',
      `scaledDistance: value has shape [${value.shape}], mean [${mean.shape}], for ${scale.length} scales and ${offset.length} offsets.`,
    );
  if (mean.size === 0) return empty([rows], [mean]);
  const kernel = fusedKernel('FusedScaledDistance');
  if (!kernel)
    return tf.tidy(() => {
      const axes = mean.shape.map((_, axis) => axis).slice(1);
      const squared = tf.squaredDifference(value, mean).mean<tf.Tensor1D>(axes);
      return squared.mul(tf.tensor1d(scale)).add(tf.tensor1d(offset));
    });
  const list = Float32Array.from([...scale].flatMap((factor, row) => [factor, offset[row]!]));
  return differentiable(
    [mean],
    () => {
      const numbers = tf.tensor2d(list, [rows, 2]);
      return { value: kernel({ value, mean, numbers }, {})[0], kept: [value, mean, numbers] };
    },
    (dy, [value, mean, numbers]) =>
      fusedKernel('FusedScaledDistanceGrad')!({ dy, value: value!, mean: mean!, numbers: numbers! }, {}),
  );
}
