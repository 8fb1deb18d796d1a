import { basename } from 'node:path';
import { parseDocument } from 'yaml';
import { loadAgent } from '../../agents/registry.js';
import { GymError } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import { show } from '../../core/schema.js';
import { isObject, type ParseConfigOptions, parseConfig } from './parse.js';
import type { RunConfig } from './run-config.js';

/** Puts a value at a dotted path of a plain object, making objects on the way. */
export function setPath(target: Record<string, unknown>, path: string, value: unknown): void {
  const keys = path.split('.');
  let object = target;
  for (const key of keys.slice(0, -1)) {
    const next = Object.hasOwn(object, key) ? object[key] : undefined;
    if (!isObject(next)) object[key] = key === 'agent' && typeof next === 'string' ? { name: next } : {};
    object = object[key] as Record<string, unknown>;
  }
  object[keys.at(-1)!] = value;
}

/** Parses YAML or JSON (JSON is YAML). @throws GymError E_CONFIG with the line and column. */
export function parseYaml(text: string, where: string): unknown {
  const document = parseDocument(text);
  const error = document.errors[0];
  if (error) throw new GymError('E_CONFIG', `${where}: not valid YAML: ${error.message.trim()}`);
  return document.toJS();
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
  for (const [path, value] of Object.entries(flags))
    setPath(result, path === 'agent' && typeof value === 'string' ? 'agent.name' : path, value);
  return result;
}
