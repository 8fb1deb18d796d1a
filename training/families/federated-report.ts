import { existsSync } from 'node:fs';
import { mean } from '../../core/statistics.js';
import type { Metrics } from '../../core/types.js';
import { type Figure, renderFigure, type Series, seriesColor } from '../figures.js';
import { Html, html } from '../report-html.js';
import type { FamilyReport, ReportedRun } from './family.js';
import { classHue, domainSign, prototypeMarks } from './federated-map.js';
import { accuracyPrefix, type FederatedRecord, readFederatedRecord, recordFile } from './federated-rounds.js';

const percent = (value: number) => `${(100 * value).toFixed(1)} %`;

/** A metric by rounds: the first step has the model that nobody has trained, which is that of round 0. */
function curve(name: string, key: string, metrics: readonly Metrics[]): Series {
  return {
    name,
    points: metrics.flatMap((m): [number, number][] => (m[key] === undefined ? [] : [[m.epoch! - 1, m[key]]])),
  };
}

/** The accuracies as papers give them: of each domain, the mean of the last three rounds. */
function settled(metrics: readonly Metrics[]): Map<string, number> {
  const keys = Object.keys(metrics[0] ?? {}).filter((key) => key.startsWith(accuracyPrefix));
  const last = metrics.slice(1).slice(-3);
  const rows = last.length > 0 ? last : metrics;
  return new Map(keys.map((key) => [key.slice(accuracyPrefix.length), mean(rows.map((m) => m[key]!))]));
}

/** The report's parts of a run of federated learning: accuracies by domain, beside the rival's, and maps of prototypes. */
export async function federatedReport(run: ReportedRun): Promise<FamilyReport | undefined> {
  const { path, metrics, agent, rival } = run;
  const own = settled(metrics);
  // An agent that learns, on the knobs, has epochs of many episodes, and no accuracy by round.
  if (own.size === 0) return undefined;
  const theirs = rival && rival.metrics.length > 0 ? settled(rival.metrics) : undefined;
  const compared = (title: string, key: string): Figure => ({
    title,
    unit: 'share of test pictures',
    across: 'round',
    series: [curve(agent.name, key, metrics), ...(rival && theirs ? [curve(rival.agent, key, rival.metrics)] : [])],
  });
  const worst = [...own].reduce((a, b) => (b[1] < a[1] ? b : a));
  return {
    outcome: html`Of test pictures of all domains alike it reads <b>${percent(mean([...own.values()]))}</b> right, mean of the last three rounds, and <b>${percent(worst[1])}</b> of ${worst[0]}, the weakest${
      rival && theirs
        ? html`; ${rival.agent} comes to <b>${percent(mean([...theirs.values()]))}</b>, and <b>${percent(theirs.get(worst[0])!)}</b> there`
        : ''
    }.`,
    figure: compared('Accuracy', 'federated/meanAccuracy'),
    sections: [
      table(agent.name, own, rival?.agent, theirs),
      ...(theirs ? [await curves([...own.keys()].map((domain) => compared(domain, accuracyPrefix + domain)))] : []),
      ...(await maps(path, agent.name)),
      ...(rival ? await maps(rival.path, rival.agent) : []),
    ],
  };
}

function table(
  agent: string,
  own: Map<string, number>,
  rival: string | undefined,
  theirs: Map<string, number> | undefined,
) {
  const row = (name: string, values: Map<string, number>) =>
    html`<tr><td>${name}${[...values.values()].map((value) => html`<td>${percent(value)}`)}<td><b>${percent(mean([...values.values()]))}</b></tr>`;
  const gain = (value: number) => `${value < 0 ? '−' : '+'}${(100 * Math.abs(value)).toFixed(1)}`;
  const gains = theirs && [...own].map(([domain, value]) => value - theirs.get(domain)!);
  return html`<section><h2>By domain</h2><p>Right of test pictures that no client has, mean of the last three rounds; every domain counts alike in the mean.</p>
    <div class="scroll"><table class="numbers"><thead><tr><th>strategy${[...own.keys()].map((domain) => html`<th>${domain}`)}<th>mean</tr></thead>
    <tbody>${row(agent, own)}${theirs ? row(rival!, theirs) : ''}${
      gains
        ? html`<tr><td>gain, points${gains.map((value) => html`<td>${gain(value)}`)}<td><b>${gain(mean(gains))}</b></tr>`
        : ''
    }</tbody></table></div></section>`;
}

/** Each domain's curve beside the rival's. */
async function curves(figures: readonly Figure[]): Promise<Html> {
  const names = figures[0]!.series.map(
    ({ name }, i) => html`<span><i style="background: ${seriesColor(i)}"></i>${name}</span>`,
  );
  const plots = await Promise.all(
    figures.map(
      async (figure) =>
        html`<figure class="plot"><h3>${figure.title}</h3>${new Html(await renderFigure(figure))}</figure>`,
    ),
  );
  return html`<section><h2>Domain by domain</h2><div class="legend">${names}</div><div class="plots">${plots}</div></section>`;
}

async function maps(path: string, agent: string): Promise<Html[]> {
  if (!existsSync(recordFile(path))) return [];
  const record = await readFederatedRecord(path);
  if (record.last === undefined || record.last.length === 0) return [];
  const legend = record.domains.map(
    (domain, i) =>
      html`<span style="white-space: nowrap"><svg width="14" height="14" viewBox="-7 -7 14 14" style="vertical-align: -2px" fill="var(--faint)">${domainSign(i)}</svg> ${domain}</span> `,
  );
  const classes = Array.from(
    { length: record.classes },
    (_, k) => html`<b style="color: ${classHue(k, record.classes)}">${k}</b> `,
  );
  return [
    html`<section><h2>Prototypes with ${agent}</h2>
    <p>What each client's network makes of each class, in the plane in which these differ most: a point is the mean feature of one class at one client. Colours are classes (${classes}), signs are domains. Apart by colour, and together whatever the sign, is what serves every domain.</p><p class="note">${legend}</p>
    <div class="plots">${[picture('After the first round', record.first, record), picture('After the last round', record.last, record)]}</div></section>`,
  ];
}

function picture(title: string, points: FederatedRecord['first'], record: FederatedRecord): Html {
  const [width, height] = [420, 320];
  return html`<figure class="plot"><h3>${title}</h3><svg viewBox="0 0 ${width} ${height}" width="100%" role="img" aria-label="${title}" fill-opacity=".8">${prototypeMarks(points, record, width, height)}</svg></figure>`;
}
