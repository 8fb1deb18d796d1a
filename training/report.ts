import { join } from 'node:path';
import type { AgentDescription } from '../agents/define.js';
import { writeFileAtomic } from '../core/files.js';
import { familyOf } from './families/index.js';
import { type Figure, renderFigure } from './figures.js';
import { diagnostics, rewardFigure } from './report-curves.js';
import { Html, html, render } from './report-html.js';
import { animation, extremes, gallery } from './report-pictures.js';
import {
  configuration,
  type DrawnPlot,
  evaluationTable,
  headline,
  learning,
  legend,
  state,
  tiles,
  warnings,
} from './report-sections.js';
import { readStory, type Story } from './report-story.js';
import { reportStyle } from './report-style.js';

export interface ReportOptions {
  /**
   * The agent of the run, for what it says of its metrics. Default: the one that the run's configuration names, whose
   * file is loaded where it is one of the user's own.
   */
  readonly agent?: AgentDescription | undefined;
}

async function drawn(figure: Figure): Promise<Html> {
  return new Html(await renderFigure(figure));
}

/** The curves that stand first, drawn for wide screens and for narrow ones: letters that are scaled down cannot be read. */
async function hero(story: Story, figure: Figure | undefined): Promise<Html> {
  if (figure === undefined)
    return html`<p class="empty">${story.metrics.length > 0 ? 'No episode has ended yet.' : 'No epoch has ended yet.'}</p>`;
  const wide = await drawn({ ...figure, width: 740, height: 230 });
  const narrow = await drawn({ ...figure, width: 330, height: 220 });
  return html`${legend(figure)}<div class="wide">${wide}</div><div class="narrow">${narrow}</div>`;
}

/**
 * The report of a run as one self-contained HTML page: curves, pictures before and after, configuration. It reads the
 * run's folder alone, so a running, killed or failed run has one too. Where the agent's own file cannot be loaded, the
 * report says so, and shows its metrics without explanations.
 * @param path the run's folder.
 * @throws GymError E_FILE when there is no run in the folder.
 */
export async function renderReport(path: string, { agent }: ReportOptions = {}): Promise<string> {
  const story = await readStory(path, agent);
  const own = await familyOf(story.record.config.env).report?.(story);
  const { plots, constants } = diagnostics(story);
  const drawnPlots: DrawnPlot[] = [];
  for (const plot of plots) drawnPlots.push({ ...plot, svg: await drawn(plot.figure) });
  return render(html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${story.name} · denoise-gym</title><style>${new Html(reportStyle)}</style></head><body><main>
<header><h1>${story.name}</h1>${state(story)}</header>
${headline(story, own?.outcome)}
${tiles(story)}
<section class="hero"><h2>${own?.figure.title ?? 'Reward'}</h2>${await hero(story, own?.figure ?? rewardFigure(story))}</section>
${warnings(story)}
${own?.sections ?? []}
${gallery(story)}
${animation(story)}
${extremes(story)}
${learning(story, drawnPlots, constants)}
${evaluationTable(story)}
${configuration(story)}
<footer>Made by denoise-gym from <code>${path}</code>. Numbers of every epoch are in its <code>metrics.jsonl</code>.</footer>
</main></body></html>
`);
}

/** Writes {@link renderReport} into the run's folder. @returns its path. */
export async function writeReport(path: string, options: ReportOptions = {}): Promise<string> {
  const file = join(path, 'report.html');
  await writeFileAtomic(file, await renderReport(path, options));
  return file;
}
