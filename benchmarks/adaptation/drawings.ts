import { readBytes } from '../../core/files.js';
import {
  type AdaptationRecord,
  picturesFile,
  readAdaptationRecord,
} from '../../training/families/adaptation-passes.js';
import { cutGrid } from '../../training/images.js';
import { escapeHtml } from '../../training/report-html.js';

const font = 'font-family="system-ui, sans-serif"';

function svg(width: number, height: number, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"><rect width="${width}" height="${height}" fill="#fff"/>${parts.join('')}</svg>\n`;
}

/** How the first pictures that are measured on are read before and after, green where that is right. */
export async function readingDrawing(folder: string): Promise<string> {
  const { truths, before, after, grid, classes } = await readAdaptationRecord(folder);
  const tiles = grid === undefined ? [] : await cutGrid(await readBytes(picturesFile(folder)), grid);
  const [cell, columns] = [64, 12];
  const read = (label: number, truth: number) =>
    `<tspan fill="${label === truth ? '#1b7f5c' : '#b8384a'}">${escapeHtml(classes[label]!)}</tspan>`;
  const parts = truths.map((truth, i) => {
    const [left, top] = [(i % columns) * (cell + 8) + 8, Math.floor(i / columns) * (cell + 30) + 8];
    const labels = [before, ...(after ? [after] : [])].map((reading) => read(reading.read[i]!.label, truth));
    return `<image x="${left}" y="${top}" width="${cell}" height="${cell}" href="data:image/png;base64,${tiles[i]!.toString('base64')}"/><text x="${left + cell / 2}" y="${top + cell + 17}" ${font} font-size="15" font-weight="bold" text-anchor="middle" fill="#687083">${labels.join(' → ')}</text>`;
  });
  return svg(columns * (cell + 8) + 8, Math.ceil(truths.length / columns) * (cell + 30) + 8, parts);
}

/** Samples of the last pass with the label that they were given and its weight: right ones above, wrong ones below. */
export async function labelDrawing(folder: string): Promise<string> {
  const { truths, labelled = [], grid, classes } = await readAdaptationRecord(folder);
  const tiles = grid === undefined ? [] : await cutGrid(await readBytes(picturesFile(folder)), grid);
  const [cell, lineHeight] = [64, 40];
  const name = (label: number) => escapeHtml(classes[label]!);
  const rows = [true, false].map((right) =>
    labelled.flatMap((given, i) => ((given.truth === given.label) === right ? [{ ...given, i }] : [])),
  );
  const parts = rows.flatMap((row, y) =>
    row.map(({ truth, label, weight, i }, x) => {
      const [left, top] = [x * (cell + 8) + 8, y * (cell + lineHeight) + 8];
      const text = truth === label ? name(label) : `${name(label)} (${name(truth)})`;
      const picture = `<image x="${left}" y="${top}" width="${cell}" height="${cell}" href="data:image/png;base64,${tiles[truths.length + i]!.toString('base64')}"/>`;
      const middle = left + cell / 2;
      return `${picture}<text x="${middle}" y="${top + cell + 14}" ${font} font-size="13" font-weight="bold" text-anchor="middle" fill="${truth === label ? '#1b7f5c' : '#b8384a'}">${text}</text><text x="${middle}" y="${top + cell + 28}" ${font} font-size="11" text-anchor="middle" fill="#687083">${weight.toFixed(2)}</text>`;
    }),
  );
  return svg(Math.max(...rows.map((row) => row.length)) * (cell + 8) + 8, 2 * (cell + lineHeight) + 8, parts);
}

/** The confusion matrices before and after, as shares of each true class. */
export async function confusionDrawing(folder: string): Promise<string> {
  const { classes, before, after } = await readAdaptationRecord(folder);
  const [cell, margin] = [26, 40];
  const side = classes.length * cell;
  const matrix = (reading: AdaptationRecord['before'], title: string, left: number) => {
    const texts = classes.flatMap((name, c) => [
      `<text x="${left - 6}" y="${margin + c * cell + 17}" ${font} font-size="12" text-anchor="end">${escapeHtml(name)}</text>`,
      `<text x="${left + c * cell + cell / 2}" y="${margin - 6}" ${font} font-size="12" text-anchor="middle">${escapeHtml(name)}</text>`,
    ]);
    const cells = reading.confusion.map((count, i) => {
      const [row, column] = [Math.floor(i / classes.length), i % classes.length];
      const all = reading.confusion.slice(row * classes.length, (row + 1) * classes.length).reduce((a, b) => a + b, 0);
      const share = count / Math.max(1, all);
      const [x, y] = [left + column * cell, margin + row * cell];
      const box = `<rect x="${x}" y="${y}" width="${cell - 1}" height="${cell - 1}" fill="${row === column ? '#1b7f5c' : '#b8384a'}" fill-opacity="${share.toFixed(2)}"/>`;
      const ink = share > 0.5 ? '#fff' : '#1d2230';
      return count === 0
        ? box
        : `${box}<text x="${x + cell / 2}" y="${y + 17}" ${font} font-size="11" text-anchor="middle" fill="${ink}">${count}</text>`;
    });
    const accuracy = `${title}: ${(100 * reading.accuracy).toFixed(1)} %`;
    return `<text x="${left}" y="16" ${font} font-size="13" font-weight="bold">${accuracy}</text>${texts.join('')}${cells.join('')}`;
  };
  const second = 2 * margin + side;
  const parts = [matrix(before, 'Before', margin), ...(after ? [matrix(after, 'After', second)] : [])];
  return svg(second + side + 8, margin + side + 8, parts);
}
