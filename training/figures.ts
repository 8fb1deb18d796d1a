import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';

/** A curve over epochs. */
export interface Series {
  readonly name: string;
  /** [epoch, value]; values that are not finite leave a gap. */
  readonly points: readonly (readonly [number, number])[];
  /** Drawn as dots: measured now and then. */
  readonly dots?: boolean;
}

export interface Figure {
  readonly title: string;
  /** What the vertical axis counts, with its unit. */
  readonly unit: string;
  readonly series: readonly Series[];
  /** [epoch, low, high] around the first series. */
  readonly band?: readonly (readonly [number, number, number])[];
  readonly width?: number;
  readonly height?: number;
  /** Stacked areas instead of lines. */
  readonly stacked?: boolean;
}

// The page's own variables, so that one picture serves light and dark.
const ink = 'var(--ink)';
const faint = 'var(--faint)';
const rule = 'var(--rule)';
const palette = ['var(--c1)', 'var(--c2)', 'var(--c3)', 'var(--c4)', 'var(--c5)', 'var(--c6)'];

function specOf({ unit, series, band = [], width = 460, height = 180, stacked }: Figure): TopLevelSpec {
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
    scale: { domain: series.map((s) => s.name), range: palette.slice(0, Math.max(1, series.length)) },
    legend: series.length > 1 ? { title: null, orient: 'top', direction: 'horizontal', symbolOpacity: 1 } : null,
  } as const;
  const x = {
    field: 'epoch',
    type: 'quantitative',
    scale: { domain: [Math.min(...epochs), Math.max(...epochs)], nice: false },
    axis: { title: 'epoch', tickMinStep: 1, grid: false, tickCount: 8 },
  } as const;
  const largest = Math.max(...series.flatMap((s) => s.points.map(([, v]) => (Number.isFinite(v) ? Math.abs(v) : 0))));
  const axis = largest < 1e-3 ? { format: '.1~e' } : {};
  const y = { field: 'value', type: 'quantitative', title: unit, axis } as const;
  const scale = { zero: stacked === true };
  const layers: object[] = [];
  if (band.length > 0)
    layers.push({
      data: { values: band.map(([epoch, low, high]) => ({ epoch, low, high })) },
      mark: { type: 'area', color: palette[0], opacity: 0.16 },
      encoding: { x, y: { field: 'low', type: 'quantitative', title: unit, scale }, y2: { field: 'high' } },
    });
  if (lines.length > 0)
    layers.push({
      data: { values: rows(lines) },
      mark: stacked
        ? { type: 'area', opacity: 0.75 }
        : { type: 'line', strokeWidth: 2, point: epochs.length <= 3 ? { size: 40 } : false, strokeJoin: 'round' },
      encoding: { x, y: { ...y, scale, ...(stacked && { stack: 'zero' }) }, color },
    });
  if (dots.length > 0)
    layers.push({
      data: { values: rows(dots) },
      mark: { type: 'point', filled: true, size: 70, opacity: 1 },
      encoding: { x, y: { ...y, scale }, color },
    });
  return {
    width,
    height,
    background: 'transparent',
    padding: 2,
    config: {
      font: 'system-ui, sans-serif',
      view: { stroke: null },
      axis: {
        labelColor: faint,
        titleColor: faint,
        gridColor: rule,
        domainColor: rule,
        tickColor: rule,
        titleFontWeight: 'normal',
        labelFontSize: 11,
        titleFontSize: 11,
        tickCount: 5,
      },
      legend: {
        labelColor: ink,
        labelFontSize: 12,
        labelLimit: 0,
        symbolSize: 110,
        ...(stacked || dots.length > 0
          ? { symbolType: 'square', symbolStrokeWidth: 0 }
          : { symbolType: 'stroke', symbolStrokeWidth: 3 }),
      },
    },
    layer: layers,
  } as TopLevelSpec;
}

/** Renders a figure as SVG that takes its colours from CSS variables of the page and the width it is given. */
export async function renderFigure(figure: Figure): Promise<string> {
  const view = new View(parse(compile(specOf(figure)).spec), { renderer: 'none' });
  const svg = await view.toSVG();
  view.finalize();
  return svg.replace(
    /^<svg[^>]*viewBox="([^"]+)"[^>]*>/,
    (_, box: string) =>
      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${box}" role="img" aria-label="${figure.title}">`,
  );
}
