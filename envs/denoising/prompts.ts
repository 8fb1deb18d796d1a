import { GymError, messageOf } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import { isTooDeep, mostLevels } from '../../core/json.js';
import type { Random } from '../../core/random.js';
import { shownJson } from '../../core/shown.js';

/** A prompt, and further facts that a reward may need to judge its image. */
export interface Prompt {
  readonly prompt: string;
  readonly metadata?: unknown;
}

/**
 * Where prompts come from. What `at` returns must depend on its arguments alone, so that an episode has the same prompt
 * whichever process computes it.
 */
export interface PromptSource {
  /**
   * The prompt of an episode.
   * @param episode its number in the whole training, from 0.
   * @param random a stream of random numbers that is this episode's own.
   */
  at(episode: number, random: Random): Prompt;
}

/** How a list is used: `random` draws a prompt for each episode; `sequential` takes them in order, again and again. */
export type PromptOrder = 'random' | 'sequential';

/** The number of characters of the longest prompt that is accepted. */
export const maxPromptLength = 4096;

function checkPrompt(where: string, value: unknown): Prompt {
  const entry = typeof value === 'string' ? { prompt: value } : value;
  const prompt = typeof entry === 'object' && entry !== null ? (entry as { prompt?: unknown }).prompt : undefined;
  if (typeof prompt !== 'string')
    throw new GymError(
      'E_VALUE',
      `${where}: must be a string or { prompt, metadata }, actual value ${shownJson(value)}.`,
    );
  if (prompt.length > maxPromptLength)
    throw new GymError(
      'E_VALUE',
      `${where}: the prompt has ${prompt.length} characters, at most ${maxPromptLength} are taken; shorten it.`,
    );
  return entry as Prompt;
}

/**
 * Prompts from a list of strings or `{ prompt, metadata }`.
 * @throws GymError E_VALUE when the list is empty or an entry is something else.
 */
export function promptList(
  list: readonly (string | Prompt)[],
  { order = 'random' }: { order?: PromptOrder | undefined } = {},
): PromptSource {
  if (list.length === 0) throw new GymError('E_VALUE', 'prompts: the list is empty; name at least one prompt.');
  if (order !== 'random' && order !== 'sequential')
    throw new GymError('E_VALUE', `prompts: order must be 'random' or 'sequential', actual value ${shownJson(order)}.`);
  const prompts = list.map((entry, i) => checkPrompt(`prompts[${i}]`, entry));
  return {
    at: (episode, random) => (order === 'random' ? random.choice(prompts) : prompts[episode % prompts.length]!),
  };
}

/** The line in which JSON is wrong, if the error says at which position. */
function lineOf(text: string, error: unknown): number {
  const position = /position (\d+)/.exec(messageOf(error));
  return text.slice(0, position ? Number(position[1]) : text.length).split('\n').length;
}

/**
 * Prompts from a file. A text file has a prompt in each line; empty lines and lines that begin with # are skipped. A
 * file whose name ends in `.json` is a list of strings or of `{ prompt, metadata }`.
 * @throws GymError E_FILE that names the file and the line.
 */
export async function promptFile(
  path: string,
  options: { order?: PromptOrder | undefined } = {},
): Promise<PromptSource> {
  return promptList(await readPrompts(path), options);
}

/** The prompts in a file of the form that {@link promptFile} takes. There is at least one. @throws GymError E_FILE. */
export async function readPrompts(path: string): Promise<(string | Prompt)[]> {
  const text = (await readText(path)).replace(/^\uFEFF/, '');
  const list: (string | Prompt)[] = [];
  const add = (where: string, value: unknown) => {
    try {
      list.push(checkPrompt(where, value));
    } catch (error) {
      throw new GymError('E_FILE', messageOf(error), { cause: error });
    }
  };
  if (path.toLowerCase().endsWith('.json')) {
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch (error) {
      throw new GymError('E_FILE', `${path}:${lineOf(text, error)}: not valid JSON (${messageOf(error)}).`, {
        cause: error,
      });
    }
    if (isTooDeep(parsed))
      throw new GymError('E_FILE', `${path}: lists and objects are nested by more than ${mostLevels} levels.`);
    if (!Array.isArray(parsed))
      throw new GymError('E_FILE', `${path}: must be a list of prompts, actual value is ${typeof parsed}.`);
    parsed.forEach((entry, i) => {
      add(`${path}: entry ${i}`, entry);
    });
  } else {
    text.split(/\r?\n/).forEach((raw, i) => {
      const line = raw.trim();
      if (line === '' || line.startsWith('#')) return;
      if (/[\0\uFFFD]/.test(line))
        throw new GymError('E_FILE', `${path}:${i + 1}: this is not UTF-8 text; save the file as UTF-8.`);
      add(`${path}:${i + 1}`, line);
    });
  }
  if (list.length === 0) throw new GymError('E_FILE', `${path}: no prompts in it; write one a line.`);
  return list;
}

/**
 * Prompts that are made by a function of the episode's number and a stream of random numbers of its own. The function
 * must use no other randomness. What it returns is checked at each call.
 */
export function promptGenerator(make: (episode: number, random: Random) => string | Prompt): PromptSource {
  return { at: (episode, random) => checkPrompt(`prompt generator, episode ${episode}`, make(episode, random)) };
}
