import { readFile } from 'node:fs/promises';
import type { NdArray } from '../../core/ndarray.js';
import type { Random } from '../../core/random.js';
import { mean } from '../../core/statistics.js';
import { scoreShapes } from '../../rewards/shapes/scorers.js';
import { algorithmOf, grouped } from '../../training/benchmark/results.js';
import { evaluationFiles, readEvaluations, type SampleRecord } from '../../training/evaluation/index.js';
import { meanAndRange } from '../../training/figures.js';
import { gridPng, readGrid } from '../../training/images.js';
import { escapeHtml } from '../../training/report-html.js';
import { sampleImages } from '../../training/sample.js';
import { readWatch } from '../../training/watch/index.js';
import type { NamedFigure, PaperBenchmark, PaperRun } from './definition.js';
import { watched } from './watched.js';

// What benchmarks have in common whose reward is a model's opinion of pictures of the world of shapes, about which the exact
// scorers know the truth.

/** The prompt of DPOK's benchmark, which leaves the embedded model room. */
export const onePrompt = 'a yellow star and a white star';

/** The expression of the truth: the picture shows what its prompt is about, and in the right shapes. */
export const exactReward = 'shapes*shapes-shape';

/** Pictures of the embedded model for prompts, with η = 1 as in training: uint8 [16, 16, 3] each. */
export async function embeddedPictures(
  prompts: readonly string[],
  steps: number,
  random: Random,
): Promise<NdArray<Uint8Array>[]> {
  const { images } = await sampleImages({
    ...{ model: 'models/shapes', prompts, eta: 1, seed: random.integer(1 << 30) },
    sampling: { steps, guidanceScale: 1 },
  });
  return images as NdArray<Uint8Array>[];
}

/** A picture of an evaluation, what the model thinks of it, and whether it is right. */
export interface JudgedPicture {
  readonly image: NdArray;
  readonly prompt: string;
  readonly sample: SampleRecord;
  readonly reward: number;
  readonly right: boolean;
}

/** Whether a picture (uint8 [h, w, 3]) shows all that a prompt says. */
export function isExact(image: NdArray, prompt: string): boolean {
  const { right, shape } = scoreShapes(image, prompt);
  return right && shape;
}

/** The pictures of a run's evaluations before and after training, in that order of prompts and noises. */
export interface Judged {
  readonly before: readonly JudgedPicture[];
  readonly after: readonly JudgedPicture[];
}

/** The pictures of a run's evaluations, judged again by the exact scorers. */
async function judgedPictures(folder: string): Promise<Judged> {
  const evaluations = await readEvaluations(folder);
  const read = async ({ epoch, grid, samples }: (typeof evaluations)[number]): Promise<JudgedPicture[]> =>
    (await readGrid(await readFile(evaluationFiles(folder, epoch).png), grid!)).map((image, i) => {
      const [sample, prompt] = [samples[i]!, samples[i]!.prompt!];
      return { image, prompt, sample, reward: sample.reward, right: isExact(image, prompt) };
    });
  return { before: await read(evaluations[0]!), after: await read(evaluations.at(-1)!) };
}

/**
 * How well a reward tells right pictures from wrong ones: the share of pairs of a right and a wrong one in which the right
 * one has more, where equal ones count half (the area under the ROC curve). NaN where all are right, or none is.
 */
export function areaUnderCurve(judged: readonly { readonly reward: number; readonly right: boolean }[]): number {
  const of = (which: boolean) => judged.flatMap(({ reward, right }) => (right === which ? [reward] : []));
  const [right, wrong] = [of(true), of(false)];
  return mean(right.flatMap((a) => wrong.map((b) => (a > b ? 1 : a === b ? 0.5 : 0))));
}

/** The measures that the exact scorers take of a run: shares of its evaluations' pictures, and how well the reward tells them apart. */
const exactMeasures = {
  exactBefore: { title: 'right before' },
  exact: { title: 'right' },
  areaBefore: { title: 'tells right from wrong (AUC), before' },
  area: { title: 'AUC' },
  foolingBefore: { title: 'fool it, before' },
  fooling: { title: 'fool it' },
} as const;

/**
 * The pictures after training that fool the model: wrong ones that it likes better than the median of the right ones before
 * training. The most liked first.
 */
export function foolingPictures({ before, after }: Judged): JudgedPicture[] {
  const right = before.flatMap((one) => (one.right ? [one.reward] : [])).sort((a, b) => a - b);
  const median = right[Math.floor(right.length / 2)] ?? Number.POSITIVE_INFINITY;
  return after.filter((one) => !one.right && one.reward > median).sort((a, b) => b.reward - a.reward);
}

/** Takes {@link exactMeasures}; those that are not defined are left out. */
export function measureExact({ before, after }: Judged): Record<string, number> {
  const share = (judged: readonly JudgedPicture[]) => mean(judged.map(({ right }) => Number(right)));
  const measures = {
    ...{ exactBefore: share(before), exact: share(after) },
    ...{ areaBefore: areaUnderCurve(before), area: areaUnderCurve(after) },
    foolingBefore: foolingPictures({ before, after: before }).length / before.length,
    fooling: foolingPictures({ before, after }).length / after.length,
  };
  return Object.fromEntries(Object.entries(measures).filter(([, value]) => Number.isFinite(value)));
}

/** What these benchmarks measure of a run: what the exact scorers say, and what its watch has seen. */
export const judged: Required<Pick<PaperBenchmark, 'measures' | 'measure' | 'byEpoch'>> = {
  measures: { ...exactMeasures, kl: watched.measures.kl!, diversity: watched.measures.diversity! },
  measure: async (folder, config) => ({
    ...(await watched.measure(folder, config)),
    ...measureExact(await judgedPictures(folder)),
  }),
  byEpoch: looks,
};

/** What the watch of a run has seen, look by look. Its guard must be {@link exactReward}. */
async function looks(folder: string): Promise<Record<string, number[]>> {
  const records = await readWatch(folder);
  return {
    epoch: records.map(({ epoch }) => epoch),
    reward: records.map(({ reward }) => reward),
    exact: records.map(({ guard }) => guard!),
    ...(records.every(({ kl }) => kl !== undefined) && { kl: records.map(({ kl }) => kl!) }),
  };
}

/** Two figures of a part: what the model thinks over the run, and what is true; each the mean over seeds and their range. */
export function rewardAgainstTruth(part: string, runs: readonly PaperRun[], unit: string): NamedFigure[] {
  const groups = grouped(
    runs.filter(({ state, byEpoch }) => state === 'finished' && byEpoch !== undefined),
    algorithmOf,
  );
  const figure = (key: 'reward' | 'exact', title: string, axis: string): NamedFigure => ({
    ...{ title, unit: axis, across: 'epoch', width: 460, height: 240, file: `${part}-${key}` },
    caption: `${title}, on prompts and noises of the watch that are the same for all runs: mean and range over seeds.`,
    series: groups.map((group) => {
      // A run that its watch has stopped ends earlier than others.
      const epochs = [...new Set(group.flatMap(({ byEpoch }) => byEpoch!.epoch!))].sort((a, b) => a - b);
      const at = (epoch: number) =>
        group.flatMap(({ byEpoch }) => {
          const i = byEpoch!.epoch!.indexOf(epoch);
          return i < 0 ? [] : [byEpoch![key]![i]!];
        });
      return meanAndRange(algorithmOf(group[0]!), epochs, epochs.map(at));
    }),
  });
  if (groups.length === 0) return [];
  return [
    figure('reward', 'What the model thinks of the pictures', unit),
    figure('exact', 'How many are right by the exact scorers', 'share'),
  ];
}

/**
 * A drawing of the pictures after training that fool the model, at most eight.
 * @param by whose training, as the caption says it. @param judge who is fooled. @param line what stands below each picture, of
 *   which `below` says what it is.
 */
export function foolingDrawing(
  file: string,
  algorithm: string,
  {
    title,
    by,
    judge,
    below,
    line,
  }: { title: string; by: string; judge: string; below: string; line(one: JudgedPicture): string },
): NonNullable<PaperBenchmark['drawings']>[number] {
  return {
    file,
    algorithm,
    title,
    caption: `After training ${by}, seed 0: pictures that are wrong by the exact scorers, and that the ${judge} likes better than half of the right ones before training; at most eight, the most liked first; below each ${below}.`,
    draw: async (folder) => {
      const fooling = foolingPictures(await judgedPictures(folder)).slice(0, 8);
      return await picturesSvg(fooling.map((one) => ({ image: one.image, lines: [line(one)] })));
    },
  };
}

/** Pictures with a text below each, as SVG that stands alone. */
export async function picturesSvg(
  pictures: readonly { readonly image: NdArray; readonly lines: readonly string[] }[],
  columns = 4,
): Promise<string> {
  const [side, width, line] = [96, 250, 15];
  const height = side + 8 + line * Math.max(0, ...pictures.map(({ lines }) => lines.length)) + 14;
  const cells: string[] = [];
  for (const [i, { image, lines }] of pictures.entries()) {
    const [x, y] = [(i % columns) * width, Math.floor(i / columns) * height];
    const { png } = await gridPng([image], { columns: 1 });
    cells.push(
      `<image x="${x}" y="${y}" width="${side}" height="${side}" href="data:image/png;base64,${png.toString('base64')}" style="image-rendering:pixelated"/>`,
      ...lines.map(
        (text, k) => `<text x="${x}" y="${y + side + 4 + line * (k + 1)}" fill="#555">${escapeHtml(text)}</text>`,
      ),
    );
  }
  const [w, h] = [columns * width, Math.max(1, Math.ceil(pictures.length / columns)) * height];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" font-family="system-ui, sans-serif" font-size="12"><rect width="${w}" height="${h}" fill="#fff"/>${cells.join('')}</svg>\n`;
}
