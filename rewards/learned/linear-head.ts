import { GymError } from '../../core/errors.js';
import type { StoredTensors } from '../../networks/weights.js';

/** A function of features that is a weighted sum: `weights · features + bias`. */
export interface LinearHead {
  readonly weights: Float64Array;
  readonly bias: number;
}

/**
 * Linear layers that follow each other with nothing between, as the one linear function that they are. Both the aesthetic
 * predictor and ImageReward end in five such layers, 768 → 1024 → 128 → 64 → 16 → 1.
 * @param state `layers.N.weight` [out, in] and `layers.N.bias` [out], or `weight` and `bias` of a single layer
 * @param inputs the number of features
 * @throws GymError E_FILE where a tensor is missing, or their shapes do not follow from each other
 */
export function linearHead(where: string, state: StoredTensors, inputs: number): LinearHead {
  const keys = [...state.keys()].filter((key) => /(^|\.)weight$/.test(key));
  const number = (key: string) => Number(/(\d+)\.weight$/.exec(key)?.[1] ?? 0);
  keys.sort((a, b) => number(a) - number(b));
  // From the last layer to the first: what the end is worth for each of the values before.
  let weights: Float64Array = Float64Array.of(1);
  let bias = 0;
  for (const key of keys.toReversed()) {
    const [weight, offset] = [state.get(key)!, state.get(key.replace(/weight$/, 'bias'))];
    const [outputs, before] = weight.shape as [number, number];
    if (weight.shape.length !== 2 || outputs !== weights.length || offset?.data.length !== outputs)
      throw new GymError(
        'E_FILE',
        `${where}: \`${key}\` has shape [${weight.shape}], but what follows takes ${weights.length} values; these are no linear layers that follow each other, each with its bias.`,
      );
    const earlier = new Float64Array(before);
    for (let o = 0; o < outputs; o++) {
      bias += weights[o]! * offset.data[o]!;
      for (let i = 0; i < before; i++) earlier[i]! += weights[o]! * weight.data[o * before + i]!;
    }
    weights = earlier;
  }
  if (keys.length === 0 || weights.length !== inputs)
    throw new GymError(
      'E_FILE',
      `${where}: the head takes ${keys.length === 0 ? 'nothing: it has no weights' : `${weights.length} features`}, but the network gives ${inputs}; take the network that it was trained on.`,
    );
  return { weights, bias };
}

/** The value of a head at features [inputs]. */
export function headValue({ weights, bias }: LinearHead, features: ArrayLike<number>): number {
  let sum = bias;
  for (let i = 0; i < weights.length; i++) sum += weights[i]! * features[i]!;
  return sum;
}
