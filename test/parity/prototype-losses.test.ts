import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { proportions, weightedSum } from '../../envs/federated/averages.js';
import { consistencyLoss, contrastiveLoss, modelContrastiveLoss, proximalLoss } from '../../envs/federated/losses.js';
import { largestError, readFixture, startBackend } from './fixtures.js';

interface Case {
  temperature: number;
  features: number[][];
  labels: number[];
  clusterPrototypes: number[][][];
  unbiased: (number[] | null)[];
  cpcl: number;
  cpclGrad: number[][];
  upcrSum: number;
  upcrMean: number;
  upcrSumGrad: number[][];
}

const fixture = await readFixture<{
  cases: Case[];
  fedProx: { mu: number; weights: number[]; globalWeights: number[]; value: number; grad: number[] };
  moon: {
    temperature: number;
    features: number[][];
    globalFeatures: number[][];
    previousFeatures: number[][];
    value: number;
    grad: number[][];
  };
  fedAvg: { numExamples: number[]; clientWeights: number[][]; average: number[] };
}>('prototype_losses.json');
await startBackend();

/** A loss and its gradient at a point. */
async function at(loss: (x: tf.Tensor2D) => tf.Scalar, x: number[][]) {
  const point = tf.tensor2d(x);
  const { value, grad } = tf.valueAndGrad((t: tf.Tensor) => loss(t as tf.Tensor2D))(point);
  return { value: (await value.data())[0]!, gradient: await grad.data() };
}

function near(actual: ArrayLike<number>, expected: number[]): void {
  expect(largestError(actual, expected)).toBeLessThan(1e-5);
}

describe.each(fixture.cases)('prototype losses at temperature $temperature', (given) => {
  const labels = tf.tensor1d(given.labels, 'int32');
  const dimensions = given.features[0]!.length;
  const prototypes = {
    vectors: tf.tensor2d(given.clusterPrototypes.flat()),
    classes: tf.tensor1d(
      given.clusterPrototypes.flatMap((list, k) => list.map(() => k)),
      'int32',
    ),
  };
  const unbiased = {
    vectors: tf.tensor2d(given.unbiased.map((vector) => vector ?? new Array<number>(dimensions).fill(1e3))),
    present: tf.tensor1d(given.unbiased.map((vector) => (vector ? 1 : 0))),
  };

  it('contrasts cluster prototypes', async () => {
    const { value, gradient } = await at(
      (x) => contrastiveLoss(x, labels, prototypes, given.temperature),
      given.features,
    );
    near([value], [given.cpcl]);
    near(gradient, given.cpclGrad.flat());
  });

  it('pulls to unbiased prototypes', async () => {
    const { value, gradient } = await at((x) => consistencyLoss(x, labels, unbiased, 'sum'), given.features);
    near([value], [given.upcrSum]);
    near(gradient, given.upcrSumGrad.flat());
    const mean = await at((x) => consistencyLoss(x, labels, unbiased, 'mean'), given.features);
    near([mean.value], [given.upcrMean]);
  });
});

describe('the losses of the rivals', () => {
  it("has FedProx's proximal term", async () => {
    const { mu, weights, globalWeights, value, grad } = fixture.fedProx;
    const anchor = [tf.tensor2d([globalWeights])];
    const found = await at((x) => proximalLoss([x], anchor).mul(mu), [weights]);
    near([found.value], [value]);
    near(found.gradient, grad);
  });

  it("has MOON's contrast of models", async () => {
    const { temperature, features, globalFeatures, previousFeatures, value, grad } = fixture.moon;
    const [globals, previous] = [tf.tensor2d(globalFeatures), tf.tensor2d(previousFeatures)];
    const found = await at((x) => modelContrastiveLoss(x, globals, previous, temperature), features);
    near([found.value], [value]);
    near(found.gradient, grad.flat());
  });

  it('averages by numbers of examples', () => {
    const { numExamples, clientWeights, average } = fixture.fedAvg;
    near(
      weightedSum(
        clientWeights.map((w) => Float32Array.from(w)),
        proportions(numExamples),
      ),
      average,
    );
  });
});
