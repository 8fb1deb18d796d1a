import { GymError, messageOf } from './errors.js';

/**
 * How many levels of lists and objects a file may nest. What files describe needs a dozen; the functions that walk
 * through it call themselves for each level, and would exhaust the stack at some thousands.
 */
export const mostLevels = 200;

/** Whether lists and objects are nested by more levels than that; so is what contains itself. */
export function isTooDeep(value: unknown, levels = mostLevels): boolean {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return false;
  if (levels === 0) return true;
  for (const part of Array.isArray(value) ? value : Object.values(value))
    if (typeof part === 'object' && isTooDeep(part, levels - 1)) return true;
  return false;
}

/**
 * Parses the JSON of a file.
 * @param where the file, and the line where that helps, which errors name.
 * @throws GymError E_FILE on what is not JSON, or is nested by more than {@link mostLevels} levels.
 */
export function parseJson(text: string, where: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const message = `${where}: not valid JSON (${messageOf(error)}); it may be truncated: restore it from its source.`;
    throw new GymError('E_FILE', message, { cause: error });
  }
  if (isTooDeep(value))
    throw new GymError(
      'E_FILE',
      `${where}: lists and objects are nested by more than ${mostLevels} levels; it is damaged: restore it from its source.`,
    );
  return value;
}

/**
 * Parses JSON as Python's `json.dumps` writes it, in which Infinity, -Infinity and NaN stand bare: the configurations of some
 * schedulers hold them. NaN becomes the text `NaN`, which no field that is a number accepts.
 * @throws GymError E_FILE as {@link parseJson}.
 */
export function parsePythonJson(text: string, where: string): unknown {
  // A number beyond the largest is parsed as infinite.
  const names: Record<string, string> = { Infinity: '1e999', '-Infinity': '-1e999', NaN: '"NaN"' };
  return parseJson(
    text.replace(/"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g, (token) => names[token] ?? token),
    where,
  );
}
