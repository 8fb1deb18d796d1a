import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import { Box } from '../spaces/box.js';
import { Dict } from '../spaces/dict.js';
import { MultiBinary } from '../spaces/multi-binary.js';
import { MultiDiscrete } from '../spaces/multi-discrete.js';
import { OneOf } from '../spaces/one-of.js';
import type { Space } from '../spaces/space.js';

// M clients, C classes, D features, P parameters of the network.

type Floats = NdArray<Float32Array>;
type Integers = NdArray<Int32Array>;

/** What became of a client in a round. */
export const clientStatus = { absent: 0, ok: 1, failed: 2 } as const;

/**
 * What the server knows between two rounds. Of a client that is not `ok` all numbers but its status and latency are 0;
 * no client has sent anything yet in an episode's first observation.
 */
export interface FederatedObservation {
  /** [1] The share of the rounds that are done, 0..1. */
  readonly round: Floats;
  /** [M] 1 for the clients that are there and can be asked to train. */
  readonly available: NdArray<Int8Array>;
  /** [M] {@link clientStatus}: absent (not there, or not asked), ok, failed (no answer, too late, or no finite numbers). */
  readonly status: Integers;
  /** [M] Seconds on the virtual clock until the client answered, or until it was given up. */
  readonly latency: Floats;
  /** [M] The examples that it trained on. */
  readonly numExamples: Integers;
  /** [M, C] How many of them are of each class. */
  readonly counts: Integers;
  /** [M, C, D] The mean feature of each class, by the client's network as it is after training; 0 where it has none. */
  readonly prototypes: Floats;
  /** [M] The mean loss of its last local epoch. */
  readonly trainLoss: Floats;
  /** [M] The length of its update, ‖θ_m − θ_g‖. */
  readonly updateNorm: Floats;
  /** [M, M] The cosines of the clients' updates. */
  readonly updateCosine: Floats;
  /** [M] The share that each client had in the model that was sent out; 0 for all where that was no weighted mean. */
  readonly lastWeights: Floats;
  /** [M, P] The weights of the clients' networks; P is 0 where the environment does not show them. */
  readonly parameters: Floats;
  /** [P] The weights that they started from. */
  readonly globalParameters: Floats;
}

/**
 * What the server does between two rounds: it makes the next model, and says who trains it next, and how. Everything
 * that a strategy needs on the clients is said here, and kept by the environment.
 */
export interface FederatedAction {
  /**
   * [0, weights of the clients [M], at least 0]: the new model is the clients' mean with these weights, which are divided
   * by their sum over the clients that are ok. Where that is 0, the model stays as it is. Or [1, parameters [P]]: these are
   * the new model.
   */
  readonly aggregation: readonly [0, Floats] | readonly [1, Floats];
  /** [M] 1 for the clients that are to train next; those that are not available do not. */
  readonly nextClients: NdArray;
  /** [C, M, D] Cluster prototypes of each class, at most one a client. */
  readonly clusterPrototypes: Floats;
  /** [C, M] 1 where there is one. */
  readonly clusterMask: NdArray;
  /** [C, D] The prototype of each class that features are pulled to: the unbiased one in FPL. */
  readonly unbiasedPrototypes: Floats;
  /** [C] 1 where there is one. */
  readonly unbiasedMask: NdArray;
  /** [10] The numbers of {@link LocalTraining}, in the order of {@link localTraining}. */
  readonly local: Floats;
}

interface LocalNumber {
  readonly default: number;
  readonly low: number;
  readonly high: number;
}

/** How clients train: for each number, what it is when nothing is said, and its range. In the order of an action. */
export const localTraining = {
  /** Times the environment's learning rate. */
  learningRate: { default: 1, low: 0, high: 10 },
  /** Times the environment's number of local epochs; rounded, at least one. */
  epochs: { default: 1, low: 0, high: 10 },
  /** Weight of the cross-entropy. */
  crossEntropy: { default: 1, low: 0, high: 10 },
  /** Weight of the contrast of cluster prototypes (λ_CPCL). */
  contrastive: { default: 0, low: 0, high: 10 },
  /** Its temperature τ. */
  temperature: { default: 0.1, low: 0.001, high: 10 },
  /** Weight of the pull to the unbiased prototypes (λ_UPCR). */
  consistency: { default: 0, low: 0, high: 10 },
  /** FedProx's μ: the term is μ/2 ‖θ − θ_g‖². */
  proximal: { default: 0, low: 0, high: 10 },
  /** MOON's μ. */
  modelContrastive: { default: 0, low: 0, high: 10 },
  /** MOON's temperature. */
  modelTemperature: { default: 0.5, low: 0.001, high: 10 },
  /** FedDyn's α: the terms are −⟨h, θ⟩ + α/2 ‖θ − θ_g‖², and then h becomes h − α(θ − θ_g). */
  dynamic: { default: 0, low: 0, high: 10 },
} as const satisfies Record<string, LocalNumber>;

/** How clients train, by name. */
export type LocalTraining = Readonly<Record<keyof typeof localTraining, number>>;

const localNumbers = Object.entries(localTraining) as [keyof LocalTraining, LocalNumber][];

/** The numbers of an action's `local`, by name. */
export function localTrainingOf({ data }: NdArray): LocalTraining {
  return Object.fromEntries(localNumbers.map(([name], i) => [name, data[i]!])) as LocalTraining;
}

export interface FederatedSizes {
  readonly clients: number;
  readonly classes: number;
  readonly features: number;
  readonly parameters: number;
}

const infinity = Number.POSITIVE_INFINITY;
const mostExamples = 2 ** 31 - 1;

export function observationSpace(sizes: FederatedSizes): Space<FederatedObservation> {
  const { clients: m, classes: c, features: d, parameters: p } = sizes;
  return new Dict({
    round: new Box(0, 1, [1]),
    available: new MultiBinary(m) as unknown as Space<NdArray<Int8Array>>,
    status: new MultiDiscrete(new Array<number>(m).fill(3)),
    latency: new Box(0, infinity, [m]),
    numExamples: new Box(0, mostExamples, [m], 'int32'),
    counts: new Box(0, mostExamples, [m, c], 'int32'),
    prototypes: new Box(-infinity, infinity, [m, c, d]),
    trainLoss: new Box(-infinity, infinity, [m]),
    updateNorm: new Box(0, infinity, [m]),
    updateCosine: new Box(-1, 1, [m, m]),
    lastWeights: new Box(0, 1, [m]),
    parameters: new Box(-infinity, infinity, [m, p]),
    globalParameters: new Box(-infinity, infinity, [p]),
  });
}

export function actionSpace(sizes: FederatedSizes): Space<FederatedAction> {
  const { clients: m, classes: c, features: d, parameters: p } = sizes;
  const bounds = (side: 'low' | 'high') => localNumbers.map(([, number]) => number[side]);
  return new Dict({
    aggregation: new OneOf([new Box(0, infinity, [m]), new Box(-infinity, infinity, [p])]),
    nextClients: new MultiBinary(m),
    clusterPrototypes: new Box(-infinity, infinity, [c, m, d]),
    clusterMask: new MultiBinary([c, m]),
    unbiasedPrototypes: new Box(-infinity, infinity, [c, d]),
    unbiasedMask: new MultiBinary(c),
    local: new Box(bounds('low'), bounds('high'), [localNumbers.length]),
  }) as unknown as Space<FederatedAction>;
}

/** An action as a strategy thinks of it: what is left out is what plain federated averaging does. */
export interface FederatedDecision {
  /** [M] Weights of the clients, or… Default: none, and the model stays as it is. */
  readonly clientWeights?: ArrayLike<number> | undefined;
  /** [P] …the new model itself. */
  readonly parameters?: Float32Array | undefined;
  /** [M] Who trains next. Default: all that are available. */
  readonly nextClients?: ArrayLike<number> | undefined;
  /** For each class its cluster prototypes. Default: none. */
  readonly clusters?: readonly (readonly Float32Array[])[] | undefined;
  /** For each class the prototype that features are pulled to, if any. Default: none. */
  readonly unbiased?: readonly (Float32Array | undefined)[] | undefined;
  /** Default: those of {@link localTraining}. */
  readonly local?: Partial<LocalTraining> | undefined;
}

/** The action that a decision stands for. @throws GymError E_VALUE on more clusters of a class than there are clients. */
export function federatedAction(observation: FederatedObservation, decision: FederatedDecision): FederatedAction {
  const [m, c, d] = observation.prototypes.shape as [number, number, number];
  const { clientWeights = [], parameters, nextClients = observation.available.data, local = {} } = decision;
  const clusterPrototypes = new Float32Array(c * m * d);
  const clusterMask = new Int8Array(c * m);
  decision.clusters?.forEach((list, k) => {
    if (list.length > m)
      throw new GymError(
        'E_VALUE',
        `federatedAction: class ${k} has ${list.length} cluster prototypes; at most one a client (${m}) can be sent.`,
      );
    list.forEach((vector, j) => {
      clusterPrototypes.set(vector, (k * m + j) * d);
      clusterMask[k * m + j] = 1;
    });
  });
  const unbiasedPrototypes = new Float32Array(c * d);
  const unbiasedMask = new Int8Array(c);
  decision.unbiased?.forEach((vector, k) => {
    if (vector === undefined) return;
    unbiasedPrototypes.set(vector, k * d);
    unbiasedMask[k] = 1;
  });
  const weights = Float32Array.from({ length: m }, (_, i) => clientWeights[i] ?? 0);
  return {
    aggregation: parameters
      ? [1, { data: parameters, shape: [parameters.length] }]
      : [0, { data: weights, shape: [m] }],
    nextClients: { data: Int8Array.from(nextClients), shape: [m] },
    clusterPrototypes: { data: clusterPrototypes, shape: [c, m, d] },
    clusterMask: { data: clusterMask, shape: [c, m] },
    unbiasedPrototypes: { data: unbiasedPrototypes, shape: [c, d] },
    unbiasedMask: { data: unbiasedMask, shape: [c] },
    local: {
      data: Float32Array.from(localNumbers, ([name, number]) => local[name] ?? number.default),
      shape: [localNumbers.length],
    },
  };
}

/** The clients whose answer has come and is good, by their numbers. */
export function answered({ status }: FederatedObservation): number[] {
  return Array.from(status.data.keys()).filter((m) => status.data[m] === clientStatus.ok);
}

/** The prototypes of a class, one of each client that has it, in the clients' order. */
export function prototypesOf({ prototypes, counts }: FederatedObservation, k: number): Float32Array[] {
  const [m, c, d] = prototypes.shape as [number, number, number];
  return Array.from({ length: m }, (_, client) => client * c + k)
    .filter((i) => counts.data[i]! > 0)
    .map((i) => prototypes.data.subarray(i * d, (i + 1) * d));
}

/** The weights of a client's network. @throws GymError E_CONFIG where the environment does not show them. */
export function parametersOf({ parameters }: FederatedObservation, client: number): Float32Array {
  const p = parameters.shape[1]!;
  if (p === 0)
    throw new GymError(
      'E_CONFIG',
      'this strategy looks at the weights of the clients, which the environment does not show; set its option showParameters to true.',
    );
  return parameters.data.subarray(client * p, (client + 1) * p);
}
