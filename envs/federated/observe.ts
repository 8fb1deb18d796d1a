import { clientStatus, type FederatedObservation, type FederatedSizes } from './spaces.js';

/** What a server knows of clients that have sent nothing. */
export function emptyObservation(sizes: FederatedSizes, globalParameters: Float32Array): FederatedObservation {
  const { clients: m, classes: c, features: d, parameters: p } = sizes;
  const floats = (...shape: number[]) => ({ data: new Float32Array(shape.reduce((a, b) => a * b, 1)), shape });
  const integers = (...shape: number[]) => ({ data: new Int32Array(shape.reduce((a, b) => a * b, 1)), shape });
  return {
    round: floats(1),
    available: { data: new Int8Array(m), shape: [m] },
    status: { data: new Int32Array(m).fill(clientStatus.absent), shape: [m] },
    latency: floats(m),
    numExamples: integers(m),
    counts: integers(m, c),
    prototypes: floats(m, c, d),
    trainLoss: floats(m),
    updateNorm: floats(m),
    updateCosine: floats(m, m),
    lastWeights: floats(m),
    parameters: floats(m, p),
    globalParameters: { data: globalParameters, shape: [p] },
  };
}

/** The same with arrays of its own. */
export function copied(observation: FederatedObservation): FederatedObservation {
  return Object.fromEntries(
    Object.entries(observation).map(([key, { data, shape }]) => [key, { data: data.slice(), shape: [...shape] }]),
  ) as unknown as FederatedObservation;
}

/** The length of a vector, in float32: not finite where that is too large for it. */
export function norm(vector: Float32Array): number {
  let sum = 0;
  for (const value of vector) sum += value * value;
  return Math.fround(Math.sqrt(sum));
}

/** [count, count] The cosines of some vectors by their numbers; 0 where one is missing or has no length. */
export function cosines(vectors: ReadonlyMap<number, Float32Array>, count: number): Float32Array {
  const cosine = new Float32Array(count * count);
  const lengths = new Map([...vectors].map(([m, vector]) => [m, norm(vector)]));
  for (const [a, x] of vectors)
    for (const [b, y] of vectors) {
      const product = lengths.get(a)! * lengths.get(b)!;
      if (b < a || product === 0) continue;
      let sum = 0;
      for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
      cosine[a * count + b] = Math.max(-1, Math.min(1, sum / product));
      cosine[b * count + a] = cosine[a * count + b]!;
    }
  return cosine;
}
