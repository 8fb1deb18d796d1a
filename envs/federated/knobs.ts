import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import { shown } from '../../core/shown.js';
import { mean, standardDeviation } from '../../core/statistics.js';
import type { Awaitable } from '../../core/types.js';
import type { Env, ResetOptions, ResetResult, StepResult } from '../env.js';
import { Box } from '../spaces/box.js';
import { after, Wrapper } from '../wrappers/wrapper.js';
import { proportions, weightedSum } from './averages.js';
import { classClusters, meanOf } from './prototypes.js';
import {
  answered,
  type FederatedAction,
  type FederatedObservation,
  federatedAction,
  localTraining,
  parametersOf,
} from './spaces.js';

type Floats = NdArray<Float32Array>;

/** The seven knobs of federated prototype learning and their ranges; a knob of −1 is the lowest value, of 1 the highest. */
export const federatedKnobs = {
  /** Which of FINCH's partitions, from the finest to the coarsest. */
  level: { low: 0, high: 1 },
  contrastive: { low: 0, high: 2 },
  consistency: { low: 0, high: 2 },
  /** The logarithm of the temperature. */
  logTemperature: { low: Math.log(0.02), high: 0 },
  /** a: a client's weight is its number of examples to this power. 1 is FedAvg, 0 is all alike. */
  exponent: { low: -0.5, high: 1.5 },
  /** b: it is divided by the size of its clusters to this power, so that rare domains count more. */
  balance: { low: 0, high: 1 },
  /** How far the model goes to the mean of the clients'. */
  serverLearningRate: { low: 0.3, high: 1.2 },
} as const;

type Knobs = Readonly<Record<keyof typeof federatedKnobs, number>>;
const ranges = Object.entries(federatedKnobs) as [keyof Knobs, { low: number; high: number }][];

/** The knobs [7] of −1..1 at which the environment is run as by the agent `fpl`. */
export const defaultFederatedKnobs: Floats = knobsOf({
  level: 1,
  contrastive: 1,
  consistency: 1,
  logTemperature: Math.log(localTraining.temperature.default),
  exponent: 1,
  balance: 0,
  serverLearningRate: 1,
});

/** The action [7], −1..1, that stands for these values. */
export function knobsOf(values: Knobs): Floats {
  const data = Float32Array.from(ranges, ([name, { low, high }]) => (2 * (values[name] - low)) / (high - low) - 1);
  return { data, shape: [ranges.length] };
}

/** The rule behind the knobs: federated prototype learning with these settings in this round. */
export function federatedPrototypeRule(observation: FederatedObservation, { data }: Floats): FederatedAction {
  const values = Object.fromEntries(
    ranges.map(([name, { low, high }], i) => [name, low + ((data[i]! + 1) / 2) * (high - low)]),
  ) as unknown as Knobs;
  const clusters = classClusters(observation, { share: values.level });
  const weights = clientWeights(observation, clusters, values);
  const local = {
    contrastive: values.contrastive,
    consistency: values.consistency,
    temperature: Math.exp(values.logTemperature),
  };
  const configured = {
    clusters: clusters.map(({ means }) => means),
    unbiased: clusters.map(({ means }) => meanOf(means)),
    local,
  };
  const ok = answered(observation);
  // A float32 knob says 1 to seven digits.
  if (ok.length === 0 || Math.abs(values.serverLearningRate - 1) < 1e-6)
    return federatedAction(observation, { ...configured, clientWeights: weights });
  const average = weightedSum(
    ok.map((m) => parametersOf(observation, m)),
    ok.map((m) => weights[m]!),
  );
  const { data: start } = observation.globalParameters;
  const parameters = average.map((value, i) => start[i]! + values.serverLearningRate * (value - start[i]!));
  return federatedAction(observation, { ...configured, parameters });
}

/** [M] In proportion to n_m^a · |cluster(m)|^−b, the latter the mean size of the clusters that its prototypes are in. */
function clientWeights(
  observation: FederatedObservation,
  clusters: ReturnType<typeof classClusters>,
  { exponent, balance }: Knobs,
): Float64Array {
  const [clients, classes] = observation.counts.shape as [number, number];
  const sizes = Array.from({ length: clients }, () => [] as number[]);
  clusters.forEach(({ labels }, k) => {
    const owners = [...sizes.keys()].filter((m) => observation.counts.data[m * classes + k]! > 0);
    owners.forEach((m, i) => {
      sizes[m]!.push(labels.filter((label) => label === labels[i]).length);
    });
  });
  const weights = new Float64Array(clients);
  for (const m of answered(observation))
    weights[m] =
      observation.numExamples.data[m]! ** exponent * (sizes[m]!.length > 0 ? mean(sizes[m]!) : 1) ** -balance;
  return proportions(weights);
}

/**
 * Federated learning as a small problem of continuous control: an action is seven knobs in −1..1
 * ({@link federatedKnobs}), which a rule turns into what the server does; an observation is eight numbers. So PPO and
 * REINFORCE learn on it.
 *
 * Observed are the share of rounds done, the share of clients that answered, the mean and the deviation of their losses, the
 * mean of the logarithm of 1 + the length of their updates, the mean cosine of two updates, the deviation of the clients'
 * shares of the examples, and the mean number of clusters of a class at the coarsest level.
 */
export class FederatedKnobs extends Wrapper<Floats, Floats, FederatedObservation, FederatedAction> {
  readonly observationSpace = new Box(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, [8]);
  readonly actionSpace = new Box(-1, 1, [ranges.length]);
  readonly #rule: (observation: FederatedObservation, knobs: Floats) => FederatedAction;
  #seen: FederatedObservation | undefined;

  constructor(
    env: Env<FederatedObservation, FederatedAction>,
    rule: (observation: FederatedObservation, knobs: Floats) => FederatedAction = federatedPrototypeRule,
  ) {
    super(env);
    this.#rule = rule;
  }

  reset(options?: ResetOptions): Awaitable<ResetResult<Floats>> {
    return after(this.env.reset(options), (result) => this.restored(result));
  }

  /** @throws GymError E_VALUE on knobs that are no numbers in −1..1, E_STATE before a reset. */
  step(knobs: Floats): Awaitable<StepResult<Floats>> {
    if (this.#seen === undefined)
      throw new GymError('E_STATE', 'FederatedKnobs.step: no episode has begun; call reset first.');
    if (!this.actionSpace.contains(knobs))
      throw new GymError(
        'E_VALUE',
        `FederatedKnobs.step: the action must be of ${this.actionSpace}, actual value ${shown(knobs)}.`,
      );
    return after(this.env.step(this.#rule(this.#seen, knobs)), (result) => ({
      ...result,
      ...this.restored(result),
    }));
  }

  protected restored({ observation, info }: ResetResult<FederatedObservation>): ResetResult<Floats> {
    this.#seen = observation;
    return { observation: summaryOf(observation), info };
  }
}

function summaryOf(observation: FederatedObservation): Floats {
  const ok = answered(observation);
  const { round, trainLoss, updateNorm, updateCosine, numExamples } = observation;
  const clients = observation.status.data.length;
  const losses = ok.map((m) => trainLoss.data[m]!);
  const cosines = ok.flatMap((a) => ok.filter((b) => b > a).map((b) => updateCosine.data[a * clients + b]!));
  const shares = proportions(ok.map((m) => numExamples.data[m]!));
  const clusters = classClusters(observation, { share: 1 }).map(({ means }) => means.length);
  const meanOr0 = (values: ArrayLike<number>) => (values.length === 0 ? 0 : mean(values));
  const data = Float32Array.of(
    round.data[0]!,
    ok.length / clients,
    meanOr0(losses),
    losses.length === 0 ? 0 : standardDeviation(losses),
    meanOr0(ok.map((m) => Math.log1p(updateNorm.data[m]!))),
    meanOr0(cosines),
    shares.length === 0 ? 0 : standardDeviation(shares),
    meanOr0(clusters),
  );
  return { data, shape: [data.length] };
}
