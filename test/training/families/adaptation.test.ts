import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { unstack } from '../../../core/ndarray.js';
import type { Metrics } from '../../../core/types.js';
import { drawDigits } from '../../../envs/data/drawn-digits.js';
import { inputDigests } from '../../../training/changes.js';
import { parseConfig } from '../../../training/config/index.js';
import { readAdaptationRecord } from '../../../training/families/adaptation-passes.js';
import { runTraining } from '../../../training/run.js';
import { RunFolder } from '../../../training/run-folder/index.js';
import { withOwnCache } from '../../envs/adaptation/cache.js';

const made = withOwnCache();

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
    const config = { ...small, runs: made.folder, rival: 'naive-pseudo-labels' };
    const whole = await runTraining({ ...config, name: 'whole' });
    const metrics = await whole.folder.metrics();
    expect(metrics.map((m) => m.epoch)).toEqual([1, 2, 3]);
    expect(metrics.map((m) => m['reward/mean'] !== undefined)).toEqual([false, false, true]);
    for (const m of metrics) expect(m['adaptation/accuracy']).toBeGreaterThanOrEqual(0);

    const record = await readAdaptationRecord(whole.folder.path);
    expect(record.after!.accuracy).toBe(metrics[2]!['adaptation/accuracy']);
    expect(record.splits).toEqual({ learned: 'train', measured: 'test' });
    expect(record.before.confusion.reduce((a, b) => a + b, 0)).toBe(30);
    const rival = RunFolder.open(join(whole.folder.path, 'rival'));
    expect(await rival.config()).toMatchObject({ config: { agent: { name: 'naive-pseudo-labels', diversity: 0 } } });
    expect((await readAdaptationRecord(rival.path)).before).toEqual(record.before);
    const report = await readFile(whole.report, 'utf8');
    for (const text of ['Accuracy on the target', 'What it reads', 'What it was taught', 'What is taken for what'])
      expect(report).toContain(text);
    expect(report).toContain('naive-pseudo-labels comes to');

    const abort = new AbortController();
    const stopped = { ...small, runs: made.folder, name: 'resumed' };
    const first = await runTraining(stopped, {
      signal: abort.signal,
      onEvent: (event) => void (event.type === 'epoch' && event.epoch === 1 && abort.abort()),
    });
    expect(first).toMatchObject({ reason: 'stopped', epoch: 1 });
    const second = await runTraining(stopped, { resume: true });
    expect(timeless(await second.folder.metrics())).toEqual(timeless(metrics));
  });
});

/** Digits drawn by code as files of one's own: a folder for each of three classes, with 10 pictures each. */
async function ownPictures(name: string, domain: 'clean' | 'invert'): Promise<string> {
  const place = join(made.folder, name);
  const { images, labels } = drawDigits(domain, 'train', 100, 1);
  for (const [i, { data, shape }] of unstack(images).entries()) {
    if (labels[i]! > 2) continue;
    const folder = join(place, ['nought', 'one', 'two'][labels[i]!]!);
    await mkdir(folder, { recursive: true });
    const [height, width] = shape as [number, number];
    await sharp(data as Uint8Array, { raw: { height, width, channels: 3 } }).toFile(join(folder, `${i}.png`));
  }
  return place;
}

describe('pictures of one’s own', () => {
  it('a network of torchvision adapts from folder to folder, and the run records the files', async () => {
    const [source, target] = [await ownPictures('white', 'clean'), await ownPictures('black', 'invert')];
    const config = {
      ...{ env: 'SourceFreeAdaptation-v0', agent: 'guided-pseudo-labels', runs: made.folder, name: 'own' },
      ...{ source, target, network: 'resnet18', epochs: 1 },
      adaptation: { batchSize: 8, neighbours: 3, queueSize: 8, imageSize: 32, sourceEpochs: 1, history: 1 },
    };
    const run = await runTraining(config);
    const [metrics] = await run.folder.metrics();
    expect(metrics!['adaptation/accuracy']).toBeGreaterThanOrEqual(0);
    expect(await readAdaptationRecord(run.folder.path)).toMatchObject({
      classes: ['nought', 'one', 'two'],
      domain: 'black',
    });
    const inputs = Object.keys(await inputDigests(parseConfig(config)));
    expect(inputs).toHaveLength(60);
    expect(inputs).toContain(`source/${join(source, 'nought', '0.png')}`);
    expect(inputs).toContain(`target/${join(target, 'two', '2.png')}`);
  });
});

describe('a run that fails', () => {
  it('ends when the network reads everything as one class, and shows what it had come to', async () => {
    const collapsing = {
      ...{ ...small, agent: { name: 'naive-pseudo-labels' }, epochs: 12, runs: made.folder, name: 'collapsed' },
      adaptation: { ...small.adaptation, learningRate: 2, reward: 'sparse' },
    };
    const { folder } = await runTraining(collapsing);
    expect(await folder.status()).toMatchObject({
      state: 'finished',
      message: 'the network reads almost everything as one class',
    });
    const metrics = await folder.metrics();
    expect(metrics.length).toBeLessThan(12);
    const { after } = await readAdaptationRecord(folder.path);
    expect(after!.accuracy).toBe(metrics.at(-1)!['adaptation/accuracy']);
    expect(metrics.at(-1)!['reward/mean']).toBeCloseTo(after!.accuracy, 6);
  });
});

describe('its configuration', () => {
  it.each<[object, RegExp]>([
    [{ numEnvs: 2 }, /numEnvs: must be 1/],
    [{ setting: 'continual' }, /setting: continual, but target names 1/],
    [{ setting: 'online' }, /epochs: must be 1, because setting is online/],
    [{ target: ['mnist', 'clean'], epochs: 3 }, /epochs: must be a multiple of the 2 targets/],
    [{ weights: 'resnet18.safetensors' }, /weights: are for a ResNet/],
    [{ rival: 'naive-pseudo-label' }, /rival: there is no agent .* Did you mean `naive-pseudo-labels`/],
    [{ rival: 'guided-pseudo-labels' }, /rival: is guided-pseudo-labels, the agent itself/],
    [{ adaptation: { learningRate: 0 } }, /adaptation\.learningRate: must be more than 0/],
  ])('%o is refused', (change, error) => {
    expect(() => parseConfig({ ...small, ...change })).toThrow(error);
  });
});
