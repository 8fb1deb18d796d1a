import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { linear } from '../backend/index.js';
import { GymError } from '../core/errors.js';
import { readPythonJson } from '../core/files.js';
import { type CLIPTextConfig, clipTextTower, parseTextConfig, TEXT_STEMS } from './clip-text-model.js';
import { type CLIPVisionConfig, clipVisionTower, parseClipVision, type VisionOutput } from './clip-vision-model.js';
import { checkIntegers, takeFields } from './config-fields.js';
import { fromOpenClip } from './open-clip.js';
import { useWeights } from './weight-files.js';
import { build, disposeParameters, type Scope, type StoredTensors, storedParameters } from './weights.js';

/** The configuration of both towers, with the names and meanings of Python's `transformers.CLIPConfig`. */
export interface CLIPConfig {
  readonly text: CLIPTextConfig;
  readonly vision: CLIPVisionConfig;
  /** The number of channels in which texts and pictures are compared. */
  readonly projection_dim: number;
}

function parseConfig(where: string, given: unknown): CLIPConfig {
  const { projection_dim } = takeFields(where, { projection_dim: 512 }, given);
  checkIntegers(where, { projection_dim }, ['projection_dim'], 1);
  const parts = given as Readonly<Record<string, unknown>>;
  // Old files have the parts by another name, some beside an empty one by the present name.
  const part = (name: string) => parts[name] ?? parts[`${name}_dict`] ?? {};
  return {
    text: parseTextConfig(`${where}: text_config`, part('text_config')),
    vision: parseClipVision(`${where}: vision_config`, part('vision_config')),
    projection_dim,
  };
}

/** Buffers of positions are no parameters. */
const rename = (name: string) => (name.endsWith('position_ids') ? undefined : name);

/** A projection without bias: [in, out]. */
function projection(scope: Scope, inputs: number, outputs: number) {
  const weight = scope.variable<tf.Rank.R2>('weight', [inputs, outputs], { normal: inputs ** -0.5 });
  return (x: tf.Tensor2D): tf.Tensor2D => linear(x, weight);
}

/**
 * CLIP (Radford et al. 2021): a text tower and a vision tower whose features are compared by their cosine. Configured and
 * stored as transformers' CLIPModel; weights with open_clip's names are read too.
 */
export class CLIPModel {
  readonly config: CLIPConfig;
  /** The parameters by transformers' keys; linear layers are [in, out]. */
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  /** The factor on cosines, of which CLIP was trained to take the softmax: `exp(logit_scale)`. */
  readonly scale: number;
  readonly #text: (inputIds: tf.Tensor2D) => tf.Tensor2D;
  readonly #vision: (images: tf.Tensor4D) => VisionOutput;
  readonly #project: (pooled: tf.Tensor2D) => tf.Tensor2D;

  private constructor(where: string, config: CLIPConfig, state: StoredTensors) {
    const { text, vision, projection_dim: width } = config;
    const make = (scope: Scope) => {
      const encode = clipTextTower(scope.at('text_model'), text);
      const projectText = projection(scope.at('text_projection'), text.hidden_size, width);
      const see = clipVisionTower(scope.at('vision_model'), vision);
      const project = projection(scope.at('visual_projection'), vision.hidden_size, width);
      const scale = scope.variable<tf.Rank.R0>('logit_scale', [], 0);
      return { text: (ids: tf.Tensor2D) => projectText(encode(ids).poolerOutput), see, project, scale };
    };
    const { network, parameters } = build(storedParameters(where, state, rename), make);
    this.config = config;
    this.parameters = parameters;
    this.scale = Math.exp(network.scale.dataSync()[0]!);
    this.#text = network.text;
    this.#vision = network.see;
    this.#project = network.project;
  }

  /**
   * Reads `config.json` and `model.safetensors` (one file or shards, in float32 or a variant of less).
   * @throws GymError E_FILE where a file is missing, is corrupt or does not fit its configuration; E_CONFIG or E_NAME
   *   where the configuration is not supported
   */
  static async load(folder: string): Promise<CLIPModel> {
    const where = join(folder, 'config.json');
    const config = parseConfig(where, await readPythonJson(where));
    return useWeights(folder, TEXT_STEMS, (path, state) => new CLIPModel(path, config, fromOpenClip(state)));
  }

  /** Frees the parameters. */
  dispose(): void {
    disposeParameters(this.parameters);
  }

  /**
   * The features of texts, not of length 1.
   * @param inputIds int32 [n, tokens], as {@link CLIPTextModel.apply} takes them
   * @returns [n, projection_dim]; differentiable, and the caller frees it
   */
  textFeatures(inputIds: tf.Tensor2D): tf.Tensor2D {
    return tf.tidy(() => this.#text(inputIds));
  }

  /** What the vision tower makes of images [n, image_size, image_size, 3]; the caller frees it. */
  see(images: tf.Tensor4D): VisionOutput {
    const { image_size: size } = this.config.vision;
    if (images.rank !== 4 || images.shape[1] !== size || images.shape[2] !== size || images.shape[3] !== 3)
      throw new GymError('E_SHAPE', `CLIPModel: images must be [n, ${size}, ${size}, 3], actual [${images.shape}].`);
    return this.#vision(images);
  }

  /** The features of images as {@link see} takes them, not of length 1: [n, projection_dim]; the caller frees it. */
  imageFeatures(images: tf.Tensor4D): tf.Tensor2D {
    return tf.tidy(() => this.#project(this.see(images).poolerOutput));
  }
}
