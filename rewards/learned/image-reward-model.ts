import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import { readPythonJson } from '../../core/files.js';
import { readSafetensors } from '../../core/safetensors.js';
import { BlipModel, type BlipPart } from '../../networks/blip.js';
import { useWeights } from '../../networks/weight-files.js';
import type { StoredTensors } from '../../networks/weights.js';
import { headValue, type LinearHead, linearHead } from './linear-head.js';

/** The mean and standard deviation of the network's output, by which ImageReward's authors normalise it. */
const outputMean = 0.16717362830052426;
const outputStd = 1.0333394966054072;

/** How the name of the released file begins, after its conversion to safetensors. */
const RELEASED = 'ImageReward';

/** transformers' keys of BlipVisionModel for those of the released file, which are timm's. */
const visionNames: readonly (readonly [RegExp, string])[] = [
  [/^cls_token$/, 'embeddings.class_embedding'],
  [/^pos_embed$/, 'embeddings.position_embedding'],
  [/^patch_embed\.proj\./, 'embeddings.patch_embedding.'],
  [/^blocks\.(\d+)\.norm1\./, 'encoder.layers.$1.layer_norm1.'],
  [/^blocks\.(\d+)\.norm2\./, 'encoder.layers.$1.layer_norm2.'],
  [/^blocks\.(\d+)\.attn\.qkv\./, 'encoder.layers.$1.self_attn.qkv.'],
  [/^blocks\.(\d+)\.attn\.proj\./, 'encoder.layers.$1.self_attn.projection.'],
  [/^blocks\.(\d+)\.mlp\./, 'encoder.layers.$1.mlp.'],
  [/^norm\./, 'post_layernorm.'],
];

/** The tensors whose names begin so, without that beginning, and by other names where there are such. */
function below(state: StoredTensors, prefix: string, names: typeof visionNames = []): StoredTensors {
  const keys = [...state.keys()].filter((key) => key.startsWith(prefix));
  const renamed = new Map(
    keys.map((key) => [names.reduce((at, [from, to]) => at.replace(from, to), key.slice(prefix.length)), key]),
  );
  return {
    keys: () => renamed.keys(),
    get: (name) => (renamed.has(name) ? state.get(renamed.get(name)!) : undefined),
  };
}

/** The sizes of the vision tower, which the released file does not name: they follow from its tensors. */
function visionConfig(where: string, state: StoredTensors): unknown {
  const shape = (key: string) => {
    const value = state.get(key);
    if (!value)
      throw new GymError('E_FILE', `${where}: has no tensor blip.visual_encoder.${key}; is it ImageReward's?`);
    return value.shape as number[];
  };
  const [width, , patch] = shape('patch_embed.proj.weight') as [number, number, number];
  const [, places] = shape('pos_embed') as [number, number];
  const [inner] = shape('blocks.0.mlp.fc1.weight') as [number];
  const depth = new Set([...state.keys()].flatMap((key) => /^blocks\.(\d+)\./.exec(key)?.[1] ?? [])).size;
  return {
    hidden_size: width,
    intermediate_size: inner,
    num_hidden_layers: depth,
    // The heads of every ViT of this family are 64 wide.
    num_attention_heads: Math.max(1, width / 64),
    image_size: Math.round(Math.sqrt(places - 1)) * patch,
    patch_size: patch,
    layer_norm_eps: 1e-6,
  };
}

/** `med_config.json`, which has two keys by other names than transformers. */
async function medConfig(where: string): Promise<unknown> {
  const { encoder_width: width, ...config } = (await readPythonJson(where)) as Readonly<Record<string, unknown>>;
  return { encoder_hidden_size: width, ...config, type_vocab_size: 0 };
}

/**
 * The network of ImageReward (Xu et al. 2023): BLIP reads the prompt while it sees the picture, and a linear head turns
 * what the first token has become into a number.
 */
export class ImageRewardModel {
  readonly blip: BlipModel;
  readonly #head: LinearHead;

  private constructor(blip: BlipModel, head: LinearHead) {
    this.blip = blip;
    this.#head = head;
  }

  /**
   * Reads a folder: the released file, converted, as `ImageReward.safetensors` with its `med_config.json`; or `vision/`,
   * `text/` (each `config.json` and `model.safetensors`, as transformers writes its BLIP models) and `mlp.safetensors`.
   * @throws GymError E_FILE where something is missing or does not fit; E_CONFIG or E_NAME where it is not supported
   */
  static async load(folder: string): Promise<ImageRewardModel> {
    if (existsSync(join(folder, `${RELEASED}.safetensors`))) return await ImageRewardModel.#released(folder);
    if (existsSync(join(folder, 'vision'))) return await ImageRewardModel.#parts(folder);
    throw new GymError(
      'E_FILE',
      `${folder}: has neither ${RELEASED}.safetensors (the released file, converted as docs/rewards.md shows) nor vision/, text/ and mlp.safetensors.`,
    );
  }

  static async #parts(folder: string): Promise<ImageRewardModel> {
    const part = <T>(name: string, use: (part: BlipPart) => Promise<T> | T): Promise<T> =>
      useWeights(join(folder, name), ['model'], async (weights, state) => {
        const where = join(folder, name, 'config.json');
        return await use({ where, config: await readPythonJson(where), weights, state });
      });
    const path = join(folder, 'mlp.safetensors');
    const mlp = await readSafetensors(path);
    return await part('vision', (vision) =>
      part('text', (text) => {
        const config = { ...(text.config as object), type_vocab_size: 0 };
        return ImageRewardModel.#of(vision, { ...text, config }, path, mlp);
      }),
    );
  }

  static async #released(folder: string): Promise<ImageRewardModel> {
    const whereText = join(folder, 'med_config.json');
    const textConfig = await medConfig(whereText);
    return await useWeights(folder, [RELEASED], (path, state) => {
      const [seen, read] = ['blip.visual_encoder.', 'blip.text_encoder.'] as const;
      const vision = below(state, seen, visionNames);
      return ImageRewardModel.#of(
        { where: path, config: visionConfig(path, below(state, seen)), weights: path, state: vision },
        { where: whereText, config: textConfig, weights: path, state: below(state, read) },
        path,
        below(state, 'mlp.'),
      );
    });
  }

  static #of(vision: BlipPart, text: BlipPart, where: string, mlp: StoredTensors): ImageRewardModel {
    const blip = BlipModel.from(vision, text);
    try {
      return new ImageRewardModel(blip, linearHead(where, mlp, blip.text.hidden_size));
    } catch (error) {
      blip.dispose();
      throw error;
    }
  }

  /**
   * The rewards of pictures for texts.
   * @param images [n, size, size, 3], made ready for the network
   * @param inputIds the ids of each text, special tokens included, without padding
   */
  async rewards(images: tf.Tensor4D, inputIds: readonly (readonly number[])[]): Promise<Float64Array> {
    const width = this.blip.text.hidden_size;
    const rewards = new Float64Array(inputIds.length);
    const seen = this.blip.see(images);
    // Texts of one length go together, so that none needs padding.
    for (const length of new Set(inputIds.map((ids) => ids.length))) {
      const rows = [...inputIds.keys()].filter((i) => inputIds[i]!.length === length);
      const first = tf.tidy(() => {
        const ids = tf.tensor2d(
          rows.map((i) => [...inputIds[i]!]),
          [rows.length, length],
          'int32',
        );
        const hidden = this.blip.read(ids, tf.gather(seen, tf.tensor1d(rows, 'int32')));
        return tf.slice(hidden, [0, 0, 0], [rows.length, 1, width]).reshape([rows.length, width]);
      });
      const values = (await first.data()) as Float32Array;
      first.dispose();
      rows.forEach((i, k) => {
        const features = values.subarray(k * width, (k + 1) * width);
        rewards[i] = (headValue(this.#head, features) - outputMean) / outputStd;
      });
    }
    seen.dispose();
    return rewards;
  }

  /** Frees the parameters. */
  dispose(): void {
    this.blip.dispose();
  }
}
