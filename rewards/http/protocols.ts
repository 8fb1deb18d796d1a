import * as z from 'zod';
import { GymError } from '../../core/errors.js';
import { parseSchema } from '../../core/schema.js';

/** One sample, as it is sent. */
export interface Sample {
  readonly prompt: string;
  /** A PNG in base64. */
  readonly image: string;
  readonly metadata: unknown;
}

/** What a server said of one sample: a number for each reward, or why there is none. */
export interface Answer {
  readonly scores: Readonly<Record<string, number>>;
  readonly errors: Readonly<Record<string, string>>;
}

/** How a server is asked for scores. */
export interface Protocol {
  /** What is added to the address of the server. */
  readonly path: string;
  /** Whether a request can say which rewards it wants. */
  readonly named: boolean;
  /** @param names the rewards that are wanted. */
  request(samples: readonly Sample[], names: readonly string[]): unknown;
  /** @throws GymError E_REWARD where the answer is not of this protocol. */
  answers(reply: unknown, count: number): Answer[];
}

function checked<T>(schema: z.ZodType<T>, reply: unknown, count: number, lengths: (value: T) => number[]): T {
  const { value, problems } = parseSchema(schema, reply);
  if (problems.length > 0) throw new GymError('E_REWARD', `the answer is not of the protocol: ${problems[0]}`);
  const wrong = lengths(value as T).find((length) => length !== count);
  if (wrong !== undefined)
    throw new GymError('E_REWARD', `the answer has ${wrong} results for ${count} samples; there must be one for each`);
  return value as T;
}

const errors = z.record(z.string(), z.unknown());
const texts = (record: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(record).map(([name, e]) => [name, typeof e === 'string' ? e : JSON.stringify(e)]));

const own = z.object({ results: z.array(z.record(z.string(), z.number())), errors: z.array(errors) });
const flowFactory = z.object({ rewards: z.array(z.number().nullable()) });
const unirl = z.object({
  results: z.array(z.record(z.string(), z.union([z.number(), z.record(z.string(), z.number())]))),
  errors: z.array(errors).optional(),
});

/**
 * The protocols that are spoken, all of them JSON.
 * - `denoise-gym`: `{ samples: [{ prompt, image, metadata }], rewards }` → `{ results: [{ NAME: score }], errors: [{ NAME: text }] }`
 * - `flow-factory`: that of Flow-Factory's reward server: one score a sample, without a name.
 * - `unirl`: that of UniRL's reward service: the last turn of a history is scored.
 */
export const protocols: Readonly<Record<'denoise-gym' | 'flow-factory' | 'unirl', Protocol>> = {
  'denoise-gym': {
    path: '/rewards/score',
    named: true,
    request: (samples, rewards) => ({ samples, rewards }),
    answers: (reply, count) => {
      const { results, errors } = checked(own, reply, count, (v) => [v.results.length, v.errors.length]);
      return results.map((scores, i) => ({ scores, errors: texts(errors[i]!) }));
    },
  },
  'flow-factory': {
    path: '/compute',
    named: false,
    request: (samples) => ({
      prompt: samples.map(({ prompt }) => prompt),
      image: samples.map(({ image }) => image),
      video: null,
      condition_images: null,
      condition_videos: null,
    }),
    answers: (reply, count) => {
      const { rewards } = checked(flowFactory, reply, count, (v) => [v.rewards.length]);
      return rewards.map(
        (score): Answer =>
          score === null ? { scores: {}, errors: { reward: 'null' } } : { scores: { reward: score }, errors: {} },
      );
    },
  },
  unirl: {
    path: '/score',
    named: true,
    request: (samples, names) => ({
      requests: samples.map(({ prompt, image, metadata }) => ({
        history: [{ text: prompt, image_b64: image }],
        required_rewards: names,
        metadata: metadata ?? null,
      })),
    }),
    answers: (reply, count) => {
      const { results, errors = [] } = checked(unirl, reply, count, (v) => [v.results.length]);
      return results.map((rewards, i) => ({
        // A reward may consist of several numbers, of which the one of its own name counts.
        scores: Object.fromEntries(
          Object.entries(rewards).flatMap(([name, value]) => {
            const score = typeof value === 'number' ? value : (value[name] ?? Object.values(value)[0]);
            return score === undefined ? [] : [[name, score]];
          }),
        ),
        errors: texts(errors[i] ?? {}),
      }));
    },
  },
};

export type ProtocolName = keyof typeof protocols;
export const protocolNames = Object.keys(protocols) as ProtocolName[];
