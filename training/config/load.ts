import { basename } from 'node:path';
import { isScalar, LineCounter, parseDocument, visit } from 'yaml';
import { loadAgent } from '../../agents/registry.js';
import { GymError, messageOf } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import { isTooDeep, mostLevels } from '../../core/json.js';
import { show } from '../../core/schema.js';
import { shownName } from '../../core/shown.js';
import { isObject, type ParseConfigOptions, parseConfig } from './parse.js';
import type { RunConfig } from './run-config.js';

/** Puts a value at a dotted path of a plain object, making objects on the way. */
export function setPath(target: Record<string, unknown>, path: string, value: unknown): void {
  const keys = path.split('.');
  // An assignment to `__proto__` would be no entry: it would be lost, and not be refused as an option that there is not.
  const put = (object: object, key: string, entry: unknown) =>
    Object.defineProperty(object, key, { value: entry, writable: true, enumerable: true, configurable: true });
  let object = target;
  for (const key of keys.slice(0, -1)) {
    const next = Object.hasOwn(object, key) ? object[key] : undefined;
    if (!isObject(next)) put(object, key, key === 'agent' && typeof next === 'string' ? { name: next } : {});
    object = object[key] as Record<string, unknown>;
  }
  put(object, keys.at(-1)!, value);
}

/** Nobody writes more into a configuration by hand; a list of prompts that is longer than this has a file of its own. */
const mostCharacters = 500_000;

/**
 * Parses YAML or JSON (JSON is YAML).
 * @throws GymError E_CONFIG with the line and column; also on text of more than 500,000 characters, on aliases that make
 *   a small text large, and on what is nested by more than {@link mostLevels} levels or contains itself.
 */
export function parseYaml(text: string, where: string): unknown {
  const wrong = (what: string) => new GymError('E_CONFIG', `${where}: not valid YAML: ${what}`);
  if (text.length > mostCharacters)
    throw new GymError(
      'E_CONFIG',
      `${where}: it has ${text.length} characters, at most ${mostCharacters} are read; is this the file that was meant?`,
    );
  const lines = new LineCounter();
  // The library would compare each key of a mapping with all before it, which takes minutes for some thousands.
  const document = parseDocument(text, { uniqueKeys: false, lineCounter: lines });
  const [error] = document.errors;
  const nested = `lists and objects are nested by more than ${mostLevels} levels, or contain themselves`;
  if (error) throw wrong(error.code === 'RESOURCE_EXHAUSTION' ? nested : error.message.trim());
  visit(document, {
    Map(_, { items }) {
      const keys = new Set<string>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        const name = String(key.value);
        if (keys.has(name)) {
          const { line, col } = lines.linePos(key.range?.[0] ?? 0);
          throw wrong(
            `the key \`${shownName(name)}\` stands twice, again at line ${line}, column ${col}; leave one out.`,
          );
        }
        keys.add(name);
      }
    },
  });
  let value: unknown;
  try {
    value = document.toJS();
  } catch (cause) {
    // An alias without its anchor, or so many aliases of aliases that what they stand for would fill the memory.
    throw wrong(`${messageOf(cause)}.`);
  }
  if (isTooDeep(value)) throw wrong(nested);
  return value;
}

/**
 * Checks a configuration, after loading the agent that it names where that is a file.
 * @throws GymError as `parseConfig` and `loadAgent`.
 */
export async function completeConfig(
  input: Readonly<Record<string, unknown>>,
  where = 'configuration',
  options: ParseConfigOptions = {},
): Promise<RunConfig> {
  const { agent } = input;
  const name = isObject(agent) ? agent.name : agent;
  if (options.agent === undefined && typeof name === 'string') await loadAgent(name);
  return parseConfig(input, where, options);
}

/**
 * Reads a run's configuration from a YAML or JSON file, puts flags over it, checks it and fills in the defaults.
 * @param file path, or undefined for none.
 * @param flags values by dotted path (`agent.learningRate`), which win over the file's; `agent` alone names the agent.
 * @throws GymError E_FILE, E_CONFIG, E_NAME.
 */
export async function loadConfig(file?: string, flags: Readonly<Record<string, unknown>> = {}): Promise<RunConfig> {
  const raw = file === undefined ? {} : (parseYaml(await readText(file), file) ?? {});
  if (!isObject(raw))
    throw new GymError(
      'E_CONFIG',
      `${file}: must hold options by name (env: ..., agent: ...), actual value ${show(raw)}.`,
    );
  const input = structuredClone(raw);
  if (file !== undefined) input.name ??= basename(file).replace(/\.(ya?ml|json)$/, '');
  return completeConfig(withFlags(input, flags), file ?? 'configuration');
}

/** The same options with those of flags over them. Flags are taken in the order of their depth, the agent's name first. */
export function withFlags(
  input: Readonly<Record<string, unknown>>,
  flags: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const result = structuredClone(input) as Record<string, unknown>;
  // They say the same in two units, so that either takes the place of the other.
  if ('totalSteps' in flags) delete result.epochs;
  if ('epochs' in flags) delete result.totalSteps;
  for (const [path, value] of Object.entries(flags))
    setPath(result, path === 'agent' && typeof value === 'string' ? 'agent.name' : path, value);
  return result;
}
