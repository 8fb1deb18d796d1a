import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GymError } from '../../core/errors.js';
import { readJson, writeFileAtomic } from '../../core/files.js';
import type { NdArray } from '../../core/ndarray.js';
import { type Cell, cellsOf } from '../../training/benchmark/matrix.js';
import { algorithmOf, grouped, type RunOutcome } from '../../training/benchmark/results.js';
import { type BenchmarkOptions, folderOf, runCells } from '../../training/benchmark/runner.js';
import { evaluationFiles, readEvaluations } from '../../training/evaluation/index.js';
import { renderFigureFile } from '../../training/figures.js';
import { gridPng, readGrid } from '../../training/images.js';
import { RunFolder } from '../../training/run-folder/index.js';
import { provenance, type RunRecord } from '../../training/run-record.js';
import type { PaperBenchmark, PaperResults, PaperRun, Prepared } from './definition.js';
import { figuresOf, picturesFile, renderFindings } from './page.js';

export interface PaperOptions extends Pick<BenchmarkOptions, 'jobs' | 'backend' | 'command' | 'signal' | 'onProgress'> {
  readonly seeds: readonly number[];
  /** Names of parts; default: all. */
  readonly only?: readonly string[] | undefined;
  /** Only runs whose name has one of these texts in it; default: all. */
  readonly runs?: readonly string[] | undefined;
  /** The folder of data that do not come with the package. */
  readonly data?: string | undefined;
  /** Told of each part that is left out, and why. */
  readonly onMissing?: ((message: string) => void) | undefined;
  /** Told what is made before the runs. */
  readonly onPrepare?: ((message: string) => void) | undefined;
  /** Where runs, `results.json`, figures and `findings.md` go; the same folder goes on where it was. */
  readonly out: string;
}

/** A run that is to be made, and what it is. */
interface PaperCell extends Cell {
  readonly part: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/** How many pictures of a run stand in the grid of its part. */
const shownPictures = 12;

/**
 * Trains what is missing of a benchmark after a paper, and writes its results and its page after each run. Results of other
 * parts, seeds and runs that stand in `results.json` stay there.
 * @throws GymError E_NAME for a part that is not there or a text that no run's name has in it, and what {@link cellsOf} throws.
 */
export async function runPaper(definition: PaperBenchmark, options: PaperOptions): Promise<PaperResults> {
  const { out, data } = options;
  const asked = options.only ?? Object.keys(definition.parts);
  const unknown = asked.find((name) => !Object.hasOwn(definition.parts, name));
  if (unknown !== undefined)
    throw new GymError(
      'E_NAME',
      `${definition.name}: no part ${unknown}; there are ${Object.keys(definition.parts).join(', ')}.`,
    );
  const only = asked.filter((name) => {
    const needed = definition.parts[name]!.data;
    if (needed === undefined || data !== undefined) return true;
    options.onMissing?.(`${name}: left out, needs ${needed.what}; name its folder by --data`);
    return false;
  });
  const prepared = await definition.prepare?.({
    folder: join(out, 'runs', 'prepared'),
    backend: options.backend,
    say: options.onPrepare ?? (() => {}),
  });
  try {
    return await runParts(definition, only, options, prepared);
  } finally {
    await prepared?.close?.();
  }
}

/** Trains what is missing of some parts, once what they need is there. */
async function runParts(
  definition: PaperBenchmark,
  only: readonly string[],
  options: PaperOptions,
  prepared: Prepared | undefined,
): Promise<PaperResults> {
  const { out, command } = options;
  const all = (await Promise.all(only.map((part) => cellsOfPart(definition, part, options, prepared)))).flat();
  const cells = chosen(definition, all, options.runs);
  const versions = await provenance();
  let results!: PaperResults;
  await runCells(cells, {
    ...options,
    update: async (outcomes) => {
      const runs: PaperRun[] = [];
      for (const [i, cell] of cells.entries()) runs.push(await paperRun(definition, cell, outcomes[i]!));
      const path = join(out, 'results.json');
      const before = existsSync(path) ? ((await readJson(path)) as PaperResults) : undefined;
      const mine = new Set(runs.map(({ name }) => name));
      const kept = (before?.runs ?? []).filter(
        ({ name, part }) => !mine.has(name) && Object.hasOwn(definition.parts, part),
      );
      results = {
        ...{ benchmark: definition.name, command, versions, updated: new Date().toISOString() },
        ...(prepared && { prepared: prepared.about }),
        runs: sorted(definition, [...kept, ...runs.filter(({ state }) => state !== 'missing')]),
      };
      const pictures = { ...before?.pictures };
      for (const part of only) {
        const rows = await writePictures(results, part, out);
        if (rows !== undefined) pictures[part] = rows;
        await writeDrawings(definition, part, cells, out);
      }
      if (Object.keys(pictures).length > 0) results = { ...results, pictures };
      await writeFileAtomic(path, `${JSON.stringify(results, null, 1)}\n`);
      await writePage(definition, results, out);
    },
  });
  return results;
}

/** Makes figures and page again out of `results.json`, after a change of the definition. */
export async function writePage(definition: PaperBenchmark, results: PaperResults, out: string): Promise<void> {
  for (const part of Object.keys(definition.parts)) {
    const runs = results.runs.filter((run) => run.part === part && run.state === 'finished');
    if (runs.length === 0) continue;
    for (const figure of figuresOf(definition, part, runs))
      await writeFileAtomic(join(out, `${figure.file}.svg`), `${await renderFigureFile(figure)}\n`);
  }
  await writeFileAtomic(join(out, 'findings.md'), renderFindings(definition, results, await readdir(out)));
}

/** Those runs whose name has one of some texts in it. */
function chosen(definition: PaperBenchmark, cells: readonly PaperCell[], texts: readonly string[] | undefined) {
  if (texts === undefined) return cells;
  const without = texts.find((text) => !cells.some(({ name }) => name.includes(text)));
  if (without !== undefined)
    throw new GymError(
      'E_NAME',
      `${definition.name}: no run has ${JSON.stringify(without)} in its name; the first is called ${cells[0]?.name}.`,
    );
  return cells.filter(({ name }) => texts.some((text) => name.includes(text)));
}

async function cellsOfPart(
  definition: PaperBenchmark,
  part: string,
  { seeds, out, data }: PaperOptions,
  prepared: Prepared | undefined,
): Promise<PaperCell[]> {
  const cells: PaperCell[] = [];
  const { matrices, data: needed } = definition.parts[part]!;
  const places = {
    ...Object.fromEntries((needed?.options ?? []).map((option) => [option, data])),
    ...prepared?.options,
  };
  for (const matrix of matrices)
    for (const cell of await cellsOf({ ...matrix, options: { ...matrix.options, ...places }, seeds }, out)) {
      const name = `${part}-${cell.name}`;
      cells.push({ ...cell, name, config: { ...cell.config, name }, part, options: matrix.options });
    }
  const twice = cells.find(({ name }, i) => cells.findIndex((cell) => cell.name === name) !== i);
  if (twice !== undefined)
    throw new GymError('E_CONFIG', `${definition.name}: two runs would be called ${twice.name}; vary an option.`);
  return cells;
}

/** The numbers of a run: what every benchmark has, where it comes from, and this one's own measures. */
async function paperRun(definition: PaperBenchmark, cell: PaperCell, outcome: RunOutcome): Promise<PaperRun> {
  const { part, seed, options } = cell;
  const command = `npm run --silent bench -- ${definition.name} --only ${part} --seeds ${seed}`;
  const base = { ...outcome, part, command, options, measures: {} };
  // A run that fails at once has no folder.
  if (outcome.state === 'missing' || !existsSync(join(folderOf(cell), 'config.json'))) return base;
  const path = folderOf(cell);
  const { versions, backend, started } = (await RunFolder.open(path).config()) as RunRecord;
  return {
    ...base,
    // Of a curve, four digits are more than a figure shows.
    curve: outcome.curve.map(([epoch, steps, queries, seconds, reward]) => [
      ...([epoch, steps, queries] as const),
      Number(seconds.toPrecision(4)),
      Number(reward.toPrecision(5)),
    ]),
    ...{ commit: versions.commit, backend: backend.name, started },
    measures: outcome.state === 'finished' ? await measured(definition, cell) : {},
    ...(outcome.state === 'finished' && definition.byEpoch && { byEpoch: await definition.byEpoch(path) }),
  };
}

/** Measures are kept in the run's folder, since some take seconds; without the file they are taken again. */
async function measured(definition: PaperBenchmark, cell: PaperCell): Promise<Record<string, number>> {
  if (definition.measure === undefined) return {};
  const path = join(folderOf(cell), 'measures.json');
  if (existsSync(path)) return (await readJson(path)) as Record<string, number>;
  const measures = await definition.measure(folderOf(cell), cell.config);
  await writeFileAtomic(path, `${JSON.stringify(measures)}\n`);
  return measures;
}

/** In the order of the definition, so that a page does not depend on when a run was made. */
function sorted(definition: PaperBenchmark, runs: readonly PaperRun[]): PaperRun[] {
  const parts = Object.keys(definition.parts);
  const agents = (part: string) => definition.parts[part]!.matrices.flatMap((matrix) => matrix.agents);
  const place = ({ part, agent }: PaperRun) => parts.indexOf(part) * 1000 + agents(part).indexOf(agent);
  return [...runs].sort((a, b) => place(a) - place(b) || order(algorithmOf(a), algorithmOf(b)) || a.seed - b.seed);
}

/** By text, and numbers in it by their value, fractions too. */
function order(a: string, b: string): number {
  const [own, other] = [a, b].map((text) => text.split(/(\d+(?:\.\d+)?(?:e-\d+)?)/)) as [string[], string[]];
  const i = own.findIndex((piece, i) => piece !== other[i]);
  if (i < 0) return own.length - other.length;
  // Numbers stand at odd places.
  return i % 2 === 1 && i < other.length
    ? Number(own[i]) - Number(other[i])
    : own[i]!.localeCompare(other[i] ?? '', 'en');
}

/** What a benchmark draws of a part, from the first run of each drawing's algorithm, as far as it is there. */
async function writeDrawings(
  { drawings = [] }: PaperBenchmark,
  part: string,
  cells: readonly PaperCell[],
  out: string,
): Promise<void> {
  for (const { file, algorithm, draw } of drawings) {
    const cell = cells.find((one) => one.part === part && algorithmOf(one) === algorithm);
    if (cell === undefined || !existsSync(join(folderOf(cell), 'measures.json'))) continue;
    await writeFileAtomic(join(out, `${part}-${file}.svg`), await draw(folderOf(cell)));
  }
}

/**
 * A grid of the first pictures of each algorithm's first run, below those before training; where all of these runs are here.
 * @returns the algorithms whose rows it has.
 */
async function writePictures(
  { runs }: PaperResults,
  part: string,
  out: string,
): Promise<readonly string[] | undefined> {
  const finished = runs.filter((run) => run.part === part && run.state === 'finished');
  const rows: NdArray[][] = [];
  const shown = grouped(finished, algorithmOf).map(([run]) => run!);
  for (const run of shown) {
    const folder = join(out, 'runs', run.name);
    const evaluations = (await readEvaluations(folder)).filter(({ grid }) => grid !== undefined);
    if (evaluations.length === 0) return undefined;
    for (const { epoch, grid } of rows.length === 0 ? [evaluations[0]!, evaluations.at(-1)!] : [evaluations.at(-1)!]) {
      const png = await readFile(evaluationFiles(folder, epoch).png);
      rows.push((await readGrid(png, grid!)).slice(0, shownPictures));
    }
  }
  if (rows.length === 0) return undefined;
  const columns = Math.min(...rows.map((row) => row.length));
  const { png } = await gridPng(
    rows.flatMap((row) => row.slice(0, columns)),
    { columns },
  );
  await writeFileAtomic(join(out, picturesFile(part)), png);
  return shown.map(algorithmOf);
}
