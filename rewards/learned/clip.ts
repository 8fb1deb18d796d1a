import * as tf from '@tensorflow/tfjs';
import type { Reward, RewardBatch } from '../../core/reward.js';
import { readSafetensors } from '../../core/safetensors.js';
import { useBackend } from '../../networks/backend.js';
import { CLIPModel } from '../../networks/clip-model.js';
import { CLIPTokenizer } from '../../networks/clip-tokenizer.js';
import { type ImageProcessing, processImages, readImageProcessing } from '../../networks/image-processor.js';
import { inParts } from './batches.js';
import { headValue, linearHead } from './linear-head.js';
import {
  type AestheticOptions,
  aestheticOptions,
  type ClipScoreOptions,
  clipScoreOptions,
  type HpsOptions,
  hpsOptions,
  type PickScoreOptions,
  pickScoreOptions,
} from './options.js';

/** A CLIP model with what makes its inputs ready, from a folder in Hugging Face's layout. */
class Clip {
  readonly model: CLIPModel;
  readonly processing: ImageProcessing;
  readonly #tokenizer: CLIPTokenizer | undefined;

  private constructor(model: CLIPModel, processing: ImageProcessing, tokenizer?: CLIPTokenizer) {
    this.model = model;
    this.processing = processing;
    this.#tokenizer = tokenizer;
  }

  /** @param texts whether texts are compared too, for which the folder needs a tokenizer. */
  static async load(folder: string, texts: boolean): Promise<Clip> {
    await useBackend();
    // What is small is read before the weights.
    const processing = await readImageProcessing(folder);
    const tokenizer = texts ? await CLIPTokenizer.load(folder) : undefined;
    return new Clip(await CLIPModel.load(folder), processing, tokenizer);
  }

  /** The features of pictures, each of length 1. */
  images(images: RewardBatch['images'], processing = this.processing): tf.Tensor2D {
    return tf.tidy(() => unit(this.model.imageFeatures(processImages(images, processing))));
  }

  /** The features of prompts, each of length 1. A prompt that is too long loses its end. */
  texts(prompts: readonly string[]): tf.Tensor2D {
    const longest = this.model.config.text.max_position_embeddings;
    return tf.tidy(() => {
      const ids = prompts.map((prompt) => {
        const { inputIds } = this.#tokenizer!.encode(prompt, { truncation: true });
        return [...inputIds.subarray(0, longest)];
      });
      return unit(this.model.textFeatures(tf.tensor2d(ids, undefined, 'int32')));
    });
  }

  /** The cosine between each picture and its prompt. */
  async cosines({ images, prompts }: Pick<RewardBatch, 'images' | 'prompts'>, processing?: ImageProcessing) {
    const cosines = tf.tidy(() => this.images(images, processing).mul(this.texts(prompts)).sum(1));
    const values = await cosines.data();
    cosines.dispose();
    return values;
  }

  dispose(): void {
    this.model.dispose();
  }
}

/** Rows of length 1; one of zeros stays as it is. */
function unit(rows: tf.Tensor2D): tf.Tensor2D {
  const lengths = tf.norm(rows, 2, 1, true);
  return rows.div(tf.where(tf.equal(lengths, 0), tf.onesLike(lengths), lengths));
}

/** A reward that follows from the cosine of each picture and its prompt. */
async function cosineReward(
  name: string,
  { model, batchSize }: { model: string; batchSize: number },
  scoreOf: (cosine: number, scale: number) => number,
  fit: ImageProcessing['fit'] = 'crop',
): Promise<Reward> {
  const clip = await Clip.load(model, true);
  const processing = { ...clip.processing, fit };
  return {
    name,
    score: (batch: RewardBatch) =>
      inParts(batch, batchSize, async (part) =>
        Array.from(await clip.cosines(part, processing), (cosine) => scoreOf(cosine, clip.model.scale)),
      ),
    dispose: () => clip.dispose(),
  };
}

/**
 * CLIPScore (Hessel et al. 2021): how well a picture fits its prompt, by the cosine of CLIP's features.
 * @param name what errors and logs call it
 * @throws GymError E_FILE, E_CONFIG or E_NAME where the folder has no CLIP model that is supported
 */
export async function clipScore(name: string, options: ClipScoreOptions): Promise<Reward> {
  const { form, ...rest } = clipScoreOptions.parse(options);
  const factor = { cosine: 1, percent: 100, paper: 2.5 }[form];
  return await cosineReward(name, rest, (cosine) => factor * (form === 'cosine' ? cosine : Math.max(cosine, 0)));
}

/**
 * PickScore (Kirstain et al. 2023): `exp(logit_scale)` times the cosine of the features of a CLIP that was trained on what
 * people preferred, about 20 to 23.
 * @param name what errors and logs call it
 * @throws GymError as {@link clipScore}
 */
export async function pickScore(name: string, options: PickScoreOptions): Promise<Reward> {
  const { divisor, ...rest } = pickScoreOptions.parse(options);
  return await cosineReward(name, rest, (cosine, scale) => (scale * cosine) / divisor);
}

/**
 * HPSv2 (Wu et al. 2023): the cosine of the features of a CLIP that was trained on what people preferred. Pictures that are
 * no squares are put on black ones.
 * @param name what errors and logs call it
 * @throws GymError as {@link clipScore}
 */
export async function hps(name: string, options: HpsOptions): Promise<Reward> {
  return await cosineReward(name, hpsOptions.parse(options), (cosine) => cosine, 'pad');
}

/**
 * LAION's aesthetic predictor, as in DDPO (Black et al. 2023): a linear function of CLIP's picture features of length 1,
 * about 1 to 10. The prompt does not count.
 * @param name what errors and logs call it
 * @throws GymError as {@link clipScore}; E_FILE where the head does not fit the model
 */
export async function aesthetic(name: string, options: AestheticOptions): Promise<Reward> {
  const { model, head: path, batchSize } = aestheticOptions.parse(options);
  const state = await readSafetensors(path);
  const clip = await Clip.load(model, false);
  try {
    const width = clip.model.config.projection_dim;
    const head = linearHead(path, state, width);
    return {
      name,
      score: (batch: RewardBatch) =>
        inParts(batch, batchSize, async ({ images }) => {
          const features = clip.images(images);
          const rows = (await features.data()) as Float32Array;
          features.dispose();
          return Array.from({ length: images.shape[0]! }, (_, i) =>
            headValue(head, rows.subarray(i * width, (i + 1) * width)),
          );
        }),
      dispose: () => clip.dispose(),
    };
  } catch (error) {
    clip.dispose();
    throw error;
  }
}
