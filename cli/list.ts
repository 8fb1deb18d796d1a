import type { Settings } from '../agents/define.js';
import type { PolicyKind } from '../agents/policy.js';
import { agentOptions, listAgents } from '../agents/registry.js';
import { unknownName } from '../core/errors.js';
import { optionsOf } from '../core/schema.js';
import { listEnvironments } from '../envs/registry.js';
import { listRewardKinds, listRewards } from '../rewards/index.js';
import { runOptions } from '../training/config/index.js';
import { listWrappers } from '../training/wrappers/index.js';
import { described, flagOf, nameOfKind, sectionOf, shown } from './flags.js';
import { table } from './table.js';

/** Something to list: its name, a line about it, and lines that belong to it. */
interface Entry {
  readonly name: string;
  readonly summary: string;
  readonly details?: readonly Entry[];
}

const kinds: readonly PolicyKind[] = ['denoising', 'network'];

function agentEntries(): Entry[] {
  return listAgents().map(({ name, aliases = [], summary = '', paper }) => ({
    name: [name, ...aliases].join(', '),
    summary: paper === undefined ? summary : `${summary} (${paper})`,
  }));
}

/** Options of runs by their sections, then those of each agent with its defaults on each kind of policy. */
function optionGroups(): Map<string, Entry[]> {
  const groups = new Map<string, Entry[]>();
  const add = (group: string, entry: Entry) => groups.set(group, [...(groups.get(group) ?? []), entry]);
  for (const info of runOptions())
    add(sectionOf(info), { name: flagOf(info.path), summary: `${described(info)} [${info.type}]` });
  for (const agent of listAgents())
    for (const kind of kinds)
      if (agent.defaults?.[kind] !== undefined)
        for (const info of agentOptions(agent, kind))
          add(`Agent ${agent.name} on ${nameOfKind(kind)}`, {
            name: flagOf(`agent.${info.path}`),
            summary: `${described(info)} [${info.type}]`,
          });
  return groups;
}

/** The settings of each agent, by environment. */
function settings(): Map<string, Record<string, Settings>> {
  const result = new Map<string, Record<string, Settings>>();
  for (const agent of listAgents())
    for (const [env, own] of Object.entries(agent.settings ?? {}))
      result.set(env, { ...result.get(env), [agent.name]: own });
  return result;
}

/** Settings as flags: what to write to get them without asking. */
function flatText(own: Settings, prefix = ''): string {
  return Object.entries(own)
    .map(([key, value]) => {
      const path = `${prefix}${key}`;
      const isSection = ['agent', 'policy'].includes(path);
      return isSection ? flatText(value as Settings, `${path}.`) : `${flagOf(path)} ${quoted(shown(value))}`;
    })
    .join(' ');
}

/** A value as a shell takes it. */
function quoted(text: string): string {
  return /^[\w.-]+$/.test(text) ? text : `'${text}'`;
}

const lists = new Map<string, { entries(): Entry[]; json(): unknown }>([
  [
    'environments',
    {
      entries: () =>
        listEnvironments().map(({ name, summary, options }) => ({
          name,
          summary,
          details: Object.entries(options).map(([option, about]) => ({ name: option, summary: about })),
        })),
      json: () => listEnvironments(),
    },
  ],
  [
    'agents',
    {
      entries: agentEntries,
      json: () =>
        listAgents().map((agent) => ({
          name: agent.name,
          aliases: agent.aliases ?? [],
          summary: agent.summary ?? '',
          paper: agent.paper,
          options: Object.fromEntries(
            kinds.flatMap((kind) => (agent.defaults?.[kind] ? [[kind, agentOptions(agent, kind)]] : [])),
          ),
          metrics: agent.metrics ?? {},
        })),
    },
  ],
  [
    'settings',
    {
      entries: () =>
        [...settings()].map(([env, agents]) => ({
          name: env,
          summary: '',
          details: Object.entries(agents).map(([agent, own]) => ({ name: agent, summary: flatText(own) })),
        })),
      json: () => Object.fromEntries(settings()),
    },
  ],
  [
    'rewards',
    {
      entries: () => [
        ...listRewards(),
        ...listRewardKinds().map(({ name, summary, needs, options }) => ({
          name: `${name} ...`,
          summary: `${summary}; --rewards.NAME.kind ${name}`,
          details: [
            { name: 'needs', summary: needs },
            ...options.map((info) => ({ name: info.path, summary: `${described(info)} [${info.type}]` })),
          ],
        })),
      ],
      json: () => [...listRewards(), ...listRewardKinds()],
    },
  ],
  [
    'wrappers',
    {
      entries: () =>
        listWrappers().map(({ name, summary, options }) => ({
          name,
          summary,
          details: optionsOf(options).map((info) => ({
            name: info.path,
            summary: `${described(info)} [${info.type}]`,
          })),
        })),
      json: () =>
        listWrappers().map(({ name, summary, options, short }) => ({
          name,
          summary,
          ...(short !== undefined && { short }),
          options: optionsOf(options),
        })),
    },
  ],
  [
    'options',
    {
      entries: () => [...optionGroups()].map(([name, details]) => ({ name, summary: '', details })),
      json: () => runOptions().map((info) => ({ flag: flagOf(info.path), section: sectionOf(info), ...info })),
    },
  ],
]);

export function listCommand(what: string | undefined, { json }: { json?: boolean }): void {
  if (what !== undefined && !lists.has(what)) throw unknownName('list', 'list', what, lists.keys());
  const names = what === undefined ? [...lists.keys()] : [what];
  if (json) {
    process.stdout.write(
      `${JSON.stringify(Object.fromEntries(names.map((name) => [name, lists.get(name)!.json()])))}\n`,
    );
    return;
  }
  const parts = names.map((name) => {
    const entries = lists.get(name)!.entries();
    const width = Math.max(...entries.map((e) => e.name.length));
    const lines = entries.map((entry) => {
      const head = entry.summary === '' ? entry.name : `${entry.name.padEnd(width)}  ${entry.summary}`;
      const { details = [] } = entry;
      return details.length === 0 ? head : `${head}\n${indent(table(details.map((d) => [d.name, d.summary])))}`;
    });
    return names.length === 1 ? lines.join('\n') : `${name}\n${indent(lines.join('\n'))}`;
  });
  process.stdout.write(`${parts.join('\n\n')}\n`);
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}
