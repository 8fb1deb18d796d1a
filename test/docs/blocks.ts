import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

// Reads the code blocks of a page of documentation, and what the page says about running them.
//
// A comment right before a block, which readers do not see, changes how it is run:
//
//   <!-- test: skip <reason> -->           it is not run
//   <!-- test: --epochs 1 -->              these flags are added to each of its commands, so that they end soon
//   <!-- test: train --epochs 1 -->        the same for its commands `train` alone; there may be one for each command
//   <!-- test: replace `20` by `1` -->     this is replaced in a program before it is run
//   <!-- test: before ... -->              a program (of several lines, maybe) that the block needs and does not show
//   <!-- test: continue -->                a program that goes on where the one before it on the page ended

/** A fenced block of code. */
export interface Block {
  /** The page and the line of the fence: `docs/envs.md:12`. */
  readonly place: string;
  readonly language: string;
  readonly text: string;
  /** What the comments before it say after `test:`. */
  readonly markers: readonly string[];
}

/** A program, or a file of the user's own. */
export interface Program {
  readonly place: string;
  /** `my-reward.ts` for a file that the page names in its first line; else a name of its own, such as `block-12.ts`. */
  readonly file: string;
  /** Whether it is a file of the user's own, which commands name. */
  readonly named: boolean;
  readonly source: string;
}

/** A call of the command line. */
export interface Command {
  readonly place: string;
  /** What follows `npm run --silent cli --`. */
  readonly args: string;
  /** What is added to it in a test. */
  readonly added: string;
  /** Whether it names a file of the user's own. */
  readonly ownFile: boolean;
}

export interface Page {
  readonly name: string;
  readonly programs: readonly Program[];
  readonly commands: readonly Command[];
  /** Configurations as files, each with the command that trains by it. */
  readonly configs: readonly { readonly file: string; readonly source: string; readonly command: Command }[];
}

/** Commands that set the project up, or take long: the rest of the tests is about these. */
const exempt = /^(npm install( --save-dev)?|npm test|npm run (quickstart|native|check|bench)|npx vitest|npx tsx)\b/;

/** How the pages write the command line. */
const commandLine = /^(npm run --silent cli --|npx denoise-gym)(?= |$)/;

export const pageNames = [
  'README.md',
  ...readdirSync('docs')
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];

/** The fenced blocks of a page. */
export function blocksOf(name: string, text: string): Block[] {
  const blocks: Block[] = [];
  const fence = /((?:<!--(?:(?!-->)[\s\S])*-->\s*?\n)*)^( *)```(\w*)\n([\s\S]*?)^ *```$/gm;
  for (const match of text.matchAll(fence)) {
    const [, comments, indent, language, body] = match as unknown as [string, string, string, string, string];
    const line = text.slice(0, match.index + comments.length).split('\n').length;
    const markers = [...comments.matchAll(/<!-- test: ((?:(?!-->)[\s\S])*?)\s*-->/g)].map(([, marker]) => marker!);
    blocks.push({
      place: `${name}:${line}`,
      language,
      text: body.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
      markers,
    });
  }
  return blocks;
}

/** A line of a shell without its comment. */
function withoutComment(line: string): string {
  return /^(?:[^#'"]|"[^"]*"|'[^']*'|(?<=\S)#)*/.exec(line)![0].trim();
}

/** What there is to run on a page. @throws Error on a command, a marker or a language that this does not know. */
export function readPage(name: string, text = readFileSync(name, 'utf8')): Page {
  const programs: Program[] = [];
  const commands: Omit<Command, 'ownFile'>[] = [];
  const configs: { file: string; source: string; command: Omit<Command, 'ownFile'> }[] = [];
  for (const { place, language, text: body, markers } of blocksOf(name, text)) {
    if (markers.some((marker) => /^skip \S/.test(marker))) continue;
    const line = place.split(':').at(-1)!;
    const unknown = (marker: string) => new Error(`${place}: what is \`test: ${marker}\`? See test/docs/blocks.ts.`);
    if (language === 'ts' || language === 'js') {
      const named = /^\/\/ ([\w-]+\.m?[jt]s)$/m.exec(body.split('\n')[0]!)?.[1];
      const suffix = /from 'vitest'/.test(body) ? `test.${language}` : language;
      let program: Program = {
        place,
        file: named ?? `block-${line}.${suffix}`,
        named: named !== undefined,
        source: body,
      };
      for (const marker of markers) {
        const [, from, to] = /^replace `(.*)` by `(.*)`$/.exec(marker) ?? [];
        if (marker === 'continue') {
          const before = programs.pop();
          if (before === undefined) throw new Error(`${place}: there is no program that it could continue.`);
          program = { ...before, source: `${before.source}\n${program.source}` };
        } else if (from !== undefined) {
          if (!program.source.includes(from)) throw new Error(`${place}: there is no \`${from}\` to replace.`);
          program = { ...program, source: program.source.replaceAll(from, to!) };
        } else if (marker.startsWith('before ') || marker.startsWith('before\n')) {
          program = { ...program, source: `${marker.slice('before'.length).trim()}\n${program.source}` };
        } else throw unknown(marker);
      }
      programs.push(program);
    } else if (language === 'sh' || language === 'yaml') {
      for (const marker of markers) if (!/^(\w+ )?--/.test(marker)) throw unknown(marker);
      const added = (command: string) =>
        markers
          .filter((marker) => marker.startsWith('--') || marker.startsWith(`${command} `))
          .map((marker) => marker.slice(marker.indexOf('--')))
          .join(' ');
      if (language === 'yaml') {
        const file = `block-${line}.yaml`;
        configs.push({ file, source: body, command: { place, args: `train ${file}`, added: added('train') } });
        continue;
      }
      for (const commandText of body
        .replaceAll(/\\\n\s*/g, '')
        .split('\n')
        .map(withoutComment)) {
        if (commandText === '' || exempt.test(commandText)) continue;
        if (!commandLine.test(commandText))
          throw new Error(
            `${place}: \`${commandText}\` is no call of the command line; exempt it in test/docs/blocks.ts.`,
          );
        const args = commandText.replace(commandLine, '').trim();
        commands.push({ place, args, added: added(args.split(' ')[0]!) });
      }
    } else if (!['', 'text', 'json', 'python'].includes(language)) {
      throw new Error(`${place}: test/docs/blocks.ts does not say how to run ${language}.`);
    }
  }
  const own = programs.filter(({ named }) => named).map(({ file }) => file);
  return {
    name,
    programs,
    commands: commands.map((command) => ({
      ...command,
      ownFile: own.some((file) => command.args.includes(`./${file}`)),
    })),
    configs: configs.map((config) => ({ ...config, command: { ...config.command, ownFile: false } })),
  };
}
