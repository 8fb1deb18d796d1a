import { type Command, Option } from 'commander';
import type { AgentDescription } from '../agents/define.js';
import type { PolicyKind } from '../agents/policy.js';
import { agentOptions, listAgents, loadAgent } from '../agents/registry.js';
import { GymError } from '../core/errors.js';
import { shownName } from '../core/shown.js';
import { parseYaml, type RunOptionInfo, runOptions, settingsOf } from '../training/config/index.js';
import { families, familyOf } from '../training/families/index.js';

const sections: Readonly<Record<string, string>> = {
  '': 'The run',
  prompts: 'Prompts',
  sampling: 'Sampling',
  adapter: 'Adapter',
  agent: 'Agent',
  policy: 'Policy',
  adaptation: 'Adaptation',
  evaluation: 'Evaluation',
};

/** `agent.learningRate` → `--agent.learning-rate`. */
export function flagOf(path: string): string {
  return `--${path.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;
}

/** `agent.learning-rate` → `agent.learningRate`. */
function pathOf(flag: string): string {
  return flag.replace(/-([a-z])/g, (_, c: string) => c.toUpperCase());
}

/** A default as people write it. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(shown).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  return `{${Object.entries(value)
    .map(([key, part]) => `${key}: ${shown(part)}`)
    .join(', ')}}`;
}

/** The heading under which an option of a run stands. */
export function sectionOf({ path, families: owners = [] }: RunOptionInfo): string {
  const section = sections[path.includes('.') ? path.split('.')[0]! : ''] ?? 'The run';
  const titles = families.filter(({ name }) => owners.includes(name)).map(({ title }) => title);
  return titles.length === 0 ? section : `${section} (${titles.join(', ')})`;
}

/** An option as one line: what it is, and its default. */
export function described({ description, default: value, defaults }: RunOptionInfo): string {
  if (defaults !== undefined) {
    const values = Object.entries(defaults).map(([family, own]) => `${shown(own)} for ${family}`);
    return `${description} (default ${values.join(', ')})`;
  }
  return value === undefined ? description : `${description} (default ${shown(value)})`;
}

/**
 * Adds the flags of a run. An option within a section has a dotted name, such as `--agent.learning-rate 1e-4`; which there
 * are depends on the agent, so those are declared only where help is asked for, and taken apart by {@link withSetFlags}.
 * @param help the arguments, where help is asked for: the agent and the environment that they name have their options shown.
 */
export async function addRunFlags(command: Command, help?: readonly string[]): Promise<Command> {
  const add = (info: RunOptionInfo, section: string) =>
    command.addOption(new Option(`${flagOf(info.path)} <value>`, described(info)).helpGroup(`${section}:`));
  const named = (flag: string, fallback: string) => {
    const at = help?.findIndex((argument) => argument === flag || argument.startsWith(`${flag}=`)) ?? -1;
    return at < 0 ? fallback : (help![at]!.split('=')[1] ?? help![at + 1] ?? fallback);
  };
  const env = named('--env', 'Denoising-v0');
  const agent = await loadAgent(named('--agent', 'ppo'));
  const settings = settingsOf(agent, env);
  /** With the default that it has in this environment. */
  const settled = (info: RunOptionInfo): RunOptionInfo => {
    const value = info.path
      .split('.')
      .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], settings);
    if (value === undefined) return info;
    const { defaults: _, ...rest } = info;
    return { ...rest, default: value };
  };
  for (const info of runOptions()) if (!info.path.includes('.')) add(settled(info), sectionOf(info));
  command.addOption(
    new Option('--agent <name>', 'the algorithm: a name, or the file of your own (default ppo)').helpGroup('Agent:'),
  );
  command.addOption(new Option('--set <path=value...>').hideHelp());
  if (help === undefined) return command;
  for (const info of runOptions())
    if (info.path.includes('.') && info.path !== 'agent.name') add(settled(info), sectionOf(info));
  const kind = familyOf(env).policyKind;
  for (const info of agentOptions(agent, kind))
    add(settled({ ...info, path: `agent.${info.path}` }), `Agent ${agent.name}, defaults for ${nameOfKind(kind)}`);
  command.addHelpText(
    'after',
    `\nThe agent's options are those of ${agent.name} on ${nameOfKind(kind)}${settings ? `, defaults its settings for ${env}` : ''}; --agent NAME --env ID --help shows others.`,
  );
  return command;
}

/** What a kind of policy is called. */
export function nameOfKind(kind: PolicyKind): string {
  return kind === 'denoising' ? 'a denoising policy' : 'a small network';
}

/** Turns `--section.option value` into `--set section.option=value`, whatever options there are. */
export function withSetFlags(argv: readonly string[]): string[] {
  const result: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const match = /^--([a-z][\w-]*(?:\.[\w-]+)+)(?:=(.*))?$/s.exec(argv[i]!);
    if (match === null) {
      result.push(argv[i]!);
      continue;
    }
    const value = match[2] ?? argv[++i];
    if (value === undefined) throw new GymError('E_CONFIG', `--${match[1]}: needs a value after it.`);
    result.push('--set', `${match[1]}=${value}`);
  }
  return result;
}

/** The flags that were given, by the option's path, as the types that the options take. */
export async function givenFlags(options: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>> {
  const texts = new Map<string, string>();
  for (const { path } of runOptions()) if (typeof options[path] === 'string') texts.set(path, options[path]);
  if (typeof options.agent === 'string') texts.set('agent', options.agent);
  for (const assignment of (options.set as readonly string[] | undefined) ?? []) {
    const at = assignment.indexOf('=');
    if (at < 1)
      throw new GymError(
        'E_CONFIG',
        `--set ${shownName(assignment)}: needs an option and its value, as in --set agent.learning-rate=1e-4.`,
      );
    texts.set(pathOf(assignment.slice(0, at)), assignment.slice(at + 1));
  }
  const name = texts.get('agent') ?? texts.get('agent.name');
  const agents: AgentDescription[] = name === undefined ? listAgents() : [await loadAgent(name)];
  const isText = new Set(['agent', 'agent.name']);
  for (const { path, type } of runOptions()) if (type === 'string') isText.add(path);
  for (const agent of agents)
    for (const kind of ['denoising', 'network'] as const)
      for (const { path, type } of agentOptions(agent, kind)) if (type === 'string') isText.add(`agent.${path}`);
  // What is text stays text: a run may be called 007.
  return Object.fromEntries(
    [...texts].map(([path, text]) => [path, isText.has(path) ? text : parseYaml(text, shownName(flagOf(path)))]),
  );
}
