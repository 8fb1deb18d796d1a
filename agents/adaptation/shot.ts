import * as z from 'zod';
import type { NdArray } from '../../core/ndarray.js';
import { argmaxRows, oneHot } from '../../envs/adaptation/rules.js';
import { type AdaptationAction, type AdaptationObservation, coefficients } from '../../envs/adaptation/spaces.js';
import { defineAgent } from '../define.js';
import { adaptationMetrics } from './metrics.js';
import { AdaptationRule, allNegatives, sameWeights } from './rule.js';

const schema = z.strictObject({
  labelWeight: z.number().min(0).max(1).describe('β, the weight of the cross-entropy with the labels of the centroids'),
  entropy: z.number().min(0).max(10).describe('weight of the mean entropy of predictions'),
  diversity: z
    .number()
    .min(0)
    .max(10)
    .describe('weight of the diversity of predictions, on each of the two kinds of views'),
});

/** Rows with a 1 at their end, of length 1: what the paper's released code compares. */
function augmented({ data, shape }: NdArray<Float32Array>): NdArray<Float32Array> {
  const [rows, columns] = shape as [number, number];
  const out = new Float32Array(rows * (columns + 1));
  for (let i = 0; i < rows; i++) {
    const row = out.subarray(i * (columns + 1), (i + 1) * (columns + 1));
    row.set(data.subarray(i * columns, (i + 1) * columns));
    row[columns] = 1;
    const length = Math.hypot(...row);
    for (let d = 0; d <= columns; d++) row[d]! /= length;
  }
  return { data: out, shape: [rows, columns + 1] };
}

/** Weighted means of features, a row for each class: Σ_i w_ic f_i / Σ_i w_ic. */
function centroids(features: NdArray<Float32Array>, weights: NdArray<Float32Array>): NdArray<Float32Array> {
  const [rows, columns] = features.shape as [number, number];
  const classes = weights.shape[1]!;
  const out = new Float32Array(classes * columns);
  for (let c = 0; c < classes; c++) {
    let total = 1e-8; // a class of which nothing is predicted has a centroid near 0, and attracts nothing
    for (let i = 0; i < rows; i++) {
      const weight = weights.data[i * classes + c]!;
      if (weight === 0) continue;
      total += weight;
      for (let d = 0; d < columns; d++) out[c * columns + d]! += weight * features.data[i * columns + d]!;
    }
    for (let d = 0; d < columns; d++) out[c * columns + d]! /= total;
  }
  return { data: out, shape: [classes, columns] };
}

/** The class of the centroid with the largest cosine, for each feature. */
function nearestCentroid(features: NdArray<Float32Array>, means: NdArray<Float32Array>): Int32Array {
  const [rows, columns] = features.shape as [number, number];
  const classes = means.shape[0]!;
  const lengths = Array.from({ length: classes }, (_, c) =>
    Math.max(1e-12, Math.hypot(...means.data.subarray(c * columns, (c + 1) * columns))),
  );
  const cosines = new Float32Array(rows * classes);
  for (let i = 0; i < rows; i++)
    for (let c = 0; c < classes; c++) {
      let product = 0;
      for (let d = 0; d < columns; d++) product += features.data[i * columns + d]! * means.data[c * columns + d]!;
      cosines[i * classes + c] = product / lengths[c]!;
    }
  return argmaxRows({ data: cosines, shape: [rows, classes] });
}

/**
 * SHOT's labels (its §3.2): centroids by soft predictions, labels by the nearest centroid, centroids of these labels once
 * more, and again the nearest.
 */
export function shotLabels({ featuresWeak, bankFeatures, bankProbs }: AdaptationObservation): Int32Array {
  const bank = augmented(bankFeatures);
  const soft = centroids(bank, bankProbs);
  const hard = centroids(bank, oneHot(nearestCentroid(bank, soft), bankProbs.shape[1]!));
  return nearestCentroid(augmented(featuresWeak), hard);
}

/** Information maximisation with labels by centroids; the head stays as the source left it. */
export const shot = defineAgent<AdaptationObservation, AdaptationAction, typeof schema>({
  name: 'shot',
  summary: 'certain and diverse predictions (information maximisation), labels by centroids, a frozen head',
  paper: 'Liang, Hu, Feng, Do We Really Need to Access the Source Data?, ICML 2020, https://arxiv.org/abs/2002.08546',
  metrics: adaptationMetrics,
  options: schema,
  // The diversity counts on weak and on strong views: half of the paper's weight on each.
  defaults: { network: { labelWeight: 0.1, entropy: 1, diversity: 0.5 } },
  make: ({ env, options: { labelWeight, entropy, diversity }, random }) =>
    new AdaptationRule('shot', env, random, (observation) => ({
      pseudoLabels: oneHot(shotLabels(observation), observation.probsWeak.shape[1]!),
      weights: sameWeights(observation, labelWeight),
      negativeMask: allNegatives(observation),
      coefficients: coefficients({ contrast: 0, diversity, entropy, head: 0 }),
    })),
});
