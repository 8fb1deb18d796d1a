import { unknownName } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import { Box } from '../spaces/box.js';
import { Dict } from '../spaces/dict.js';
import type { Space } from '../spaces/space.js';

/** What an agent sees before each update: a batch of unlabelled target samples, and what is known of the others. */
export interface AdaptationObservation {
  /** float32 [B, D]: the present network's features of the weak views, by the statistics of the batch. */
  readonly featuresWeak: NdArray<Float32Array>;
  /** float32 [B, C]: its probabilities for them. */
  readonly probsWeak: NdArray<Float32Array>;
  /** int32 [B]: which samples these are. */
  readonly index: NdArray<Int32Array>;
  /** float32 [M, D]: features of the whole target, the oldest of which each batch takes the place of. */
  readonly bankFeatures: NdArray<Float32Array>;
  /** float32 [M, C]: the probabilities that belong to them. */
  readonly bankProbs: NdArray<Float32Array>;
  /** int32 [K]: the samples whose keys are in the queue, the newest first; −1 where it is empty. */
  readonly queueIndex: NdArray<Int32Array>;
  /** int32 [K]: the label that each of these was given last; −1 where the queue is empty. */
  readonly queueLabels: NdArray<Int32Array>;
  /** int32 [B, T]: the labels of the batch's samples in the previous T epochs, the last epoch first; −1 for none. */
  readonly history: NdArray<Int32Array>;
  /** int32 [K, T]: the same for the samples in the queue. */
  readonly queueHistory: NdArray<Int32Array>;
  /** float32 [16]: how the adaptation goes, as {@link statNames} says. */
  readonly stats: NdArray<Float32Array>;
}

/** What the numbers of `stats` are. Entropies are shares of log C; those that are measured once an epoch stay until the next. */
export const statNames = [
  'epochFraction',
  'entropy',
  'bankEntropy',
  'confidence',
  'neighbourAgreement',
  'labelsChanged',
  'batchMeanEntropy',
  'classificationLoss',
  'contrastiveLoss',
  'diversityLoss',
  'gradNorm',
  'meanWeight',
  'excludedNegatives',
  'learningRate',
  'informationScore',
  'informationGain',
] as const;

export type Stats = Record<(typeof statNames)[number], number>;

/** What an agent decides for a batch. */
export interface AdaptationAction {
  /**
   * float32 [B, C]: the label of each sample, hard (one 1) or soft (probabilities; rows are divided by their sum). A row of
   * zeros gives its sample no label, and its weight is then 0.
   */
  readonly pseudoLabels: NdArray<Float32Array>;
  /** float32 [B], 0..1: how much each label counts. */
  readonly weights: NdArray<Float32Array>;
  /** uint8 [B, K]: 1 where a sample of the queue is kept as a negative of a sample of the batch. */
  readonly negativeMask: NdArray<Uint8Array>;
  /** float32 [6]: the weights of the losses, as {@link coefficients} makes them. */
  readonly coefficients: NdArray<Float32Array>;
}

/** How the losses of one update are weighted. */
export interface Coefficients {
  /** Of the contrastive loss, 0..10. At 0 neither keys nor the queue are computed. */
  readonly contrast: number;
  /** Of the diversity of the predictions, 0..10, which counts on weak and on strong views. */
  readonly diversity: number;
  /** The share of negative learning in the classification loss, 0..1; the rest is cross-entropy. */
  readonly negative: number;
  /** Of the mean entropy of the predictions on strong views, 0..10: information maximisation. */
  readonly entropy: number;
  /** By what the learning rate is multiplied, 0..10. At 0 only the statistics of batch normalisation follow the target. */
  readonly learningRate: number;
  /** 1: the head learns too. 0: it stays as it is. */
  readonly head: number;
}

/** The coefficients of an action that says nothing of them, and their order. */
const defaultCoefficients: Coefficients = {
  contrast: 0.2,
  diversity: 1,
  negative: 0,
  entropy: 0,
  learningRate: 1,
  head: 1,
};

const coefficientNames = Object.keys(defaultCoefficients) as (keyof Coefficients)[];
const highest: Coefficients = { contrast: 10, diversity: 10, negative: 1, entropy: 10, learningRate: 10, head: 1 };

/** The part `coefficients` of an action. @throws GymError E_NAME on an unknown name. */
export function coefficients(given: Partial<Coefficients> = {}): NdArray<Float32Array> {
  for (const name of Object.keys(given))
    if (!Object.hasOwn(defaultCoefficients, name)) throw unknownName('coefficients', 'loss', name, coefficientNames);
  const all = { ...defaultCoefficients, ...given };
  return {
    data: Float32Array.from(coefficientNames, (name) => all[name]),
    shape: [coefficientNames.length],
  };
}

/** The inverse of {@link coefficients}. */
export function readCoefficients({ data }: NdArray<Float32Array>): Coefficients {
  return Object.fromEntries(coefficientNames.map((name, i) => [name, data[i]!])) as unknown as Coefficients;
}

/** The sizes that the spaces follow from. */
export interface AdaptationSizes {
  readonly batch: number;
  readonly features: number;
  readonly classes: number;
  readonly bank: number;
  readonly queue: number;
  readonly history: number;
}

/** The space of the observations. */
export function observationSpaceOf(sizes: AdaptationSizes): Space<AdaptationObservation> {
  const { batch: B, features: D, classes: C, bank: M, queue: K, history: T } = sizes;
  const [low, high] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const labels = (shape: number[]) => new Box(-1, C - 1, shape, 'int32');
  return new Dict({
    featuresWeak: new Box(low, high, [B, D]),
    probsWeak: new Box(0, 1, [B, C]),
    index: new Box(0, M - 1, [B], 'int32'),
    bankFeatures: new Box(low, high, [M, D]),
    bankProbs: new Box(0, 1, [M, C]),
    queueIndex: new Box(-1, M - 1, [K], 'int32'),
    queueLabels: labels([K]),
    history: labels([B, T]),
    queueHistory: labels([K, T]),
    stats: new Box(low, high, [statNames.length]),
  }) as unknown as Space<AdaptationObservation>;
}

/** The space of the actions. */
export function actionSpaceOf({ batch: B, classes: C, queue: K }: AdaptationSizes): Space<AdaptationAction> {
  const most = { data: Float32Array.from(coefficientNames, (name) => highest[name]), shape: [coefficientNames.length] };
  return new Dict({
    pseudoLabels: new Box(0, 1, [B, C]),
    weights: new Box(0, 1, [B]),
    negativeMask: new Box(0, 1, [B, K], 'uint8'),
    coefficients: new Box(0, most, most.shape),
  }) as unknown as Space<AdaptationAction>;
}
