import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type TrackioOptions, trackioLogger } from '../../../training/loggers/index.js';
import { RunFolder } from '../../../training/run-folder/index.js';
import { toyRun } from './toy-folder.js';

interface Request {
  readonly url: string;
  readonly token: string | undefined;
  readonly body: { logs: { project: string; run: string; step: number; metrics: object }[]; hf_token: null };
}

let path: string;
let server: Server;
let requests: Request[];
/** What the server answers to each request in turn; 200 after the last. */
let answers: number[];
let warnings: string[];

beforeEach(async () => {
  path = join(await mkdtemp(join(tmpdir(), 'trackio-test-')), 'run');
  [requests, answers, warnings] = [[], [], []];
  server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const status = answers.shift() ?? 200;
    if (status === 200)
      requests.push({
        url: request.url!,
        token: request.headers['x-trackio-write-token'] as string | undefined,
        body: JSON.parse(Buffer.concat(chunks).toString()),
      });
    response.writeHead(status).end('said the server');
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
  await rm(join(path, '..'), { recursive: true });
});

const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const steps = () => requests.flatMap(({ body }) => body.logs.map(({ step }) => step));
const listen =
  (more: Partial<TrackioOptions> = {}) =>
  (folder: RunFolder) =>
    trackioLogger(folder, {
      url: url(),
      project: 'walks',
      run: 'first',
      token: 'secret',
      pause: 1,
      warn: (message) => warnings.push(message),
      ...more,
    });

it('sends every epoch once, as trackio wants it, and none again after a resume', async () => {
  await toyRun({ path, epochs: 3, listen: listen() });
  expect(new Set(requests.map(({ url, token }) => `${url} ${token}`))).toEqual(new Set(['/api/bulk_log secret']));
  expect(steps()).toEqual([1, 2, 3]);
  const { epoch: _, ...metrics } = (await RunFolder.open(path).metrics())[0]!;
  // `bulk_log(request, logs, hf_token)` of trackio 0.43.0 (server.py:815); a parameter that is missing is an error 400.
  expect(requests[0]!.body).toMatchObject({
    logs: [{ project: 'walks', run: 'first', step: 1, metrics }],
    hf_token: null,
  });
  // Epoch 3 is done once more, and was sent before.
  await toyRun({ path, epochs: 5, from: 2, listen: listen() });
  expect(steps()).toEqual([1, 2, 3, 4, 5]);
  expect(warnings).toEqual([]);
});

it('tries again, and a server that comes back gets what it has missed', async () => {
  answers = [500, 503];
  await toyRun({ path, epochs: 2, listen: listen() });
  expect(steps()).toEqual([1, 2]);
  expect(warnings).toEqual([]);

  answers = [500, 500, 500, 500];
  await toyRun({ path, epochs: 6, from: 2, listen: listen() });
  expect(steps()).toEqual([1, 2, 3, 4, 5, 6]);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(/500 Internal Server Error: said the server.*The run goes on/);
});

it('never stops a run: a server that is not there is told of once, and a resume sends what is missing', async () => {
  const events = await toyRun({ path, epochs: 4, listen: listen({ url: 'http://127.0.0.1:9', tries: 2 }) });
  expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'finished' });
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(/^trackio at http:\/\/127\.0\.0\.1:9 gets no metrics for now: fetch failed \(.+\)/);
  await toyRun({ path, epochs: 5, from: 4, listen: listen() });
  expect(steps()).toEqual([1, 2, 3, 4, 5]);
});

it('does not wait for a server that does not answer', async () => {
  const silent = createServer(() => {});
  await new Promise<void>((ready) => silent.listen(0, '127.0.0.1', ready));
  const address = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  await toyRun({ path, epochs: 2, listen: listen({ url: address, timeout: 50, tries: 2 }) });
  silent.closeAllConnections();
  silent.close();
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain('timeout');
});
