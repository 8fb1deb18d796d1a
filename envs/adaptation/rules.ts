import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';

// The formulas by which rules decide and the environment measures, on the host: neighbours, uncertainty, exclusion.

type Floats = NdArray<Float32Array>;

/** The index of the largest value of each row of [N, C]; the first of equal ones. */
export function argmaxRows({ data, shape }: NdArray): Int32Array {
  const [rows, columns] = shape as [number, number];
  return Int32Array.from({ length: rows }, (_, i) => {
    let best = 0;
    for (let c = 1; c < columns; c++) if (data[i * columns + c]! > data[i * columns + best]!) best = c;
    return best;
  });
}

/** Labels as rows of probabilities: float32 [N, classes] with a 1 in each row. */
export function oneHot(labels: ArrayLike<number>, classes: number): Floats {
  const data = new Float32Array(labels.length * classes);
  for (let i = 0; i < labels.length; i++) data[i * classes + labels[i]!] = 1;
  return { data, shape: [labels.length, classes] };
}

function lengths({ data, shape }: Floats, rows: number): Float64Array {
  const columns = shape[1]!;
  return Float64Array.from({ length: rows }, (_, i) => {
    let sum = 0;
    for (let d = 0; d < columns; d++) sum += data[i * columns + d]! ** 2;
    // A row of zeros is at distance 1 from everything.
    return Math.max(Math.sqrt(sum), 1e-12);
  });
}

/**
 * The k rows of a bank that are nearest to each feature, by the distance 1 − cosine, the nearest first.
 * @param features [B, D]
 * @param bank [M, D], of which the first `count` rows are looked at
 * @returns [B, k]
 * @throws GymError E_VALUE where the bank has fewer than k rows.
 */
export function nearestNeighbours(
  features: Floats,
  bank: Floats,
  k: number,
  count = bank.shape[0]!,
): NdArray<Int32Array> {
  if (!(Number.isInteger(k) && k >= 1 && k <= count))
    throw new GymError(
      'E_VALUE',
      `neighbours: k is ${k}, and the bank has ${count} samples; k must be an integer from 1 to that.`,
    );
  const [rows, columns] = features.shape as [number, number];
  // In float64 and of length 1, so that the loops below, which are most of what a rule costs, convert and divide nothing.
  const keys = new Float64Array(bank.data.subarray(0, count * columns));
  lengths(bank, count).forEach((length, j) => {
    for (let d = 0; d < columns; d++) keys[j * columns + d]! /= length;
  });
  // Four features at a time, their numbers by turns: each number of the bank is then read once for all of them, and one
  // array has what it is multiplied by. Of features that are missing there are zeros.
  const query = new Float64Array(4 * columns);
  const found = new Int32Array(rows * k);
  const cosines = [0, 1, 2, 3].map(() => new Float64Array(count));
  const [first, second, third, fourth] = cosines as [Float64Array, Float64Array, Float64Array, Float64Array];
  for (let i = 0; i < rows; i += 4) {
    for (let n = 0; n < 4; n++)
      for (let d = 0; d < columns; d++) query[4 * d + n] = i + n < rows ? features.data[(i + n) * columns + d]! : 0;
    for (let j = 0, at = 0; j < count; j++) {
      let [p, q, r, s] = [0, 0, 0, 0];
      for (let n = 0; n < query.length; n += 4, at++) {
        const key = keys[at]!;
        p += query[n]! * key;
        q += query[n + 1]! * key;
        r += query[n + 2]! * key;
        s += query[n + 3]! * key;
      }
      first[j] = p;
      second[j] = q;
      third[j] = r;
      fourth[j] = s;
    }
    for (let n = 0; n < 4 && i + n < rows; n++) largest(cosines[n]!, found.subarray((i + n) * k, (i + n + 1) * k));
  }
  return { data: found, shape: [rows, k] };
}

/** Fills `found` with the places of the largest values, the largest first; of equal ones those that come first. */
function largest(values: Float64Array, found: Int32Array): void {
  let held = 0;
  for (let j = 0; j < values.length; j++) {
    const value = values[j]!;
    if (held === found.length && value <= values[found[held - 1]!]!) continue;
    // What is held is sorted: the new one takes its place, and the last falls out.
    let place = held < found.length ? held++ : held - 1;
    for (; place > 0 && values[found[place - 1]!]! < value; place--) found[place] = found[place - 1]!;
    found[place] = j;
  }
}

/**
 * The soft vote of neighbours: the mean of their probabilities.
 * @param neighbours [B, k], rows of the bank
 * @param probabilities [M, C]
 * @returns [B, C]
 */
export function vote({ data: neighbours, shape }: NdArray<Int32Array>, probabilities: Floats): Floats {
  const [rows, k] = shape as [number, number];
  const classes = probabilities.shape[1]!;
  const data = new Float32Array(rows * classes);
  for (let i = 0; i < rows; i++)
    for (let c = 0; c < classes; c++) {
      let sum = 0;
      for (let j = 0; j < k; j++) sum += probabilities.data[neighbours[i * k + j]! * classes + c]!;
      data[i * classes + c] = sum / k;
    }
  return { data, shape: [rows, classes] };
}

/**
 * The entropy of each row of probabilities over its largest possible value: Ĥ = −Σ p log₂(p + 1e-5) / log₂ C, from 0 for a
 * certain prediction to 1 for a uniform one, but for what the 1e-5 adds.
 * @param probabilities [N, C]
 */
export function normalizedEntropy({ data, shape }: Floats): Float64Array {
  const [rows, classes] = shape as [number, number];
  return Float64Array.from({ length: rows }, (_, i) => {
    let sum = 0;
    for (let c = 0; c < classes; c++) sum -= data[i * classes + c]! * Math.log2(data[i * classes + c]! + 1e-5);
    return sum / Math.log2(classes);
  });
}

/**
 * How far pseudo-labels are trusted: w = exp(−sharpness · Ĥ), from e^−sharpness to 1 (a certain one is above 1 by 1e-5).
 * @param probabilities [N, C], of which the labels are the largest
 * @param sharpness 1 in the paper; 0 trusts all alike
 */
export function uncertaintyWeights(probabilities: Floats, sharpness = 1): Float32Array {
  return Float32Array.from(normalizedEntropy(probabilities), (entropy) => Math.exp(-sharpness * entropy));
}

/**
 * Which negatives are kept: those whose pseudo-labels differed from the anchor's in all compared epochs. A label that was
 * never given (−1) matches nothing.
 * @param history [B, T], the anchors' labels in the previous epochs, in any order that is also that of `queueHistory`
 * @param queueHistory [K, T]
 * @param now the anchors' present labels [B] and the negatives' latest ones [K], to compare these too
 * @returns uint8 [B, K], 1 where a negative is kept
 */
export function keptNegatives(
  history: NdArray<Int32Array>,
  queueHistory: NdArray<Int32Array>,
  now?: { readonly labels: ArrayLike<number>; readonly queueLabels: ArrayLike<number> },
): NdArray<Uint8Array> {
  const [anchors, slots] = history.shape as [number, number];
  const negatives = queueHistory.shape[0]!;
  const data = new Uint8Array(anchors * negatives);
  for (let i = 0; i < anchors; i++)
    for (let j = 0; j < negatives; j++) {
      let differs = now === undefined || now.labels[i] !== now.queueLabels[j] || now.labels[i] === -1;
      for (let t = 0; differs && t < slots; t++) {
        const label = history.data[i * slots + t]!;
        differs = label === -1 || label !== queueHistory.data[j * slots + t];
      }
      data[i * negatives + j] = Number(differs);
    }
  return { data, shape: [anchors, negatives] };
}

/** The first columns of each row: [N, T] to [N, columns]. */
export function firstColumns({ data, shape }: NdArray<Int32Array>, columns: number): NdArray<Int32Array> {
  const [rows, all] = shape as [number, number];
  if (columns >= all) return { data, shape };
  const kept = Int32Array.from(
    { length: rows * columns },
    (_, i) => data[Math.floor(i / columns) * all + (i % columns)]!,
  );
  return { data: kept, shape: [rows, columns] };
}

/** The most likely class of each label, −1 where there is none. */
export function labelsOf(pseudoLabels: Floats): Int32Array {
  const classes = pseudoLabels.shape[1]!;
  return argmaxRows(pseudoLabels).map((c, i) => (pseudoLabels.data[i * classes + c]! > 0 ? c : -1));
}

/** Rows divided by their sums; rows of zeros stay. */
export function normalizedRows({ data, shape }: Floats): Float32Array {
  const classes = shape[1]!;
  const sums = Float64Array.from({ length: shape[0]! }, (_, i) =>
    data.subarray(i * classes, (i + 1) * classes).reduce((a, b) => a + b, 0),
  );
  return data.map((value, i) => value / (sums[Math.floor(i / classes)]! || 1));
}
