import type * as tf from '@tensorflow/tfjs';
import type { Scope } from './weights.js';

/** What all encoders have in their configuration, by transformers' names. */
export interface TextEncoderConfig {
  readonly model_type: string;
  readonly num_hidden_layers: number;
  readonly hidden_size: number;
}

/** How an encoder of one kind is made of its configuration. */
export interface TextEncoderPlan {
  readonly config: TextEncoderConfig;
  /** The number of tokens of the longest text, including special tokens. */
  readonly longest: number;
  /** The present key of a tensor of a file; undefined for one that is no parameter. */
  rename(name: string): string | undefined;
  make(scope: Scope): TextEncoderParts;
}

/** The parts of an encoder. All rows are [batch · tokens, hidden_size]. */
export interface TextEncoderParts {
  embed(inputIds: tf.Tensor2D): tf.Tensor2D;
  readonly layers: readonly ((rows: tf.Tensor2D, batch: number) => tf.Tensor2D)[];
}
