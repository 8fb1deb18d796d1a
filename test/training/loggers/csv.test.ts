import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { everyEpochs } from '../../../training/callbacks/index.js';
import { csvLogger } from '../../../training/loggers/index.js';
import { RunFolder } from '../../../training/run-folder/index.js';
import { toyRun } from './toy-folder.js';

let path: string;
beforeEach(async () => {
  path = join(await mkdtemp(join(tmpdir(), 'csv-test-')), 'run');
});
afterEach(() => rm(join(path, '..'), { recursive: true }));

/** Rows by the names of their columns; only numbers and plain names are in it. */
async function readCsv(): Promise<Record<string, number>[]> {
  const text = await readFile(join(path, 'metrics.csv'), 'utf8');
  expect(text.endsWith('\n')).toBe(true);
  const [head, ...rows] = text
    .slice(0, -1)
    .split('\n')
    .map((line) => line.split(','));
  return rows.map((row) => {
    expect(row).toHaveLength(head!.length);
    return Object.fromEntries(head!.flatMap((name, i) => (row[i] === '' ? [] : [[name, Number(row[i])]])));
  });
}

it('holds what metrics.jsonl holds, with columns that come up later, also after a resume from an older checkpoint', async () => {
  const callbacks = () => [everyEpochs<number, number>(3, ({ epoch }) => ({ 'own/number': epoch / 3 }))];
  await toyRun({ path, epochs: 6, callbacks, listen: csvLogger });
  const first = await RunFolder.open(path).metrics();
  expect(first.map((metrics) => metrics['own/number'])).toEqual([undefined, undefined, 1, undefined, undefined, 2]);
  expect(await readCsv()).toEqual(first);

  await toyRun({ path, epochs: 8, from: 4, callbacks, listen: csvLogger });
  const second = await RunFolder.open(path).metrics();
  expect(second).toHaveLength(8);
  expect(await readCsv()).toEqual(second);
});

it('writes numbers that are not finite, and quotes names that need it', async () => {
  const epochs = [{ epoch: 1, 'odd, "name"': Number.NaN, up: Number.POSITIVE_INFINITY }];
  await toyRun({ path, epochs: 1 });
  await csvLogger({ path, metrics: async () => epochs })({ type: 'start', epoch: 1, epochs: 1 });
  expect(await readFile(join(path, 'metrics.csv'), 'utf8')).toBe('epoch,"odd, ""name""",up\n1,NaN,Infinity\n');
});
