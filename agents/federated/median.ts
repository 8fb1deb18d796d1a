import { answered, parametersOf } from '../../envs/federated/spaces.js';
import { defineStrategy } from './strategy.js';

/** The median of each coordinate; the mean of the two in the middle where the number is even. */
export function coordinateMedian(vectors: readonly Float32Array[]): Float32Array {
  const values = new Float64Array(vectors.length);
  const [low, high] = [Math.floor((values.length - 1) / 2), Math.floor(values.length / 2)];
  return vectors[0]!.map((_, i) => {
    for (let m = 0; m < values.length; m++) values[m] = vectors[m]![i]!;
    values.sort();
    return (values[low]! + values[high]!) / 2;
  });
}

/** The next model is the median of the clients', coordinate by coordinate. */
export const median = defineStrategy({
  name: 'median',
  aliases: ['fedmedian'],
  summary: 'the median of each weight; robust against fewer than half of the clients',
  paper: 'Byzantine-Robust Distributed Learning, Yin et al. 2018, https://arxiv.org/abs/1803.01498',
  options: {},
  defaults: {},
  make: () => ({
    aggregateTrain: (observation) => {
      const answers = answered(observation).map((m) => parametersOf(observation, m));
      return answers.length === 0 ? {} : { parameters: coordinateMedian(answers) };
    },
  }),
});
