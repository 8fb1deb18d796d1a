import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { defineAgent } from '../../agents/define.js';
import { loadAgent } from '../../agents/registry.js';
import type { Metrics } from '../../core/types.js';
import { renderFigure } from '../../training/figures.js';
import { renderReport, writeReport } from '../../training/report.js';
import { RunFolder } from '../../training/run-folder/index.js';
import type { RunRecord } from '../../training/run-record.js';
import { signatureOf } from '../../training/trust.js';
import { type SyntheticRunOptions, syntheticRun } from './synthetic-run.js';

const cartPole = { config: { env: 'CartPole-v1' } };

let temporary: string;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'report-'));
  vi.stubEnv('XDG_STATE_HOME', join(temporary, 'state'));
});
afterAll(() => rm(temporary, { recursive: true }));

async function reportOf(name: string, options: SyntheticRunOptions = {}): Promise<string> {
  const path = join(temporary, name);
  await syntheticRun(path, options);
  return await renderReport(path);
}

/** The page without its style, and without the values of the configuration. */
function told(page: string): string {
  return page.replace(/<style>[\s\S]*<\/style>/, '').replace(/<h2>Configuration[\s\S]*?<\/section>/, '');
}

/** Titles of the figures in "Inside the learning". */
function figureTitles(page: string): string[] {
  return [...page.matchAll(/<h3>([^<]*) <span class="unit">/g)].map(([, title]) => title!);
}

describe('the page', () => {
  it('tells a finished run in itself alone', async () => {
    const path = join(temporary, 'finished');
    await syntheticRun(path);
    const page = await readFile(await writeReport(path), 'utf8');
    for (const text of [
      'finished · epoch 20 of 20',
      '<b>ppo</b> fine-tunes <b>models/shapes</b> for more <b>jpeg-incompressibility</b>. In 20 epochs',
      'Reward on fixed prompts and noises',
      'Before training and after epoch 20',
      'The same prompts and the same noise',
      'Step by step',
      'Best and worst',
      'On fixed prompts and noises',
      '1280 queries of the reward',
    ])
      expect(page).toContain(text);
    // Nothing is loaded from anywhere, and what a prompt holds is text.
    // The configuration may name a server, as text.
    expect(page.replaceAll('http://www.w3.org', '').replaceAll('<td>http:', '')).not.toMatch(
      /(src|href)="(?!data:)|url\(|https?:|<script/,
    );
    expect(page).toContain('&#60;script&#62;alert(');
    // 24 pictures, twice, and 12 of them again as best and worst.
    expect(page.match(/data:image\/png/g)).toHaveLength(24 * 2 + 12);
    expect(page).toMatch(/\+[12]\.\d+ standard deviations<\/b> of the rewards of epoch 1/);
  });

  it('speaks of CartPole in the words of its family', async () => {
    const page = told(await reportOf('cartpole', cartPole));
    for (const text of [
      '<b>ppo</b> learns <b>CartPole-v1</b>. In 20 epochs',
      'Reward on fixed episodes',
      '<div class="label">Episodes</div><div class="value">600</div><div class="note">20480 environment steps, 640 updates<',
      'episodes of an epoch: mean ± standard deviation',
      'On fixed episodes',
    ])
      expect(page).toContain(text);
    // What stands under a curve of the agent is the agent's to say.
    const own = page.replace(/<figcaption>[^<]*/g, '');
    expect(own.match(/prompt|\bnoise|samples|picture|fine-tune/gi)).toBeNull();
  });

  it('says why a run ended before its last epoch, and has the mean of the last episodes', async () => {
    const path = join(temporary, 'ended');
    const metrics = (m: Metrics): Metrics => ({ ...m, 'reward/rolling': 20 + m.epoch! });
    const folder = await syntheticRun(path, { ...cartPole, epochs: 20, finished: 8, metrics });
    await folder.writeStatus({ state: 'finished', epoch: 8, epochs: 20, message: 'eval/mean has reached 476' });
    const page = await renderReport(path);
    expect(page).toContain('The run ended after epoch 8, because eval/mean has reached 476.');
    expect(page).toContain('the last 100 episodes: mean');
    await folder.writeStatus({ state: 'finished', epoch: 8, epochs: 20 });
    expect(await renderReport(path)).not.toContain('The run ended after');
  });

  it('shows everything that the configuration holds', async () => {
    const path = join(temporary, 'configuration');
    const folder = await syntheticRun(path, { ...cartPole, finished: 0 });
    const record = (await folder.config()) as RunRecord;
    const more = { 'own <i>': { deep: { list: [1, 2], pairs: [{ a: 1 }], nothing: null, empty: {} } } };
    await folder.writeRecord({ ...record, config: { ...record.config, ...more } });
    const [, configuration] = (await renderReport(path)).split('<h2>Configuration');
    const rows = [...configuration!.matchAll(/<tr><th>([^<]*)<td>([^<]*)<\/tr>/g)].map(([, key, value]) => [
      key,
      value,
    ]);
    expect(rows).toEqual(
      expect.arrayContaining([
        ['env', 'CartPole-v1'],
        ['envOptions', '{}'],
        ['hidden', '64, 64'],
        ['collect.steps', '32'],
        ['clipRange.from', '0.2'],
        ['maxSteps', '20000'],
        ['deep.list', '1, 2'],
        ['deep.pairs', '[{&#34;a&#34;:1}]'],
        ['deep.nothing', 'null'],
        ['deep.empty', '{}'],
        ['backend', 'wasm, 1 thread'],
      ]),
    );
    expect(configuration).toContain('<caption>own &#60;i&#62;</caption>');
    expect(rows.map(([key]) => key)).not.toContain('model');
  });

  it('can be read on a narrow screen without scrolling sideways', async () => {
    const page = await reportOf('narrow', cartPole);
    expect(page).not.toMatch(/svg[^{]*{[^}]*min-width/);
    const [, narrow] = page.split('<div class="narrow">');
    expect(page).toMatch(
      /@media \(max-width: 680px\) { \.hero \.wide { display: none; } \.hero \.narrow { display: block; } }/,
    );
    // A card is 314 pixels wide inside on a screen of 390: letters that are 12 high stay higher than 9.
    const widths = [...narrow!.matchAll(/viewBox="0 0 (\d+(?:\.\d+)?) /g)].map(([, width]) => Number(width));
    expect(widths.length).toBeGreaterThan(5);
    for (const width of widths) expect((12 * 314) / width).toBeGreaterThan(9);
  });

  it('stays small when a run is long', async () => {
    const page = await reportOf('long', { ...cartPole, epochs: 1000 });
    expect(page.length).toBeLessThan(600_000);
  });
});

describe('runs in every state', () => {
  it('reports a run that runs, was killed, or failed', async () => {
    const path = join(temporary, 'running');
    const folder = await syntheticRun(path, { epochs: 20, finished: 3 });
    expect(await renderReport(path)).toContain('running · epoch 3 of 20');
    await appendFile(join(path, 'metrics.jsonl'), '{"epoch":4,"rew');
    expect(await renderReport(path)).toContain('epoch 3 of 20');
    await folder.writeStatus({ state: 'failed', epoch: 3, epochs: 20, message: 'reward x: <broken>' });
    await appendFile(join(path, 'log.txt'), 'epoch 2: almost everything was clipped\n');
    const failed = await renderReport(path);
    expect(failed).toContain('failed, can be resumed · epoch 3 of 20');
    expect(failed).toContain('What went wrong');
    expect(failed).toContain('reward x: &#60;broken&#62;');
    expect(failed).toContain('almost everything was clipped');
    await folder.writeStatus({ state: 'diverged', epoch: 3, epochs: 20, message: 'The run has diverged: <nan>' });
    const diverged = await renderReport(path);
    expect(diverged).toContain('diverged · epoch 3 of 20');
    expect(diverged).toContain('The run has diverged: &#60;nan&#62;');
    await folder.writeStatus({ state: 'running', epoch: 3, epochs: 20 });
    folder.close();
    expect(await renderReport(path)).toContain('killed, can be resumed · epoch 3 of 20');
  });

  it('reports a run that has only begun, and refuses a folder without a run', async () => {
    const path = join(temporary, 'begun');
    const { config, ...rest } = (await (
      await syntheticRun(join(temporary, 'other'), { finished: 0 })
    ).config()) as RunRecord;
    await RunFolder.create(path, { config, ...rest });
    const page = await renderReport(path);
    // No process says that it runs.
    expect(page).toContain('running · epoch 0 of 20');
    expect(page).toContain('No epoch has ended yet.');
    expect(page).not.toContain('Inside the learning');
    await expect(renderReport(join(temporary, 'nothing'))).rejects.toThrow('there is no run here');
  });

  it('reports a single epoch by its numbers', async () => {
    const page = await reportOf('one', { ...cartPole, epochs: 5, finished: 1 });
    expect(page).toMatch(/The mean reward of epoch 1 is <b>6\d\.\d<\/b>\./);
    expect(page).toMatch(
      /Reward in training<\/div><div class="value">6\d\.\d<\/div><div class="note">± 24, in epoch 1</,
    );
    expect(page).toContain('In the only epoch so far');
    expect(page).toMatch(/<tr><th>Value loss<div class="note">How far the critic[^<]*<\/div><td>\d+(\.\d+)?<\/tr>/);
    expect(page).toMatch(/<tr><th>Time: sampling/);
    expect(figureTitles(page)).toEqual([]);
    expect(page).not.toMatch(/NaN|undefined/);
  });

  /** Metrics as they are where episodes end only in some epochs. */
  const onlyIn = (epochs: number[]) => (metrics: Metrics) =>
    epochs.includes(metrics.epoch!)
      ? metrics
      : (Object.fromEntries(Object.entries(metrics).filter(([key]) => !/^(reward|episode)\//.test(key))) as Metrics);

  it('reports a run in which episodes ended in some epochs only, or in none', async () => {
    const some = await reportOf('some', { ...cartPole, metrics: onlyIn([3, 9, 15]) });
    // From epoch 3 to 15, in standard deviations of epoch 3.
    expect(some).toMatch(/In 20 epochs the mean reward went from <b>5\d(\.\d)?<\/b> to <b>1[67]\d<\/b>/);
    expect(some).toMatch(/\+[56](\.\d+)? standard deviations<\/b> of the rewards of epoch 3/);
    expect(some).toContain('epoch 3 → mean of the last fifth');
    expect(some).not.toMatch(/NaN|undefined|– →/);

    const none = await reportOf('none', {
      config: { env: 'CartPole-v1', evaluation: { samples: 0 } },
      metrics: onlyIn([]),
    });
    await rm(join(temporary, 'none', 'samples'), { recursive: true });
    expect(told(none)).toContain('learns <b>CartPole-v1</b>. No episode has ended yet.');
    const unevaluated = await renderReport(join(temporary, 'none'));
    expect(unevaluated).toContain('<p class="empty">No episode has ended yet.</p>');
    expect(unevaluated).not.toMatch(/NaN|undefined/);
  });

  it('reports rewards that were all alike in the first epoch', async () => {
    const page = await reportOf('alike', { ...cartPole, metrics: (m) => ({ ...m, 'reward/std': 0 }) });
    expect(page).toMatch(/the mean reward went from <b>[\d.]+<\/b> to <b>[\d.]+<\/b>\./);
  });
});

describe('the metrics of an agent', () => {
  const logged = (metrics: Metrics): Metrics => ({
    ...metrics,
    'train/own "x" <b>': metrics.epoch! ** 2,
    'guard/drift': -metrics.epoch!,
    'train/broken': Number.NaN,
    'train/half': metrics.epoch! % 2 === 0 ? Number.NaN : metrics.epoch!,
    'train/constant': 7,
  });

  it('are drawn as the agent describes them, in its order, and everything else under its key', async () => {
    const page = await reportOf('logged', { ...cartPole, metrics: logged });
    expect(figureTitles(page)).toEqual([
      'Clip fraction',
      'Approximate KL',
      'Policy loss',
      'Value loss',
      'Entropy',
      'Gradient norm',
      'Learning rate',
      'train/own &#34;x&#34; &#60;b&#62;',
      'guard/drift',
      'train/half',
      'Episode length',
      'Time',
    ]);
    expect(page).toContain('<h3>Clip fraction <span class="unit">share of ratios</span></h3>');
    expect(page).toContain('<figcaption>Ratios outside the clip range.');
    expect(page).toContain('aria-label="train/own &#34;x&#34; &#60;b&#62;"');
    // What has but one value is told as a number, NaN included.
    expect(page).toContain('The same throughout');
    expect(page).toContain('<tr><th>train/broken<div class="note"></div><td>NaN</tr>');
    expect(page).toContain('<tr><th>train/constant<div class="note"></div><td>7</tr>');
    expect(page).not.toContain('could not be asked');
  });

  it('are described by the file that defines the agent', async () => {
    const file = join(temporary, 'my-agent.mjs');
    const metrics = { 'train/own "x" <b>': { title: 'Own', unit: 'squares', about: 'Good if <large>.' } };
    await writeFile(file, `export default { name: 'mine', make() {}, metrics: ${JSON.stringify(metrics)} };\n`);
    await loadAgent(file);
    const page = await reportOf('by-file', { config: { env: 'CartPole-v1', agent: file }, metrics: logged });
    expect(page).toContain('<b>mine</b> learns');
    expect(page).toContain('<h3>Own <span class="unit">squares</span></h3>');
    expect(page).toContain('<figcaption>Good if &#60;large&#62;.</figcaption>');
  });

  it('stand under their keys where the file of the agent is gone, and the report says why', async () => {
    const path = join(temporary, 'gone');
    const folder = await syntheticRun(path, { ...cartPole, metrics: logged });
    const record = (await folder.config()) as RunRecord;
    const config = { ...record.config, agent: { name: './gone-agent.ts' } };
    await folder.writeRecord({ ...record, config, signature: await signatureOf(config) });
    const page = await renderReport(path);
    expect(page).toContain('<b>./gone-agent.ts</b> learns <b>CartPole-v1</b>');
    expect(page).toMatch(
      /The agent could not be asked what its metrics mean: agent \.\/gone-agent\.ts: there is no such file/,
    );
    expect(figureTitles(page)).toContain('train/clipFraction');
    // A program that has the agent at hand gives its description.
    const agent = defineAgent({
      name: 'at-hand',
      make: () => Promise.reject(new Error('a report makes no agent')),
      metrics: { 'train/clipFraction': { title: 'Clipped', unit: '', about: 'At hand.' } },
    });
    const described = await renderReport(path, { agent });
    expect(described).toContain('<b>at-hand</b> learns');
    expect(figureTitles(described)).toContain('Clipped');
    expect(described).not.toContain('could not be asked');
  });
});

describe('a figure', () => {
  const one = { title: 'A <b>', unit: '"kB"' };

  it('is drawn in the colours of the page, with gaps for what is not a number', async () => {
    const svg = await renderFigure({
      ...one,
      series: [
        {
          name: 'one',
          points: [
            [1, 2],
            [2, 3],
            [3, Number.NaN],
            [4, 4],
            [5, 5],
          ],
        },
        {
          name: 'two',
          points: [
            [1, 1],
            [4, 2],
          ],
          dots: true,
          band: [
            [1, 1, 3],
            [4, 4, 6],
          ],
        },
      ],
    });
    expect(svg).toMatch(/^<svg xmlns="[^"]+" viewBox="[^"]+" role="img" aria-label="A &#60;b&#62;, &#34;kB&#34;">/);
    expect(svg).toContain('var(--c1)');
    expect(svg).toContain('var(--c2)');
    expect(svg).not.toContain('NaN');
    // Two pieces of the line.
    const [, line] = /class="mark-line[^>]*><path d="([^"]*)"/.exec(svg)!;
    expect(line!.match(/M/g)).toHaveLength(2);
  });

  it('marks what a line would not show: a single value, and one between values that are missing', async () => {
    const dotsIn = (svg: string) =>
      (svg.split('class="mark-symbol')[1]?.split('</g>')[0]?.match(/<path/g) ?? []).length;
    const single = await renderFigure({ ...one, series: [{ name: 'one', points: [[3, 2]] }] });
    expect(single).not.toContain('NaN');
    expect(dotsIn(single)).toBe(1);
    const points = [1, 2, Number.NaN, 3, Number.NaN, 4, 5].map((value, i) => [i, value] as [number, number]);
    expect(dotsIn(await renderFigure({ ...one, series: [{ name: 'one', points }] }))).toBe(1);
  });
});
