import * as z from 'zod';
import { GymError, messageOf } from '../../core/errors.js';
import { parseSchema, show } from '../../core/schema.js';
import { shownName } from '../../core/shown.js';
import { isModulePath } from '../../core/user-module.js';
import { type WrapperDescription, whyNotByName, wrapperNamed } from './registry.js';

/** The option `wrappers` of a run: each entry is a name or a file, alone or with its options. */
export const wrappersOption = z
  .array(z.union([z.string().min(1).max(4096), z.record(z.string().min(1).max(4096), z.json())]))
  .max(100)
  .default([])
  .describe(
    'put around the environments, the first one innermost: names or files, or {name: options}; see list wrappers',
  );

/** An entry of the option {@link wrappersOption}. */
export type WrapperEntry = z.output<typeof wrappersOption>[number];

/** What an entry asks for. */
export type WrapperStep =
  | { readonly wrapper: WrapperDescription; readonly options: Record<string, unknown> }
  /** A file of the user's own, which is not loaded yet. */
  | { readonly file: string; readonly options: unknown };

/**
 * Looks up what entries ask for, and checks the options of this package's wrappers.
 * @returns a step for each entry, or one line for each problem, with the nearest name.
 */
export function parseWrappers(
  entries: readonly WrapperEntry[],
): { readonly steps: readonly WrapperStep[]; readonly problems: [] } | { readonly problems: string[] } {
  const problems: string[] = [];
  const steps = entries.flatMap((entry, i): WrapperStep[] => {
    const place = `wrappers[${i}]`;
    const parts = typeof entry === 'string' ? [[entry, undefined] as const] : Object.entries(entry);
    const [part, ...more] = parts;
    if (part === undefined || more.length > 0) {
      problems.push(
        `${place}: must be a wrapper's name, or one name with its options, actual value ${show(entry)}; give each wrapper an entry of its own.`,
      );
      return [];
    }
    const [name, value] = part;
    if (isModulePath(name)) return [{ file: name, options: value ?? {} }];
    const found = named(name, place);
    if (typeof found === 'string') {
      problems.push(found);
      return [];
    }
    const options = optionsOf(found, value);
    if (options === undefined) {
      problems.push(
        `${place}.${name}: needs its options by name, as in {${name}: {...}}, actual value ${show(value)}.`,
      );
      return [];
    }
    const parsed = parseSchema(found.options, options, {
      prefix: `${place}.${name}`,
      owner: `of the wrapper \`${name}\``,
      ...(Object.keys(found.options.shape).length === 0 && { unknownKey: () => 'It has none.' }),
    });
    problems.push(...parsed.problems);
    return parsed.value === undefined ? [] : [{ wrapper: found, options: parsed.value }];
  });
  return problems.length > 0 ? { problems } : { steps, problems: [] };
}

/** The wrapper of a name, or the line that says why there is none. */
function named(name: string, place: string): WrapperDescription | string {
  const why = whyNotByName(name);
  if (why !== undefined) return `${place}: \`${shownName(name)}\` cannot be named here: ${why}.`;
  try {
    return wrapperNamed(name, place);
  } catch (error) {
    if (!GymError.is(error)) throw error;
    return messageOf(error);
  }
}

/** What was given as options, by name; undefined where a value stands for none of them. */
function optionsOf({ short }: WrapperDescription, value: unknown): unknown {
  if (value === undefined || value === null) return {};
  if (typeof value === 'object' && !Array.isArray(value)) return value;
  return short === undefined ? undefined : { [short]: value };
}

/** The files of the user's own that a configuration's `wrappers` name; the configuration need not be valid. */
export function wrapperFiles(entries: unknown): string[] {
  if (!Array.isArray(entries)) return [];
  return entries
    .flatMap((entry: unknown) =>
      typeof entry === 'object' && entry !== null ? Object.keys(entry) : typeof entry === 'string' ? [entry] : [],
    )
    .filter(isModulePath);
}
