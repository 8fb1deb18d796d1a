import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Metrics } from '../../core/types.js';
import { rewardMetrics } from '../../training/reward-metrics.js';
import { metricsLine, parseMetrics, RunFolder } from '../../training/run-folder/index.js';
import { train } from '../../training/train.js';
import { Lockstep, type LockstepOptions, ToyAgent } from './toys.js';

let temporary: string;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'train-'));
});
afterAll(() => rm(temporary, { recursive: true }));

const withoutTime = (metrics: Metrics[]) =>
  metrics.map((line) => Object.fromEntries(Object.entries(line).filter(([key]) => !key.startsWith('time/'))));

async function run(
  path: string,
  options: LockstepOptions & { epochs?: number; every?: number; resume?: boolean; stopAt?: number } = {},
) {
  const { folder, checkpoint } = options.resume
    ? await RunFolder.resume(path)
    : { folder: await RunFolder.create(path, {}), checkpoint: undefined };
  const abort = new AbortController();
  const events = [];
  for await (const event of train<number, number>({
    agent: new ToyAgent({ episodes: 6 }, 5),
    envs: [new Lockstep(options), new Lockstep(options)],
    epochs: options.epochs ?? 5,
    seed: 3,
    folder,
    checkpoint,
    checkpointEvery: options.every ?? 1,
    signal: abort.signal,
  })) {
    events.push(event);
    if (event.type === 'epoch' && event.epoch === options.stopAt) abort.abort();
  }
  return { folder, events };
}

describe('train', () => {
  it('reports each epoch, keeps the latest checkpoints and says that it finished', async () => {
    const { folder, events } = await run(join(temporary, 'plain'));
    expect(events.map((e) => e.type).filter((t) => t !== 'checkpoint')).toEqual([
      'start',
      ...Array(5).fill('epoch'),
      'end',
    ]);
    const metrics = await folder.metrics();
    expect(metrics.map((m) => m.epoch)).toEqual([1, 2, 3, 4, 5]);
    expect(metrics[4]).toMatchObject({ envSteps: 120, episodes: 30, rewardQueries: 30, 'episode/length': 4 });
    expect(metrics[0]!['term/twice']).toBeCloseTo(2 * metrics[0]!['reward/mean']!);
    expect(await folder.checkpoints()).toEqual([4, 5]);
    expect(await folder.status()).toMatchObject({ state: 'finished', epoch: 5 });
  });

  it('will not write over a run unless told to', async () => {
    const path = join(temporary, 'twice');
    await run(path);
    await expect(RunFolder.create(path, {})).rejects.toThrow(/--resume.*--overwrite/);
    const fresh = await RunFolder.create(path, { again: true }, { overwrite: true });
    expect(await fresh.metrics()).toEqual([]);
    expect(await fresh.checkpoints()).toEqual([]);
    await writeFile(join(temporary, 'stray'), '');
    await expect(RunFolder.create(temporary, {})).rejects.toThrow('other files');
  });

  it('stops when asked, saved, and goes on with the same numbers', async () => {
    const { folder: whole } = await run(join(temporary, 'whole'));
    const path = join(temporary, 'stopped');
    const { events } = await run(path, { stopAt: 2, every: 100 });
    expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'stopped', epoch: 2 });
    const { folder } = await run(path, { resume: true });
    expect(withoutTime(await folder.metrics())).toEqual(withoutTime(await whole.metrics()));
  });

  it('keeps everything when a reward fails, also what was learned since the last checkpoint', async () => {
    const path = join(temporary, 'failing');
    // Two batches an epoch: batch 7 is in the fourth.
    await expect(run(path, { fail: (batch) => batch === 7, every: 100 })).rejects.toThrow(
      /reward of batch 7 failed\nThe run is saved up to epoch 3 of 5 in .*--resume/,
    );
    expect(await RunFolder.open(path).status()).toMatchObject({ state: 'failed', epoch: 3 });
    const { folder } = await run(path, { resume: true });
    expect((await folder.metrics()).map((m) => m.epoch)).toEqual([1, 2, 3, 4, 5]);
  });

  it('cuts metrics to the checkpoint, half a line included', async () => {
    const path = join(temporary, 'cut');
    await run(path, { epochs: 3 });
    await writeFile(
      join(path, 'metrics.jsonl'),
      `${await readFile(join(path, 'metrics.jsonl'), 'utf8')}{"epoch":4,"re`,
    );
    expect((await RunFolder.open(path).metrics()).length).toBe(3);
    const { folder } = await run(path, { resume: true });
    expect((await folder.metrics()).map((m) => m.epoch)).toEqual([1, 2, 3, 4, 5]);
  });

  it('marks a run whose listener left', async () => {
    const folder = await RunFolder.create(join(temporary, 'left'), {});
    for await (const event of train<number, number>({
      agent: new ToyAgent({ episodes: 3 }),
      envs: [new Lockstep()],
      epochs: 3,
      seed: 1,
      folder,
    }))
      if (event.type === 'epoch') break;
    expect(await folder.status()).toMatchObject({ state: 'stopped', epoch: 1 });
  });
});

it('averages a term over the samples that it applies to', () => {
  const episode = (reward: number, terms: Record<string, number>) => ({
    reward,
    length: 2,
    info: { rewardTerms: terms },
  });
  const metrics = rewardMetrics([episode(1, { a: 2, b: Number.NaN }), episode(3, { a: 4, b: 5 })]);
  expect(metrics).toMatchObject({ 'reward/mean': 2, 'reward/std': 1, 'term/a': 3, 'term/b': 5, 'episode/length': 2 });
  expect(rewardMetrics([])).toEqual({});
});

it('writes numbers that JSON lacks as text', () => {
  const metrics = { a: Number.NaN, b: Number.POSITIVE_INFINITY, c: 0.1, d: Number.NEGATIVE_INFINITY };
  expect(metricsLine(metrics)).toBe('{"a":"NaN","b":"Infinity","c":0.1,"d":"-Infinity"}\n');
  expect(parseMetrics(metricsLine(metrics))).toEqual([metrics]);
});

describe('a run in a process of its own', () => {
  const child = (...args: string[]): ChildProcess =>
    spawn(process.execPath, ['--import', './register.mjs', 'test/training/toy-run.ts', ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  const ended = (process_: ChildProcess) =>
    new Promise<number | null>((resolve) => process_.once('exit', (code) => resolve(code)));
  const said = (process_: ChildProcess, word: string) =>
    new Promise<void>((resolve) => {
      let text = '';
      process_.stdout!.on('data', (chunk) => {
        text += chunk;
        if (text.includes(word)) resolve();
      });
      process_.once('exit', () => resolve());
    });

  for (const [kind, times] of [
    ['lockstep', 4],
    ['steps', 2],
  ] as const)
    it(`gives the same numbers after kill -9 at any moment (${kind})`, async () => {
      const [whole, killed] = [join(temporary, `${kind}-whole`), join(temporary, `${kind}-killed`)];
      expect(await ended(child(whole, kind, '40'))).toBe(0);
      let kills = 0;
      for (let attempt = 0; ; attempt++) {
        const process_ = attempt === 0 ? child(killed, kind, '40') : child(killed, kind, '40', 'resume');
        const exit = ended(process_);
        if (attempt === times) {
          expect(await exit).toBe(0);
          break;
        }
        await said(process_, 'start');
        await new Promise((resolve) => setTimeout(resolve, 40 + 41 * attempt));
        process_.kill('SIGKILL');
        if ((await exit) === null) kills++;
        expect(await RunFolder.open(killed).wasKilled()).toBe(
          (await RunFolder.open(killed).status())?.state === 'running',
        );
      }
      expect(kills).toBeGreaterThan(0);
      const [a, b] = await Promise.all([RunFolder.open(whole).metrics(), RunFolder.open(killed).metrics()]);
      expect(a).toHaveLength(40);
      expect(withoutTime(b)).toEqual(withoutTime(a));
      expect((await readdir(join(killed, 'checkpoints'))).length).toBe(2);
    });

  it('refuses to be resumed while it runs, and SIGINT saves it', async () => {
    const path = join(temporary, 'interrupted');
    const process_ = child(path, 'lockstep', '100000');
    const exit = ended(process_);
    await said(process_, 'start');
    await new Promise((resolve) => setTimeout(resolve, 100));
    await expect(RunFolder.resume(path)).rejects.toThrow(`process ${process_.pid} is running it now`);
    process_.kill('SIGINT');
    expect(await exit).toBe(0);
    const folder = RunFolder.open(path);
    const status = await folder.status();
    expect(status?.state).toBe('stopped');
    expect((await folder.metrics()).length).toBe(status!.epoch);
    expect((await folder.checkpoints()).at(-1)).toBe(status!.epoch);
  });
});
