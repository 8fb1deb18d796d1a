import { createHash } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import sharp from 'sharp';
import * as z from 'zod';
import { GymError, messageOf } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import { parseSchema } from '../../core/schema.js';
import { stateDict } from '../../networks/weights.js';
import type { Captioner } from './captioner.js';
import { kindOf } from './texts.js';

/** What is read of a request to /chat/completions: one picture and one question, as the reward `vlm` asks them. */
const requestSchema = z.object({
  model: z.string(),
  logprobs: z.boolean().default(false),
  messages: z
    .array(
      z.object({
        content: z.array(
          z.union([
            z.object({ type: z.literal('image_url'), image_url: z.object({ url: z.string() }) }),
            z.object({ type: z.literal('text'), text: z.string() }),
          ]),
        ),
      }),
    )
    .length(1),
});

/** The question that is answered by yes or no; every other one is answered by a description. */
const yesNo = /^Does this picture show the following: (.+)\? Answer Yes or No\.$/s;

/** The least probability that is told: the logarithm of 0 is no number of JSON. */
const least = 1e-9;

/** A server that is up. */
export interface CaptionServer {
  /** Up to what stands before /chat/completions: http://127.0.0.1:8000/v1. */
  readonly url: string;
  /** The model's name, which says its weights: answers of others are not taken for its own. */
  readonly model: string;
  readonly port: number;
  /** Ends it, and cuts whatever is open. The captioner stays. */
  close(): Promise<void>;
}

/** The picture of a data URL, at the size that the captioner sees: uint8 [1, 16, 16, 3]. */
async function pictureOf(url: string): Promise<NdArray<Uint8Array>> {
  const base64 = /^data:image\/\w+;base64,(.+)$/.exec(url)?.[1];
  if (base64 === undefined) throw new GymError('E_VALUE', 'the picture must be a data URL with base64.');
  const picture = sharp(Buffer.from(base64, 'base64')).removeAlpha().toColourspace('srgb');
  const { width, height } = await picture.metadata();
  const seen = width === 16 && height === 16 ? picture : picture.resize(16, 16, { fit: 'cover' });
  return { data: new Uint8Array(await seen.raw().toBuffer()), shape: [1, 16, 16, 3] };
}

function appOf(captioner: Captioner, model: string): Hono {
  const app = new Hono();
  app.get('/v1/models', (c) => c.json({ object: 'list', data: [{ id: model, object: 'model' }] }));
  app.post('/v1/chat/completions', async (c) => {
    const { value, problems } = parseSchema(requestSchema, await c.req.json().catch(() => undefined));
    const refuse = (status: 400 | 404, message: string) => c.json({ error: { message, code: status } }, status);
    if (value === undefined || problems.length > 0) return refuse(400, `no request of a chat: ${problems[0]}`);
    if (value.model !== model) return refuse(404, `there is no model ${value.model} here, but ${model}`);
    const parts = value.messages[0]!.content;
    const url = parts.flatMap((part) => (part.type === 'image_url' ? [part.image_url.url] : []))[0];
    const question = parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
    if (url === undefined) return refuse(400, 'there is no picture in the request');
    const picture = await pictureOf(url).catch((error) => messageOf(error));
    if (typeof picture === 'string') return refuse(400, `cannot read the picture: ${picture}`);
    const prompt = yesNo.exec(question)?.[1];
    if (prompt !== undefined && kindOf(prompt) === undefined)
      return refuse(400, `${JSON.stringify(prompt)} is nothing of the world of shapes`);
    const [yes] = prompt === undefined ? [] : await captioner.chances(picture, [prompt]);
    const content =
      yes === undefined ? (await captioner.describe(picture))[0]! : yes > 0.5 ? ('Yes' as const) : ('No' as const);
    const chances = Object.entries(yes === undefined ? {} : { Yes: yes, No: 1 - yes })
      .map(([token, chance]) => ({ token, logprob: Math.log(Math.max(least, chance)) }))
      .sort((a, b) => b.logprob - a.logprob);
    return c.json({
      ...{ object: 'chat.completion', model },
      choices: [
        {
          ...{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' },
          logprobs:
            value.logprobs && chances.length > 0 ? { content: [{ ...chances[0], top_logprobs: chances }] } : null,
        },
      ],
    });
  });
  return app;
}

/**
 * Serves a captioner as a vision-language model in OpenAI's protocol (`POST /v1/chat/completions`, `GET /v1/models`), to
 * this machine alone: it describes pictures, and says whether one shows a prompt of the world of shapes.
 * @param port 0: any free one.
 * @throws GymError E_STATE when the port is taken or not allowed.
 */
export async function serveCaptioner(captioner: Captioner, port = 0): Promise<CaptionServer> {
  const digest = createHash('sha256');
  for (const [name, { data }] of await stateDict(captioner.parameters))
    digest.update(name).update(data as Float32Array);
  const model = `shapes-captioner-${digest.digest('hex').slice(0, 8)}`;
  const { fetch } = appOf(captioner, model);
  return await new Promise((resolve, reject) => {
    const server = serve({ fetch, hostname: '127.0.0.1', port }, ({ port: actual }: AddressInfo) =>
      resolve({
        ...{ url: `http://127.0.0.1:${actual}/v1`, model, port: actual },
        close: () =>
          new Promise<void>((closed) => {
            server.close(() => closed());
            if ('closeAllConnections' in server) server.closeAllConnections();
          }),
      }),
    );
    server.once('error', (error: Error) =>
      reject(new GymError('E_STATE', `captioner: cannot listen on port ${port}: ${error.message}`, { cause: error })),
    );
  });
}
