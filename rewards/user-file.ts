import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import module, { createRequire } from 'node:module';
import { basename, dirname, extname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { GymError, messageOf, nearest } from '../core/errors.js';
import type { Reward } from '../core/reward.js';

const extensions = ['.ts', '.mts', '.js', '.mjs', '.cjs'];

/** Whether a text on the command line is the path of a reward's file and not a name or an expression. */
export function isRewardFile(text: string): boolean {
  if (!extensions.includes(extname(text)) || /["']/.test(text)) return false;
  return /^(\.{0,2}[\\/]|[A-Za-z]:[\\/]|file:)/.test(text) || !/[\s*+()]/.test(text) || existsSync(text);
}

/**
 * Loads a user's reward: a file whose default export is a function `score(batch)`, named after the file, or an object
 * `{ name?, score }`; either may be async. JavaScript and TypeScript; types in TypeScript are stripped, not checked.
 *
 * @param path relative to the working directory, absolute, or a file: URL.
 * @throws GymError E_FILE when the file is missing (with the nearest one beside it), has a syntax error (with its line),
 *   throws while it is loaded, or exports something else; or when it is TypeScript and nothing here can read that.
 */
export async function loadRewardFile(path: string): Promise<Reward> {
  const file = path.startsWith('file:') ? fileURLToPath(path) : resolve(path);
  const place = `reward ${path}`;
  if (!existsSync(file)) throw missing(place, file);
  let exported: unknown;
  try {
    exported = (await load(file, place)).default;
  } catch (error) {
    if (GymError.is(error)) throw error;
    throw new GymError('E_FILE', `${place}: cannot be loaded: ${await explain(error, file)}`, { cause: error });
  }
  return toReward(exported, place, basename(file, extname(file)));
}

function missing(place: string, file: string): GymError {
  const folder = dirname(file);
  if (!existsSync(folder)) return new GymError('E_FILE', `${place}: there is no folder ${folder}; check the path.`);
  const files = readdirSync(folder).filter((name) => extensions.includes(extname(name)));
  const guess = nearest(basename(file), files);
  const hint = guess ? `did you mean ${guess}?` : 'check the path.';
  return new GymError('E_FILE', `${place}: there is no such file in ${folder}; ${hint}`);
}

/** Checks a default export and gives it a name. */
function toReward(exported: unknown, place: string, name: string): Reward {
  // A CommonJS file compiled from `export default` has the function one level down.
  const value =
    typeof exported === 'object' && exported !== null && '__esModule' in exported && 'default' in exported
      ? exported.default
      : exported;
  const example = `write \`export default function ${name.replace(/\W+(\w?)/g, (_, c: string) => c.toUpperCase())}({ images, prompts }) { return prompts.map(() => 0); }\``;
  if (value === undefined) throw new GymError('E_FILE', `${place}: it has no default export; ${example}.`);
  if (typeof value === 'function') {
    if (/^class\b/.test(Function.prototype.toString.call(value)))
      throw new GymError(
        'E_FILE',
        `${place}: its default export is a class; export an object of it: \`export default new ...\`.`,
      );
    return { name, score: value as Reward['score'] };
  }
  const object = value as Partial<Reward> | null;
  if (typeof object !== 'object' || typeof object?.score !== 'function')
    throw new GymError(
      'E_FILE',
      `${place}: its default export is ${value === null ? 'null' : `a ${typeof value} without a function \`score\``}; ${example}, or export { name, score }.`,
    );
  if (object.name !== undefined && (typeof object.name !== 'string' || object.name === ''))
    throw new GymError(
      'E_FILE',
      `${place}: \`name\` is ${JSON.stringify(object.name)}; make it a text that is not empty.`,
    );
  return { name: object.name ?? name, score: (batch) => (object as Reward).score(batch) };
}

// ---------------------------------------------------------------------------------------------------- loading a file

/** Marks a user's TypeScript file and what it imports, so that the hooks touch nothing else. */
const marker = '?denoise-gym-reward';

async function load(file: string, place: string): Promise<{ default?: unknown }> {
  const url = pathToFileURL(file).href;
  if (!/\.m?ts$/.test(file)) return await import(url);
  if (registerHooks(file)) return await import(url + marker);
  try {
    // No compiler within reach, but Node itself (22.18 and later) or a loader (tsx, ts-node) may read TypeScript.
    return await import(url);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_UNKNOWN_FILE_EXTENSION') throw error;
    throw new GymError(
      'E_FILE',
      `${place}: Node ${process.versions.node} cannot read TypeScript by itself; run \`npm install --save-dev typescript\`, or use Node 22.18 or later, or write the file in JavaScript (.mjs).`,
      { cause: error },
    );
  }
}

let hooked = false;

/** Registers the hooks that compile TypeScript; false when there is no TypeScript with a JavaScript interface. */
function registerHooks(file: string): boolean {
  if (hooked) return true;
  const compiler = findCompiler(file);
  if (!compiler) return false;
  // The hooks lie beside this file, compiled (.js) or not (.ts) as this file is.
  module.register(`./typescript-hooks${extname(new URL(import.meta.url).pathname)}`, {
    parentURL: import.meta.url,
    data: { compiler, marker },
  });
  // Stacks then name the lines that the user wrote.
  process.setSourceMapsEnabled(true);
  hooked = true;
  return true;
}

/** The TypeScript package of the user's project, else of this one. */
function findCompiler(file: string): string | undefined {
  for (const from of [file, import.meta.url]) {
    try {
      const require = createRequire(from);
      const path = require.resolve('typescript');
      // TypeScript 7 has no JavaScript interface.
      if (typeof (require(path) as { transpileModule?: unknown }).transpileModule === 'function') return path;
    } catch {
      // Not installed there: the next place.
    }
  }
  return undefined;
}

/** What went wrong while a file was loaded, with file and line. */
async function explain(error: unknown, file: string): Promise<string> {
  const message = messageOf(error);
  if (message.includes(basename(file))) return message;
  if (!(error instanceof SyntaxError)) {
    const frames = error instanceof Error ? (error.stack ?? '').split('\n').slice(1) : [];
    const url = pathToFileURL(file).href;
    const frame = frames.find((f) => f.includes(file) || f.includes(url));
    return frame ? `${message} (${frame.trim()})` : message;
  }
  // A caught SyntaxError does not know its line; Node prints it when it only checks the file.
  const checked = await promisify(execFile)(process.execPath, ['--check', file]).then(
    () => undefined,
    (failed: { stderr?: string }) => failed.stderr,
  );
  const line = checked?.split('\n').find((l) => l.includes(basename(file)));
  return line ? `${message} (${line.trim()})` : message;
}
