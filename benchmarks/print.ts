import { type BackendInfo, describeBackend } from '../backend/index.js';
import { table } from '../cli/table.js';

/** The middle of several measurements. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Three significant digits. */
export function digits(value: number): string {
  return Number(value.toPrecision(3)).toString();
}

/** Result rows as a table, or everything as JSON. */
export function print(
  benchmark: string,
  backend: BackendInfo,
  settings: Readonly<Record<string, unknown>>,
  rows: readonly Readonly<Record<string, string | number>>[],
  json = false,
): void {
  if (json) {
    process.stdout.write(`${JSON.stringify({ benchmark, backend, settings, rows }, null, 2)}\n`);
    return;
  }
  const columns = Object.keys(rows[0] ?? {});
  const cells = rows.map((row) =>
    columns.map((column) => (typeof row[column] === 'number' ? digits(row[column]) : (row[column] ?? ''))),
  );
  process.stdout.write(`${describeBackend(backend)}\n${table([columns, ...cells])}\n`);
}
