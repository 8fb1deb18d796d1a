import { GymError } from '../../core/errors.js';
import { mean } from '../../core/statistics.js';
import type { Awaitable } from '../../core/types.js';
import type { Env, ResetOptions, ResetResult, StepResult } from '../env.js';
import type { Box } from '../spaces/box.js';
import type { Dict } from '../spaces/dict.js';
import type { Space } from '../spaces/space.js';
import { after, Wrapper } from '../wrappers/wrapper.js';
import { proportions, weightedSum } from './averages.js';
import { emptyObservation, norm } from './observe.js';
import {
  actionSpace,
  answered,
  clientStatus,
  type FederatedAction,
  type FederatedObservation,
  type FederatedSizes,
  observationSpace,
  parametersOf,
  prototypesOf,
} from './spaces.js';

/**
 * Masked observations: as under secure aggregation, the server sees nothing of a single client but sums over those that
 * have answered. It is shown one client in the place of all: their mean model and loss by their numbers of examples,
 * the mean of their prototypes by their counts, the sums of examples and counts, and the longest latency. What it sends
 * goes to all, and it can ask all of them to train, or none. Strategies that look at means alone run as they are.
 */
export class SumsOnly extends Wrapper<FederatedObservation, FederatedAction> {
  readonly observationSpace: Space<FederatedObservation>;
  readonly actionSpace: Space<FederatedAction>;
  #seen: FederatedObservation | undefined;

  constructor(env: Env<FederatedObservation, FederatedAction>) {
    super(env);
    const { spaces } = env.observationSpace as unknown as Dict<Record<string, Box>>;
    const [, classes, features] = spaces.prototypes!.shape as [number, number, number];
    const sizes: FederatedSizes = { clients: 1, classes, features, parameters: spaces.parameters!.shape[1]! };
    this.observationSpace = observationSpace(sizes);
    this.actionSpace = actionSpace(sizes);
  }

  reset(options?: ResetOptions): Awaitable<ResetResult<FederatedObservation>> {
    return after(this.env.reset(options), (result) => this.restored(result));
  }

  /** @throws GymError E_VALUE on an action that is none of the space, E_STATE before a reset. */
  step(action: FederatedAction): Awaitable<StepResult<FederatedObservation>> {
    if (this.#seen === undefined)
      throw new GymError('E_STATE', 'SumsOnly.step: no episode has begun; call reset first.');
    if (!this.actionSpace.contains(action))
      throw new GymError('E_VALUE', 'SumsOnly.step: the action must be of the space of a single client.');
    return after(this.env.step(forAll(action, this.#seen)), (result) => ({ ...result, ...this.restored(result) }));
  }

  protected restored({ observation, info }: ResetResult<FederatedObservation>): ResetResult<FederatedObservation> {
    this.#seen = observation;
    return { observation: summed(observation), info };
  }
}

/** An action on the one client as one on all of them. */
function forAll(
  action: FederatedAction,
  { numExamples, available, prototypes }: FederatedObservation,
): FederatedAction {
  const [clients, classes, features] = prototypes.shape as [number, number, number];
  const [kind, array] = action.aggregation;
  const weights = Float32Array.from(numExamples.data, (count) => (array.data[0]! > 0 ? count : 0));
  const clusterPrototypes = new Float32Array(classes * clients * features);
  const clusterMask = new Int8Array(classes * clients);
  for (let k = 0; k < classes; k++) {
    const vector = action.clusterPrototypes.data.subarray(k * features, (k + 1) * features);
    clusterPrototypes.set(vector, k * clients * features);
    clusterMask[k * clients] = action.clusterMask.data[k]!;
  }
  return {
    ...action,
    aggregation: kind === 0 ? [0, { data: weights, shape: [clients] }] : action.aggregation,
    nextClients: { data: available.data.map((there) => there * action.nextClients.data[0]!), shape: [clients] },
    clusterPrototypes: { data: clusterPrototypes, shape: [classes, clients, features] },
    clusterMask: { data: clusterMask, shape: [classes, clients] },
  };
}

function summed(observation: FederatedObservation): FederatedObservation {
  const { available, status, latency, numExamples, counts, trainLoss, lastWeights } = observation;
  const [, classes, features] = observation.prototypes.shape as [number, number, number];
  const parameters = observation.parameters.shape[1]!;
  const start = observation.globalParameters;
  const one = emptyObservation({ clients: 1, classes, features, parameters }, start.data.slice());
  one.round.data.set(observation.round.data);
  one.available.data[0] = Number(available.data.includes(1));
  one.latency.data[0] = Math.max(...latency.data);
  one.lastWeights.data[0] = Number(lastWeights.data.some((weight) => weight > 0));
  const ok = answered(observation);
  if (ok.length === 0) {
    if (status.data.includes(clientStatus.failed)) one.status.data[0] = clientStatus.failed;
    return one;
  }
  one.status.data[0] = clientStatus.ok;
  const weights = proportions(ok.map((m) => numExamples.data[m]!));
  one.numExamples.data[0] = ok.reduce((sum, m) => sum + numExamples.data[m]!, 0);
  one.trainLoss.data[0] = ok.reduce((sum, m, i) => sum + weights[i]! * trainLoss.data[m]!, 0);
  for (let k = 0; k < classes; k++) {
    const own = ok.map((m) => counts.data[m * classes + k]!).filter((count) => count > 0);
    one.counts.data[k] = own.reduce((sum, count) => sum + count, 0);
    if (own.length > 0)
      one.prototypes.data.set(weightedSum(prototypesOf(observation, k), proportions(own)), k * features);
  }
  if (parameters === 0) {
    // Without the models the length of the mean update is not known: that of the clients' is shown in its place.
    one.updateNorm.data[0] = mean(ok.map((m) => observation.updateNorm.data[m]!));
  } else {
    const average = weightedSum(
      ok.map((m) => parametersOf(observation, m)),
      weights,
    );
    one.parameters.data.set(average);
    one.updateNorm.data[0] = norm(average.map((value, i) => value - start.data[i]!));
  }
  one.updateCosine.data[0] = Number(one.updateNorm.data[0]! > 0);
  return one;
}
