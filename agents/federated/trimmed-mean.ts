import * as z from 'zod';
import { answered, parametersOf } from '../../envs/federated/spaces.js';
import { defineStrategy } from './strategy.js';

/** The mean of each coordinate without the ⌊βn⌋ largest and the ⌊βn⌋ smallest values. */
export function trimmedMean(vectors: readonly Float32Array[], beta: number): Float32Array {
  const cut = Math.floor(beta * vectors.length);
  const kept = vectors.length - 2 * cut;
  const values = new Float64Array(vectors.length);
  return vectors[0]!.map((_, i) => {
    for (let m = 0; m < values.length; m++) values[m] = vectors[m]![i]!;
    values.sort();
    let sum = 0;
    for (let m = cut; m < cut + kept; m++) sum += values[m]!;
    return sum / kept;
  });
}

/** The next model is the mean of the clients' without the extremes, coordinate by coordinate. */
export const trimmedMeanAgent = defineStrategy({
  name: 'trimmed-mean',
  aliases: ['fedtrimmedavg'],
  summary: 'the mean of each weight without the extremes; robust against a few clients that lie',
  paper: 'Byzantine-Robust Distributed Learning, Yin et al. 2018, https://arxiv.org/abs/1803.01498',
  options: { beta: z.number().min(0).lt(0.5).describe('the share that is cut off at either end') },
  defaults: { beta: 0.2 },
  make: ({ beta }) => ({
    aggregateTrain: (observation) => {
      const answers = answered(observation).map((m) => parametersOf(observation, m));
      return answers.length === 0 ? {} : { parameters: trimmedMean(answers, beta) };
    },
  }),
});
