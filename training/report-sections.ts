import { mean } from '../core/statistics.js';
import type { Metrics } from '../core/types.js';
import { type Figure, seriesColor } from './figures.js';
import { duration, number } from './progress.js';
import { type Constant, type Plot, rewarded, rise } from './report-curves.js';
import { type Html, html, type Part, strong } from './report-html.js';
import type { Story } from './report-story.js';

/** A number with its sign. */
export function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${number(Math.abs(value))}`;
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const states: Readonly<Record<Story['state'], string>> = {
  running: 'running',
  finished: 'finished',
  stopped: 'stopped, can be resumed',
  failed: 'failed, can be resumed',
  diverged: 'diverged',
  killed: 'killed, can be resumed',
};

/** Whether the run is finished, and how far it is. */
export function state({ state, metrics, epochs }: Story): Html {
  return html`<span class="state ${state}">${states[state]} · epoch ${metrics.length} of ${epochs}</span>`;
}

/** What the run does, and what came of it, in a sentence or two. */
export function headline({ record, words, agent, metrics, why }: Story, own?: Html): Html {
  const end = why === undefined ? '' : html` The run ended after epoch ${metrics.length}, because ${why}.`;
  return html`<p class="lead"><b>${agent.name}</b> ${strong(words.headline(record.config))}.${own ? html` ${own}` : outcome(metrics)}${end}</p>`;
}

function outcome(metrics: readonly Metrics[]): Part {
  const risen = rise(metrics);
  if (risen === undefined) {
    const [only] = rewarded(metrics);
    if (only) return html` The mean reward of epoch ${only.epoch} is <b>${number(only['reward/mean'])}</b>.`;
    return metrics.length > 0 ? ' No episode has ended yet.' : undefined;
  }
  const { start, first, last, deviations } = risen;
  const change =
    deviations === undefined
      ? ''
      : html`, <b class="${deviations >= 0 ? 'up' : 'down'}">${signed(deviations)} standard deviations</b> of the rewards of epoch ${start.epoch}`;
  return html` In ${metrics.length} epochs the mean reward went from <b>${number(first)}</b> to <b>${number(last)}</b>${change}.`;
}

function tile(label: string, value: Part, note: Part): Html {
  return html`<div class="tile"><div class="label">${label}</div><div class="value">${value}</div><div class="note">${note}</div></div>`;
}

/** The numbers that one looks for first. */
export function tiles(story: Story): Html {
  const { metrics, before, after, words } = story;
  const parts: Html[] = [];
  if (metrics.length > 0) parts.push(trainingTile(metrics));
  if (before && after)
    parts.push(
      tile(
        `Reward on ${words.fixed}`,
        html`${number(before.record.mean)} <i>→</i> ${number(after.record.mean)}`,
        `± ${number(before.record.se)} and ± ${number(after.record.se)} (standard error), ${after.record.samples.length} ${words.episodes}`,
      ),
    );
  const last = metrics.at(-1);
  if (last) parts.push(countTile(last, words.episodes), timeTile(metrics));
  return html`<div class="tiles">${parts}</div>`;
}

function trainingTile(metrics: readonly Metrics[]): Html {
  const label = 'Reward in training';
  const risen = rise(metrics);
  const [only] = rewarded(metrics);
  if (risen) {
    const from = risen.start === metrics[0] ? 'first epoch' : `epoch ${risen.start.epoch}`;
    return tile(label, html`${number(risen.first)} <i>→</i> ${number(risen.last)}`, `${from} → mean of the last fifth`);
  }
  if (only) return tile(label, number(only['reward/mean']), `± ${number(only['reward/std'])}, in epoch ${only.epoch}`);
  return tile(label, '–', 'no episode has ended yet');
}

function countTile({ episodes, envSteps, rewardQueries, updates }: Metrics, word: string): Html {
  const notes = [`${number(envSteps)} environment steps`];
  // Where each step has its reward, their number says nothing new.
  if (rewardQueries !== envSteps) notes.push(`${number(rewardQueries)} queries of the reward`);
  if (updates !== undefined) notes.push(`${number(updates)} updates`);
  return tile(capitalized(word), number(episodes), notes.join(', '));
}

function timeTile(metrics: readonly Metrics[]): Html {
  const total = metrics.reduce((sum, m) => sum + (m['time/epoch'] ?? 0), 0);
  const average = (key: string) => number(mean(metrics.flatMap((m) => m[key] ?? [])));
  return tile(
    'Time',
    duration(total),
    `${number(total / metrics.length)} s an epoch: sampling ${average('time/sample')} s, learning ${average('time/learn')} s`,
  );
}

/** What went wrong, and what the run warned of. */
export function warnings({ warnings, failure }: Story): Html | undefined {
  if (warnings.length === 0 && failure === undefined) return undefined;
  return html`<section class="warnings"><h2>${failure === undefined ? 'Warnings' : 'What went wrong'}</h2>
    ${failure === undefined ? '' : html`<p><b>${failure}</b></p>`}
    <ul>${warnings.map((line) => html`<li>${line}`)}</ul></section>`;
}

/** Which curve is which, where there are several. */
export function legend({ series }: Figure): Html | undefined {
  if (series.length < 2) return undefined;
  return html`<div class="legend">${series.map(({ name }, i) => html`<span><i style="background: ${seriesColor(i)}"></i>${name}</span>`)}</div>`;
}

/** A plot and its picture. */
export interface DrawnPlot extends Plot {
  readonly svg: Html;
}

/** Curves of what was logged, and a table of what stayed the same. */
export function learning(
  { agent, metrics }: Story,
  plots: readonly DrawnPlot[],
  constants: readonly Constant[],
): Html | undefined {
  if (plots.length === 0 && constants.length === 0) return undefined;
  const missing = agent.problem && html`<p>The agent could not be asked what its metrics mean: ${agent.problem}</p>`;
  const figures = plots.map(
    ({ figure, svg, about }) =>
      html`<figure class="plot"><h3>${figure.title} <span class="unit">${figure.unit}</span></h3>${legend(figure)}${svg}${about === '' ? '' : html`<figcaption>${about}</figcaption>`}</figure>`,
  );
  const rows = constants.map(
    ({ title, value, about }) => html`<tr><th>${title}<div class="note">${about}</div><td>${value}</tr>`,
  );
  return html`<section><h2>Inside the learning</h2>${missing}
    ${figures.length > 0 ? html`<div class="plots">${figures}</div>` : ''}
    ${rows.length > 0 ? html`<table class="constants"><caption>${metrics.length > 1 ? 'The same throughout' : 'In the only epoch so far'}</caption><tbody>${rows}</tbody></table>` : ''}
  </section>`;
}

/** All evaluations, a row each. */
export function evaluationTable({ evaluations, words }: Story): Html | undefined {
  if (evaluations.length === 0) return undefined;
  const terms = Object.keys(evaluations.at(-1)!.terms);
  const columns = ['epoch', 'mean', 'standard error', 'standard deviation', 'lowest', 'highest', ...terms];
  return html`<section><h2>On ${words.fixed}</h2><div class="scroll"><table class="numbers"><thead><tr>${columns.map((c) => html`<th>${c}`)}</tr></thead>
    <tbody>${evaluations.map((e) => html`<tr><td>${e.epoch === 0 ? 'before' : e.epoch}<td><b>${number(e.mean)}</b><td>± ${number(e.se)}<td>${number(e.std)}<td>${number(e.min)}<td>${number(e.max)}${terms.map((t) => html`<td>${number(e.terms[t])}`)}</tr>`)}</tbody></table></div></section>`;
}

/** Every value of a configuration by its path. */
function flatten(value: unknown, path = ''): [string, string][] {
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0)
    return Object.entries(value).flatMap(([key, v]) => flatten(v, path === '' ? key : `${path}.${key}`));
  if (Array.isArray(value) && value.every((v) => typeof v !== 'object')) return [[path, value.join(', ')]];
  return [[path, typeof value === 'object' ? JSON.stringify(value) : String(value)]];
}

/** Everything that the run was started with. */
export function configuration({ record }: Story): Html {
  const { config, versions, backend, started } = record;
  const groups = new Map<string, [string, string][]>([['run', []]]);
  for (const [path, value] of flatten(config)) {
    const [group, ...rest] = path.split('.');
    const [title, key] = rest.length > 0 ? [group!, rest.join('.')] : ['run', path];
    if (!groups.has(title)) groups.set(title, []);
    groups.get(title)!.push([key, value]);
  }
  const { threads } = backend;
  groups.set('made with', [
    ...Object.entries(versions),
    ['backend', `${backend.name}${threads ? `, ${threads} ${threads === 1 ? 'thread' : 'threads'}` : ''}`],
    ['started', started.replace('T', ' ').replace(/\..*$/, ' UTC')],
  ]);
  return html`<section><h2>Configuration</h2><div class="groups">${[...groups].map(
    ([title, rows]) =>
      html`<table><caption>${title}</caption><tbody>${rows.map(([key, value]) => html`<tr><th>${key}<td>${value}</tr>`)}</tbody></table>`,
  )}</div></section>`;
}
