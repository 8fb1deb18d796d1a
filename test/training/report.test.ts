import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { renderFigure } from '../../training/figures.js';
import { renderReport, writeReport } from '../../training/report.js';
import { RunFolder } from '../../training/run-folder.js';
import { syntheticRun } from './synthetic-run.js';

let temporary: string;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'report-'));
});
afterAll(() => rm(temporary, { recursive: true }));

it('tells a finished run in one self-contained page', async () => {
  const path = join(temporary, 'finished');
  await syntheticRun(path);
  const page = await readFile(await writeReport(path), 'utf8');
  for (const text of [
    'finished · epoch 20 of 20',
    'Before and after',
    'From noise to picture',
    'Best and worst',
    'Clip fraction',
  ])
    expect(page).toContain(text);
  // Nothing is loaded from anywhere, and what a prompt holds is text.
  expect(page.replaceAll('http://www.w3.org', '')).not.toMatch(/(src|href)="(?!data:)|url\(|https?:|<script/);
  expect(page).toContain('&#60;script&#62;alert(');
  // 24 pictures, twice, and 12 of them again as best and worst.
  expect(page.match(/data:image\/png/g)).toHaveLength(24 * 2 + 12);
  expect(/\+[12]\.\d+ standard deviations/.test(page)).toBe(true);
});

it('reports a run that runs, was killed, failed, or has only begun', async () => {
  const path = join(temporary, 'running');
  const folder = await syntheticRun(path, { finished: 3 });
  expect(await renderReport(path)).toContain('running · epoch 3 of 20');
  await appendFile(join(path, 'metrics.jsonl'), '{"epoch":4,"rew');
  expect(await renderReport(path)).toContain('epoch 3 of 20');
  await folder.writeStatus({ state: 'failed', epoch: 3, epochs: 20, message: 'reward x: <broken>' });
  await appendFile(join(path, 'log.txt'), 'epoch 2: almost everything was clipped\n');
  const failed = await renderReport(path);
  expect(failed).toContain('What went wrong');
  expect(failed).toContain('reward x: &#60;broken&#62;');
  expect(failed).toContain('almost everything was clipped');
  const begun = join(temporary, 'begun');
  await RunFolder.create(begun, await folder.config());
  expect(await renderReport(begun)).toContain('No epoch has ended yet');
  await expect(renderReport(join(temporary, 'nothing'))).rejects.toThrow('there is no run here');
});

it('draws curves in the colours of the page, with gaps for what is not a number', async () => {
  const svg = await renderFigure({
    title: 'A',
    unit: 'kB',
    series: [
      {
        name: 'one',
        points: [
          [1, 2],
          [2, Number.NaN],
          [3, 4],
          [4, 5],
        ],
      },
      {
        name: 'two',
        points: [
          [1, 1],
          [4, 2],
        ],
        dots: true,
      },
    ],
    band: [
      [1, 1, 3],
      [4, 4, 6],
    ],
  });
  expect(svg).toMatch(/^<svg xmlns="[^"]+" viewBox="[^"]+" role="img" aria-label="A">/);
  expect(svg).toContain('var(--c1)');
  expect(svg).toContain('var(--c2)');
  expect(svg).toContain('kB');
});
