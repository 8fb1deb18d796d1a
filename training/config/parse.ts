import { basename } from 'node:path';
import type { AgentDescription, Settings } from '../../agents/define.js';
import { agentNamed, findAgent, resolveAgentOptions } from '../../agents/registry.js';
import { nearest } from '../../core/errors.js';
import { isTooDeep, mostLevels } from '../../core/json.js';
import { configError, parseSchema } from '../../core/schema.js';
import { listEnvironments } from '../../envs/registry.js';
import { callbackProblems } from '../callbacks/check.js';
import type { Family } from '../families/family.js';
import { families, familyOf } from '../families/index.js';
import type { RunConfig, RunConfigInput } from './run-config.js';
import { runOptions, schemaOf } from './schema.js';

export interface ParseConfigOptions {
  /** Instead of the agent that the configuration names. */
  readonly agent?: AgentDescription | undefined;
}

/**
 * Checks a configuration and fills in what it leaves out: the run's defaults, its family's, and its agent's own.
 * @param where named in errors: the file, or 'flags'.
 * @throws GymError E_CONFIG with one line for each wrong field: its path, what is allowed, the actual value and, for a
 * typing mistake, the nearest name; E_NAME when the agent is unknown (one that a file defines must be loaded before, by
 * `loadAgent`).
 */
export function parseConfig(
  input: RunConfigInput | unknown,
  where = 'configuration',
  options: ParseConfigOptions = {},
): RunConfig {
  if (isTooDeep(input)) throw configError(where, [`options are nested by more than ${mostLevels} levels.`]);
  const written = longForm(input);
  // An object cannot be asked for an entry of this name, so that schemas leave it out without a word.
  const hidden = pathOfKey(written, '__proto__');
  if (hidden !== undefined) throw configError(where, [`${hidden}: no such option.`]);
  const given = withSettings(written, options.agent);
  const family = familyOf(isObject(given) && typeof given.env === 'string' ? given.env : 'Denoising-v0');
  const parsed = parseSchema(schemaOf(family), given, { unknownKey: (path) => elsewhere(path, family) });
  if (parsed.problems.length > 0) throw configError(where, [...mistypedEnv(given), ...parsed.problems]);
  const config = parsed.value as unknown as RunConfig;
  const agent = options.agent ?? agentNamed(config.agent.name, `${where}: agent`);
  const { name: _, ...own } = config.agent;
  const short = applyShorthand(config, isObject(given) ? given : {}, agent, family);
  const resolved = resolveAgentOptions(agent, family.policyKind, { ...short.defaults, ...own });
  const withAgent =
    'value' in resolved ? { ...short.config, agent: { name: config.agent.name, ...resolved.value } } : short.config;
  const problems = [
    ...resolved.problems,
    ...short.problems,
    ...callbackProblems(short.config),
    ...(family.check?.(withAgent) ?? []),
  ];
  if (!('value' in resolved) || problems.length > 0) throw configError(where, problems);
  const complete = {
    ...short.config,
    name: config.name ?? defaultName(config, agent, family),
    agent: { name: options.agent?.name ?? config.agent.name, ...resolved.value },
  };
  const epochs = family.epochsOf?.(complete) ?? config.epochs;
  if (typeof epochs === 'string') throw configError(where, [epochs]);
  if (epochs !== config.epochs && isObject(written) && written.epochs !== undefined)
    throw configError(where, [
      `epochs: the length of the run is given twice, by epochs (${config.epochs}) and in steps (${epochs} epochs); leave one out.`,
    ]);
  return { ...complete, epochs };
}

/** The settings that an agent has for an environment, if any. */
export function settingsOf(agent: AgentDescription, env: string): Settings | undefined {
  return agent.settings !== undefined && Object.hasOwn(agent.settings, env) ? agent.settings[env] : undefined;
}

/** What was written, over the settings that its agent has for its environment. */
function withSettings(written: unknown, own: AgentDescription | undefined): unknown {
  if (!isObject(written) || typeof written.env !== 'string') return written;
  const { agent } = written;
  const name = isObject(agent) && typeof agent.name === 'string' ? agent.name : 'ppo';
  const known = own ?? findAgent(name);
  const settings = known && settingsOf(known, written.env);
  if (settings === undefined) return written;
  const { totalSteps, ...rest } = settings;
  const collect = isObject(agent) ? agent.collect : undefined;
  // The length of a run is said in one way: in epochs, or in steps where steps make a rollout.
  const hasLength = written.epochs !== undefined || (isObject(collect) && 'episodes' in collect);
  return over({ ...rest, ...(totalSteps !== undefined && !hasLength && { totalSteps }) }, written);
}

/** Objects are put over each other option by option; but what an option takes is of one piece (a schedule, a list). */
function over(below: Readonly<Record<string, unknown>>, above: Readonly<Record<string, unknown>>): object {
  const result: Record<string, unknown> = { ...below };
  for (const [key, value] of Object.entries(above)) {
    if (value === undefined) continue;
    const under = result[key];
    result[key] = sections.has(key) && isObject(under) && isObject(value) ? over(under, value) : value;
  }
  return result;
}

/** Options of a run that hold options. */
const sections = new Set(['agent', 'policy', 'evaluation', 'envOptions']);

/** An option of the run that stands for one of the agent's ({@link Family.shorthand}); it is kept where it has an effect. */
function applyShorthand(
  config: RunConfig,
  given: Readonly<Record<string, unknown>>,
  agent: AgentDescription,
  family: Family,
): { config: RunConfig; defaults: Record<string, unknown>; problems: string[] } {
  const { shorthand } = family;
  if (shorthand === undefined) return { config, defaults: {}, problems: [] };
  const { option, agentOption } = shorthand;
  const known = agent.options !== undefined && Object.hasOwn(agent.options.shape, agentOption);
  const value = shorthand.of(config[option]);
  const own = config.agent[agentOption];
  if (known && (own === undefined || JSON.stringify(own) === JSON.stringify(value)))
    return { config, defaults: { [agentOption]: value }, problems: [] };
  const why = known ? `agent.${agentOption} says it` : `the agent \`${agent.name}\` has no option \`${agentOption}\``;
  const { [option]: _, ...rest } = config;
  return {
    config: rest as RunConfig,
    defaults: {},
    problems: given[option] === undefined ? [] : [`${option}: has no effect, because ${why}; leave it out.`],
  };
}

/** What to say of an option that this family does not have: which one does. */
function elsewhere(path: string, family: Family): string | undefined {
  const owners = families.filter(
    (other) =>
      other !== family && runOptions().some((o) => o.families?.includes(other.name) && isAtOrBelow(o.path, path)),
  );
  if (owners.length === 0 || runOptions().some((o) => o.families?.includes(family.name) && isAtOrBelow(o.path, path)))
    return undefined;
  return `It belongs to ${owners.map((other) => other.title).join(' and ')}, and has no effect here.`;
}

function isAtOrBelow(option: string, path: string): boolean {
  return option === path || option.startsWith(`${path}.`);
}

/** Of a mistyped environment all options of its family would be unknown; the cause stands first. */
function mistypedEnv(given: unknown): string[] {
  if (!isObject(given) || typeof given.env !== 'string' || given.env.includes(':')) return [];
  const known = listEnvironments().map(({ name }) => name);
  const guess = known.includes(given.env) ? undefined : nearest(given.env, known);
  return guess === undefined ? [] : [`env: no environment \`${given.env}\` is registered. Did you mean \`${guess}\`?`];
}

/** `agent: ppo` is short for `agent: { name: ppo }`. */
function longForm(input: unknown): unknown {
  if (!isObject(input)) return input ?? {};
  return typeof input.agent === 'string' ? { ...input, agent: { name: input.agent } } : input;
}

/** The dotted path of a key of that name, wherever it is. */
function pathOfKey(value: unknown, name: string): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (Object.hasOwn(value, name)) return name;
  for (const [key, part] of Object.entries(value)) {
    const path = pathOfKey(part, name);
    if (path !== undefined) return `${key}.${path}`;
  }
  return undefined;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What is trained by what, in letters that suit a folder: `CartPole-v1-ppo`. */
function defaultName(config: RunConfig, agent: AgentDescription, family: Family): string {
  // Of ./my-env.ts:Mine-v0 the id.
  const env = config.env.slice(config.env.lastIndexOf(':') + 1);
  const parts = [env, agent.name, family.nameOf?.(config) ?? ''];
  return parts
    .map(slug)
    .filter((part) => part !== '')
    .join('-');
}

/** A text as part of a folder's name. The path of a file becomes the file's name. */
export function slug(text: string): string {
  return text
    .slice(0, 4096)
    .replace(/[\w.~-]*[\\/][^\s"']*/g, (path) => basename(path).replace(/\.m?[jt]s$/, ''))
    .replace(/[^\w.]+/g, '-')
    .replace(/^[-.]+|[-.]+$/g, '')
    .slice(0, 80);
}
