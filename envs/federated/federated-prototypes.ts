import { GymError } from '../../core/errors.js';
import { sameShape } from '../../core/ndarray.js';
import { Random, type RandomState } from '../../core/random.js';
import { shown } from '../../core/shown.js';
import type { Snapshot } from '../../core/snapshot.js';
import { mean, standardDeviation } from '../../core/statistics.js';
import type { Info } from '../../core/types.js';
import { checkReset, otherSnapshot, snapshotParts } from '../checks.js';
import type { LabelledImages } from '../data/index.js';
import type { Env, EnvSpec, ResetOptions, ResetResult, StepResult } from '../env.js';
import { type RandomSource, randomSource, restoreRandomSource } from '../random-source.js';
import type { Dict } from '../spaces/dict.js';
import type { Space } from '../spaces/space.js';
import { type ClientSpec, clientsOf, domainsOf } from './allocations.js';
import { attacked } from './attacks.js';
import { proportions, weightedSum } from './averages.js';
import { assignmentOf, type ClientTask, ClientTrainer, type ClientUpdate, type LocalOptions } from './client.js';
import { errandOf } from './clock.js';
import { dealtOut, type FederatedData, loadFederatedData } from './data.js';
import { makeNetwork, type NetworkConfig } from './network.js';
import { copied, cosines, emptyObservation, norm } from './observe.js';
import { type FederatedConfig, type FederatedOptions, parseFederatedOptions } from './options.js';
import {
  actionSpace,
  clientStatus,
  type FederatedAction,
  type FederatedObservation,
  type FederatedSizes,
  localTrainingOf,
  observationSpace,
} from './spaces.js';
import { Trainers } from './trainers.js';
import { readWeights, weightCount } from './weights.js';

/** An episode as it stands. */
interface Episode {
  /** Decides who has which pictures, the first weights, and all that happens in each round. */
  readonly seed: number;
  readonly clients: readonly ClientSpec[];
  /** What the server knows, with all weights, whether or not they are shown. */
  known: FederatedObservation;
  /** Rounds that have been trained. */
  rounds: number;
  /** Seconds on the virtual clock. */
  time: number;
  terminated: boolean;
  /** The accuracy of each domain, before the first round and after each one. */
  readonly accuracies: number[][];
  /** Whether the model that was made last was refused, because it had numbers that are not finite. */
  refused: boolean;
  /** Of each client what strategies had it keep: the weights that it had last (MOON), its correction h (FedDyn). */
  readonly previous: (Float32Array | undefined)[];
  readonly corrections: (Float32Array | undefined)[];
}

/**
 * Federated learning under domain shift, in which the agent is the server's strategy. Clients each have few pictures of one
 * domain. An episode has a step more than rounds: each step makes the next model of the clients' answers (the first meets
 * none) and sends it to those that are to train (the last to nobody). The reward is the change of the mean accuracy over
 * domains less a share of the change of its spread; at the end the mean accuracy of the last three rounds is added.
 *
 * A client that gives no answer in time, or one with numbers that are not finite, has failed: it is left out of the mean
 * and keeps what it had before. Everything that happens to a client in a round follows from the episode's seed, the round
 * and its number, and so not from who else takes part.
 *
 * Infos have `accuracy` by domain, `meanAccuracy`, `worstDomain`, `spread`, `history` of the accuracies of each round,
 * `domains` of the clients (which observations never have), `clusters` (how many prototypes each class was sent), `time`
 * on the virtual clock, and `refused`. TensorFlow.js computes, on the backend that is active.
 */
export class FederatedPrototypes implements Env<FederatedObservation, FederatedAction> {
  readonly spec?: EnvSpec;
  readonly config: FederatedConfig;
  readonly observationSpace: Space<FederatedObservation>;
  readonly actionSpace: Space<FederatedAction>;
  readonly #data: FederatedData;
  readonly #domains: readonly string[];
  readonly #sizes: FederatedSizes;
  readonly #network: NetworkConfig;
  readonly #trainer: ClientTrainer;
  readonly #trainers: Trainers;
  #random: RandomSource | undefined;
  #episode: Episode | undefined;
  /** Of the present episode. */
  #pictures: readonly LabelledImages[] = [];
  #closed = false;

  /**
   * Makes an environment, and loads or draws its pictures.
   * @throws GymError E_CONFIG on a wrong option; E_FILE, E_NAME, E_VALUE where pictures are missing.
   */
  static async create(options: FederatedOptions = {}): Promise<FederatedPrototypes> {
    const config = parseFederatedOptions(options);
    return new FederatedPrototypes(options, await loadFederatedData(config.clients, config));
  }

  /**
   * @param data pictures for each of the clients' domains, all of one size and with the same classes.
   * @throws GymError E_CONFIG on a wrong option, E_VALUE where a domain has no pictures.
   */
  constructor(options: FederatedOptions, data: FederatedData) {
    this.config = parseFederatedOptions(options);
    this.#data = data;
    this.#domains = domainsOf(this.config.clients);
    const missing = this.#domains.find((domain) => !data.train.has(domain) || !data.test.has(domain));
    if (missing !== undefined)
      throw new GymError(
        'E_VALUE',
        `FederatedPrototypes: there are no pictures of \`${missing}\`, which clients have.`,
      );
    const { images, classes } = data.train.get(this.#domains[0]!)!;
    const { network, features, batchNorm, showParameters, workers } = this.config;
    this.#network = { network, classes: classes.length, imageSize: images.shape[1]!, features, batchNorm };
    const student = makeNetwork(this.#network, new Random(0));
    this.#trainer = new ClientTrainer(student, this.config);
    this.#trainers = new Trainers(
      this.#trainer,
      { network: this.#network, options: localOptions(this.config) },
      workers,
    );
    this.#sizes = {
      clients: clientsOf(this.config.clients, new Random(0)).length,
      classes: classes.length,
      features,
      parameters: weightCount(student),
    };
    const shownSizes = { ...this.#sizes, ...(!showParameters && { parameters: 0 }) };
    this.observationSpace = observationSpace(shownSizes);
    this.actionSpace = actionSpace(shownSizes);
  }

  /** Begins an episode: who has which pictures, and the first weights, are drawn by its seed. There are no options. */
  async reset(reset: ResetOptions = {}): Promise<ResetResult<FederatedObservation>> {
    this.#needOpen('reset');
    checkReset('FederatedPrototypes', reset);
    if (reset.seed !== undefined) this.#random = randomSource(reset.seed);
    this.#random ??= randomSource();
    const seed = this.#random.integer(2 ** 31);
    const random = new Random(seed);
    const clients = clientsOf(this.config.clients, random.child('clients'));
    this.#pictures = dealtOut(clients, this.#data, random);
    const fresh = makeNetwork(this.#network, random.child('network'));
    const globalParameters = await readWeights(fresh);
    fresh.dispose();
    const none = clients.map(() => undefined);
    this.#episode = {
      seed,
      clients,
      known: emptyObservation(this.#sizes, globalParameters),
      rounds: 0,
      time: 0,
      terminated: false,
      accuracies: [await this.#evaluate(globalParameters)],
      refused: false,
      previous: [...none],
      corrections: [...none],
    };
    this.#episode.known = { ...this.#episode.known, available: availableAt(0, clients) };
    return { observation: this.#shown(), info: this.#info([]) };
  }

  /**
   * Makes the next model, tests it, and has clients train it.
   * @throws GymError E_STATE out of order; E_VALUE on an action that is none of the space, which says of which part.
   */
  async step(action: FederatedAction): Promise<StepResult<FederatedObservation>> {
    this.#needOpen('step');
    const episode = this.#episode;
    if (episode === undefined || episode.terminated)
      throw new GymError(
        'E_STATE',
        `FederatedPrototypes.step: ${episode ? 'the episode has ended' : 'no episode has begun'}; call reset first.`,
      );
    this.#check(action);
    const { parameters, weights } = this.#aggregated(action, episode);
    const before = episode.accuracies.at(-1)!;
    const after = parameters === episode.known.globalParameters.data ? before : await this.#evaluate(parameters);
    const last = episode.rounds === this.config.rounds;
    if (episode.rounds > 0) episode.accuracies.push(after);
    else episode.accuracies[0] = after;
    episode.known = emptyObservation(this.#sizes, parameters);
    if (!last) {
      await this.#round(action, parameters, episode);
      episode.rounds++;
    }
    episode.known = {
      ...episode.known,
      round: { data: Float32Array.of(episode.rounds / this.config.rounds), shape: [1] },
      available: availableAt(episode.time, episode.clients),
      lastWeights: { data: weights, shape: [weights.length] },
    };
    episode.terminated = last;
    const change = mean(after) - mean(before);
    const spreading = standardDeviation(after) - standardDeviation(before);
    const bonus = last ? mean(this.#lastMeans(episode)) : 0;
    const clusters = Array.from({ length: this.#sizes.classes }, (_, k) => clustersOf(action, k));
    return {
      observation: this.#shown(),
      reward: change - this.config.spreadPenalty * spreading + bonus,
      terminated: last,
      truncated: false,
      info: this.#info(clusters),
    };
  }

  /** The next model, and the weights of the clients in it. Nothing that is not finite becomes one. */
  #aggregated({ aggregation: [kind, { data }] }: FederatedAction, episode: Episode) {
    const { clients, parameters: p } = this.#sizes;
    const { globalParameters, status, parameters } = episode.known;
    const none = new Float32Array(clients);
    const keep = { parameters: globalParameters.data, weights: none };
    const ok = status.data.map((value) => Number(value === clientStatus.ok));
    const weights = kind === 0 ? proportions(data.map((weight, m) => weight * ok[m]!)) : new Float64Array(clients);
    const keeps = kind === 0 ? weights.every((weight) => weight === 0) : data.length === 0;
    episode.refused = false;
    if (keeps) return keep;
    const rows = Array.from({ length: clients }, (_, m) => parameters.data.subarray(m * p, (m + 1) * p));
    const next = kind === 0 ? weightedSum(rows, weights) : data.slice();
    // Finite weights of clients can have a sum that is not.
    episode.refused = !next.every(Number.isFinite);
    return episode.refused ? keep : { parameters: next, weights: Float32Array.from(weights) };
  }

  /** Has the clients train that are asked and there, and takes in what they send. */
  async #round(action: FederatedAction, parameters: Float32Array, episode: Episode): Promise<void> {
    const { clients, classes, features, parameters: p } = this.#sizes;
    const { known } = episode;
    const available = availableAt(episode.time, episode.clients).data;
    const asked = [...available.keys()].filter((m) => available[m] && action.nextClients.data[m]);
    const local = localTrainingOf(action.local);
    const assignment = assignmentOf(action, local);
    // Whatever happens to a client is drawn from a stream of its own, so that it does not depend on who else is asked.
    const random = (m: number) => new Random(episode.seed).child(`round/${episode.rounds}/client/${m}`);
    const answering: number[] = [];
    for (const m of asked) {
      const examples =
        this.#pictures[m]!.labels.length * Math.max(1, Math.round(this.config.localEpochs * local.epochs));
      const errand = errandOf(episode.clients[m]!, examples, this.config, random(m).child('errand'));
      known.latency.data[m] = errand.latency;
      known.status.data[m] = clientStatus.failed;
      if (errand.answers) answering.push(m);
    }
    const tasks = answering.map(
      (m): ClientTask => ({
        pictures: this.#pictures[m]!,
        assignment,
        parameters,
        previous: episode.previous[m],
        correction: local.dynamic > 0 ? (episode.corrections[m] ?? new Float32Array(p)) : undefined,
        random: random(m).child('training').state(),
      }),
    );
    const updates = await this.#trainers.train(tasks);
    const differences = new Map<number, Float32Array>();
    answering.forEach((m, i) => {
      const update = updates[i]!;
      const sent = attacked(update, parameters, episode.clients[m]!.attack, random(m).child('attack'));
      const difference = sent.parameters.map((value, k) => value - parameters[k]!);
      // A client whose numbers are not finite has failed, and keeps what it had before.
      if (![norm(difference), sent.loss, ...sent.prototypes].every(Number.isFinite)) return;
      keep(episode, m, update, tasks[i]!);
      differences.set(m, difference);
      known.status.data[m] = clientStatus.ok;
      known.numExamples.data[m] = this.#pictures[m]!.labels.length;
      known.trainLoss.data[m] = sent.loss;
      known.counts.data.set(sent.counts, m * classes);
      known.prototypes.data.set(sent.prototypes, m * classes * features);
      known.parameters.data.set(sent.parameters, m * p);
      known.updateNorm.data[m] = norm(difference);
    });
    known.updateCosine.data.set(cosines(differences, clients));
    const joining = episode.clients.map(({ joinsAt = 0 }) => joinsAt).filter((at) => at > episode.time);
    // The round lasts until the last answer; where nobody is asked, until somebody joins.
    const wait = asked.length > 0 ? Math.max(...known.latency.data) : Math.min(...joining) - episode.time;
    if (Number.isFinite(wait)) episode.time += wait;
  }

  async #evaluate(parameters: Float32Array): Promise<number[]> {
    const accuracies: number[] = [];
    for (const domain of this.#domains)
      accuracies.push(await this.#trainer.accuracy(parameters, this.#data.test.get(domain)!));
    return accuracies;
  }

  /** Every observation has arrays of its own. */
  #shown(): FederatedObservation {
    const { known } = this.#episode!;
    const observation = copied(known);
    if (this.config.showParameters) return observation;
    const none = new Float32Array(0);
    return {
      ...observation,
      parameters: { data: none, shape: [this.#sizes.clients, 0] },
      globalParameters: { data: none, shape: [0] },
    };
  }

  #lastMeans({ accuracies }: Episode): number[] {
    return accuracies.slice(1).slice(-3).map(mean);
  }

  #info(clusters: number[]): Info {
    const { accuracies, clients, time, refused } = this.#episode!;
    const now = accuracies.at(-1)!;
    const byDomain = (values: readonly number[]) => Object.fromEntries(this.#domains.map((d, i) => [d, values[i]!]));
    const recent = accuracies.slice(1).slice(-3);
    const settled = this.#domains.map((_, i) => mean((recent.length > 0 ? recent : [now]).map((row) => row[i]!)));
    return {
      accuracy: byDomain(now),
      meanAccuracy: mean(now),
      worstDomain: this.#domains[now.indexOf(Math.min(...now))],
      spread: standardDeviation(now),
      history: accuracies.map(byDomain),
      domains: clients.map(({ domain }) => domain),
      clusters,
      time,
      refused,
      rewardTerms: {
        accuracy: mean(settled),
        worst: Math.min(...settled),
        ...Object.fromEntries(this.#domains.map((domain, i) => [domain, settled[i]!])),
      },
    };
  }

  #check(action: FederatedAction): void {
    const { spaces } = this.actionSpace as unknown as Dict<Record<string, Space<unknown>>>;
    const given = (typeof action === 'object' && action !== null ? action : {}) as unknown as Record<string, unknown>;
    for (const [key, space] of Object.entries(spaces))
      if (!space.contains(given[key]))
        throw new GymError(
          'E_VALUE',
          `FederatedPrototypes.step: \`${key}\` of the action must be of ${shown(String(space))}, actual value ${shown(given[key])}.`,
        );
    if (!this.actionSpace.contains(action))
      throw new GymError(
        'E_VALUE',
        `FederatedPrototypes.step: an action has the parts ${Object.keys(spaces).join(', ')}, actual ${Object.keys(given).join(', ')}.`,
      );
    for (const key of ['clusterPrototypes', 'unbiasedPrototypes'] as const)
      if (!action[key].data.every(Number.isFinite))
        throw new GymError('E_VALUE', `FederatedPrototypes.step: \`${key}\` has numbers that are not finite.`);
  }

  #needOpen(call: string): void {
    if (this.#closed)
      throw new GymError('E_STATE', `FederatedPrototypes.${call}: the environment is closed; make a new one.`);
  }

  snapshot(): Snapshot {
    const episode = this.#episode;
    const random = (this.#random?.state() ?? null) as Snapshot;
    if (episode === undefined) return { random, episode: null };
    const arrays = (list: readonly (Float32Array | undefined)[]) =>
      list.map((data) => (data ? { data: data.slice(), shape: [data.length] } : null));
    return {
      random,
      episode: {
        seed: episode.seed,
        rounds: episode.rounds,
        time: episode.time,
        terminated: episode.terminated,
        refused: episode.refused,
        known: { ...copied(episode.known) },
        accuracies: episode.accuracies.map((row) => [...row]),
        previous: arrays(episode.previous),
        corrections: arrays(episode.corrections),
      },
    };
  }

  /** @throws GymError E_STATE on a snapshot of an environment with other clients or another network. */
  restore(snapshot: Snapshot): ResetResult<FederatedObservation> {
    this.#needOpen('restore');
    const where = 'FederatedPrototypes';
    const { random, episode: saved } = snapshotParts(where, snapshot, ['random', 'episode']);
    if (saved === null) throw otherSnapshot(where, 'an environment without an episode', 'one that goes on with it');
    const names = [
      'seed',
      'known',
      'rounds',
      'time',
      'terminated',
      'accuracies',
      'refused',
      'previous',
      'corrections',
    ] as const;
    const parts = snapshotParts(where, saved, names) as unknown as Episode & {
      previous: (FederatedObservation['round'] | null)[];
      corrections: (FederatedObservation['round'] | null)[];
    };
    const all = observationSpace(this.#sizes);
    const fits =
      (all as unknown as Dict).hasForm(parts.known) && sameShape([parts.previous.length], [this.#sizes.clients]);
    if (!fits)
      throw otherSnapshot(where, 'other clients or another network', `${this.#sizes.clients} clients of its own`);
    const own = (list: readonly ({ data: Float32Array } | null)[]) => list.map((array) => array?.data.slice());
    this.#random = random === null ? undefined : restoreRandomSource(random as unknown as RandomState);
    const stream = new Random(parts.seed);
    const clients = clientsOf(this.config.clients, stream.child('clients'));
    this.#episode = {
      ...parts,
      clients,
      known: copied(parts.known),
      accuracies: parts.accuracies.map((row) => [...row]),
      previous: own(parts.previous),
      corrections: own(parts.corrections),
    };
    this.#pictures = dealtOut(clients, this.#data, stream);
    return { observation: this.#shown(), info: this.#info([]) };
  }

  /** Frees the networks, and ends worker threads. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#trainers.close();
    this.#trainer.dispose();
  }
}

/** What a worker thread is told of how clients train. */
function localOptions(config: FederatedConfig): LocalOptions {
  const { learningRate, localEpochs, batchSize, momentum, weightDecay, maxGradNorm, shift, consistency } = config;
  return { learningRate, localEpochs, batchSize, momentum, weightDecay, maxGradNorm, shift, consistency };
}

/** Which clients have joined. */
function availableAt(time: number, clients: readonly ClientSpec[]): FederatedObservation['available'] {
  return { data: Int8Array.from(clients, ({ joinsAt = 0 }) => Number(joinsAt <= time)), shape: [clients.length] };
}

/** A client keeps what its strategy needs of it the next time. */
function keep(episode: Episode, m: number, update: ClientUpdate, { assignment, parameters, correction }: ClientTask) {
  const { modelContrastive, dynamic } = assignment.local;
  if (modelContrastive > 0) episode.previous[m] = update.parameters;
  // FedDyn's algorithm 1: h_m ← h_m − α(θ_m − θ_g).
  if (correction)
    episode.corrections[m] = correction.map((h, i) => h - dynamic * (update.parameters[i]! - parameters[i]!));
}

function clustersOf({ clusterMask: { data, shape } }: FederatedAction, k: number): number {
  const most = shape[1]!;
  return data.subarray(k * most, (k + 1) * most).filter((present: number) => present === 1).length;
}
