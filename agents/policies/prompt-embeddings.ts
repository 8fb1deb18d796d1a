import type { Tensor3D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';

const CACHE_BYTES = 256 * 2 ** 20;

/** Embeddings of prompts by a frozen text encoder, which is asked once for each prompt. */
export class PromptEmbeddings {
  readonly #embed: (prompts: readonly string[]) => Tensor3D;
  readonly #known = new Map<string, Float32Array>();
  /** Tokens and width. */
  #shape: [number, number] = [0, 0];

  /** @param embed prompts → embeddings [b, n, d], which are freed here. */
  constructor(embed: (prompts: readonly string[]) => Tensor3D) {
    this.#embed = embed;
  }

  /** Embeds those of some prompts that are not known, and makes room for them by forgetting the oldest others. */
  async ready(prompts: readonly string[]): Promise<void> {
    const missing = [...new Set(prompts)].filter((prompt) => !this.#known.has(prompt));
    if (missing.length === 0) return;
    const [n, d] = this.#shape;
    const capacity = n * d === 0 ? Number.POSITIVE_INFINITY : Math.floor(CACHE_BYTES / (4 * n * d));
    const needed = new Set(prompts);
    for (const prompt of this.#known.keys()) {
      if (this.#known.size + missing.length <= capacity) break;
      if (!needed.has(prompt)) this.#known.delete(prompt);
    }
    const embedded = tf.tidy(() => this.#embed(missing));
    const data = (await embedded.data()) as Float32Array;
    const [, rows, width] = embedded.shape;
    embedded.dispose();
    this.#shape = [rows, width];
    missing.forEach((prompt, i) => {
      this.#known.set(prompt, data.slice(i * rows * width, (i + 1) * rows * width));
    });
  }

  /** [prompts, n, d]; the caller frees it. All of them must be {@link ready}. */
  of(prompts: readonly string[]): Tensor3D {
    const [n, d] = this.#shape;
    const data = new Float32Array(prompts.length * n * d);
    prompts.forEach((prompt, i) => {
      data.set(this.#known.get(prompt)!, i * n * d);
    });
    return tf.tensor3d(data, [prompts.length, n, d]);
  }
}
