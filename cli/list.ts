import { agentNames } from '../agents/index.js';
import { unknownName } from '../core/errors.js';
import { listEnvironments } from '../envs/registry.js';
import { listRewards } from '../rewards/index.js';
import { runOptions } from '../training/config.js';
import { flagOf, sectionOf, shown } from './flags.js';
import { table } from './table.js';

interface Line {
  readonly name: string;
  readonly summary: string;
}

const lists: Readonly<Record<string, () => Line[]>> = {
  environments: () => listEnvironments(),
  agents: () =>
    agentNames().map(({ name, aliases, summary, paper }) => ({
      name: [name, ...aliases].join(', '),
      summary: `${summary} (${paper})`,
    })),
  rewards: () => listRewards(),
  options: () =>
    runOptions().map((info) => ({
      name: flagOf(info.path),
      summary: `${info.description} [${info.type}]${info.default === undefined ? '' : ` (default ${shown(info.default)})`}`,
    })),
};

export function listCommand(what: string | undefined, { json }: { json?: boolean }): void {
  if (what !== undefined && !(what in lists)) throw unknownName('list', 'list', what, Object.keys(lists));
  const names = what === undefined ? Object.keys(lists) : [what];
  if (json) {
    process.stdout.write(
      `${JSON.stringify(
        Object.fromEntries(
          names.map((name) => [
            name,
            name === 'options'
              ? runOptions().map((info) => ({ flag: flagOf(info.path), section: sectionOf(info), ...info }))
              : lists[name]!(),
          ]),
        ),
      )}\n`,
    );
    return;
  }
  const width = Math.max(...names.flatMap((name) => lists[name]!().map((line) => line.name.length)));
  const parts = names.map((name) => {
    const lines = table(lists[name]!().map((line) => [line.name.padEnd(width), line.summary]));
    return names.length === 1 ? lines : `${name}\n${lines.replace(/^/gm, '  ')}`;
  });
  process.stdout.write(`${parts.join('\n\n')}\n`);
}
