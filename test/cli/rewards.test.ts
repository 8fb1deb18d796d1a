import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { JudgeServer, type Said } from '../rewards/vlm/judge-server.js';

let temporary: string;
let judge: JudgeServer;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'cli-rewards-'));
  judge = await JudgeServer.start(
    ({ colour }): Said =>
      colour[0] > colour[2] ? { text: 'Yes', chances: { Yes: 0.9, No: 0.1 } } : { text: 'No', chances: { No: 1 } },
  );
});
afterAll(async () => {
  await judge.close();
  await rm(temporary, { recursive: true });
});

function start(...args: string[]): ChildProcess {
  const env = { ...process.env, DENOISE_GYM_BACKEND: 'wasm', DENOISE_GYM_CACHE: temporary };
  return spawn(process.execPath, ['--import', './register.mjs', 'cli/main.ts', ...args], { env });
}

async function cli(...args: string[]) {
  const child = start(...args);
  let [out, err] = ['', ''];
  child.stdout!.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr!.on('data', (chunk) => {
    err += chunk;
  });
  const code = await new Promise((done) => child.once('close', done));
  return { code, out, err };
}

it('list says what each reward needs', async () => {
  const { out } = await cli('list', 'rewards');
  expect(out).toMatch(/^image-reward \.\.\..*--rewards\.NAME\.kind image-reward\n {2}needs +ImageReward\.pt/m);
});

it('doctor asks a judge what it can do, and makes the rewards of a configuration', async () => {
  const asked = await cli('doctor', '--vlm', judge.url, '--json');
  expect(asked.code).toBe(0);
  expect(JSON.parse(asked.out)).toMatchObject([
    { name: 'server', ok: true },
    { name: 'pictures', ok: true },
    { name: 'log-probabilities', ok: true },
    { name: 'same again', ok: true },
  ]);
  expect((await cli('doctor', '--vlm', 'http://127.0.0.1:1/v1')).code).toBe(1);

  const file = join(temporary, 'run.yaml');
  await writeFile(
    file,
    `rewards:\n  judge: { kind: vlm, url: '${judge.url}', model: sees }\n  clip: { kind: clip-score, model: nowhere }\n`,
  );
  const { code, out } = await cli('doctor', '--config', file);
  expect(out).toMatch(/^✔ judge: vlm$/m);
  expect(out).toMatch(/^✘ clip: .*nowhere/m);
  expect(code).toBe(1);
});

it('serve-reward serves a reward that flags define', async () => {
  const flags = ['--rewards.judge.kind', 'vlm', '--rewards.judge.url', judge.url, '--rewards.judge.model', 'sees'];
  const child = start('serve-reward', '2*judge', '--port', '0', ...flags);
  const url = await new Promise<string>((resolve) => {
    let text = '';
    child.stderr!.on('data', (chunk) => {
      text += chunk;
      const [found] = /http:\S+(?=;)/.exec(text) ?? [];
      if (found) resolve(found);
    });
  });
  // A red PNG of one pixel.
  const image = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGN4wMAAAAKkAOHfkptNAAAAAElFTkSuQmCC';
  const response = await fetch(`${url}/compute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: ['red'], image: [image] }),
  });
  const { rewards } = (await response.json()) as { rewards: number[] };
  expect(rewards[0]).toBeCloseTo(1.8, 9);
  child.kill('SIGTERM');
  await new Promise((done) => child.once('close', done));

  const wrong = await cli('serve-reward', 'judge', '--agent.clip-range', '1');
  expect(wrong.code).not.toBe(0);
  expect(wrong.err).toMatch(/--agent\.clip-range: is no option of a reward/);
});
