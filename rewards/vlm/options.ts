import * as z from 'zod';
import { httpRewardOptions } from '../http/options.js';

/** The options of asking a vision-language model about pictures. */
export const chatOptions = httpRewardOptions
  .pick({ timeout: true, retries: true, retryPause: true, concurrency: true, token: true })
  .extend({
    url: z
      .url({ protocol: /^https?$/, error: 'must be an address such as http://127.0.0.1:8000/v1' })
      .describe('where the server is, up to what stands before /chat/completions'),
    model: z.string().min(1).max(500).describe("the model's name, as the server's /models gives it"),
    pictureSize: z
      .int()
      .min(1)
      .max(4096)
      .optional()
      .describe('the shorter side in pixels to which pictures are resized; default: as they are'),
    maxTokens: z.int().min(1).max(65_536).optional().describe('the longest answer; default by task: 8, 512, 64'),
    extra: z
      .record(z.string(), z.json())
      .default({})
      .describe('what else stands in each request, such as { chat_template_kwargs: { enable_thinking: false } }'),
    cache: z
      .union([z.boolean(), z.string().min(1)])
      .default(true)
      .describe('whether answers are kept on disk, or the folder in which; what was asked once is not asked again'),
  });

/** The options of a reward that a vision-language model gives. */
export const vlmRewardOptions = chatOptions.extend({
  task: z
    .enum(['yes-no', 'rating', 'caption'])
    .default('yes-no')
    .describe(
      'what the model does: says yes or no, gives marks from 1 to 5, or describes the picture, whose words are then compared with the prompt',
    ),
  question: z
    .string()
    .min(1)
    .max(20_000)
    .optional()
    .describe('what it is asked; {prompt} stands for the prompt. Each task has its own'),
  form: z
    .enum(['sum', 'first'])
    .default('sum')
    .describe(
      'yes-no: the probability of all ways to begin with yes against no, or the sigmoid of the difference of the tokens Yes and No alone',
    ),
  pattern: z
    .string()
    .min(1)
    .max(1000)
    .default(String.raw`Score:\s*([1-5](?:\.\d+)?)`)
    .refine((text) => isPattern(text), 'must be a regular expression with one group in parentheses: the mark')
    .describe('rating: where the marks stand in the answer; where there are several, their mean counts'),
  encoder: z
    .string()
    .min(1)
    .optional()
    .describe(
      "caption: the folder of BERTScore's encoder, a BERT, RoBERTa, DistilBERT or DeBERTa (config.json, model.safetensors, tokenizer.json)",
    ),
  layer: z.int().min(1).max(1000).optional().describe("caption: the encoder's layer; default: that of bert_score"),
  reference: z
    .string()
    .min(1)
    .max(20_000)
    .default('The image contains {prompt}')
    .describe('caption: what the description is compared with'),
  refusal: z
    .number()
    .optional()
    .describe('the score of a picture about which the model gives no answer; default: the run stops'),
});

function isPattern(text: string): boolean {
  try {
    return new RegExp(`${text}|`).exec('')!.length === 2;
  } catch {
    return false;
  }
}

/** The options of {@link vlmReward}: see there. */
export type VlmRewardOptions = z.input<typeof vlmRewardOptions>;

/** The options of {@link vlmReward}, with their defaults. */
export type VlmSettings = z.output<typeof vlmRewardOptions>;
