import { GymError } from '../../core/errors.js';
import type { RandomState } from '../../core/random.js';
import type { Snapshot } from '../../core/snapshot.js';
import type { Awaitable } from '../../core/types.js';
import { snapshotParts } from '../checks.js';
import type { Env, ResetOptions, ResetResult, StepResult } from '../env.js';
import { type RandomSource, randomSource, restoreRandomSource } from '../random-source.js';
import { after, PlainWrapper } from '../wrappers/wrapper.js';
import { gaussianEpsilon } from './accountant.js';
import { proportions, weightedSum } from './averages.js';
import { copied, cosines, norm } from './observe.js';
import { answered, type FederatedAction, type FederatedObservation, parametersOf } from './spaces.js';

export interface PrivacyOptions {
  /** The length that a client's update ‖θ_m − θ_g‖ is clipped to. */
  readonly clip: number;
  /** The length that its prototypes, all classes as one vector, are clipped to. */
  readonly prototypeClip: number;
  /** σ: the noise's standard deviation is so many times the length that is clipped to. */
  readonly noiseMultiplier: number;
  /** δ of the ε that is reported. */
  readonly delta: number;
}

/**
 * Local differential privacy: every client clips what it sends and adds Gaussian noise to it before the server sees
 * anything. The server still knows who was asked and how long it took; numbers of examples and losses are not sent (all
 * clients count as one example of each class). Protected is whether a client has its data or none, whatever else there is.
 *
 * The next model is made of what was sent, too: an action's weights are applied here, and the environment is handed the
 * model. Infos have `epsilon`, what the client that took part most often has spent of ε. An update and prototypes, each
 * clipped and with its own noise of σ times its clip, are together a vector of length √2 with noise σ.
 */
export class DifferentialPrivacy extends PlainWrapper<FederatedObservation, FederatedAction> {
  readonly #options: PrivacyOptions;
  #random: RandomSource | undefined;
  /** What the server has been shown last. */
  #seen: FederatedObservation | undefined;
  /** How often each client has sent something in this episode. */
  #sent: number[] = [];

  constructor(env: Env<FederatedObservation, FederatedAction>, options: PrivacyOptions) {
    super(env);
    this.#options = options;
  }

  /** @throws GymError E_CONFIG where the environment does not show the weights of the clients. */
  override reset(options: ResetOptions = {}): Awaitable<ResetResult<FederatedObservation>> {
    if (options.seed !== undefined) this.#random = randomSource(`${options.seed}/privacy`);
    this.#random ??= randomSource();
    return after(this.env.reset(options), ({ observation, info }) => {
      this.#sent = Array.from(observation.status.data, () => 0);
      this.#seen = this.#privatized(observation);
      return { observation: copied(this.#seen), info: this.#withEpsilon(info) };
    });
  }

  /** @throws GymError E_STATE before a reset, and what the environment throws. */
  override step(action: FederatedAction): Awaitable<StepResult<FederatedObservation>> {
    if (this.#seen === undefined)
      throw new GymError('E_STATE', 'DifferentialPrivacy.step: no episode has begun; call reset first.');
    const { given, weights } = aggregated(action, this.#seen);
    return after(this.env.step(given), (result) => {
      this.#seen = { ...this.#privatized(result.observation), ...(weights && { lastWeights: weights }) };
      return { ...result, observation: copied(this.#seen), info: this.#withEpsilon(result.info) };
    });
  }

  #withEpsilon<T extends object>(info: T): T & { epsilon: number } {
    const { noiseMultiplier, delta } = this.#options;
    return { ...info, epsilon: gaussianEpsilon(noiseMultiplier / Math.SQRT2, Math.max(0, ...this.#sent), delta) };
  }

  #privatized(given: FederatedObservation): FederatedObservation {
    const { clip, prototypeClip } = this.#options;
    const observation = copied(given);
    const [clients, classes, features] = observation.prototypes.shape as [number, number, number];
    const start = observation.globalParameters.data;
    const updates = new Map<number, Float32Array>();
    for (const m of answered(observation)) {
      this.#sent[m]!++;
      const own = parametersOf(observation, m);
      const update = this.#noisy(
        own.map((value, i) => value - start[i]!),
        clip,
      );
      own.set(update.map((value, i) => value + start[i]!));
      updates.set(m, update);
      observation.updateNorm.data[m] = norm(update);
      const size = classes * features;
      const prototypes = observation.prototypes.data.subarray(m * size, (m + 1) * size);
      prototypes.set(this.#noisy(prototypes, prototypeClip));
      observation.counts.data.fill(1, m * classes, (m + 1) * classes);
      observation.numExamples.data[m] = 1;
      observation.trainLoss.data[m] = 0;
    }
    observation.updateCosine.data.set(cosines(updates, clients));
    return observation;
  }

  #noisy(vector: Float32Array, clip: number): Float32Array {
    const scale = Math.min(1, clip / Math.max(norm(vector), Number.MIN_VALUE));
    const deviation = this.#options.noiseMultiplier * clip;
    return vector.map((value) => scale * value + deviation * this.#random!.normal());
  }

  protected override identity(): string {
    return `${super.identity()} ${JSON.stringify(this.#options)}`;
  }

  protected override ownState(): Snapshot {
    return {
      random: (this.#random?.state() ?? null) as Snapshot,
      seen: this.#seen ? { ...copied(this.#seen) } : null,
      sent: [...this.#sent],
    };
  }

  protected override restoreOwn(state: Snapshot): void {
    const { random, seen, sent } = snapshotParts('DifferentialPrivacy', state, ['random', 'seen', 'sent']);
    this.#random = random === null ? undefined : restoreRandomSource(random as unknown as RandomState);
    this.#seen = seen === null ? undefined : copied(seen as unknown as FederatedObservation);
    this.#sent = [...(sent as unknown as number[])];
  }

  protected override restored({ info }: ResetResult<FederatedObservation>): ResetResult<FederatedObservation> {
    return { observation: copied(this.#seen!), info: this.#withEpsilon(info) };
  }
}

/** The action with the model that its weights make of what the clients have sent, in the place of the weights. */
function aggregated(action: FederatedAction, seen: FederatedObservation) {
  const [kind, array] = action.aggregation;
  const ok = answered(seen);
  const weights = proportions(ok.map((m) => (kind === 0 ? array.data[m]! : 0)));
  if (weights.every((weight) => weight === 0)) return { given: action, weights: undefined };
  const parameters = weightedSum(
    ok.map((m) => parametersOf(seen, m)),
    weights,
  );
  const shares = new Float32Array(seen.status.data.length);
  ok.forEach((m, i) => {
    shares[m] = weights[i]!;
  });
  return {
    given: { ...action, aggregation: [1, { data: parameters, shape: [parameters.length] }] } as FederatedAction,
    weights: { data: shares, shape: [shares.length] },
  };
}
