import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeFileAtomic } from '../../../core/files.js';
import type { NdArray } from '../../../core/ndarray.js';
import { Random } from '../../../core/random.js';
import { drawScene, sceneOf } from '../../../rewards/index.js';
import { auditRun } from '../../../training/audit/index.js';
import { type EvaluationRecord, evaluationFiles } from '../../../training/evaluation/index.js';
import { gridPng, readGrid } from '../../../training/images.js';
import { watchFiles } from '../../../training/watch/index.js';
import { syntheticRun } from '../synthetic-run.js';

let path: string;
beforeEach(async () => {
  path = join(await mkdtemp(join(tmpdir(), 'audit-test-')), 'run');
});
afterEach(() => rm(join(path, '..'), { recursive: true }));

const prompts = ['a red circle', 'a blue square', 'two stars', 'a green triangle'];
const drawn = (seed: string) =>
  prompts.map((prompt) => drawScene(sceneOf(prompt, new Random(`${seed}/${prompt}`)), 16));

/** Puts the pictures of two evaluations into a synthetic run of four epochs. */
async function runWith(
  before: readonly NdArray[],
  after: readonly NdArray[],
  rewards: [number[], number[]] = [
    [0, 0, 0, 0],
    [1, 1, 1, 1],
  ],
) {
  await syntheticRun(path, { epochs: 4 });
  for (const [i, images] of [before, after].entries()) {
    const epoch = 4 * i;
    const { png, layout } = await gridPng(images);
    const files = evaluationFiles(path, epoch);
    await writeFileAtomic(files.png, png);
    const record = JSON.parse(await readFile(files.json, 'utf8')) as EvaluationRecord;
    const samples = prompts.map((prompt, j) => ({ prompt, reward: rewards[i]![j]! }));
    await writeFile(files.json, JSON.stringify({ ...record, samples, grid: layout }));
  }
}

const names = async () => (await auditRun(path)).findings.map(({ name }) => name);
const map = (image: NdArray, change: (value: number, index: number) => number): NdArray => ({
  data: Uint8Array.from(image.data, (value, i) => Math.max(0, Math.min(255, change(value, i)))),
  shape: image.shape,
});

describe('an audit', () => {
  it('is silent on pictures that changed and still show what their prompts say', async () => {
    await runWith(drawn('before'), drawn('after'));
    const audit = await auditRun(path);
    expect(audit).toMatchObject({ epoch: 4, state: 'finished', findings: [] });
    expect(audit.looked.join()).toMatch(/log of 4 epochs.*4 fixed samples.*4 pairs of pictures/);
    expect(audit.png).toBeUndefined();
  });

  it('finds blank pictures, shows them, and names what they no longer show', async () => {
    const [before, after] = [drawn('before'), drawn('after')];
    after[1] = { data: new Uint8Array(768).fill(240), shape: [16, 16, 3] };
    await runWith(before, after);
    const { findings, png } = await auditRun(path);
    const named = findings.map(({ name, pictures }) => [name, pictures]);
    expect(named).toContainEqual(['blank', [1]]);
    expect(named).toContainEqual(['prompts', [1]]);
    expect(findings[0]!.text).toMatch(/^25 % of the pictures are blank/);
    // One column a picture: before training above, after it below.
    const shown = [...new Set(findings.flatMap(({ pictures = [] }) => pictures))].sort();
    const layout = { count: 2 * shown.length, columns: shown.length, width: 16, height: 16, scale: 4, gap: 4 };
    const tiles = (await readGrid(await readFile(png!), layout)).map(({ data }) => data);
    expect(tiles).toEqual([...shown.map((i) => before[i]!.data), ...shown.map((i) => after[i]!.data)]);
  });

  it('finds that all pictures have become one, a tone, and noise', async () => {
    const before = drawn('before');
    await runWith(
      before,
      before.map(() => before[0]!),
    );
    expect(await names()).toEqual(['alike', 'prompts']);
    await rm(path, { recursive: true });
    await runWith(
      before,
      before.map((image) => map(image, (value) => value + 110)),
    );
    expect(await names()).toContain('brightness');
    await rm(path, { recursive: true });
    await runWith(
      before,
      before.map((image) => map(image, (value, i) => (i % 3 === 2 ? 255 : value))),
    );
    expect(await names()).toContain('blue');
    await rm(path, { recursive: true });
    await runWith(
      before,
      before.map((image) => map(image, (_, i) => image.data[i - (i % 3)]!)),
    );
    expect(await names()).toContain('saturation');
    await rm(path, { recursive: true });
    const random = new Random(0);
    await runWith(
      before,
      before.map((image) => map(image, (value) => value + 60 * random.normal())),
    );
    expect(await names()).toContain('high-frequency');
  });

  it('finds that the reward fell, and nothing where chance explains it', async () => {
    await runWith(drawn('before'), drawn('after'), [
      [5, 6, 7, 8],
      [4, 5.1, 6.2, 6.9],
    ]);
    expect(await names()).toEqual(['reward']);
    await rm(path, { recursive: true });
    await runWith(drawn('before'), drawn('after'), [
      [5, 6, 7, 8],
      [9, 1, 9, 1],
    ]);
    expect(await names()).toEqual([]);
  });

  it.each([
    ['equal-rewards', { 'reward/std': 0 }],
    ['ratio', { 'check/ratioError': 0.2 }],
    ['clipped', { 'train/clipFraction': 0.97 }],
    ['skipped', { 'train/skippedUpdates': 2 }],
  ])('reads the log: %s', async (name, values) => {
    await syntheticRun(path, { epochs: 5, metrics: (metrics) => ({ ...metrics, ...values }) });
    expect(await names()).toEqual([name]);
  });

  it('believes the watch', async () => {
    await runWith(drawn('before'), drawn('after'));
    const seen = { reward: 1, rewardDeterministic: 1, guard: 0.9, guardStd: 0.3, brightness: 0.5, saturation: 0.5 };
    const more = { highFrequency: 0.1, diversity: 0.2, blank: 0 };
    const write = (epoch: number, values: object) =>
      writeFileAtomic(watchFiles(path, epoch).json, JSON.stringify({ epoch, ...seen, ...more, ...values }));
    await write(0, {});
    await write(4, { reward: 2, guard: 0.8 });
    expect(await names()).toEqual([]);
    await write(4, { reward: 2, guard: 0.7, diversity: 0.1 });
    expect(await names()).toEqual(['guard', 'diversity']);
    // Two of 32 that were all right have gone wrong, which is chance; 15 of them are not (deviations of 0/1: √p(1 − p)).
    await write(0, { guard: 1, guardStd: 0 });
    await write(4, { reward: 2, guard: 0.9375, guardStd: 0.242 });
    expect(await names()).toEqual([]);
    await write(4, { reward: 2, guard: 0.531, guardStd: 0.499 });
    expect(await names()).toEqual(['guard']);
    await write(0, {});
    // The reward did not rise, so that this is no over-optimisation: less than a deviation is let pass, a collapse is not.
    await write(4, { reward: 1, guard: 0.65 });
    expect(await names()).toEqual([]);
    await write(4, { reward: 1, guard: 0.1 });
    expect(await names()).toEqual(['guard']);
  });

  it('says that a run has diverged, and reads one that is still running', async () => {
    const folder = await syntheticRun(path, { epochs: 5, finished: 2 });
    expect(await auditRun(path)).toMatchObject({ epoch: 2, findings: [] });
    await folder.writeStatus({ state: 'diverged', epoch: 2, epochs: 5, message: 'weights are infinite' });
    expect((await auditRun(path)).findings[0]).toMatchObject({ name: 'diverged', text: /weights are infinite/ });
  });

  it('names a picture that is damaged, and a folder that is no run', async () => {
    await runWith(drawn('before'), drawn('after'));
    const { png } = evaluationFiles(path, 4);
    await writeFile(png, (await readFile(png)).subarray(0, 60));
    await expect(auditRun(path)).rejects.toThrow(/epoch-000004\.png: .*restore it from a copy/);
    await expect(auditRun(join(path, '..'))).rejects.toThrow(/no run/);
    await expect(stat(join(path, 'audit.png'))).rejects.toThrow();
  });
});
