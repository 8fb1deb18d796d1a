import { timingSafeEqual } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { serve } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import sharp from 'sharp';
import * as z from 'zod';
import { GymError, messageOf } from '../../core/errors.js';
import { type NdArray, stack } from '../../core/ndarray.js';
import type { RewardLike } from '../../core/reward.js';
import { parseSchema } from '../../core/schema.js';
import { nameOfReward, scoreImages } from '../../core/score.js';
import { Turns } from './turns.js';

export interface ServeOptions {
  /** Default 127.0.0.1: nobody but this machine. */
  readonly host?: string | undefined;
  /** 0: any free one. Default 8000. */
  readonly port?: number | undefined;
  /** What requests must bring as `Authorization: Bearer`. Default: nothing. */
  readonly token?: string | undefined;
  /** Samples of one request. Default 256. */
  readonly maxSamples?: number | undefined;
  /** Bytes of one request. Default 64 MiB. */
  readonly maxBytes?: number | undefined;
  /** How many requests are scored at once. Default 1: a reward is not made for more, unless it says so. */
  readonly concurrency?: number | undefined;
  /** How many may wait for their turn; others are sent away with status 503. Default 64. */
  readonly maxWaiting?: number | undefined;
  /** Told of each request that failed. */
  readonly log?: ((message: string) => void) | undefined;
}

/** A server that is up. */
export interface RewardServer {
  /** Where it is: http://127.0.0.1:8000. */
  readonly url: string;
  /** Ends it when the requests that are open have been answered. */
  close(): Promise<void>;
}

interface Asked {
  readonly prompt: string;
  readonly image: string;
  readonly metadata?: unknown;
}

/** A score, or why there is none. */
type Scored = { readonly score: number } | { readonly error: string };

const prompt = z.string().max(100_000);
const image = z.string().min(1);
const ownSchema = z.object({
  samples: z.array(z.object({ prompt, image, metadata: z.unknown().optional() })).min(1),
  rewards: z.array(z.string()).default([]),
});
const flowFactorySchema = z.object({ prompt: z.array(prompt).min(1), image: z.array(image) });
const unirlSchema = z.object({
  requests: z
    .array(
      z.object({
        history: z.array(z.object({ text: prompt, image_b64: z.string().nullish() })).min(1),
        required_rewards: z.array(z.string()),
        metadata: z.unknown().optional(),
      }),
    )
    .min(1),
});

/** The largest picture that is decoded, in pixels. */
const mostPixels = 2 ** 24;

/** A picture in base64, or as a data URI, to uint8 [h, w, 3]. */
async function decoded(text: string): Promise<NdArray<Uint8Array>> {
  const bytes = Buffer.from(text.replace(/^data:[^,]*,/, ''), 'base64');
  const { data, info } = await sharp(bytes, { limitInputPixels: mostPixels })
    .flatten({ background: 'white' })
    .toColorspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  if (channels === 3) return { data: new Uint8Array(data), shape: [height, width, 3] };
  return {
    data: Uint8Array.from({ length: 3 * width * height }, (_, i) => data[Math.floor(i / 3)]!),
    shape: [height, width, 3],
  };
}

/** Scores samples, those of one size together; what is wrong with one of them is not held against the others. */
async function scoreAll(reward: RewardLike, asked: readonly Asked[], signal: AbortSignal): Promise<Scored[]> {
  const results: Scored[] = new Array(asked.length);
  const bySize = new Map<string, { index: number; image: NdArray<Uint8Array> }[]>();
  for (const [index, sample] of asked.entries())
    try {
      const image = await decoded(sample.image);
      const size = image.shape.join('×');
      bySize.set(size, [...(bySize.get(size) ?? []), { index, image }]);
    } catch (error) {
      results[index] = { error: `the picture cannot be read: ${messageOf(error)}` };
    }
  for (const group of bySize.values()) {
    const samples = group.map(({ index }) => asked[index]!);
    try {
      const { scores } = await scoreImages(reward, {
        images: stack(group.map(({ image }) => image)),
        prompts: samples.map(({ prompt }) => prompt),
        ...(samples.some(({ metadata }) => metadata != null) && { metadata: samples.map(({ metadata }) => metadata) }),
        signal,
      });
      group.forEach(({ index }, i) => {
        results[index] = { score: scores[i]! };
      });
    } catch (error) {
      for (const { index } of group) results[index] = { error: messageOf(error) };
    }
  }
  return results;
}

function sameText(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  return x.length === y.length && timingSafeEqual(x, y);
}

/** An application that answers with the scores of a reward; see {@link serveReward}. */
export function rewardApp(reward: RewardLike, options: Omit<ServeOptions, 'host' | 'port'> = {}): Hono {
  const { token, maxSamples = 256, maxBytes = 64 * 2 ** 20, concurrency = 1, maxWaiting = 64, log } = options;
  const name = nameOfReward(reward);
  const turns = new Turns(concurrency, maxWaiting);
  const app = new Hono();
  const refuse = (c: Context, status: 400 | 401 | 413 | 503, error: string) => {
    log?.(`${c.req.method} ${c.req.path}: ${status}, ${error}`);
    return c.json({ error }, status, status === 503 ? { 'retry-after': '1' } : {});
  };
  /** Reads a request, and has its samples scored. A response says that something is wrong with it as a whole. */
  const score = async <T>(c: Context, schema: z.ZodType<T>, samplesOf: (body: T) => readonly Asked[]) => {
    const { value, problems } = parseSchema(schema, await c.req.json().catch(() => undefined));
    if (problems.length > 0) return refuse(c, 400, `the request is not of the protocol: ${problems[0]}`);
    const body = value as T;
    const samples = samplesOf(body);
    if (samples.length > maxSamples)
      return refuse(c, 413, `${samples.length} samples are too many; at most ${maxSamples} are scored at once.`);
    const done = await turns.take();
    if (done === undefined) return refuse(c, 503, 'too many requests are waiting; come back later.');
    try {
      const scored = await scoreAll(reward, samples, c.req.raw.signal);
      const failed = scored.find((result) => 'error' in result);
      if (failed && 'error' in failed) log?.(`${c.req.method} ${c.req.path}: ${failed.error}`);
      return { body, scored };
    } finally {
      done();
    }
  };
  const resultOf = (result: Scored) => ('score' in result ? { [name]: result.score } : {});
  const errorOf = (result: Scored) => ('error' in result ? { [name]: result.error } : {});
  const unknown = (names: readonly string[]) =>
    Object.fromEntries(
      names
        .filter((other) => other !== name)
        .map((other) => [other, `there is no reward of this name here, but ${name}`]),
    );

  app.get('/health', (c) => c.json({ status: 'ok', rewards: { [name]: ['ready'] } }));
  app.use(async (c, next) => {
    const given = /^Bearer (.*)$/.exec(c.req.header('authorization') ?? '')?.[1];
    if (token !== undefined && !(given !== undefined && sameText(given, token)))
      return refuse(c, 401, 'the request brings no token, or another one.');
    await next();
  });
  app.use(
    bodyLimit({ maxSize: maxBytes, onError: (c) => refuse(c, 413, `the request has more than ${maxBytes} bytes.`) }),
  );
  app.get('/rewards', (c) => c.json({ rewards: [name] }));
  app.post('/rewards/score', async (c) => {
    const result = await score(c, ownSchema, ({ samples }) => samples);
    if (result instanceof Response) return result;
    const { scored, body } = result;
    const missing = unknown(body.rewards);
    const wanted = body.rewards.length === 0 || body.rewards.includes(name);
    return c.json({
      results: scored.map((one) => (wanted ? resultOf(one) : {})),
      errors: scored.map((one) => ({ ...(wanted && errorOf(one)), ...missing })),
    });
  });
  app.post('/compute', async (c) => {
    const result = await score(
      c,
      flowFactorySchema.refine(({ prompt, image }) => prompt.length === image.length, {
        error: 'there must be one image for each prompt',
      }),
      ({ prompt, image }) => prompt.map((text, i) => ({ prompt: text, image: image[i]! })),
    );
    if (result instanceof Response) return result;
    const failed = result.scored.findIndex((one) => 'error' in one);
    const failure = result.scored[failed];
    // This protocol has no place for a sample without a score.
    if (failure && 'error' in failure) return c.json({ error: `sample ${failed}: ${failure.error}` }, 500);
    return c.json({ rewards: result.scored.map((one) => ('score' in one ? one.score : null)) });
  });
  app.post('/score', async (c) => {
    const result = await score(c, unirlSchema, ({ requests }) =>
      requests.map(({ history, metadata }) => {
        const { text, image_b64 } = history.at(-1)!;
        return { prompt: text, image: image_b64 ?? '', metadata };
      }),
    );
    if (result instanceof Response) return result;
    const { body, scored } = result;
    const wants = (i: number) => body.requests[i]!.required_rewards.includes(name);
    return c.json({
      results: scored.map((one, i) => (wants(i) && 'score' in one ? { [name]: { [name]: one.score } } : {})),
      errors: scored.map((one, i) => ({
        ...(wants(i) && errorOf(one)),
        ...unknown(body.requests[i]!.required_rewards),
      })),
    });
  });
  app.notFound((c) => c.json({ error: `there is nothing at ${c.req.path}; ask GET /health or GET /rewards` }, 404));
  app.onError((error, c) => {
    log?.(`${c.req.method} ${c.req.path}: ${messageOf(error)}`);
    return c.json({ error: messageOf(error) }, 500);
  });
  return app;
}

/**
 * Serves a reward over HTTP, so that a trainer in another language, or on another machine, can ask for it: in this package's
 * own protocol (`POST /rewards/score`), in Flow-Factory's (`POST /compute`) and in UniRL's (`POST /score`), with
 * `GET /health` and `GET /rewards`. Pictures come as PNG, JPEG or WebP in base64.
 * @throws GymError E_STATE when the port is taken or not allowed.
 */
export async function serveReward(reward: RewardLike, options: ServeOptions = {}): Promise<RewardServer> {
  const { host = '127.0.0.1', port = 8000 } = options;
  const app = rewardApp(reward, options);
  return await new Promise<RewardServer>((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname: host, port }, ({ port: actual }: AddressInfo) =>
      resolve({
        url: `http://${host.includes(':') ? `[${host}]` : host}:${actual}`,
        close: () => new Promise<void>((closed) => server.close(() => closed())),
      }),
    );
    server.once('error', (error: Error) =>
      reject(
        new GymError(
          'E_STATE',
          `serve-reward: cannot listen on ${host}, port ${port}: ${error.message}; take another one (--port).`,
          {
            cause: error,
          },
        ),
      ),
    );
  });
}
