import * as tf from '@tensorflow/tfjs';
import type { NdArray } from '../../core/ndarray.js';
import type { Snapshot } from '../../core/snapshot.js';
import type { FeatureNetwork } from '../../networks/feature-network.js';
import { Sgd } from '../../networks/sgd.js';
import { contrastive, crossEntropy, diversity, meanEntropy, negativeLearning, normalizeRows } from './losses.js';
import type { AdaptationSettings } from './options.js';
import { copyWeights, setWeights, weightsOf } from './source.js';
import type { Coefficients } from './spaces.js';

/** What one update is made from; arrays are row-major. */
export interface Batch {
  /** [B, height, width, 3] each, float32; `key` is only asked for where there is a contrast. */
  readonly views: { readonly weak: tf.Tensor4D; readonly query: () => tf.Tensor4D; readonly key: () => tf.Tensor4D };
  /** [B, C], rows of probabilities */
  readonly targets: Float32Array;
  /** [B, C], rows with a 1 for a class that the sample is taken not to be */
  readonly complementary: Float32Array;
  /** [B] */
  readonly weights: Float32Array;
  /** [B, K] */
  readonly keep: Float32Array;
  readonly coefficients: Coefficients;
}

/** What an update came to. */
export interface Updated {
  readonly classificationLoss: number;
  readonly contrastiveLoss: number;
  readonly diversityLoss: number;
  readonly gradNorm: number;
  /** Whether keys of the batch were put into the queue. */
  readonly enqueued: boolean;
}

/** The part of the environment that learns: the network, its momentum network, the queue of keys, the optimiser. */
export class Learner {
  readonly network: FeatureNetwork;
  readonly #keyNetwork: FeatureNetwork;
  readonly #settings: AdaptationSettings;
  /** Parameters of the head, by name. */
  readonly #head: ReadonlySet<string>;
  readonly #features: number;
  readonly #keys: number;
  #sgd: Sgd;
  /** [K, D], unit vectors, the newest first; zeros where the queue is empty. */
  #queue: tf.Tensor2D;

  /** @param source is copied. @param features D. @param keys K. */
  constructor(source: FeatureNetwork, features: number, keys: number, settings: AdaptationSettings) {
    this.network = source.clone();
    this.#keyNetwork = source.clone();
    this.#settings = settings;
    this.#features = features;
    this.#keys = keys;
    this.#head = new Set([...source.parameters.keys()].filter((name) => name.startsWith('classifier.')));
    this.#sgd = this.#newSgd();
    this.#queue = tf.zeros([keys, features]);
  }

  #newSgd(): Sgd {
    const { momentum, weightDecay } = this.#settings;
    return new Sgd(this.network.parameters, { momentum, weightDecay });
  }

  /** Begins with the network as it is: the momentum network follows from it, queue and optimiser are empty. */
  begin(): void {
    copyWeights(this.network, this.#keyNetwork);
    tf.dispose(this.#queue);
    this.#queue = tf.zeros([this.#keys, this.#features]);
    this.#sgd.dispose();
    this.#sgd = this.#newSgd();
  }

  /**
   * One update: L = L_classification + contrast · L_contrastive + diversity · (L_div(weak) + L_div(strong)) + entropy · H.
   * The momentum network moves before it, and the keys enter the queue after it.
   */
  async update({ views, coefficients: wanted, ...given }: Batch): Promise<Updated> {
    if (wanted.learningRate === 0) {
      // The statistics of batch normalisation follow the target, and nothing else does.
      tf.tidy(() => void this.network.forward(views.weak, 'train'));
      return { classificationLoss: 0, contrastiveLoss: 0, diversityLoss: 0, gradNorm: 0, enqueued: false };
    }
    const keys = wanted.contrast > 0 ? this.#newKeys(views.key) : undefined;
    const strong = views.query();
    const [rows, columns] = [given.weights.length, given.targets.length / given.weights.length];
    const fixed = tf.tidy(() => ({
      targets: tf.tensor2d(given.targets, [rows, columns]),
      complementary: tf.tensor2d(given.complementary, [rows, columns]),
      weights: tf.tensor1d(given.weights),
      keep: tf.tensor2d(given.keep, [rows, this.#keys]),
    }));
    const parts: tf.Scalar[] = [];
    const losses = (): tf.Scalar => {
      const { features, logits } = this.network.forward(strong, 'train');
      const zero = () => tf.scalar(0);
      const { negative } = wanted;
      const classification = tf.add<tf.Scalar>(
        negative < 1 ? crossEntropy(logits, fixed.targets, fixed.weights).mul(1 - negative) : zero(),
        negative > 0 ? negativeLearning(logits, fixed.complementary, fixed.weights).mul(negative) : zero(),
      );
      const contrast = keys ? contrastive(features, keys, this.#queue, fixed.keep, this.#settings.temperature) : zero();
      const diverse =
        wanted.diversity > 0
          ? diversity(this.network.forward(views.weak, 'train').logits).add<tf.Scalar>(diversity(logits))
          : zero();
      const entropy = wanted.entropy > 0 ? meanEntropy(logits) : zero();
      parts.push(...[classification, contrast, diverse].map((part) => tf.keep(part.clone())));
      return classification
        .add(contrast.mul(wanted.contrast))
        .add(diverse.mul(wanted.diversity))
        .add<tf.Scalar>(entropy.mul(wanted.entropy));
    };
    const learningRate = this.#settings.learningRate * wanted.learningRate;
    const { loss, gradNorm } = this.#sgd.minimize(losses, learningRate, wanted.head < 0.5 ? this.#head : undefined);
    // A loss that is not finite makes the last of these NaN, whatever the gradient is.
    const read = tf.tidy(() => tf.stack([...parts, gradNorm.add(loss.mul(0))]));
    const [classificationLoss, contrastiveLoss, diversityLoss, norm] = (await read.data()) as Float32Array;
    tf.dispose([strong, read, loss, gradNorm, ...parts, ...Object.values(fixed)]);
    if (keys) this.#enqueue(keys);
    return {
      classificationLoss: classificationLoss!,
      contrastiveLoss: contrastiveLoss!,
      diversityLoss: diversityLoss!,
      gradNorm: norm!,
      enqueued: keys !== undefined,
    };
  }

  /** Moves the momentum network, and gives its keys for a second strong view: unit vectors [B, D]. */
  #newKeys(views: () => tf.Tensor4D): tf.Tensor2D {
    const { keyMomentum } = this.#settings;
    return tf.tidy(() => {
      for (const [name, variable] of this.network.parameters) {
        const key = this.#keyNetwork.parameters.get(name)!;
        key.assign(key.mul(keyMomentum).add(variable.mul(1 - keyMomentum)));
      }
      return normalizeRows(this.#keyNetwork.forward(views(), 'train').features);
    });
  }

  /** Puts keys in front of the queue, out of which the oldest fall, and frees them. */
  #enqueue(keys: tf.Tensor2D): void {
    const fresh = Math.min(this.#keys, keys.shape[0]);
    const next = tf.tidy(() =>
      tf.concat2d(
        [keys.slice([0, 0], [fresh, this.#features]), this.#queue.slice([0, 0], [this.#keys - fresh, this.#features])],
        0,
      ),
    );
    tf.dispose([keys, this.#queue]);
    this.#queue = next;
  }

  async snapshot(): Promise<Snapshot> {
    const [network, keyNetwork] = [await weightsOf(this.network), await weightsOf(this.#keyNetwork)];
    return {
      network: Object.fromEntries(network),
      keyNetwork: Object.fromEntries(keyNetwork),
      momentum: await this.#sgd.state(),
      queue: { data: (await this.#queue.data()) as Float32Array, shape: this.#queue.shape },
    } as Snapshot;
  }

  restore(snapshot: Snapshot): void {
    const { network, keyNetwork, momentum, queue } = snapshot as unknown as {
      network: Record<string, NdArray>;
      keyNetwork: Record<string, NdArray>;
      momentum: NdArray;
      queue: NdArray<Float32Array>;
    };
    setWeights(this.network, new Map(Object.entries(network)));
    setWeights(this.#keyNetwork, new Map(Object.entries(keyNetwork)));
    this.#sgd.restore(momentum);
    this.#queue.dispose();
    this.#queue = tf.tensor2d(Float32Array.from(queue.data), [this.#keys, this.#features]);
  }

  dispose(): void {
    this.network.dispose();
    this.#keyNetwork.dispose();
    this.#sgd.dispose();
    this.#queue.dispose();
  }
}
