import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { unknownName } from '../core/errors.js';
import { readPythonJson } from '../core/files.js';
import { bertPlan, checkIds } from './bert-model.js';
import { debertaPlan } from './deberta-model.js';
import type { TextEncoderConfig, TextEncoderParts, TextEncoderPlan } from './text-encoder-plan.js';
import { useWeights } from './weight-files.js';
import { build, disposeParameters, storedParameters } from './weights.js';

const STEMS = ['model', 'pytorch_model'];

/** The kinds of encoder, by their `model_type`. */
const KINDS: Readonly<Record<string, (where: string, config: unknown) => TextEncoderPlan>> = {
  bert: bertPlan,
  roberta: bertPlan,
  'xlm-roberta': bertPlan,
  camembert: bertPlan,
  distilbert: bertPlan,
  deberta: debertaPlan,
  'deberta-v2': debertaPlan,
};

/**
 * An encoder of texts in the manner of BERT (Devlin et al. 2018), configured and stored as transformers' BertModel,
 * RobertaModel, DistilBertModel, DebertaModel or DebertaV2Model (which is DeBERTa v3, too).
 */
export class TextEncoder {
  readonly config: TextEncoderConfig;
  /** The number of tokens of the longest text, including special tokens. */
  readonly longest: number;
  /** The parameters by transformers' keys of BertModel or DebertaModel; linear layers are [in, out]. */
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  readonly #parts: TextEncoderParts;

  private constructor(plan: TextEncoderPlan, parts: TextEncoderParts, parameters: ReadonlyMap<string, tf.Variable>) {
    this.config = plan.config;
    this.longest = plan.longest;
    this.#parts = parts;
    this.parameters = parameters;
  }

  /**
   * Reads `config.json` and `model.safetensors` (one file or shards, in float32 or a variant of less).
   * @throws GymError E_FILE where a file is missing, is corrupt or does not fit its configuration; E_CONFIG or E_NAME
   *   where the configuration is not supported
   */
  static async load(folder: string): Promise<TextEncoder> {
    const where = join(folder, 'config.json');
    const config = await readPythonJson(where);
    const kind = (config as { model_type?: unknown } | null)?.model_type ?? 'bert';
    const planOf = Object.hasOwn(KINDS, String(kind)) ? KINDS[String(kind)] : undefined;
    if (!planOf) throw unknownName(where, 'model_type', String(kind), Object.keys(KINDS));
    const plan = planOf(where, config);
    return useWeights(folder, STEMS, (path, state) => {
      const source = storedParameters(path, state, plan.rename);
      const { network, parameters } = build(source, (scope) => plan.make(scope));
      return new TextEncoder(plan, network, parameters);
    });
  }

  /**
   * The hidden states of texts of the same number of tokens. The result is differentiable, and the caller frees it.
   * @param inputIds int32 [batch, tokens], none of them padding
   * @param layer after which layer: 0 are the embeddings; default: the last
   * @returns [batch, tokens, hidden_size]
   * @throws GymError E_SHAPE where the ids have another type or are too many
   */
  apply(inputIds: tf.Tensor2D, layer = this.config.num_hidden_layers): tf.Tensor3D {
    const [batch, tokens] = inputIds.shape;
    checkIds('TextEncoder', inputIds, this.longest);
    return tf.tidy(() => {
      const { embed, layers } = this.#parts;
      const rows = layers.slice(0, layer).reduce((h, next) => tf.tidy(() => next(h, batch)), embed(inputIds));
      return rows.reshape<tf.Tensor3D>([batch, tokens, this.config.hidden_size]);
    });
  }

  /** Frees the parameters. */
  dispose(): void {
    disposeParameters(this.parameters);
  }
}
