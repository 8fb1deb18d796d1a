import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { cacheFolder } from '../../core/cache-folder.js';
import { GymError } from '../../core/errors.js';
import { readJson, writeFileAtomic } from '../../core/files.js';
import { parseSchema } from '../../core/schema.js';
import { postJson, tokenFrom } from '../http/post.js';
import type { chatOptions } from './options.js';

/** A token that an answer could have begun with, and the natural logarithm of its probability. */
export interface TokenChance {
  readonly token: string;
  readonly logprob: number;
}

/** What a model answered. */
export interface ChatAnswer {
  readonly text: string;
  /** What the first token could have been, where the server tells; the likeliest first. */
  readonly first?: readonly TokenChance[] | undefined;
  /** Why there is no answer, where the model or its server declined to give one. */
  readonly refusal?: string | undefined;
}

/** The part of a reply of /chat/completions that is read; vLLM, llama.cpp, SGLang, Ollama and hosted servers agree on it. */
const replySchema = z.object({
  choices: z
    .array(
      z.object({
        message: z.object({ content: z.string().nullish(), refusal: z.string().nullish() }),
        finish_reason: z.string().nullish(),
        logprobs: z
          .object({
            content: z
              .array(
                z.object({ top_logprobs: z.array(z.object({ token: z.string(), logprob: z.number() })).nullish() }),
              )
              .nullish(),
          })
          .nullish(),
      }),
    )
    .min(1),
});

const answerSchema = z.object({
  text: z.string(),
  first: z.array(z.object({ token: z.string(), logprob: z.number() })).optional(),
  refusal: z.string().optional(),
});
const storedSchema = z.object({ answer: answerSchema });

/** Reads a reply. @throws GymError E_REWARD where it is not of that form. */
function readReply(url: string, reply: unknown): ChatAnswer {
  const { value, problems } = parseSchema(replySchema, reply);
  if (value === undefined || problems.length > 0)
    throw new GymError('E_REWARD', `${url}: the answer is none of a chat: ${problems[0]}`);
  const { message, finish_reason: reason, logprobs } = value.choices[0]!;
  const text = message.content ?? '';
  const first = logprobs?.content?.[0]?.top_logprobs ?? undefined;
  const refusal =
    message.refusal ??
    (reason === 'content_filter'
      ? 'the server filtered the answer'
      : text.trim() === ''
        ? `the answer is empty (finish_reason ${reason ?? 'unknown'})`
        : undefined);
  return { text, ...(first && { first }), ...(refusal !== undefined && { refusal }) };
}

/** A question about a picture. */
export interface ChatQuestion {
  readonly png: Buffer;
  readonly question: string;
  readonly maxTokens: number;
  /** Whether the first token's alternatives are asked for. */
  readonly logprobs: boolean;
}

/** How many alternatives of the first token are asked for: the most that vLLM and hosted servers give. */
const alternatives = 20;

/**
 * Asks a vision-language model behind the OpenAI protocol (`POST /chat/completions`): greedily and with a seed, so that
 * the same question has the same answer as far as the server can. Answers are kept on disk by everything that was asked.
 */
export class Chat {
  readonly #address: string;
  readonly #options: z.output<typeof chatOptions>;
  readonly #token: string | undefined;
  readonly #folder: string | undefined;
  /** What is being asked at the moment, so that nothing is asked twice at once. */
  readonly #open = new Map<string, Promise<ChatAnswer>>();

  /** @throws GymError E_CONFIG where the token is not there */
  constructor(options: z.output<typeof chatOptions>) {
    const { url, cache, token } = options;
    this.#options = options;
    this.#address = `${url.replace(/\/+$/, '')}/chat/completions`;
    this.#token = tokenFrom(token);
    this.#folder = cache === false ? undefined : cache === true ? join(cacheFolder(), 'vlm') : cache;
  }

  /**
   * @throws GymError E_REWARD where the server does not answer, or not in this form; the signal's reason when it is aborted
   */
  async ask(asked: ChatQuestion, signal: AbortSignal): Promise<ChatAnswer> {
    const { png, question, maxTokens, logprobs } = asked;
    const { model, extra } = this.#options;
    const body = {
      model,
      temperature: 0,
      seed: 0,
      max_tokens: maxTokens,
      ...(logprobs && { logprobs: true, top_logprobs: alternatives }),
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image_url', image_url: { url: `data:image/png;base64,${png.toString('base64')}` } },
            { type: 'text', text: question },
          ],
        },
      ],
      ...extra,
    };
    // The address is no part of it: the same model may be served elsewhere when a run goes on.
    const key = createHash('sha256').update(JSON.stringify(body)).digest('hex');
    const open = this.#open.get(key);
    if (open) return await open;
    const answer = this.#answer(key, body, question, signal).finally(() => this.#open.delete(key));
    this.#open.set(key, answer);
    return await answer;
  }

  async #answer(key: string, body: unknown, question: string, signal: AbortSignal): Promise<ChatAnswer> {
    const path = this.#folder && join(this.#folder, key.slice(0, 2), `${key}.json`);
    const stored = path && (await readJson(path).catch(() => undefined));
    // What is not there, or cannot be read, is asked for again.
    const kept = storedSchema.safeParse(stored);
    if (kept.success) return kept.data.answer;
    const { timeout, retries, retryPause, model } = this.#options;
    const options = {
      timeoutMs: 1000 * timeout,
      pauseMs: 1000 * retryPause,
      retries,
      token: this.#token,
      signal,
    };
    const answer = readReply(this.#address, await postJson(this.#address, body, options));
    if (path) {
      await mkdir(dirname(path), { recursive: true });
      await writeFileAtomic(path, `${JSON.stringify({ model, question, answer })}\n`);
    }
    return answer;
  }
}
