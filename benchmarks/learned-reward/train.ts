import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { writeFileAtomic, writeFolderAtomic } from '../../core/files.js';
import { stack } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { writeSafetensors } from '../../core/safetensors.js';
import { BlipModel } from '../../networks/blip.js';
import { clipMean, clipStd, processImages } from '../../networks/image-processor.js';
import { TextTokenizer } from '../../networks/text-tokenizer.js';
import { stateDict } from '../../networks/weights.js';
import { shapesVocabulary } from '../../rewards/shapes/world.js';
import { type JudgeTraining, trainJudge } from '../paper/train-judge.js';
import { type Pair, type Ranked, randomPair } from './pictures.js';

/** Default: 800 steps. */
export interface TrainRewardOptions extends Partial<JudgeTraining> {
  /** Pictures of a diffusion model, which are part of the pairs. */
  readonly ofModel: readonly Ranked[];
  readonly seed?: number;
  /** Pairs of a step. Default 48. */
  readonly batch?: number;
}

const width = 64;
const layers = {
  hidden_size: width,
  intermediate_size: 2 * width,
  num_attention_heads: 4,
  hidden_act: 'gelu',
} as const;
const visionConfig = { ...layers, num_hidden_layers: 2, image_size: 16, patch_size: 4 };
const vocabulary = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...shapesVocabulary];
const textConfig = {
  ...layers,
  num_hidden_layers: 2,
  ...{ encoder_hidden_size: width, vocab_size: vocabulary.length, max_position_embeddings: 16 },
};

/**
 * Trains a small network of ImageReward's form (Xu et al. 2023: BLIP reads the prompt while it sees the picture, and a linear
 * head makes a number of its first token) on pairs of pictures of one prompt, of which the exact scorers rank one higher, by
 * the paper's loss (its equation 1): −log σ(r(better) − r(worse)).
 * @param folder where it is written, as the reward `image-reward` reads it.
 */
export async function trainRewardModel(folder: string, options: TrainRewardOptions): Promise<void> {
  const { ofModel, seed = 0, steps = 800, batch = 48, learningRate = 1e-3, onStep } = options;
  const random = new Random(seed).child('learned reward');
  await writeFolderAtomic(folder, async (temporary) => {
    await writeFileAtomic(join(temporary, 'vocab.txt'), `${vocabulary.join('\n')}\n`);
    const tokenizer = await TextTokenizer.load(temporary, textConfig.max_position_embeddings);
    const blip = BlipModel.create(visionConfig, textConfig, random.child('weights'));
    const first = random
      .child('head')
      .normals(width)
      .map((value) => 0.1 * value);
    const head = tf.tidy(() => tf.variable(tf.tensor2d(first, [width, 1])));
    const { vision, text } = blip.parameters;
    const parameters = new Map([
      ...[...vision].map(([name, v]) => [`vision.${name}`, v] as const),
      ...[...text].map(([name, v]) => [`text.${name}`, v] as const),
      ['head', head],
    ]);
    /** The rewards of pictures [n, 1]: all prompts have the same number of words. */
    const rewards = (pictures: tf.Tensor4D, ids: tf.Tensor2D) => {
      const hidden = blip.read(ids, blip.see(pictures));
      return tf.slice(hidden, [0, 0, 0], [-1, 1, -1]).reshape<tf.Tensor2D>([-1, width]).matMul(head);
    };
    await trainJudge(parameters, { steps, learningRate, onStep }, () => {
      const pairs: Pair[] = Array.from({ length: batch }, () => randomPair(random, ofModel));
      const pictures = processImages(
        stack([...pairs.map(({ better }) => better.image), ...pairs.map(({ worse }) => worse.image)]),
        { size: 16, fit: 'crop', mean: clipMean, std: clipStd },
      );
      const texts = pairs.map(({ better }) => tokenizer.encode(better.prompt, textConfig.max_position_embeddings));
      const ids = tf.tensor2d(
        [...texts, ...texts].map((row) => [...row]),
        undefined,
        'int32',
      );
      return {
        inputs: [pictures, ids],
        loss: () => {
          const [better, worse] = tf.split(rewards(pictures, ids), 2);
          // −log σ(x) is the softplus of −x.
          return worse!.sub(better!).softplus().mean<tf.Scalar>();
        },
      };
    });
    for (const [part, config, own] of [
      ['vision', visionConfig, vision],
      ['text', textConfig, text],
    ] as const) {
      await writeFileAtomic(join(temporary, part, 'config.json'), `${JSON.stringify(config, null, 1)}\n`);
      await writeSafetensors(join(temporary, part, 'model.safetensors'), await stateDict(own));
    }
    const weight = { data: (await head.data()) as Float32Array, shape: [1, width] };
    const bias = { data: new Float32Array(1), shape: [1] };
    await writeSafetensors(
      join(temporary, 'mlp.safetensors'),
      new Map([
        ['layers.0.weight', weight],
        ['layers.0.bias', bias],
      ]),
    );
    tf.dispose(head);
    blip.dispose();
  });
}
