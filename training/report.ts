import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../core/files.js';
import { mean } from '../core/statistics.js';
import type { Metrics } from '../core/types.js';
import { type EvaluationRecord, evaluationFiles, readEvaluations, type SampleRecord } from './evaluation/index.js';
import { familyOf } from './families/index.js';
import { type Figure, renderFigure } from './figures.js';
import { cutGrid } from './images.js';
import { duration, number } from './progress.js';
import { reportStyle } from './report-style.js';
import { RunFolder, type RunStatus } from './run-folder.js';
import type { RunRecord } from './run-record.js';

/** Text that is HTML already. */
class Html {
  constructor(readonly text: string) {}
}

type Part = Html | string | number | undefined | readonly Part[];

function render(part: Part): string {
  if (part === undefined) return '';
  if (part instanceof Html) return part.text;
  if (typeof part === 'object') return part.map(render).join('');
  return String(part).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** A template whose values are escaped, unless they are HTML themselves: a prompt may hold anything. */
function html(strings: TemplateStringsArray, ...values: Part[]): Html {
  return new Html(strings.reduce((text, s, i) => `${text}${render(values[i - 1])}${s}`));
}

function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${number(Math.abs(value))}`;
}

function dataUri(type: string, data: Buffer): string {
  return `data:${type};base64,${data.toString('base64')}`;
}

/** What a run's folder says, read once. */
interface Story {
  readonly name: string;
  readonly record: RunRecord;
  readonly status?: RunStatus;
  readonly killed: boolean;
  readonly metrics: readonly Metrics[];
  readonly before?: Evaluated;
  readonly after?: Evaluated;
  readonly evaluations: readonly EvaluationRecord[];
  readonly warnings: readonly string[];
}

interface Evaluated {
  readonly record: EvaluationRecord;
  /** One PNG a sample, for the first samples, as data URIs. */
  readonly pictures: readonly string[];
  readonly animation?: string;
}

async function evaluated(folder: string, record: EvaluationRecord | undefined): Promise<Evaluated | undefined> {
  if (!record) return undefined;
  const files = evaluationFiles(folder, record.epoch);
  const tiles = record.grid ? await cutGrid(await readFile(files.png), record.grid) : [];
  return {
    record,
    pictures: tiles.map((tile) => dataUri('image/png', tile)),
    ...(record.animation && { animation: dataUri('image/webp', await readFile(files.webp)) }),
  };
}

async function readStory(path: string): Promise<Story> {
  const folder = RunFolder.open(path);
  const record = (await folder.config()) as RunRecord;
  const evaluations = await readEvaluations(path);
  const log = join(path, 'log.txt');
  return {
    name: record.config.name,
    record,
    status: await folder.status(),
    killed: await folder.wasKilled(),
    metrics: await folder.metrics(),
    evaluations,
    before: await evaluated(path, evaluations[0]),
    after: evaluations.length > 1 ? await evaluated(path, evaluations.at(-1)) : undefined,
    warnings: existsSync(log) ? (await readFile(log, 'utf8')).trim().split('\n') : [],
  };
}

/** The rise of the mean reward: the last fifth of the epochs against the first one. */
function rise(metrics: readonly Metrics[]): { first: number; last: number; deviations: number } | undefined {
  const rewards = metrics.flatMap((m) => m['reward/mean'] ?? []);
  if (rewards.length < 2) return undefined;
  const last = mean(rewards.slice(-Math.max(1, Math.floor(rewards.length / 5))));
  const first = rewards[0]!;
  return { first, last, deviations: (last - first) / metrics[0]!['reward/std']! };
}

const states: Readonly<Record<RunStatus['state'] | 'killed', string>> = {
  running: 'running',
  finished: 'finished',
  stopped: 'stopped, can be resumed',
  failed: 'failed, can be resumed',
  killed: 'killed, can be resumed',
};

function stateOf(story: Story): keyof typeof states {
  return story.killed ? 'killed' : (story.status?.state ?? 'running');
}

function headline(story: Story): Html {
  const { config } = story.record;
  const risen = rise(story.metrics);
  const what = html`<b>${config.agent.name}</b> ${familyOf(config.env).name === 'denoising' ? html`fine-tunes <b>${config.model}</b> for more <b>${config.reward}</b>` : html`learns <b>${config.env}</b>`}`;
  if (!risen) return html`<p class="lead">${what}.</p>`;
  const { first, last, deviations } = risen;
  return html`<p class="lead">${what}. In ${story.metrics.length} epochs the mean reward went from
    <b>${number(first)}</b> to <b>${number(last)}</b>${Number.isFinite(deviations) ? html`, <b class="${deviations >= 0 ? 'up' : 'down'}">${signed(deviations)} standard deviations</b> of the first epoch's rewards` : ''}.</p>`;
}

function tile(label: string, value: Part, note: Part): Html {
  return html`<div class="tile"><div class="label">${label}</div><div class="value">${value}</div><div class="note">${note}</div></div>`;
}

function tiles(story: Story): Html {
  const { metrics, before, after } = story;
  const last = metrics.at(-1);
  const parts: Html[] = [];
  const risen = rise(metrics);
  if (risen)
    parts.push(
      tile(
        'Reward in training',
        html`${number(risen.first)} <i>→</i> ${number(risen.last)}`,
        'first epoch → mean of the last fifth',
      ),
    );
  if (before && after)
    parts.push(
      tile(
        'Reward on fixed prompts',
        html`${number(before.record.mean)} <i>→</i> ${number(after.record.mean)}`,
        `± ${number(before.record.se)} and ± ${number(after.record.se)} (standard error), ${after.record.samples.length} samples`,
      ),
    );
  if (last) {
    const total = metrics.reduce((sum, m) => sum + (m['time/epoch'] ?? 0), 0);
    parts.push(
      tile(
        'Samples',
        number(last.episodes),
        `${number(last.rewardQueries)} asked of the reward, ${number(last.updates)} updates`,
      ),
      tile(
        'Time',
        duration(total),
        `${number(total / metrics.length)} s an epoch: sampling ${number(average(metrics, 'time/sample'))} s, learning ${number(average(metrics, 'time/learn'))} s`,
      ),
    );
  }
  return html`<div class="tiles">${parts}</div>`;
}

function average(metrics: readonly Metrics[], key: string): number {
  return mean(metrics.flatMap((m) => m[key] ?? []));
}

function points(metrics: readonly Metrics[], key: string): [number, number][] {
  return metrics.flatMap((m) => (m[key] === undefined ? [] : [[m.epoch!, m[key]] as [number, number]]));
}

function rewardFigure({ metrics, evaluations }: Story): Figure {
  const dots = evaluations.map((e) => [e.epoch, e.mean] as [number, number]);
  return {
    title: 'Reward',
    unit: 'reward a sample',
    width: 980,
    height: 280,
    series: [
      { name: 'mean of an epoch (band: ± one standard deviation)', points: points(metrics, 'reward/mean') },
      ...(dots.length > 0 ? [{ name: 'fixed prompts and noises', points: dots, dots: true }] : []),
    ],
    band: metrics.flatMap((m) => {
      const [at, spread] = [m['reward/mean'], m['reward/std']];
      return Number.isFinite(at) && Number.isFinite(spread) ? [[m.epoch!, at! - spread!, at! + spread!] as const] : [];
    }),
  };
}

function diagnostics({ metrics }: Story): { figure: Figure; note: string }[] {
  const figures: { figure: Figure; note: string }[] = [];
  const add = (
    title: string,
    unit: string,
    keys: readonly (readonly [string, string])[],
    note: string,
    stacked = false,
  ) => {
    const series = keys
      .map(([key, name]) => ({ name, points: points(metrics, key) }))
      .filter((s) => s.points.length > 0);
    if (series.length > 0) figures.push({ figure: { title, unit, series, stacked }, note });
  };
  const terms = [...new Set(metrics.flatMap((m) => Object.keys(m).filter((key) => key.startsWith('term/'))))];
  add(
    'Terms of the reward',
    'mean',
    terms.map((key) => [key, key.slice('term/'.length)] as const),
    'What the reward is made of.',
  );
  add(
    'Clip fraction',
    'share of ratios',
    [['train/clipFraction', 'clip fraction']],
    'Ratios outside the clip range. Near 0 the updates are timid, above 0.9 hardly anything is learned.',
  );
  add(
    'Approximate KL',
    'nats',
    [['train/approxKl', 'KL']],
    'How far an epoch moved the policy from the one that made its samples.',
  );
  add(
    'Gradient norm',
    'global norm, before clipping',
    [['train/gradNorm', 'gradient']],
    'Steady is good. A rise without end is not.',
  );
  add('Loss', 'loss', [['train/loss', 'loss']], 'Of little meaning by itself: it is made anew from each rollout.');
  add('Entropy', 'nats', [['train/entropy', 'entropy']], 'How undecided the policy is.');
  add(
    'Episode length',
    'steps',
    metrics.some((m) => m['episode/length'] !== metrics[0]!['episode/length']) ? [['episode/length', 'length']] : [],
    'Mean over the episodes that ended.',
  );
  add(
    'Time',
    'seconds an epoch',
    [
      ['time/sample', 'sampling'],
      ['time/learn', 'learning'],
    ],
    'What an epoch is spent on.',
    true,
  );
  return figures;
}

function picture(uri: string | undefined, prompt: string): Html {
  return uri === undefined ? html`` : html`<img class="sample" src="${uri}" alt="${prompt}">`;
}

function rewardChange(before: SampleRecord, after: SampleRecord): Html {
  const change = after.reward - before.reward;
  const kind = change > 0 ? 'up' : change < 0 ? 'down' : '';
  return html`<div class="reward">${number(before.reward)} → ${number(after.reward)} <span class="${kind}">${change === 0 ? '±0' : signed(change)}</span></div>`;
}

function gallery({ before, after }: Story): Html | undefined {
  if (!before || !after || before.pictures.length === 0) return undefined;
  const cards = after.pictures.map((uri, i) => {
    const [a, b] = [before.record.samples[i]!, after.record.samples[i]!];
    const prompt = b.prompt ?? `sample ${i}`;
    return html`<figure class="pair"><div>${picture(before.pictures[i], prompt)}<i>→</i>${picture(uri, prompt)}</div>
      <figcaption>${prompt}${rewardChange(a, b)}</figcaption></figure>`;
  });
  const shown = 12;
  return html`<section><h2>Before and after</h2>
    <p>The same prompts and the same noise, by the model as it was and after epoch ${after.record.epoch}, each with its reward.</p>
    <div class="pairs">${cards.slice(0, shown)}</div>
    ${cards.length > shown ? html`<details><summary>${cards.length - shown} more</summary><div class="pairs">${cards.slice(shown)}</div></details>` : ''}
  </section>`;
}

function animation({ before, after }: Story): Html | undefined {
  const shown = [before, after].flatMap((e) => (e?.animation === undefined ? [] : [e]));
  if (shown.length === 0) return undefined;
  return html`<section><h2>From noise to picture</h2>
    ${shown.map((e) => html`<figure class="strip"><img class="sample" src="${e.animation}" alt="denoising, step by step"><figcaption>${e === before ? 'Before training' : `After epoch ${e.record.epoch}`}</figcaption></figure>`)}
  </section>`;
}

function extremes({ before, after }: Story): Html | undefined {
  const last = after ?? before;
  if (!last || last.pictures.length < 8) return undefined;
  const order = last.pictures
    .map((_, i) => i)
    .sort((a, b) => last.record.samples[b]!.reward - last.record.samples[a]!.reward);
  const row = (title: string, indices: readonly number[]) =>
    html`<div><h3>${title}</h3><div class="row">${indices.map((i) => {
      const sample = last.record.samples[i]!;
      return html`<figure>${picture(last.pictures[i], sample.prompt ?? '')}<figcaption><b>${number(sample.reward)}</b>${sample.prompt}</figcaption></figure>`;
    })}</div></div>`;
  return html`<section><h2>Best and worst</h2>
    <p>By reward, among the ${last.pictures.length} pictures ${after ? `after epoch ${last.record.epoch}` : 'before training'}. Look at the best ones with distrust: a reward may like what a person does not.</p>
    <div class="extremes">${[row('Highest reward', order.slice(0, 6)), row('Lowest reward', order.slice(-6).reverse())]}</div></section>`;
}

function evaluationTable({ evaluations }: Story): Html | undefined {
  if (evaluations.length === 0) return undefined;
  const terms = Object.keys(evaluations.at(-1)!.terms);
  return html`<section><h2>On fixed prompts</h2><div class="scroll"><table class="numbers"><thead><tr><th>epoch<th>mean<th>standard error<th>standard deviation<th>lowest<th>highest${terms.map((t) => html`<th>${t}`)}</tr></thead>
    <tbody>${evaluations.map((e) => html`<tr><td>${e.epoch === 0 ? 'before' : e.epoch}<td><b>${number(e.mean)}</b><td>± ${number(e.se)}<td>${number(e.std)}<td>${number(e.min)}<td>${number(e.max)}${terms.map((t) => html`<td>${number(e.terms[t])}`)}</tr>`)}</tbody></table></div></section>`;
}

function flatten(value: unknown, path = ''): [string, string][] {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return Object.entries(value).flatMap(([key, v]) => flatten(v, path === '' ? key : `${path}.${key}`));
  return [[path, Array.isArray(value) ? value.join(', ') : String(value)]];
}

function configuration({ record }: Story): Html {
  const { config, versions, backend, started } = record;
  const groups = new Map<string, [string, string][]>();
  const unused =
    familyOf(config.env).name === 'denoising'
      ? ['policy', 'envOptions']
      : ['model', 'reward', 'rewardTimeout', 'prompts', 'sampling'];
  for (const [path, value] of flatten(config)) {
    const [group, ...rest] = path.split('.');
    if (unused.includes(group!)) continue;
    const [title, key] = rest.length > 0 ? [group!, rest.join('.')] : ['run', path];
    if (!groups.has(title)) groups.set(title, []);
    groups.get(title)!.push([key, value]);
  }
  groups.set('made with', [
    ...Object.entries(versions),
    [
      'backend',
      `${backend.name}${backend.threads === undefined ? '' : `, ${backend.threads} ${backend.threads === 1 ? 'thread' : 'threads'}`}`,
    ],
    ['started', started.replace('T', ' ').replace(/\..*$/, ' UTC')],
  ]);
  return html`<section><h2>Configuration</h2><div class="groups">${[...groups].map(
    ([title, rows]) =>
      html`<table><caption>${title}</caption><tbody>${rows.map(([key, value]) => html`<tr><th>${key}<td>${value}</tr>`)}</tbody></table>`,
  )}</div></section>`;
}

function warnings({ warnings, status }: Story): Html | undefined {
  const failure = status?.state === 'failed' ? status.message : undefined;
  if (warnings.length === 0 && failure === undefined) return undefined;
  return html`<section class="warnings"><h2>${failure === undefined ? 'Warnings' : 'What went wrong'}</h2>
    ${failure === undefined ? '' : html`<p><b>${failure}</b></p>`}
    <ul>${warnings.map((line) => html`<li>${line}`)}</ul></section>`;
}

/**
 * The report of a run as one self-contained HTML page: curves, pictures before and after, configuration. It reads the run's
 * folder alone, so a running, killed or failed run has one too.
 * @throws GymError E_FILE when there is no run in the folder.
 */
export async function renderReport(path: string): Promise<string> {
  const story = await readStory(path);
  const state = stateOf(story);
  const epochs = story.status?.epochs ?? story.record.config.epochs;
  const figure = async (f: Figure) => new Html(await renderFigure(f));
  const hero =
    story.metrics.length > 0 ? await figure(rewardFigure(story)) : html`<p class="empty">No epoch has ended yet.</p>`;
  const small: Html[] = [];
  for (const { figure: f, note } of diagnostics(story))
    small.push(
      html`<figure class="plot"><h3>${f.title}</h3>${await figure(f)}<figcaption>${note}</figcaption></figure>`,
    );
  return render(html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${story.name} · denoise-gym</title><style>${new Html(reportStyle)}</style></head><body><main>
<header><h1>${story.name}</h1><span class="state ${state}">${states[state]} · epoch ${story.metrics.length} of ${epochs}</span></header>
${headline(story)}
${tiles(story)}
<section class="hero"><h2>Reward</h2>${hero}</section>
${warnings(story)}
${gallery(story)}
${animation(story)}
${extremes(story)}
${small.length > 0 ? html`<section><h2>Inside the learning</h2><div class="plots">${small}</div></section>` : ''}
${evaluationTable(story)}
${configuration(story)}
<footer>Made by denoise-gym from <code>${path}</code>. Numbers of every epoch are in its <code>metrics.jsonl</code>.</footer>
</main></body></html>
`);
}

/** Writes {@link renderReport} into the run's folder. @returns its path. */
export async function writeReport(path: string): Promise<string> {
  const file = join(path, 'report.html');
  await writeFileAtomic(file, await renderReport(path));
  return file;
}
