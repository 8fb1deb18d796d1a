import { existsSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import { convolution } from '../../backend/index.js';
import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import type { Random } from '../../core/random.js';
import { readSafetensors, writeSafetensors } from '../../core/safetensors.js';
import { normalizedImages } from '../../networks/digits-network.js';
import { convolutionParameters, linearLayer } from '../../networks/layers/basic.js';
import {
  build,
  disposeParameters,
  type ParameterSource,
  randomParameters,
  type Scope,
  stateDict,
  storedParameters,
} from '../../networks/weights.js';
import { kindOf, type Style, sameSaid, styles, words } from './texts.js';

/** What is said: words, and the end of a text. */
const tokens: readonly string[] = ['<end>', ...words];
const END = 0;
const said = tokens.length;
const idOf = new Map(tokens.map((token, id) => [token, id]));

/** The most words of a text, its end included: "a red circle and a blue square" has 7. */
const longest = 8;
/** Channels of the convolutions, whose first and last halve the picture, and of what is known at a word. */
const [channels, width] = [[3, 32, 48, 64], 256] as const;

/** The ids of a text, with its end. @throws GymError E_VALUE on a word that the world does not have. */
function idsOf(text: string): number[] {
  const ids = text.split(' ').map((word) => idOf.get(word));
  const unknown = ids.indexOf(undefined);
  if (unknown >= 0 || ids.length >= longest)
    throw new GymError('E_VALUE', `captioner: ${JSON.stringify(text)} is no text of the world of shapes.`);
  return [...(ids as number[]), END];
}

interface Layers {
  /** What is seen of pictures, −1..1: [n, width]. */
  see(images: tf.Tensor4D): tf.Tensor2D;
  /**
   * The logits of each word [n, longest, said], from what is seen, the style, and the words before it.
   * @param texts int32 [n, longest]: the words by their ids; of the last one nothing is made.
   */
  read(seen: tf.Tensor2D, asked: readonly Style[], texts: tf.Tensor2D): tf.Tensor3D;
}

function layersOf(scope: Scope): Layers {
  const convolutions = [1, 2, 3].map((i) => ({
    ...convolutionParameters(scope.at(`conv${i}`), channels[i - 1]!, channels[i]!, 3),
    strides: i === 2 ? (1 as const) : (2 as const),
  }));
  const bottleneck = linearLayer(scope.at('bottleneck'), 4 * 4 * 64, width);
  const table = (name: string, rows: number) =>
    scope.at(name).variable<tf.Rank.R2>('weight', [rows, width], { normal: 0.1 });
  const style = table('style_embedding', styles.length);
  const place = table('position_embedding', longest);
  // A word means something else at each place.
  const word = table('word_embedding', longest * said);
  const hidden = linearLayer(scope.at('hidden'), width, width);
  const head = linearLayer(scope.at('head'), width, said);
  return {
    see: (images) => {
      let x = images;
      for (const { weight, bias, strides } of convolutions) x = convolution(x, weight, bias, { strides }).relu();
      return bottleneck(x.reshape<tf.Tensor2D>([x.shape[0], -1])).relu();
    },
    read: (seen, asked, texts) => {
      const [count] = texts.shape;
      const manner = tf.gather(
        style,
        tf.tensor1d(
          asked.map((one) => styles.indexOf(one)),
          'int32',
        ),
      );
      const places = tf.range(0, longest * said, said, 'int32');
      const words = tf
        .gather(word, texts.add<tf.Tensor2D>(places).flatten())
        .reshape<tf.Tensor3D>([count, longest, width]);
      // Each word sees the sum of those before it. (The gradient of tf.cumsum is right along the last axis alone.)
      const before = tf.matMul(earlier(), words);
      const known = hidden(seen).add(manner).reshape<tf.Tensor3D>([count, 1, width]);
      return head(
        before.add(known).add<tf.Tensor3D>(place).relu<tf.Tensor3D>().reshape<tf.Tensor2D>([-1, width]),
      ).reshape([count, longest, said]);
    },
  };
}

/** [1, longest, longest]: 1 where the column's place is before the row's. */
const earlier = () =>
  tf.tensor3d([
    Array.from({ length: longest }, (_, row) => Array.from({ length: longest }, (_, i) => Number(i < row))),
  ]);

/** Texts as rows of ids, ends to the last place: int32 [n, longest]. */
function rowsOf(texts: readonly string[]): tf.Tensor2D {
  const ids = texts.flatMap((text) => {
    const own = idsOf(text);
    return [...own, ...Array<number>(longest - own.length).fill(END)];
  });
  return tf.tensor2d(ids, [texts.length, longest], 'int32');
}

/**
 * A sum over the words of texts, their end included, of −log p, by text [n].
 * @param seen what is seen of the picture of each text
 */
function surprise(read: Layers['read'], seen: tf.Tensor2D, asked: readonly Style[], texts: readonly string[]) {
  const rows = rowsOf(texts);
  const chosen = tf
    .oneHot(rows, said)
    .mul(tf.logSoftmax(read(seen, asked, rows)))
    .sum<tf.Tensor2D>(2);
  const lengths = texts.map((text) => idsOf(text).length);
  const counts = tf.tensor2d(
    lengths.map((length) => Array.from({ length: longest }, (_, place) => (place < length ? 1 : 0))),
  );
  return chosen.mul<tf.Tensor2D>(counts).sum<tf.Tensor1D>(1).neg<tf.Tensor1D>();
}

/**
 * A small image-to-text model: three convolutions look at a picture of 16×16 pixels, and a decoder says word for word what is
 * there, in the manner that it is asked for ({@link Style}): a hidden layer that knows what is seen, the manner, and the words
 * so far, each at its place. 0.5 million parameters.
 */
export class Captioner {
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  readonly #layers: Layers;

  private constructor(source: ParameterSource) {
    const { network, parameters } = build(source, layersOf);
    this.#layers = network;
    this.parameters = parameters;
  }

  /** One that knows nothing yet. */
  static create(random: Random): Captioner {
    return new Captioner(randomParameters(random));
  }

  /** @throws GymError E_FILE where the file is missing, damaged or of other layers. */
  static async load(path: string): Promise<Captioner> {
    return new Captioner(storedParameters(path, await readSafetensors(path)));
  }

  /** Reads the file, or trains one and writes it where there is none. */
  static async loadOr(path: string, train: () => Promise<Captioner>): Promise<Captioner> {
    if (existsSync(path)) return await Captioner.load(path);
    const captioner = await train();
    await captioner.save(path);
    return captioner;
  }

  async save(path: string): Promise<void> {
    await writeSafetensors(path, await stateDict(this.parameters));
  }

  /**
   * The loss of two texts on each picture: −log p, a mean over the texts. Differentiable in the parameters.
   * @param images float32 [n, 16, 16, 3], −1..1
   * @param texts 2n of them, each in the style of its place in `asked`: a first of each picture, then a second of each
   */
  loss(images: tf.Tensor4D, asked: readonly Style[], texts: readonly string[]): tf.Scalar {
    return tf.tidy(() => {
      const seen = this.#layers.see(images);
      return surprise(this.#layers.read, tf.concat([seen, seen]), asked, texts).mean<tf.Scalar>();
    });
  }

  /** What it says of pictures (uint8 [n, 16, 16, 3]) in a style: at each place the likeliest word. */
  async describe(images: NdArray<Uint8Array>, style: Style = 'everything'): Promise<string[]> {
    const [count] = images.shape as [number];
    const chosen = tf.tidy(() => {
      const seen = this.#layers.see(normalizedImages(images));
      const asked = Array<Style>(count).fill(style);
      // No text ends before its first word; one that has hardly been trained might.
      const atLeastOne = tf
        .oneHot(tf.tensor2d([[END, ...Array<number>(longest - 1).fill(-1)]], undefined, 'int32'), said)
        .mul(-1e9);
      let texts = tf.zeros<tf.Rank.R2>([count, longest], 'int32');
      // The words up to a place are settled when that place is read for the first time.
      for (let place = 0; place < longest; place++)
        texts = this.#layers.read(seen, asked, texts).add(atLeastOne).argMax<tf.Tensor2D>(2);
      return texts;
    });
    const ids = await chosen.data();
    chosen.dispose();
    return Array.from({ length: count }, (_, i) => {
      const own = Array.from(ids.subarray(i * longest, (i + 1) * longest));
      const end = own.indexOf(END);
      return own
        .slice(0, end < 0 ? longest : end)
        .map((id) => tokens[id])
        .join(' ');
    });
  }

  /**
   * How likely it is to say of each picture (uint8 [n, 16, 16, 3]) what the prompt beside it says, 0..1, when it is asked for a
   * text of the prompt's kind.
   * @throws GymError E_VALUE on a prompt that is none of the world of shapes.
   */
  async chances(images: NdArray<Uint8Array>, prompts: readonly string[]): Promise<number[]> {
    const asked = prompts.map((prompt) => {
      const kind = kindOf(prompt);
      if (kind === undefined)
        throw new GymError('E_VALUE', `captioner: ${JSON.stringify(prompt)} is no prompt of the world of shapes.`);
      return kind;
    });
    const orders = prompts.map((prompt) => sameSaid(prompt.trim().toLowerCase()));
    const sums = prompts.map(() => 0);
    for (const order of [0, 1]) {
      const rows = [...orders.keys()].filter((i) => orders[i]!.length > order);
      if (rows.length === 0) continue;
      const surprises = tf.tidy(() =>
        surprise(
          this.#layers.read,
          tf.gather(this.#layers.see(normalizedImages(images)), tf.tensor1d(rows, 'int32')),
          rows.map((i) => asked[i]!),
          rows.map((i) => orders[i]![order]!),
        ),
      );
      const values = await surprises.data();
      surprises.dispose();
      rows.forEach((i, k) => {
        sums[i]! += Math.exp(-values[k]!);
      });
    }
    return sums.map((sum) => Math.min(1, sum));
  }

  dispose(): void {
    disposeParameters(this.parameters);
  }
}
