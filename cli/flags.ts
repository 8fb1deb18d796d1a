import { type Command, Option } from 'commander';
import { type OptionInfo, parseYaml, runOptions } from '../training/config.js';

const sections: Readonly<Record<string, string>> = {
  '': 'The run',
  prompts: 'Prompts',
  sampling: 'Sampling',
  agent: 'Agent',
  policy: 'Policy (environments without a denoiser)',
  evaluation: 'Evaluation',
};

/** `agent.learningRate` → `--agent.learning-rate`. */
export function flagOf(path: string): string {
  return `--${path.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;
}

/** A default as people write it. */
export function shown(value: unknown): string {
  return Array.isArray(value)
    ? `[${value.join(', ')}]`
    : typeof value === 'object'
      ? JSON.stringify(value)
      : String(value);
}

/** The heading under which an option stands. */
export function sectionOf({ path }: OptionInfo): string {
  return sections[path.includes('.') ? path.split('.')[0]! : ''] ?? 'Other';
}

function parseValue(info: OptionInfo, text: string): unknown {
  // What is text stays text: a run may be called 007.
  return info.type === 'string' ? text : parseYaml(text, flagOf(info.path));
}

/** Adds a flag for every option of a run. */
export function addRunFlags(command: Command): Command {
  command.addOption(new Option('--agent <name>', 'short for --agent.name').helpGroup('Agent:'));
  for (const info of runOptions()) {
    const fallback = info.default === undefined ? '' : ` (default ${shown(info.default)})`;
    command.addOption(
      new Option(`${flagOf(info.path)} <value>`, `${info.description}${fallback}`)
        .argParser((text: string) => parseValue(info, text))
        .helpGroup(`${sectionOf(info)}:`),
    );
  }
  return command;
}

/** The flags that were given, by the option's path. */
export function givenFlags(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const known = new Set(['agent', ...runOptions().map((option) => option.path)]);
  return Object.fromEntries(Object.entries(options).filter(([path, value]) => known.has(path) && value !== undefined));
}
