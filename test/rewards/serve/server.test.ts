import sharp from 'sharp';
import { afterEach, describe, expect, it } from 'vitest';
import type { NdArray } from '../../../core/ndarray.js';
import { Random } from '../../../core/random.js';
import type { RewardBatch } from '../../../core/reward.js';
import { scoreImages } from '../../../core/score.js';
import { httpReward } from '../../../rewards/http/index.js';
import { protocolNames } from '../../../rewards/http/protocols.js';
import { type RewardServer, type ServeOptions, serveReward } from '../../../rewards/serve/index.js';

let servers: RewardServer[] = [];
afterEach(async () => {
  await Promise.all(servers.map((server) => server.close()));
  servers = [];
});

/** Mean of a picture, and its prompt's length; dark pictures are refused. */
const reward = {
  name: 'brightness',
  score: ({ images, prompts, metadata }: RewardBatch) => {
    const size = images.data.length / prompts.length;
    return prompts.map((prompt, i) => {
      const mean =
        (images.data as Uint8Array).slice(i * size, (i + 1) * size).reduce((sum, value) => sum + value, 0) / size;
      if (prompt === 'refuse') throw new Error('no such prompt, please');
      return mean + prompt.length + Number(metadata?.[i] ?? 0);
    });
  },
};

async function start(options: ServeOptions = {}, served: Parameters<typeof serveReward>[0] = reward) {
  const server = await serveReward(served, { port: 0, ...options });
  servers.push(server);
  return server.url;
}

const post = async (url: string, body: unknown, headers: Record<string, string> = {}) => {
  const response = await fetch(url, {
    method: 'POST',
    headers,
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};
const random = new Random(1);
const images: NdArray = { data: Uint8Array.from({ length: 3 * 48 }, () => random.integer(256)), shape: [3, 4, 4, 3] };
const prompts = ['a', 'bc', 'def'];
const png = async (value: number, size = 4) =>
  (
    await sharp({ create: { width: size, height: size, channels: 3, background: { r: value, g: value, b: value } } })
      .png()
      .toBuffer()
  ).toString('base64');

describe('a served reward', () => {
  it.each(protocolNames)('gives over %s what it gives by itself', async (protocol) => {
    const url = await start();
    const remote = httpReward('remote', {
      url,
      protocol,
      ...(protocol === 'unirl' && { names: ['brightness'] }),
      batchSize: 2,
    });
    const expected = await scoreImages(reward, { images, prompts, metadata: [10, 20, 30] });
    const got = await scoreImages(remote, { images, prompts, metadata: [10, 20, 30] });
    // Flow-Factory's protocol has no place for metadata.
    const missing = protocol === 'flow-factory' ? [10, 20, 30] : [0, 0, 0];
    expect([...got.scores]).toEqual([...expected.scores].map((score, i) => score - missing[i]!));
  });

  it('says what it is', async () => {
    const url = await start();
    expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: 'ok', rewards: { brightness: ['ready'] } });
    expect(await (await fetch(`${url}/rewards`)).json()).toEqual({ rewards: ['brightness'] });
    const nothing = await fetch(`${url}/nowhere`);
    expect([nothing.status, await nothing.json()]).toEqual([
      404,
      { error: 'there is nothing at /nowhere; ask GET /health or GET /rewards' },
    ]);
  });

  it('scores pictures of several sizes and forms, and says of each that fails why', async () => {
    const url = await start();
    const grey = (
      await sharp(Buffer.alloc(16, 100), { raw: { width: 4, height: 4, channels: 1 } })
        .webp({ lossless: true })
        .toBuffer()
    ).toString('base64');
    const samples = [
      { prompt: '', image: await png(10) },
      { prompt: '', image: await png(20, 8) },
      { prompt: '', image: 'bm8gcGljdHVyZQ==' },
      { prompt: '', image: `data:image/webp;base64,${grey}` },
      { prompt: 'refuse', image: await png(30, 2) },
    ];
    const { status, body } = await post(`${url}/rewards/score`, { samples, rewards: ['brightness', 'beauty'] });
    expect(status).toBe(200);
    expect(body.results).toEqual([{ brightness: 10 }, { brightness: 20 }, {}, { brightness: 100 }, {}]);
    const errors = body.errors as Record<string, string>[];
    expect(errors.map((e) => e.beauty)).toEqual(Array(5).fill('there is no reward of this name here, but brightness'));
    expect(errors[2]!.brightness).toMatch(/the picture cannot be read/);
    expect(errors[4]!.brightness).toMatch(/no such prompt, please/);
    expect(errors[0]!.brightness).toBeUndefined();
  });

  it('Flow-Factory: one sample that fails is the whole request', async () => {
    const url = await start();
    const { status, body } = await post(`${url}/compute`, {
      prompt: ['a', 'refuse'],
      image: [await png(1), await png(2)],
    });
    expect([status, body.error]).toEqual([500, expect.stringMatching(/sample 0: .*no such prompt/)]);
    expect((await post(`${url}/compute`, { prompt: ['a'], image: [] })).body.error).toMatch(
      /one image for each prompt/,
    );
  });

  it('UniRL: the last turn counts, and what is not asked for is not given', async () => {
    const url = await start();
    const turn = { text: 'ab', image_b64: await png(5) };
    const requests = [
      { history: [{ text: 'first' }, turn], required_rewards: ['brightness'] },
      { history: [turn], required_rewards: ['clip'] },
    ];
    expect((await post(`${url}/score`, { requests })).body).toEqual({
      results: [{ brightness: { brightness: 7 } }, {}],
      errors: [{}, { clip: 'there is no reward of this name here, but brightness' }],
    });
  });

  it.each([
    ['no JSON', '{', 400, /not of the protocol/],
    ['another form', { pictures: [] }, 400, /samples/],
    [
      'too many samples',
      { samples: Array(5).fill({ prompt: '', image: 'x' }) },
      413,
      /5 samples are too many; at most 4/,
    ],
    ['too many bytes', { samples: [{ prompt: 'x'.repeat(5000), image: 'x' }] }, 413, /more than 4096 bytes/],
  ])('%s is refused', async (_, body, status, message) => {
    const lines: string[] = [];
    const url = await start({ maxSamples: 4, maxBytes: 4096, log: (line) => lines.push(line) });
    const answer = await post(`${url}/rewards/score`, body);
    expect([answer.status, answer.body.error]).toEqual([status, expect.stringMatching(message)]);
    expect(lines[0]).toMatch(/^POST \/rewards\/score: 4/);
  });

  it('asks for its token, but tells anybody that it is well', async () => {
    const url = await start({ token: 'secret' });
    const body = { samples: [{ prompt: '', image: await png(9) }] };
    expect((await post(`${url}/rewards/score`, body)).status).toBe(401);
    expect((await post(`${url}/rewards/score`, body, { authorization: 'Bearer secreT' })).status).toBe(401);
    expect((await post(`${url}/rewards/score`, body, { authorization: 'Bearer secret' })).body.results).toEqual([
      { brightness: 9 },
    ]);
    expect((await fetch(`${url}/health`)).status).toBe(200);
  });

  it('scores one request at a time, lets some wait, and sends others away', async () => {
    let [open, most] = [0, 0];
    const slow = async ({ prompts }: RewardBatch) => {
      most = Math.max(most, ++open);
      await new Promise((done) => setTimeout(done, 150));
      open--;
      return prompts.map(() => 1);
    };
    const url = await start({ maxWaiting: 2 }, slow);
    const body = { samples: [{ prompt: '', image: await png(9) }] };
    const answers = await Promise.all(Array.from({ length: 6 }, () => post(`${url}/rewards/score`, body)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 503, 503, 503]);
    expect(most).toBe(1);
  });

  it('a port that is taken is an error that says so', async () => {
    const url = await start();
    await expect(serveReward(reward, { port: Number(new URL(url).port) })).rejects.toThrow(
      /cannot listen on 127\.0\.0\.1, port \d+: .*EADDRINUSE.*--port/,
    );
  });
});
