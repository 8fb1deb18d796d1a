import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import { mean } from '../core/statistics.js';
import { escapeHtml } from './report-html.js';
import { reportColors } from './report-style.js';

type Point = readonly [epoch: number, value: number];

/** A curve over epochs. */
export interface Series {
  readonly name: string;
  /** [epoch, value]; a value that is not finite leaves a gap. */
  readonly points: readonly Point[];
  /** Drawn as dots, because it is measured only now and then. */
  readonly dots?: boolean;
  /** [epoch, low, high] around it. */
  readonly band?: readonly (readonly [number, number, number])[];
}

/**
 * A curve through the means of several runs, with the range of them as its band, where there are several.
 * @param values at each place those of the runs that have come so far: at least one.
 */
export function meanAndRange(name: string, places: readonly number[], values: readonly (readonly number[])[]): Series {
  return {
    name,
    points: places.map((x, i) => [x, mean(values[i]!)] as const),
    ...(values.some(({ length }) => length > 1) && {
      band: places.map((x, i) => [x, Math.min(...values[i]!), Math.max(...values[i]!)] as const),
    }),
  };
}

/**
 * Curves that share their axes. At least one point must have a finite value. Title, unit and legend are not drawn: the page
 * has them beside the figure, as text that is as large as its own.
 */
export interface Figure {
  readonly title: string;
  /** What the vertical axis counts, with its unit; may be empty. */
  readonly unit: string;
  readonly series: readonly Series[];
  /** What the horizontal axis counts. Default 'epoch'. */
  readonly across?: string;
  /** Width of the plot without axes, in the unit in which its letters are 12 high. */
  readonly width?: number;
  readonly height?: number;
  /** Stacked areas instead of lines. */
  readonly stacked?: boolean;
  /** Whether the names of the series are drawn, for a picture that stands alone. */
  readonly legend?: boolean;
}

// The page's own variables, so that one picture serves light and dark.
const faint = 'var(--faint)';
const rule = 'var(--rule)';
/** The colours of the series, in their order. */
const palette = Array.from({ length: 13 }, (_, i) => `var(--c${i + 1})`);

/** The colour of a figure's series, by its place among them. */
export function seriesColor(index: number): string {
  return palette[index % palette.length]!;
}

/** The points that a line would not show, because their neighbours are missing or not finite. */
function isolated(points: readonly Point[]): readonly Point[] {
  const finite = (point: Point | undefined) => point !== undefined && Number.isFinite(point[1]);
  return points.filter((point, i) => finite(point) && !finite(points[i - 1]) && !finite(points[i + 1]));
}

function specOf({ series, across = 'epoch', width = 340, height = 160, stacked, legend }: Figure): TopLevelSpec {
  const lines = series.filter((s) => !s.dots);
  const dots = series.filter((s) => s.dots);
  const rows = (list: readonly Series[]) =>
    list.flatMap(({ name, points }) =>
      points.map(([epoch, value]) => ({ epoch, value: Number.isFinite(value) ? value : null, name })),
    );
  const epochs = series.flatMap((s) => s.points.map(([epoch]) => epoch));
  const color = {
    field: 'name',
    type: 'nominal',
    scale: { domain: series.map((s) => s.name), range: series.map((_, i) => seriesColor(i)) },
    legend: legend ? { title: null, labelColor: faint, labelFontSize: 12, labelLimit: 400 } : null,
  } as const;
  const [first, last] = [Math.min(...epochs), Math.max(...epochs)];
  const x = {
    field: 'epoch',
    type: 'quantitative',
    // A single epoch stands in the middle.
    scale: { domain: first < last ? [first, last] : [first - 0.5, last + 0.5], nice: false },
    // Between epochs there is nothing; a distance has its fractions.
    axis: { title: across, grid: false, tickCount: 8, ...(epochs.every(Number.isInteger) && { tickMinStep: 1 }) },
  } as const;
  const largest = Math.max(...series.flatMap((s) => s.points.map(([, v]) => (Number.isFinite(v) ? Math.abs(v) : 0))));
  const axis = { title: null, ...(largest < 1e-3 && { format: '.1~e' }) };
  const y = { field: 'value', type: 'quantitative', axis } as const;
  const scale = { zero: stacked === true };
  const layers: object[] = [];
  series.forEach(({ band = [] }, i) => {
    if (band.length > 0)
      layers.push({
        data: { values: band.map(([epoch, low, high]) => ({ epoch, low, high })) },
        mark: { type: 'area', color: seriesColor(i), opacity: 0.16 },
        encoding: { x, y: { ...y, field: 'low', scale }, y2: { field: 'high' } },
      });
  });
  if (lines.length > 0)
    layers.push({
      data: { values: rows(lines) },
      mark: stacked ? { type: 'area', opacity: 0.75 } : { type: 'line', strokeWidth: 2, strokeJoin: 'round' },
      encoding: { x, y: { ...y, scale, ...(stacked && { stack: 'zero' }) }, color },
    });
  const alone = stacked ? [] : lines.map((s) => ({ ...s, points: isolated(s.points) }));
  for (const [list, size] of [[alone, 40] as const, [dots, 70] as const])
    if (list.some((s) => s.points.length > 0))
      layers.push({
        data: { values: rows(list) },
        mark: { type: 'point', filled: true, size, opacity: 1 },
        encoding: { x, y: { ...y, scale }, color },
      });
  return {
    width,
    height,
    background: 'transparent',
    padding: 2,
    config: {
      // The whole picture has a label; one for each of its parts would double its size.
      aria: false,
      font: 'system-ui, sans-serif',
      view: { stroke: null },
      axis: {
        labelColor: faint,
        titleColor: faint,
        gridColor: rule,
        domainColor: rule,
        tickColor: rule,
        titleFontWeight: 'normal',
        labelFontSize: 12,
        titleFontSize: 12,
        tickCount: 5,
      },
    },
    layer: layers,
  } as TopLevelSpec;
}

/** The report's colours on light pages, by the names of their variables. */
const lightColors = new Map(
  [...reportColors.split('@media')[0]!.matchAll(/(--\w+): (#\w+)/g)].map(([, name, color]) => [name!, color!]),
);

/**
 * Renders a figure as an SVG file of its own, with a legend, on white. Its colours are plain ones, since programs that turn
 * SVG into pixels know no variables.
 */
export async function renderFigureFile(figure: Figure): Promise<string> {
  const svg = await renderFigure({ ...figure, legend: true });
  return svg
    .replace(
      /^<svg[^>]*viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>/,
      (head: string, width: string, height: string) =>
        `${head.slice(0, -1)} width="${width}" height="${height}"><rect width="100%" height="100%" fill="#fff"/>`,
    )
    .replaceAll(/var\((--\w+)\)/g, (_, name: string) => lightColors.get(name)!);
}

/** Renders a figure as SVG that takes its colours from CSS variables of the page, and fills the width that it is given. */
export async function renderFigure(figure: Figure): Promise<string> {
  const label = [figure.title, figure.unit].filter((text) => text !== '').join(', ');
  const view = new View(parse(compile(specOf(figure)).spec), { renderer: 'none' });
  const svg = await view.toSVG();
  view.finalize();
  return svg.replace(
    /^<svg[^>]*viewBox="([^"]+)"[^>]*>/,
    (_, box: string) =>
      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${box}" role="img" aria-label="${escapeHtml(label)}">`,
  );
}
