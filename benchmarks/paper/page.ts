import { mean } from '../../core/statistics.js';
import { learningCurves } from '../../training/benchmark/page.js';
import { algorithmOf, grouped } from '../../training/benchmark/results.js';
import type { NamedFigure, PaperBenchmark, PaperResults, PaperRun } from './definition.js';
import { shown, shownInterval } from './findings.js';

/** The figures of a part: learning curves by reward queries and by time, and the benchmark's own. */
export function figuresOf(definition: PaperBenchmark, part: string, runs: readonly PaperRun[]): NamedFigure[] {
  const ways = definition.curves === false ? [] : (['reward queries', 'seconds'] as const);
  const curves = ways.flatMap((across) => {
    const figure = learningCurves(runs, across);
    if (figure === undefined) return [];
    const file = `${part}-by-${across.replace('reward ', '')}`;
    return [
      { ...figure, width: 460, height: 240, file, caption: 'Mean reward of an epoch: mean and range over seeds.' },
    ];
  });
  return [...curves, ...(definition.figures?.(part, runs) ?? [])];
}

/** The name of the file with the pictures of a part. */
export function picturesFile(part: string): string {
  return `${part}-pictures.png`;
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

/** Markdown of a table. */
function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');
}

function partTable(definition: PaperBenchmark, runs: readonly PaperRun[], score: string): string {
  const finished = runs.filter(({ state }) => state === 'finished');
  const keys = Object.keys(definition.measures).filter((key) => finished.some(({ measures }) => key in measures));
  const rows = grouped(finished, algorithmOf).map((group) => {
    const of = (key: string) => group.flatMap(({ measures }) => measures[key] ?? []);
    const before = group.flatMap((run) => run.before ?? []);
    return [
      algorithmOf(group[0]!),
      before.length > 0 ? shown(mean(before)) : '–',
      shownInterval(group.flatMap((run) => run.score ?? [])),
      ...keys.map((key) => shown(mean(of(key)), definition.measures[key]!.digits)),
      shown(mean(group.flatMap((run) => run.rewardQueries ?? [])), 6),
      shown(mean(group.flatMap(({ seconds }) => seconds ?? [])), 2),
      group.map(({ seed }) => seed).join(', '),
    ];
  });
  return markdownTable(
    [
      'algorithm',
      'before',
      `${score}, 95 %`,
      ...keys.map((key) => definition.measures[key]!.title),
      'queries',
      's a run',
      'seeds',
    ],
    rows,
  );
}

/**
 * The page of a benchmark, made of its results alone.
 * @param files names of the files with figures and pictures that are there beside it.
 */
export function renderFindings(definition: PaperBenchmark, results: PaperResults, files: readonly string[]): string {
  const { runs } = results;
  const sections = Object.entries(definition.parts).flatMap(([name, part]) => {
    const own = runs.filter((run) => run.part === name);
    if (!own.some(({ state }) => state === 'finished')) return [];
    const figures = figuresOf(definition, name, own).filter(({ file }) => files.includes(`${file}.svg`));
    const rows = results.pictures?.[name];
    return [
      `## ${part.title}`,
      part.about,
      partTable(definition, own, part.score),
      ...figures.map(({ file, caption, title }) => `![${title}](${file}.svg)\n\n${caption}`),
      ...(definition.drawings ?? [])
        .filter(({ file }) => files.includes(`${name}-${file}.svg`))
        .map(({ file, title, caption }) => `![${title}](${name}-${file}.svg)\n\n${caption}`),
      ...(rows !== undefined && files.includes(picturesFile(name))
        ? [
            `![Pictures](${picturesFile(name)})\n\nThe same prompts and noises, a row each: before training, ${rows.join(', ')}.`,
          ]
        : []),
    ];
  });
  const failed = runs.filter(({ state }) => state !== 'finished');
  const commits = [...new Set(runs.map(({ commit }) => commit ?? 'unknown'))];
  const findings = definition.findings(runs);
  return `${[
    `# ${definition.title}`,
    '<!-- Made out of results.json by `npm run bench`; edit the definition, not this file. -->',
    definition.about,
    ...(results.prepared === undefined ? [] : [`## Before the runs\n\n${results.prepared}`]),
    'Numbers in brackets are 95 % intervals of the mean over seeds by Student\'s t; "for" and "against" are said only where such an interval leaves no doubt.',
    '## Findings',
    markdownTable(
      ['statement', 'verdict', 'measured'],
      findings.map(({ statement, verdict, evidence }) => [statement, `**${verdict}**`, evidence]),
    ),
    ...sections,
    ...(failed.length > 0
      ? [`## Not finished\n\n${failed.map(({ name, message }) => `- ${name}: ${message ?? 'not there'}`).join('\n')}`]
      : []),
    '## How it was made',
    `\`npm run --silent bench -- ${results.benchmark}\`; the command, seed, options and commit of each run stand in [results.json](results.json). Commits: ${commits.join(', ')}. Versions: ${Object.entries(
      results.versions,
    )
      .filter(([key]) => key !== 'commit')
      .map(([key, value]) => `${key} ${value}`)
      .join(', ')}. Seconds are of whatever else the machine did at that time, and only comparable roughly.`,
  ].join('\n\n')}\n`;
}
