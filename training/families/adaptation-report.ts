import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readBytes } from '../../core/files.js';
import type { Metrics } from '../../core/types.js';
import type { Series } from '../figures.js';
import { cutGrid } from '../images.js';
import { dataUri, type Html, html } from '../report-html.js';
import { type AdaptationRecord, picturesFile, readAdaptationRecord } from './adaptation-passes.js';
import type { FamilyReport, ReportedRun } from './family.js';

const percent = (value: number) => `${(100 * value).toFixed(1)} %`;

/** The accuracy by epochs, from before the first one. */
function curve(name: string, before: number, metrics: readonly Metrics[]): Series {
  const points = metrics.flatMap((m): [number, number][] =>
    m['adaptation/accuracy'] === undefined ? [] : [[m.epoch!, m['adaptation/accuracy']]],
  );
  return { name, points: [[0, before], ...points] };
}

const end = (metrics: readonly Metrics[]) => metrics.at(-1)?.['adaptation/accuracy'];

/** The report's parts of a run of source-free adaptation: accuracies, what is read right and wrong, who is mistaken for whom. */
export async function adaptationReport(run: ReportedRun): Promise<FamilyReport | undefined> {
  const { path, metrics, agent, rival } = run;
  if (!existsSync(join(path, 'adaptation.json'))) return undefined;
  const record = await readAdaptationRecord(path);
  const others =
    rival && existsSync(join(rival.path, 'adaptation.json')) ? await readAdaptationRecord(rival.path) : undefined;
  const { before } = record;
  const now = end(metrics);
  const theirs = rival && end(rival.metrics);
  return {
    outcome: html`Of pictures of ${record.domain} that were never learned from it reads ${
      now === undefined
        ? html`<b>${percent(before.accuracy)}</b> right at the start`
        : html`<b>${percent(now)}</b> right, mean over classes, from <b>${percent(before.accuracy)}</b> before`
    }${rival && theirs !== undefined ? html`; ${rival.agent} comes to <b>${percent(theirs)}</b>` : ''}.`,
    figure: {
      title: 'Accuracy on the target',
      unit: 'share, mean over classes',
      across: 'pass over the target',
      series: [
        curve(agent.name, before.accuracy, metrics),
        ...(rival ? [curve(rival.agent, before.accuracy, rival.metrics)] : []),
      ],
    },
    sections: [...(await pictures(path, record, rival?.agent, others)), ...confusions(record)],
  };
}

async function pictures(
  path: string,
  record: AdaptationRecord,
  rival: string | undefined,
  others: AdaptationRecord | undefined,
): Promise<Html[]> {
  const { truths, labelled = [], before, after, grid, classes } = record;
  if (after === undefined || grid === undefined) return [];
  const png = await readBytes(picturesFile(path));
  const tiles = (await cutGrid(png, grid)).map((tile) => dataUri('image/png', tile));
  const name = (label: number) => classes[label]!;
  const verdict = (label: number, truth: number) =>
    html`<b class="${label === truth ? 'up' : 'down'}">${name(label)}</b>`;
  const cell = (i: number, caption: Html) =>
    html`<figure><img class="sample" src="${tiles[i]}" alt="picture ${i + 1}"><figcaption>${caption}</figcaption></figure>`;
  const style = 'display: grid; grid-template-columns: repeat(auto-fill, minmax(84px, 1fr)); gap: .8rem';
  const read = truths.map((truth, i) =>
    cell(
      i,
      html`${verdict(before.read[i]!.label, truth)} → ${verdict(after.read[i]!.label, truth)}${
        others?.after ? html` <span class="note">rival ${verdict(others.after.read[i]!.label, truth)}</span>` : ''
      }`,
    ),
  );
  const given = labelled.map(({ truth, label, weight }, i) =>
    cell(truths.length + i, html`${verdict(label, truth)} <span class="note">weight ${weight.toFixed(2)}</span>`),
  );
  return [
    html`<section><h2>What it reads</h2>
    <p>The first ${truths.length} pictures that are measured on (of the split ${record.splits.measured}), and never learned from (that is ${record.splits.learned}): how each is read before and after${
      rival === undefined ? '' : `, and by ${rival}`
    }. Green is right.</p><div style="${style}">${read}</div></section>`,
    html`<section><h2>What it was taught</h2>
    <p>Labels that the agent gave in the last pass, without knowing the true ones, and how much each counts: right ones first, then wrong ones.</p>
    <div style="${style}">${given}</div></section>`,
  ];
}

function confusions({ classes, before, after }: AdaptationRecord): Html[] {
  if (after === undefined) return [];
  const table = (title: string, matrix: readonly number[]) => {
    const rows = classes.map((_, c) => matrix.slice(c * classes.length, (c + 1) * classes.length));
    return html`<div class="scroll"><table class="numbers"><caption>${title}</caption><thead><tr><th>true${classes.map((c) => html`<th>${c}`)}</tr></thead>
    <tbody>${rows.map((row, c) => html`<tr><td>${classes[c]!}${row.map((n, k) => html`<td>${k === c ? html`<b>${n}</b>` : n === 0 ? '·' : n}`)}</tr>`)}</tbody></table></div>`;
  };
  return [
    html`<section><h2>What is taken for what</h2><p>Pictures by their true class (rows) and the class that is read (columns).</p>
    <div class="plots">${[table('Before', before.confusion), table('After', after.confusion)]}</div></section>`,
  ];
}
