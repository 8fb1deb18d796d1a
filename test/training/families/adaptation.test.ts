import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../../backend/index.js';
import type { Metrics } from '../../../core/types.js';
import { parseConfig } from '../../../training/config/index.js';
import { readAdaptationRecord } from '../../../training/families/adaptation-passes.js';
import { runTraining } from '../../../training/run.js';
import { RunFolder } from '../../../training/run-folder/index.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'adaptation-'));
  process.env.DENOISE_GYM_CACHE = join(folder, 'cache');
  await useBackend();
});
afterAll(async () => {
  delete process.env.DENOISE_GYM_CACHE;
  await rm(folder, { recursive: true });
});

const small = {
  env: 'SourceFreeAdaptation-v0',
  agent: 'guided-pseudo-labels',
  ...{ source: 'clean', target: 'invert', epochs: 3 },
  adaptation: { sourceSize: 60, targetSize: 40, probeSize: 30, batchSize: 16, queueSize: 24 },
};
const timeless = (metrics: readonly Metrics[]) =>
  metrics.map((m) => Object.fromEntries(Object.entries(m).filter(([key]) => !key.startsWith('time/'))));

describe('a run of source-free adaptation', () => {
  it('logs each pass, shows before and after with a rival beside, and resumes bit for bit', async () => {
    const config = { ...small, runs: folder, rival: 'naive-pseudo-labels' };
    const whole = await runTraining({ ...config, name: 'whole' });
    const metrics = await whole.folder.metrics();
    expect(metrics.map((m) => m.epoch)).toEqual([1, 2, 3]);
    expect(metrics.map((m) => m['reward/mean'] !== undefined)).toEqual([false, false, true]);
    for (const m of metrics) expect(m['adaptation/accuracy']).toBeGreaterThanOrEqual(0);

    const record = await readAdaptationRecord(whole.folder.path);
    expect(record.after!.accuracy).toBe(metrics[2]!['adaptation/accuracy']);
    expect(record.before.confusion.reduce((a, b) => a + b, 0)).toBe(30);
    const rival = RunFolder.open(join(whole.folder.path, 'rival'));
    expect(await rival.config()).toMatchObject({ config: { agent: { name: 'naive-pseudo-labels', diversity: 0 } } });
    expect((await readAdaptationRecord(rival.path)).before).toEqual(record.before);
    const report = await readFile(whole.report, 'utf8');
    for (const text of ['Accuracy on the target', 'What it reads', 'What it was taught', 'What is taken for what'])
      expect(report).toContain(text);
    expect(report).toContain('naive-pseudo-labels comes to');

    const abort = new AbortController();
    const stopped = { ...small, runs: folder, name: 'resumed' };
    const first = await runTraining(stopped, {
      signal: abort.signal,
      onEvent: (event) => void (event.type === 'epoch' && event.epoch === 1 && abort.abort()),
    });
    expect(first).toMatchObject({ reason: 'stopped', epoch: 1 });
    const second = await runTraining(stopped, { resume: true });
    expect(timeless(await second.folder.metrics())).toEqual(timeless(metrics));
  });
});

describe('its configuration', () => {
  it.each<[object, RegExp]>([
    [{ numEnvs: 2 }, /numEnvs: must be 1/],
    [{ setting: 'continual' }, /setting: continual, but target names 1/],
    [{ setting: 'online' }, /epochs: must be 1, because setting is online/],
    [{ target: ['mnist', 'clean'], epochs: 3 }, /epochs: must be a multiple of the 2 targets/],
    [{ rival: 'naive-pseudo-label' }, /rival: there is no agent .* Did you mean `naive-pseudo-labels`/],
    [{ rival: 'guided-pseudo-labels' }, /rival: is guided-pseudo-labels, the agent itself/],
    [{ adaptation: { learningRate: 0 } }, /adaptation\.learningRate: must be more than 0/],
  ])('%o is refused', (change, error) => {
    expect(() => parseConfig({ ...small, ...change })).toThrow(error);
  });
});
