import { GymError } from '../../core/errors.js';
import { isNdArray, type NdArray } from '../../core/ndarray.js';
import { type Bound, Box } from '../spaces/box.js';
import { type DType, zeros } from '../spaces/dtype.js';

/** A bound as a list with a value for each number of a Box. */
function boundsOf(name: string, bound: Bound, size: number): Float64Array {
  if (typeof bound === 'number') return new Float64Array(size).fill(bound);
  const values = isNdArray(bound) ? bound.data : (bound as ArrayLike<number>);
  if (values.length !== size)
    throw new GymError(
      'E_CONFIG',
      `${name}: ${values.length} bounds for ${size} elements; give one each, or a number.`,
    );
  return Float64Array.from(values);
}

/** A map of a Box onto another one, linear for each number. */
export interface Rescaling {
  readonly space: Box<DType>;
  forward(array: NdArray): NdArray;
  backward(array: NdArray): NdArray;
}

/**
 * The linear map of a Box's bounds to `low` and `high`. Where a number has one finite bound it is shifted, and where it
 * has none it stays as it is.
 * @throws GymError E_CONFIG where the new bounds do not rise, or are not infinite on the sides where the old ones are.
 */
export function rescaling(name: string, box: Box<DType>, low: Bound, high: Bound): Rescaling {
  const size = box.low.length;
  const [lows, highs] = [boundsOf(name, low, size), boundsOf(name, high, size)];
  const gradient = new Float64Array(size).fill(1);
  const intercept = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    const [below, above] = [box.boundedBelow[i] === 1, box.boundedAbove[i] === 1];
    if (below !== Number.isFinite(lows[i]) || above !== Number.isFinite(highs[i]))
      throw new GymError(
        'E_CONFIG',
        `${name}: element ${i} goes from ${below ? box.low[i] : '-inf'} to ${above ? box.high[i] : 'inf'}, the new bounds are ${lows[i]} and ${highs[i]}; infinite bounds must stay infinite, and finite ones finite.`,
      );
    if (!(lows[i]! < highs[i]!))
      throw new GymError('E_CONFIG', `${name}: the new bounds of element ${i}, ${lows[i]} and ${highs[i]}, must rise.`);
    if (below && above) gradient[i] = (highs[i]! - lows[i]!) / (box.high[i]! - box.low[i]!);
    if (below) intercept[i] = lows[i]! - gradient[i]! * box.low[i]!;
    else if (above) intercept[i] = highs[i]! - box.high[i]!;
  }
  const dtype: DType = box.dtype === 'float64' ? 'float64' : 'float32';
  const map = (type: DType, f: (value: number, i: number) => number) => (array: NdArray) => {
    const data = zeros(type, size);
    for (let i = 0; i < size; i++) data[i] = f(array.data[i]!, i);
    return { data, shape: box.shape };
  };
  return {
    space: new Box(lows, highs, box.shape, dtype),
    forward: map(dtype, (value, i) => gradient[i]! * value + intercept[i]!),
    backward: map(box.dtype, (value, i) => (value - intercept[i]!) / gradient[i]!),
  };
}

/**
 * The number of bins of each number of a Box.
 * @throws GymError E_SPACE when the Box has infinite bounds, E_CONFIG when `bins` are no such numbers.
 */
export function binsOf(name: string, box: Box<DType>, bins: number | readonly number[]): number[] {
  if (!box.isBounded()) throw new GymError('E_SPACE', `${name}: needs finite bounds, actual space ${box}.`);
  const counts = typeof bins === 'number' ? new Array<number>(box.low.length).fill(bins) : [...bins];
  if (counts.length !== box.low.length || !counts.every((n) => Number.isInteger(n) && n >= 1))
    throw new GymError(
      'E_CONFIG',
      `${name}: bins must be an integer of at least 1, or ${box.low.length} of them, actual value ${JSON.stringify(bins)}.`,
    );
  return counts;
}
