import { existsSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { GymError } from '../core/errors.js';
import type { Reward } from '../core/reward.js';
import { shownJson } from '../core/shown.js';
import { importUserModule, isModulePath } from '../core/user-module.js';

/** Whether a text on the command line is the path of a reward's file and not a name or an expression. */
export function isRewardFile(text: string): boolean {
  return isModulePath(text) && (!/[*+()"']|\s[-/]\s/.test(text) || existsSync(text));
}

/**
 * Loads a user's reward: a file whose default export is a function `score(batch)`, named after the file, or an object
 * `{ name?, score }`; either may be async. What kinds of files there are says {@link importUserModule}.
 *
 * @param path relative to the working directory, or absolute.
 * @throws GymError E_FILE when the file cannot be loaded, or exports something else; E_NAME when a URL is given.
 */
export async function loadRewardFile(path: string): Promise<Reward> {
  const { default: exported } = await importUserModule(path, 'reward');
  return toReward(exported, `reward ${path}`, basename(path, extname(path)));
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
    throw new GymError('E_FILE', `${place}: \`name\` is ${shownJson(object.name)}; make it a text that is not empty.`);
  return { name: object.name ?? name, score: (batch) => (object as Reward).score(batch) };
}
