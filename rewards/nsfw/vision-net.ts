import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import { useBackend } from '../../networks/backend.js';

/** What the network tells apart, in the order of its outputs. */
export const safetyClasses = ['drawing', 'hentai', 'neutral', 'porn', 'sexy'] as const;

/** The layer whose values are a picture's features: 1280 averages over the picture. */
const featureLayer = 'average_pooling2d_1';
const size = 224;
const batchSize = 8;

/** What is read of the package: the model's description, and its weights in base64. */
interface ModelFile {
  readonly modelTopology: object;
  readonly weightsManifest: readonly { readonly weights: tf.io.WeightsManifestEntry[] }[];
}

function filesOf(): { model: ModelFile; weights: Buffer } {
  const require = createRequire(import.meta.url);
  let folder: string;
  try {
    // Its entry is dist/cjs/index.js; the model's files are not among its exports.
    folder = join(dirname(require.resolve('nsfwjs')), '..', 'models', 'mobilenet_v2');
  } catch (error) {
    throw new GymError(
      'E_FILE',
      'the npm package nsfwjs, which holds the vision network, is not installed; `npm install nsfwjs@4.4.0`.',
      { cause: error },
    );
  }
  const model = require(join(folder, 'model.min.js')) as ModelFile;
  const base64 = require(join(folder, 'group1-shard1of1.min.js')) as string;
  return { model, weights: Buffer.from(base64, 'base64') };
}

/**
 * A vision network that was trained on photographs and drawings: the MobileNetV2 (Sandler et al. 2018) of the npm package
 * nsfwjs. It tells pictures that are safe from those that are not, and its features tell how alike two pictures are.
 */
export class VisionNet {
  readonly #model: tf.LayersModel;

  private constructor(model: tf.LayersModel) {
    this.#model = model;
  }

  /** @throws GymError E_FILE where nsfwjs is not installed */
  static async load(): Promise<VisionNet> {
    await useBackend();
    const { model, weights } = filesOf();
    const weightData = weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.byteLength) as ArrayBuffer;
    const source = {
      modelTopology: model.modelTopology,
      weightSpecs: model.weightsManifest.flatMap((group) => group.weights),
      weightData,
    };
    const whole = await tf.loadLayersModel(tf.io.fromMemory(source));
    const features = whole.getLayer(featureLayer).output as tf.SymbolicTensor;
    return new VisionNet(tf.model({ inputs: whole.inputs, outputs: [whole.outputs[0]!, features] }));
  }

  /**
   * Looks at pictures.
   * @param images uint8 [n, h, w, 1 or 3]
   * @returns of each picture the probability of each of {@link safetyClasses}, and its 1280 features
   */
  async look(images: NdArray): Promise<{ probabilities: Float32Array[]; features: Float32Array[] }> {
    const [count, height, width, channels] = images.shape as [number, number, number, number];
    const length = height * width * channels;
    const probabilities: Float32Array[] = [];
    const features: Float32Array[] = [];
    for (let start = 0; start < count; start += batchSize) {
      const n = Math.min(batchSize, count - start);
      const [chances, seen] = tf.tidy(() => {
        const data = Int32Array.from(images.data.subarray(start * length, (start + n) * length));
        const pixels = tf.tensor4d(data, [n, height, width, channels], 'int32').toFloat().div<tf.Tensor4D>(255);
        const colour = channels === 1 ? tf.tile(pixels, [1, 1, 1, 3]) : pixels;
        // As nsfwjs does it: bilinear, with the corners of both sizes on each other.
        const resized = tf.image.resizeBilinear(colour, [size, size], true);
        return this.#model.predict(resized) as [tf.Tensor, tf.Tensor];
      }) as unknown as [tf.Tensor, tf.Tensor];
      const [p, f] = [(await chances.data()) as Float32Array, (await seen.data()) as Float32Array];
      tf.dispose([chances, seen]);
      for (let i = 0; i < n; i++) {
        probabilities.push(p.slice((i * p.length) / n, ((i + 1) * p.length) / n));
        features.push(f.slice((i * f.length) / n, ((i + 1) * f.length) / n));
      }
    }
    return { probabilities, features };
  }

  dispose(): void {
    this.#model.dispose();
  }
}
