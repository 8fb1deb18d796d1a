import { GymError, messageOf } from '../../core/errors.js';
import type { Metrics } from '../../core/types.js';

/** Non-finite numbers, which JSON lacks, as text: they are just what one wants to see in a log. */
export function metricsLine(metrics: Metrics): string {
  return `${JSON.stringify(metrics, (_, value) => (typeof value === 'number' && !Number.isFinite(value) ? String(value) : value))}\n`;
}

/**
 * The lines of a metrics.jsonl; a last line that a killed process left unfinished is no line.
 * @param where named in errors: the file.
 * @throws GymError E_FILE that names the first line that is damaged.
 */
export function parseMetrics(text: string, where = 'metrics.jsonl'): Metrics[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line, i) => {
      const wrong = (what: string) =>
        new GymError('E_FILE', `${where}:${i + 1}: ${what}; restore the line from a copy.`);
      let raw: unknown;
      try {
        raw = JSON.parse(line);
      } catch (error) {
        throw wrong(`not valid JSON (${messageOf(error)})`);
      }
      if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) throw wrong('not an object of numbers');
      return Object.fromEntries(
        Object.entries(raw).map(([key, value]) => {
          if (typeof value !== 'number' && typeof value !== 'string') throw wrong(`\`${key}\` is no number`);
          return [key, Number(value)];
        }),
      );
    });
}
