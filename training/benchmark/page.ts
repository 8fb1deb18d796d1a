import { type Figure, meanAndRange, renderFigure } from '../figures.js';
import { duration, number } from '../progress.js';
import { Html, html, type Part, render } from '../report-html.js';
import { legend } from '../report-sections.js';
import { reportStyle } from '../report-style.js';
import { algorithmOf, type BenchmarkResults, grouped, type RunOutcome } from './results.js';
import { type Interval, quantile } from './statistics.js';

/** Curves of runs of one environment: for each algorithm the mean over its runs, and the range of them. */
export function learningCurves(
  runs: readonly RunOutcome[],
  across: 'environment steps' | 'reward queries' | 'seconds',
): Figure | undefined {
  const column = { 'environment steps': 1, 'reward queries': 2, seconds: 3 }[across];
  const series = grouped(runs, algorithmOf).flatMap((group) => {
    const curves = group
      .map(({ curve }) => curve.map((point) => [point[column]!, point[4]] as const))
      .filter((c) => c.length > 0);
    if (curves.length === 0) return [];
    // Runs reach other places on the axis: each is read at the same ones, as far as all of them have come.
    const last = Math.min(...curves.map((curve) => curve.at(-1)![0]));
    const first = Math.max(...curves.map((curve) => curve[0]![0]));
    const count = Math.min(80, Math.max(...curves.map((curve) => curve.length)));
    const places = Array.from({ length: count }, (_, i) => first + ((last - first) * i) / Math.max(1, count - 1));
    const values = places.map((x) => curves.map((curve) => at(curve, x)));
    return [meanAndRange(algorithmOf(group[0]!), places, values)];
  });
  return series.length === 0 ? undefined : { title: 'Reward', unit: '', across, series };
}

/** The value of a curve at a place, between its points on a straight line. */
function at(curve: readonly (readonly [number, number])[], x: number): number {
  const next = curve.findIndex(([place]) => place >= x);
  if (next <= 0) return curve.at(next === 0 ? 0 : -1)![1];
  const [[x0, y0], [x1, y1]] = [curve[next - 1]!, curve[next]!];
  return x1 === x0 ? y1 : y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
}

function interval(iqm: Interval | undefined): Part {
  if (iqm === undefined) return number(undefined);
  const { value, low, high } = iqm;
  return html`<b>${number(value)}</b> <span class="note">${number(low)} to ${number(high)}</span>`;
}

/** All runs of an algorithm as dots on a line from the lowest to the highest score of the environment. */
function strip(scores: readonly number[], low: number, high: number): Html {
  const place = (score: number) => (high > low ? (100 * (score - low)) / (high - low) : 50);
  return html`<svg class="runs" viewBox="0 0 120 14" role="img" aria-label="scores of the runs">${scores.map(
    (score) => html`<circle cx="${(10 + place(score)).toFixed(1)}" cy="7" r="3.5"/>`,
  )}${scores.length > 1 ? html`<line x1="${(10 + place(quantile(scores, 0.5))).toFixed(1)}" x2="${(10 + place(quantile(scores, 0.5))).toFixed(1)}" y1="0" y2="14"/>` : ''}</svg>`;
}

async function drawn(figure: Figure | undefined): Promise<Html> {
  if (figure === undefined) return html`<p class="empty">No run has a reward yet.</p>`;
  return html`${legend(figure)}${new Html(await renderFigure({ ...figure, width: 400, height: 200 }))}`;
}

const style = `
.runs { width: 120px; height: 14px; } .runs circle { fill: var(--c1); opacity: .65; } .runs line { stroke: var(--ink); stroke-width: 1.5; }
.curves { margin-top: 1.2rem; display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 1rem; }
.warnings li { white-space: pre-line; }
.left td, .left th { text-align: left; padding-right: 1rem; }
`;

/**
 * A benchmark, or runs from anywhere that are laid over each other, as one self-contained HTML page: tables with intervals,
 * comparisons, learning curves, what failed.
 */
export async function renderBenchmark(
  results: BenchmarkResults,
  of: 'benchmark' | 'comparison' = 'benchmark',
): Promise<string> {
  const heading = of === 'benchmark' ? 'Benchmark' : 'Comparison';
  const { runs, rows, comparisons, command, versions, backend, updated } = results;
  const finished = runs.filter(({ state }) => state === 'finished').length;
  const sections: Html[] = [];
  for (const group of grouped(rows, ({ env }) => env)) {
    const { env } = group[0]!;
    const own = runs.filter((run) => run.env === env);
    const scores = own.flatMap(({ score }) => score ?? []);
    const [low, high] = [Math.min(...scores), Math.max(...scores)];
    sections.push(html`<section><h2>${env}</h2>
<div class="scroll"><table class="numbers"><thead><tr><th>algorithm<th>interquartile mean, 95 %<th>mean<th>lowest<th>highest<th>runs<th>time a run<th>each run</tr></thead>
<tbody>${group.map(
      (row) =>
        html`<tr><td>${row.algorithm}<td>${interval(row.iqm)}<td>${number(row.mean)}<td>${number(row.min)}<td>${number(row.max)}<td>${row.runs}${row.failed > 0 ? html` <span class="down">and ${row.failed} not finished</span>` : ''}<td>${row.seconds === undefined ? number(undefined) : duration(row.seconds)}<td>${strip(
          own.filter((run) => algorithmOf(run) === row.algorithm).flatMap(({ score }) => score ?? []),
          low,
          high,
        )}</tr>`,
    )}</tbody></table></div>
<div class="curves"><figure class="plot"><h3>By environment steps</h3>${await drawn(learningCurves(own, 'environment steps'))}<figcaption>Mean reward of an epoch: mean and range over the runs.</figcaption></figure>
<figure class="plot"><h3>By time</h3>${await drawn(learningCurves(own, 'seconds'))}<figcaption>The same against seconds of training.</figcaption></figure></div></section>`);
  }
  const left = runs.filter(({ state }) => state === 'failed' || state === 'unfinished');
  return render(html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${heading} · denoise-gym</title><style>${new Html(reportStyle + style)}</style></head><body><main>
<header><h1>${heading}</h1><span class="state ${finished === runs.length ? 'finished' : 'running'}">${finished} of ${runs.length} runs finished</span></header>
<p class="lead"><code>${command}</code></p>
${sections}
${
  comparisons.length > 0
    ? html`<section><h2>Which is better</h2><p>How likely a run of the first is to score higher than one of the second, averaged over environments, with the 95 % interval of the bootstrap over runs. Where the interval holds 50 %, the runs do not tell.</p>
<table class="numbers left"><thead><tr><th>first<th>second<th>probability<th>environments</tr></thead><tbody>${comparisons.map(
        ({ first, second, probability: p, envs }) =>
          html`<tr><td>${first}<td>${second}<td><b class="${p.low > 0.5 ? 'up' : p.high < 0.5 ? 'down' : ''}">${(100 * p.value).toFixed(0)} %</b> <span class="note">${(100 * p.low).toFixed(0)} to ${(100 * p.high).toFixed(0)} %</span><td>${envs}</tr>`,
      )}</tbody></table></section>`
    : ''
}
${left.length > 0 ? html`<section class="warnings"><h2>Not finished</h2><ul>${left.map(({ name, state, message }) => html`<li><b>${name}</b> ${state === 'failed' ? 'failed' : 'has not ended'}: ${message}`)}</ul></section>` : ''}
<footer>Made by denoise-gym ${versions['denoise-gym']} ${versions.commit ?? ''} on the ${backend} backend, ${updated.replace('T', ' ').replace(/\..*$/, ' UTC')}.${of === 'benchmark' ? html` Every run is in <code>results.json</code>; its folder, with a report, in <code>runs/</code>.` : ''}</footer>
</main></body></html>
`);
}
