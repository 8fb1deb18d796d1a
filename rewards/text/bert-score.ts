import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import { useBackend } from '../../networks/backend.js';
import { TextEncoder } from '../../networks/text-encoder.js';
import { TextTokenizer } from '../../networks/text-tokenizer.js';

/** What BERTScore says of a candidate: each about 0..1, 1 where the two texts have the same tokens. */
export interface BertScores {
  readonly precision: number[];
  readonly recall: number[];
  readonly f1: number[];
}

/** Options of {@link BertScorer.load}. */
export interface BertScorerOptions {
  /** The layer whose hidden states are compared. Default: that of Python's bert_score, for the encoders it knows. */
  readonly layer?: number;
  /** How many texts are encoded at once. Default 32. */
  readonly batchSize?: number;
}

/** The layers that Python's bert_score takes (its `model2layers`), by kind, number of layers and width of the encoder. */
const usualLayers: Readonly<Record<string, number>> = {
  'bert 12 768': 9,
  'bert 24 1024': 18,
  'distilbert 6 768': 5,
  'roberta 6 768': 5,
  'roberta 12 768': 10,
  'roberta 24 1024': 17,
  'xlm-roberta 12 768': 9,
  'xlm-roberta 24 1024': 17,
  'deberta 12 768': 9,
  // deberta-xlarge-mnli, which DDPO takes; for deberta-xlarge, which is of the same size, bert_score has 18.
  'deberta 48 1024': 40,
  // DeBERTa v3.
  'deberta-v2 12 384': 10,
  'deberta-v2 6 768': 4,
  'deberta-v2 12 768': 9,
  'deberta-v2 24 1024': 12,
};

/** The hidden states of one text, each of length 1: [tokens, width] in a row. */
interface Embedded {
  readonly ids: readonly number[];
  readonly vectors: Float32Array;
}

/**
 * BERTScore (Zhang et al. 2020) as in DDPO: no weights of inverse document frequency and no rescaling. The tokens of one
 * text are compared with those of the other by the cosine of their hidden states, and the best match of each counts.
 *
 * The special tokens at the ends of a text weigh nothing, but may be the best match of the other text's tokens, as in
 * Python's bert_score (`get_idf_dict` and `greedy_cos_idf`). What differs from it: there, padding makes a best match of less
 * than 0 a 0 where a text stands beside a longer one, so that a score depends on the batch; here it does not.
 */
export class BertScorer {
  readonly layer: number;
  readonly #model: TextEncoder;
  readonly #tokenizer: TextTokenizer;
  readonly #batchSize: number;

  private constructor(model: TextEncoder, tokenizer: TextTokenizer, layer: number, batchSize: number) {
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.layer = layer;
    this.#batchSize = batchSize;
  }

  /**
   * Reads an encoder and its tokenizer from a folder in Hugging Face's layout: `config.json`, `model.safetensors` and
   * `tokenizer.json` or `vocab.txt`. The kinds are those of {@link TextEncoder}.
   * @throws GymError E_FILE, E_CONFIG or E_NAME where something is missing, broken or not supported; E_CONFIG where the
   *   layer is not given and not known either
   */
  static async load(folder: string, { layer, batchSize = 32 }: BertScorerOptions = {}): Promise<BertScorer> {
    await useBackend();
    const model = await TextEncoder.load(folder);
    try {
      const { model_type, num_hidden_layers: count, hidden_size } = model.config;
      const chosen = layer ?? usualLayers[`${model_type} ${count} ${hidden_size}`];
      if (chosen === undefined || chosen > count)
        throw new GymError(
          'E_CONFIG',
          `${folder}: layer: say whose hidden states are compared, 1 to ${count}, actual value ${layer}; bert_score has none for this encoder.`,
        );
      return new BertScorer(model, await TextTokenizer.load(folder, model.longest), chosen, batchSize);
    } catch (error) {
      model.dispose();
      throw error;
    }
  }

  /**
   * Compares each candidate with its reference, both without the white space around them. An empty text scores 0.
   * @throws GymError E_SHAPE where there are not as many of the one as of the other
   */
  async score(candidates: readonly string[], references: readonly string[]): Promise<BertScores> {
    if (candidates.length !== references.length)
      throw new GymError(
        'E_SHAPE',
        `BertScorer.score: ${candidates.length} candidates for ${references.length} references; hand in one each.`,
      );
    const texts = [...candidates, ...references].map((text) => text.trim());
    const embedded = await this.#embed([...new Set(texts)]);
    const scores: BertScores = { precision: [], recall: [], f1: [] };
    candidates.forEach((candidate, i) => {
      const [own, other] = [embedded.get(candidate.trim())!, embedded.get(references[i]!.trim())!];
      const [precision, recall] = [this.#matched(own, other), this.#matched(other, own)];
      const both = precision > 0 || recall > 0;
      scores.precision.push(precision);
      scores.recall.push(recall);
      scores.f1.push(both ? (2 * precision * recall) / (precision + recall) : 0);
    });
    return scores;
  }

  /** The ids of a text, as they are given to the encoder. */
  encode(text: string): number[] {
    return this.#tokenizer.encode(text.trim());
  }

  /** Frees the encoder. */
  dispose(): void {
    this.#model.dispose();
  }

  /** The mean, over the tokens of a text but the special ones, of the cosine with the best match in another text. */
  #matched(text: Embedded, other: Embedded): number {
    const width = this.#model.config.hidden_size;
    const special = (id: number) => this.#tokenizer.special.has(id);
    const tokens = text.ids.flatMap((id, i) => (special(id) ? [] : [i]));
    // As in bert_score, a text that is empty has no match at all, though its special tokens are there.
    if (tokens.length === 0 || other.ids.every(special)) return 0;
    let sum = 0;
    for (const i of tokens) {
      let best = Number.NEGATIVE_INFINITY;
      for (let j = 0; j < other.ids.length; j++) {
        let dot = 0;
        for (let k = 0; k < width; k++) dot += text.vectors[i * width + k]! * other.vectors[j * width + k]!;
        best = Math.max(best, dot);
      }
      sum += best;
    }
    return sum / tokens.length;
  }

  /** Texts of one length are encoded together, so that none needs padding and none depends on what stands beside it. */
  async #embed(texts: readonly string[]): Promise<Map<string, Embedded>> {
    const lengths = new Map<number, { text: string; ids: number[] }[]>();
    for (const text of texts) {
      const ids = this.#tokenizer.encode(text);
      lengths.set(ids.length, [...(lengths.get(ids.length) ?? []), { text, ids }]);
    }
    const embedded = new Map<string, Embedded>();
    for (const [length, group] of lengths)
      for (let start = 0; start < group.length; start += this.#batchSize) {
        const part = group.slice(start, start + this.#batchSize);
        const vectors = tf.tidy(() => {
          const ids = tf.tensor2d(
            part.map((entry) => entry.ids),
            [part.length, length],
            'int32',
          );
          const hidden = this.#model.apply(ids, this.layer);
          return hidden.div<tf.Tensor3D>(tf.norm(hidden, 2, 2, true));
        });
        const data = (await vectors.data()) as Float32Array;
        vectors.dispose();
        const size = data.length / part.length;
        part.forEach(({ text, ids }, i) => {
          embedded.set(text, { ids, vectors: data.slice(i * size, (i + 1) * size) });
        });
      }
    return embedded;
  }
}
