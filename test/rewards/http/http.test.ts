import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { NdArray } from '../../../core/ndarray.js';
import { Random } from '../../../core/random.js';
import { scoreImages } from '../../../core/score.js';
import { type HttpRewardOptions, httpReward, steadyFetch } from '../../../rewards/http/index.js';
import { assertReward } from '../../../testing/index.js';

type Handler = (body: unknown, request: IncomingMessage, response: ServerResponse) => unknown;

let servers: Server[] = [];
afterEach(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
  servers = [];
});

/** A server whose answers are what a function gives: JSON with status 200, or what it writes itself. */
async function listen(handle: Handler): Promise<string> {
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => {
      text += chunk;
    });
    request.on('end', () => {
      const reply = handle(text === '' ? undefined : JSON.parse(text), request, response);
      if (reply !== undefined && !response.writableEnded) response.end(JSON.stringify(reply));
    });
  });
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const random = new Random(0);
const images: NdArray = {
  data: Uint8Array.from({ length: 5 * 4 * 4 * 3 }, () => random.integer(256)),
  shape: [5, 4, 4, 3],
};
const prompts = ['a', 'b', 'c', 'd', 'e'];

interface Own {
  samples: { prompt: string; image: string; metadata: unknown }[];
  rewards: string[];
}
/** One sample after the other is worth 1, 2, 3, ... by its letter. */
const worth = (prompt: string) => prompt.charCodeAt(0) - 96;
const own = (body: unknown) => ({
  results: (body as Own).samples.map(({ prompt }) => ({ letter: worth(prompt) })),
  errors: (body as Own).samples.map(() => ({})),
});
const score = (options: HttpRewardOptions, signal?: AbortSignal) =>
  scoreImages(httpReward('judge', options), { images, prompts, ...(signal && { signal }) });

describe('a reward over HTTP', () => {
  it('sends pictures and prompts in batches, some at once, and keeps their order', async () => {
    const sizes: number[] = [];
    let [open, most] = [0, 0];
    const url = await listen((body, _, response) => {
      const { samples } = body as Own;
      sizes.push(samples.length);
      most = Math.max(most, ++open);
      expect(Buffer.from(samples[0]!.image, 'base64').subarray(1, 4).toString()).toBe('PNG');
      setTimeout(
        () => {
          open--;
          response.end(JSON.stringify(own(body)));
        },
        samples[0]!.prompt === 'a' ? 120 : 20,
      );
    });
    const { scores } = await score({ url: `${url}/`, batchSize: 2, concurrency: 2 });
    expect([...scores]).toEqual([1, 2, 3, 4, 5]);
    expect(sizes.sort()).toEqual([1, 2, 2]);
    expect(most).toBe(2);
  });

  it('passes the checks of a reward', async () => {
    const url = await listen(own);
    await assertReward(httpReward('judge', { url, batchSize: 3 }));
  });

  it('sums the rewards that are asked for, and gives each', async () => {
    const url = await listen((body) => {
      expect((body as Own).rewards).toEqual(['letter', 'half']);
      return {
        ...own(body),
        results: (body as Own).samples.map(({ prompt }) => ({ letter: worth(prompt), half: 0.5, other: 9 })),
      };
    });
    const { scores, details } = await score({ url, names: ['letter', 'half'] });
    expect([...scores]).toEqual([1.5, 2.5, 3.5, 4.5, 5.5]);
    expect([...details.half!]).toEqual([0.5, 0.5, 0.5, 0.5, 0.5]);
  });

  it('speaks to a server of Flow-Factory', async () => {
    const url = await listen((body, request) => {
      expect(request.url).toBe('/compute');
      expect(body).toMatchObject({ prompt: prompts, video: null, condition_images: null, condition_videos: null });
      return { rewards: (body as { prompt: string[] }).prompt.map(worth) };
    });
    expect([...(await score({ url, protocol: 'flow-factory' })).scores]).toEqual([1, 2, 3, 4, 5]);
  });

  it('speaks to a server of UniRL', async () => {
    interface Body {
      requests: { history: { text: string; image_b64: string }[]; required_rewards: string[]; metadata: unknown }[];
    }
    const url = await listen((body, request) => {
      expect(request.url).toBe('/score');
      const { requests } = body as Body;
      expect(requests[0]).toMatchObject({ required_rewards: ['clip'], metadata: null });
      return {
        results: requests.map(({ history }) => ({ clip: { clip: worth(history[0]!.text) } })),
        errors: requests.map(() => ({})),
      };
    });
    expect([...(await score({ url, protocol: 'unirl', names: ['clip'] })).scores]).toEqual([1, 2, 3, 4, 5]);
  });

  it.each([
    [
      'an error for a sample',
      (body: unknown) => ({
        results: (own(body).results as object[]).map((r, i) => (i === 3 ? {} : r)),
        errors: own(body).errors.map((_, i) => (i === 3 ? { letter: 'out of ink' } : {})),
      }),
      /sample 3 \(prompt "d"\) has no letter: out of ink/,
    ],
    [
      'no score and no reason',
      (body: unknown) => ({ ...own(body), results: own(body).results.map((r, i) => (i === 1 ? {} : r)) }),
      /sample 1 \(prompt "b"\) has no letter: the server does not say why/,
    ],
    [
      'too few results',
      (body: unknown) => ({ ...own(body), results: own(body).results.slice(1) }),
      /has 4 results for 5 samples/,
    ],
    ['another form', () => ({ scores: [1] }), /is not of the protocol: results/],
    ['no finite number', () => '{"results":[{"letter":1e999}]}', /is not of the protocol/],
  ])('%s is an error, and no number', async (_, reply, message) => {
    const url = await listen(reply as Handler);
    await expect(score({ url })).rejects.toThrow(message);
  });

  it('tries again what may pass, with doubling pauses, and nothing else', async () => {
    const moments: number[] = [];
    const statuses = [503, 408, 429, 200];
    const url = await listen((body, _, response) => {
      moments.push(performance.now());
      response.statusCode = statuses[moments.length - 1]!;
      return response.statusCode === 200 ? own(body) : { error: 'busy' };
    });
    expect([...(await score({ url })).scores]).toEqual([1, 2, 3, 4, 5]);
    const pauses = moments.slice(1).map((moment, i) => moment - moments[i]!);
    expect(pauses[0]).toBeGreaterThan(450);
    expect(pauses[1]).toBeGreaterThan(950);
    expect(pauses[2]).toBeGreaterThan(1900);
    let asked = 0;
    const refusing = await listen((_, __, response) => {
      asked++;
      response.statusCode = 422;
      return { detail: 'what is this' };
    });
    await expect(score({ url: refusing })).rejects.toThrow(/the server answered with status 422: what is this/);
    expect(asked).toBe(1);
  });

  it('gives up after so many tries, and says what the server said', async () => {
    const url = await listen((_, __, response) => {
      response.statusCode = 500;
      response.end('Traceback: no GPU');
    });
    await expect(score({ url, retries: 1 })).rejects.toThrow(
      /\/rewards\/score: the server answered with status 500: Traceback: no GPU, 2 times in all/,
    );
    await expect(score({ url: 'http://127.0.0.1:1', retries: 0 })).rejects.toThrow(/no answer \(.*\), 1 times in all/);
  });

  it('waits no longer than it is told', async () => {
    const url = await listen(() => undefined);
    await expect(score({ url, timeout: 0.2, retries: 0 })).rejects.toThrow(/no answer within 0\.2 s/);
  });

  it('is given up at once when the run stops, in a request and in a pause', async () => {
    let closed = 0;
    const url = await listen((_, request) => {
      request.socket.once('close', () => closed++);
      return undefined;
    });
    for (const options of [{ url }, { url: 'http://127.0.0.1:1' }]) {
      const stop = new AbortController();
      setTimeout(() => stop.abort(), 200);
      const started = performance.now();
      await expect(score(options, stop.signal)).rejects.toThrow(/the run was stopped/);
      expect(performance.now() - started).toBeLessThan(2000);
    }
    await expect.poll(() => closed).toBeGreaterThan(0);
  });

  it('brings the token of an environment variable, which must be there', async () => {
    const url = await listen((body, request, response) => {
      if (request.headers.authorization === 'Bearer secret') return own(body);
      response.statusCode = 401;
      return { error: 'who are you' };
    });
    await expect(score({ url })).rejects.toThrow(/status 401: who are you/);
    process.env.JUDGE_TOKEN = 'secret';
    expect([...(await score({ url, token: 'JUDGE_TOKEN' })).scores]).toEqual([1, 2, 3, 4, 5]);
    delete process.env.JUDGE_TOKEN;
    expect(() => httpReward('judge', { url, token: 'JUDGE_TOKEN' })).toThrow(/JUDGE_TOKEN is not set/);
  });

  it('survives connections that the server closes just as the next request is sent', async () => {
    // What is seen of a keep-alive that ends while learning has the event loop: the second request of a connection is not answered.
    const used = new WeakSet<object>();
    const url = await listen((body, { socket }) => {
      if (used.has(socket)) return void socket.destroy();
      used.add(socket);
      return own(body);
    });
    const body = JSON.stringify({ samples: [] });
    const plain = async () => await (await fetch(url, { method: 'POST', body })).json();
    const several = async () => {
      for (let i = 0; i < 8; i++) {
        await plain();
        await new Promise((done) => setTimeout(done, 20));
      }
    };
    await expect(several()).rejects.toThrow('fetch failed');
    for (let epoch = 0; epoch < 5; epoch++) {
      expect([...(await score({ url, retries: 0 })).scores]).toEqual([1, 2, 3, 4, 5]);
      const answer = await steadyFetch(url, { method: 'POST', body });
      expect(await answer.json()).toEqual({ results: [], errors: [] });
    }
  });
});
