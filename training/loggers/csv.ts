import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, writeFileAtomic } from '../../core/files.js';
import type { Metrics } from '../../core/types.js';
import type { RunFolder } from '../run-folder/index.js';
import type { Logger } from './logger.js';

/** A cell. Commas, quotes and line breaks can stand in a metric's name. */
function cell(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function line(cells: readonly string[]): string {
  return `${cells.join(',')}\n`;
}

function row(columns: readonly string[], metrics: Readonly<Metrics>): string {
  return line(columns.map((column) => (metrics[column] === undefined ? '' : String(metrics[column]))));
}

/**
 * Keeps `metrics.csv` in a run's folder: a line of names, then one line an epoch. A metric that an epoch lacks is an empty
 * cell; numbers that are not finite are `NaN`, `Infinity` and `-Infinity`. A metric that comes up later is a new column at the
 * end, for which the file is written anew, whole or not at all. The file follows `metrics.jsonl`, also on a resume.
 * @throws GymError E_FILE when the file cannot be written.
 */
export function csvLogger(folder: Pick<RunFolder, 'path' | 'metrics'>): Logger {
  const path = join(folder.path, 'metrics.csv');
  let columns: string[] = [];
  const rewrite = async () => {
    const epochs = await folder.metrics();
    columns = [...new Set(epochs.flatMap((metrics) => Object.keys(metrics)))];
    const lines = epochs.map((metrics) => row(columns, metrics));
    await writeFileAtomic(path, columns.length === 0 ? '' : line(columns.map(cell)) + lines.join(''));
  };
  return async (event) => {
    if (event.type === 'start') await rewrite();
    if (event.type !== 'epoch') return;
    if (Object.keys(event.metrics).some((name) => !columns.includes(name))) {
      await rewrite();
      return;
    }
    try {
      await appendFile(path, row(columns, event.metrics));
    } catch (error) {
      throw fileError('cannot write', path, error);
    }
  };
}
