import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import { Random, type RandomState } from '../../core/random.js';
import type { Snapshot } from '../../core/snapshot.js';
import type { Info } from '../../core/types.js';
import type { FeatureNetwork } from '../../networks/feature-network.js';
import { checkReset, otherSnapshot, snapshotParts } from '../checks.js';
import type { LabelledImages } from '../data/labelled-images.js';
import type { Env, EnvSpec, ResetOptions, ResetResult, StepResult } from '../env.js';
import type { Space } from '../spaces/space.js';
import { Learner } from './learner.js';
import { informationOf, Tally } from './measures.js';
import { Bank, LabelMemory } from './memory.js';
import type { AdaptationSettings } from './options.js';
import { type Measured, measureOn, tallyDecisions } from './probe.js';
import { argmaxRows, labelsOf, normalizedEntropy, normalizedRows } from './rules.js';
import { copyWeights, evaluated } from './source.js';
import {
  type AdaptationAction,
  type AdaptationObservation,
  type AdaptationSizes,
  actionSpaceOf,
  observationSpaceOf,
  readCoefficients,
  type Stats,
  statNames,
} from './spaces.js';
import { strongViews, weakViews } from './views.js';

/** A domain to adapt to: what is learned from, without its labels, and what is measured on. */
export interface Target {
  readonly train: LabelledImages;
  /** Pictures that are never learned from. */
  readonly probe: LabelledImages;
}

/** The share of log C of the entropy of the mean prediction below which an adaptation counts as collapsed. */
const collapsed = 0.2;

/** Everything of an episode that is plain data. */
interface Episode {
  readonly seed: string;
  domain: number;
  epoch: number;
  batch: number;
  ended: boolean;
  measured: Measured;
  stats: Stats;
}

/**
 * Adaptation of a trained network to a domain of which there are no labels, and without the data it was trained on
 * (Litrico et al., CVPR 2023). One step is one update on one batch: the agent says which labels its samples get, how much
 * they count, and which samples of the queue are no negatives; network, momentum network, bank, queue, label history,
 * views, losses and optimiser are the environment's.
 *
 * An episode is `epochs` passes over the target; it ends (`terminated`) with the last one, when the predictions collapse to
 * few classes, and when numbers stop being finite. Rewards come with the last step of each pass and are 0 otherwise.
 *
 * `info` has what needs labels: of the observed batch its `labels`, for an oracle; of the probe (pictures that are never
 * learned from) the accuracies after the last finished pass; of the pass so far how good pseudo-labels, weights and
 * exclusions are.
 */
export class SourceFreeAdaptation implements Env<AdaptationObservation, AdaptationAction> {
  readonly observationSpace: Space<AdaptationObservation>;
  readonly actionSpace: Space<AdaptationAction>;
  readonly spec?: EnvSpec;
  /** Updates in one pass over a target. */
  readonly stepsPerEpoch: number;
  readonly sizes: AdaptationSizes;
  readonly settings: AdaptationSettings;
  readonly targets: readonly Target[];
  readonly #source: FeatureNetwork;
  readonly #learner: Learner;
  #random: Random;
  #episode!: Episode;
  #memory!: LabelMemory;
  #bank!: Bank;
  #tally = new Tally();
  #observation: AdaptationObservation | undefined;
  /** The weak views of the observed batch, which an update uses again. */
  #weak: tf.Tensor4D | undefined;
  #closed = false;

  /**
   * @param source the trained network, which the environment then owns.
   * @param targets one, or for `continual` several, with pictures of the source's size and classes.
   */
  constructor(source: FeatureNetwork, targets: readonly Target[], settings: AdaptationSettings) {
    this.settings = settings;
    this.targets = targets;
    this.#source = source;
    const samples = Math.min(...targets.map(({ train }) => train.labels.length));
    const [, height, width] = targets[0]!.train.images.shape;
    const features = tf.tidy(
      () => source.forward(tf.zeros<tf.Rank.R4>([1, height!, width!, 3]), 'eval').features.shape[1],
    );
    this.sizes = {
      batch: settings.batchSize,
      features,
      classes: targets[0]!.train.classes.length,
      bank: samples,
      queue: Math.min(samples, settings.queueSize),
      history: settings.history,
    };
    this.stepsPerEpoch = Math.floor(samples / settings.batchSize);
    this.observationSpace = observationSpaceOf(this.sizes);
    this.actionSpace = actionSpaceOf(this.sizes);
    this.#learner = new Learner(source, features, this.sizes.queue, settings);
    this.#random = new Random(settings.seed).child('episodes');
  }

  /** The network as it is now, for pictures and exports. It stays the environment's. */
  get network(): FeatureNetwork {
    return this.#learner.network;
  }

  /** The target that is adapted to at present. */
  get target(): Target {
    return this.targets[this.#episode?.domain ?? 0]!;
  }

  /** Begins again from the network as the source left it. @throws GymError E_VALUE on a wrong seed. */
  async reset(options: ResetOptions = {}): Promise<ResetResult<AdaptationObservation>> {
    this.#checkOpen('reset');
    checkReset('SourceFreeAdaptation', options);
    if (options.seed !== undefined) this.#random = new Random(options.seed);
    copyWeights(this.#source, this.network);
    const seed = `${this.#random.seed}/${this.#random.integer(2 ** 31)}`;
    this.#episode = { seed, domain: 0, epoch: 0, batch: 0, ended: false } as Episode;
    await this.#enter(0);
    return { observation: await this.#observe(), info: this.#info() };
  }

  /** Turns to a target with the network as it is: momentum network, bank, queue and history begin anew. */
  async #enter(domain: number): Promise<void> {
    const { bank, queue, history } = this.sizes;
    Object.assign(this.#episode, { domain, epoch: 0, batch: 0 });
    this.#learner.begin();
    this.#memory = new LabelMemory(bank, this.settings.epochs, queue, history);
    this.#tally = new Tally();
    await this.#refreshBank();
    const stats = Object.fromEntries(statNames.map((name) => [name, 0])) as unknown as Stats;
    this.#episode.measured = await this.#measure();
    this.#episode.stats = { ...stats, ...this.#probeStats(0) };
  }

  #stream(name: string): Random {
    const { seed, domain, epoch } = this.#episode;
    return new Random(seed).child(`${domain}/${epoch}/${name}`);
  }

  /** The samples of the present batch, of a new order in each pass. What is left at a pass's end is left out. */
  #indices(): Int32Array {
    const { batchSize } = this.settings;
    const order = this.#stream('order').permutation(this.sizes.bank);
    return order.slice(this.#episode.batch * batchSize, (this.#episode.batch + 1) * batchSize);
  }

  /** Views of the present batch: the same whenever they are asked for. The caller frees them. */
  #views(kind: 'weak' | 'query' | 'key', indices: Int32Array): tf.Tensor4D {
    const { images } = this.target.train;
    const random = this.#stream(`${kind}/${this.#episode.batch}`);
    const data = (kind === 'weak' ? weakViews : strongViews)(images, indices, random);
    return tf.tensor4d(data, [indices.length, images.shape[1]!, images.shape[2]!, 3]);
  }

  async #observe(): Promise<AdaptationObservation> {
    const { epoch, stats } = this.#episode;
    const { batch, features: D, classes, bank } = this.sizes;
    const indices = this.#indices();
    this.#weak?.dispose();
    const weak = this.#views('weak', indices);
    this.#weak = weak;
    const result = tf.tidy(() => {
      const { features, logits } = this.network.forward(weak, 'batch');
      return { features, probs: tf.softmax(logits) };
    });
    const [features, probs] = await Promise.all([result.features.data(), result.probs.data()]);
    tf.dispose(result);
    const probsWeak = { data: probs as Float32Array, shape: [batch, classes] };
    const { meanPrediction, prediction } = informationOf(probsWeak);
    const total = this.settings.epochs * this.stepsPerEpoch;
    Object.assign(stats, {
      epochFraction: (epoch * this.stepsPerEpoch + this.#episode.batch) / total,
      entropy: prediction,
      bankEntropy: normalizedEntropy(this.#bank.probs).reduce((a, b) => a + b, 0) / bank,
      confidence: argmaxRows(probsWeak).reduce((sum, c, i) => sum + probs[i * classes + c]!, 0) / batch,
      batchMeanEntropy: meanPrediction,
    });
    const queueIndex = this.#memory.queueIndex;
    this.#observation = {
      featuresWeak: { data: features as Float32Array, shape: [batch, D] },
      probsWeak,
      index: { data: indices, shape: [batch] },
      bankFeatures: this.#bank.features,
      bankProbs: this.#bank.probs,
      queueIndex,
      queueLabels: this.#memory.queueLabels,
      history: this.#memory.history(indices, epoch),
      queueHistory: this.#memory.history(queueIndex.data, epoch),
      stats: { data: Float32Array.from(statNames, (name) => stats[name]), shape: [statNames.length] },
    };
    return { ...this.#observation };
  }

  #info(): Info {
    const { domain, epoch, batch, measured, ended } = this.#episode;
    const { train } = this.targets[domain]!;
    return {
      domain: train.domain,
      split: train.split,
      epoch,
      batch,
      ...measured.labelled,
      confusion: [...measured.labelled.confusion],
      predicted: [...measured.labelled.predicted],
      confidence: [...measured.labelled.confidence],
      informationScore: measured.information.score,
      ...this.#tally.means(),
      ...(!ended && { labels: Int32Array.from(this.#indices(), (i) => train.labels[i]!) }),
    };
  }

  /**
   * Makes one update with the agent's labels.
   * @throws GymError E_STATE before reset and after the end; E_VALUE on an action that is none of the action space, which
   *   NaN never is.
   */
  async step(action: AdaptationAction): Promise<StepResult<AdaptationObservation>> {
    this.#checkOpen('step');
    if (this.#observation === undefined || this.#episode.ended)
      throw new GymError('E_STATE', 'SourceFreeAdaptation.step: no episode goes on; call reset() first.');
    this.#checkAction(action);
    const { epochs } = this.settings;
    const episode = this.#episode;
    const indices = this.#indices();
    tallyDecisions(this.#tally, {
      action,
      observation: this.#observation,
      labels: this.target.train.labels,
      lastLabels: Int32Array.from(indices, (index) => this.#memory.labelOf(index, episode.epoch - 1)),
    });
    const finite = await this.#update(action, indices);
    if (!finite) {
      episode.ended = true;
      const info = { ...this.#info(), diverged: true };
      return {
        observation: { ...this.#observation },
        reward: this.#finalReward(0),
        terminated: true,
        truncated: false,
        info,
      };
    }
    this.#bank.write(this.#observation.featuresWeak, this.#observation.probsWeak);
    episode.batch++;
    if (episode.batch < this.stepsPerEpoch)
      return { observation: await this.#observe(), reward: 0, terminated: false, truncated: false, info: this.#info() };

    const before = episode.measured;
    await this.#refreshBank();
    episode.measured = await this.#measure();
    const { information, labelled } = episode.measured;
    const gains = {
      'label-free': information.score - before.information.score,
      accuracy: labelled.perClassAccuracy - before.labelled.perClassAccuracy,
      sparse: 0,
    };
    const finished = { ...this.#info(), epochEnd: true };
    Object.assign(episode.stats, this.#probeStats(gains['label-free']));
    episode.stats.labelsChanged = this.#tally.mean('labelsChanged') ?? 0;
    const isCollapsed = information.meanPrediction < collapsed;
    const lastOfDomain = episode.epoch + 1 === epochs;
    const terminated = isCollapsed || (lastOfDomain && episode.domain + 1 === this.targets.length);
    if (lastOfDomain && !terminated) await this.#enter(episode.domain + 1);
    else Object.assign(episode, { epoch: episode.epoch + 1, batch: 0 });
    this.#tally = new Tally();
    episode.ended = terminated;
    const observation = await this.#observe();
    const reward = terminated ? this.#finalReward(gains[this.settings.reward]) : gains[this.settings.reward];
    // What was measured is of the pass that has just ended; the labels are those of the batch that is now observed.
    const info = {
      ...finished,
      labels: this.#info().labels,
      ...(isCollapsed && { collapsed: true }),
      ...(terminated && {
        rewardTerms: {
          accuracy: labelled.perClassAccuracy,
          neighbourAccuracy: labelled.neighbourPerClassAccuracy,
          informationScore: information.score,
        },
      }),
    };
    return { observation, reward, terminated, truncated: false, info };
  }

  /** The reward of the last step: `sparse` is paid then. */
  #finalReward(gain: number): number {
    return this.settings.reward === 'sparse' ? this.#episode.measured.labelled.perClassAccuracy : gain;
  }

  #checkAction(action: AdaptationAction): void {
    if (this.actionSpace.contains(action)) return;
    const parts = (this.actionSpace as unknown as { spaces: Record<string, Space<unknown>> }).spaces;
    const wrong = Object.keys(parts).find((name) => !parts[name]!.contains((action as never)?.[name]));
    throw new GymError(
      'E_VALUE',
      wrong === undefined
        ? `SourceFreeAdaptation.step: the action must have exactly the parts ${Object.keys(parts).join(', ')}.`
        : `SourceFreeAdaptation.step: \`${wrong}\` of the action must be of ${parts[wrong]}: an array of that shape, without NaN and within the bounds.`,
    );
  }

  /** One update of the network. @returns whether its numbers are finite. */
  async #update(action: AdaptationAction, indices: Int32Array): Promise<boolean> {
    const { stats, epoch } = this.#episode;
    const wanted = readCoefficients(action.coefficients);
    const given = labelsOf(action.pseudoLabels);
    const { enqueued, ...updated } = await this.#learner.update({
      views: { weak: this.#weak!, query: () => this.#views('query', indices), key: () => this.#views('key', indices) },
      targets: normalizedRows(action.pseudoLabels),
      complementary: this.#complementary(given),
      weights: Float32Array.from(action.weights.data, (weight, i) => (given[i]! >= 0 ? weight : 0)),
      keep: this.#keep(action.negativeMask),
      coefficients: wanted,
    });
    if (!Object.values(updated).every(Number.isFinite)) return false;
    this.#memory.label(indices, given, epoch);
    if (enqueued) this.#memory.enqueue(indices);
    Object.assign(stats, updated, {
      learningRate: this.settings.learningRate * wanted.learningRate,
      meanWeight: action.weights.data.reduce((a, b) => a + b, 0) / indices.length,
      excludedNegatives: this.#tally.mean('excludedNegatives') ?? 0,
    });
    return true;
  }

  /** For each label another class by chance (negative learning); a row of zeros where there is no label. */
  #complementary(labels: Int32Array): Float32Array {
    const { classes } = this.sizes;
    const random = this.#stream(`complementary/${this.#episode.batch}`);
    const hot = new Float32Array(labels.length * classes);
    labels.forEach((label, i) => {
      const other = 1 + random.integer(Math.max(1, classes - 1));
      if (label >= 0) hot[i * classes + ((label + other) % classes)] = 1;
    });
    return hot;
  }

  /** The agent's mask, without the empty places of the queue. */
  #keep({ data }: NdArray<Uint8Array>): Float32Array {
    const queue = this.#observation!.queueIndex.data;
    const keep = Float32Array.from(data);
    for (let i = 0; i < keep.length; i++) if (queue[i % queue.length]! < 0) keep[i] = 0;
    return keep;
  }

  async #refreshBank(): Promise<void> {
    const { train } = this.target;
    const { bank } = this.sizes;
    const size = train.images.data.length / train.labels.length;
    const { features, probs } = await evaluated(this.network, {
      data: train.images.data.subarray(0, bank * size),
      shape: [bank, ...train.images.shape.slice(1)],
    });
    // In a new order, so that batches overwrite rows of samples by chance and not always the same ones.
    const order = this.#stream('bank').permutation(bank);
    const shuffled = ({ data, shape }: NdArray<Float32Array>) => {
      const columns = shape[1]!;
      const rows = new Float32Array(data.length);
      order.forEach((from, to) => {
        rows.set(data.subarray(from * columns, (from + 1) * columns), to * columns);
      });
      return { data: rows, shape };
    };
    this.#bank = new Bank(shuffled(features), shuffled(probs));
  }

  #measure(): Promise<Measured> {
    const k = Math.min(this.settings.neighbours, this.sizes.bank);
    return measureOn(this.network, this.target.probe, this.#bank, k);
  }

  #probeStats(gain: number): Partial<Stats> {
    const { information, agreement } = this.#episode.measured;
    return { informationScore: information.score, informationGain: gain, neighbourAgreement: agreement };
  }

  /** Everything on which the rest of the episode and later ones depend: networks, optimiser, bank, queue, labels. */
  async snapshot(): Promise<Snapshot> {
    this.#checkOpen('snapshot');
    const episode = this.#observation && {
      ...this.#episode,
      stats: { ...this.#episode.stats },
      learner: await this.#learner.snapshot(),
      memory: this.#memory.snapshot(),
      bank: this.#bank.snapshot(),
      tally: this.#tally.snapshot(),
    };
    return {
      of: 'SourceFreeAdaptation',
      random: this.#random.state(),
      episode: (episode as unknown as Snapshot) ?? null,
    } as unknown as Snapshot;
  }

  /** @throws GymError E_STATE on a snapshot of another environment, or of one of another size. */
  async restore(snapshot: Snapshot): Promise<ResetResult<AdaptationObservation>> {
    this.#checkOpen('restore');
    const where = 'SourceFreeAdaptation';
    const { of, random, episode: saved } = snapshotParts(where, snapshot, ['of', 'random', 'episode']);
    if (of !== where) throw otherSnapshot(where, of, where);
    if (saved === null)
      throw new GymError('E_STATE', `${where}.restore: the snapshot was taken before the first reset; call reset().`);
    const { learner, memory, bank, tally, ...episode } = snapshotParts(where, saved, [
      ...['seed', 'domain', 'epoch', 'batch', 'ended', 'measured', 'stats'],
      ...['learner', 'memory', 'bank', 'tally'],
    ]) as unknown as Episode & Record<'learner' | 'memory' | 'bank' | 'tally', Snapshot>;
    const { shape } = (bank as unknown as { features: NdArray }).features;
    const [found, expected] = [shape.join('×'), `${this.sizes.bank}×${this.sizes.features}`];
    if (found !== expected) throw otherSnapshot(where, `a target of ${found} features`, expected);
    this.#random = Random.restore(random as unknown as RandomState);
    this.#episode = { ...episode, stats: { ...episode.stats } };
    this.#learner.restore(learner);
    this.#memory = new LabelMemory(this.sizes.bank, this.settings.epochs, this.sizes.queue, this.sizes.history);
    this.#memory.restore(memory);
    this.#bank = Bank.restore(bank);
    this.#tally = new Tally();
    this.#tally.restore(tally as never);
    return { observation: await this.#observe(), info: this.#info() };
  }

  /** Frees all networks; closing again does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#weak?.dispose();
    this.#learner.dispose();
    this.#source.dispose();
  }

  #checkOpen(call: string): void {
    if (this.#closed) throw new GymError('E_STATE', `SourceFreeAdaptation.${call}: it is closed; make another one.`);
  }
}
