import { GymError } from '../../core/errors.js';
import type { Random } from '../../core/random.js';
import { shownJson } from '../../core/shown.js';

/** A prompt, and further facts that a reward may need to judge its image. */
export interface Prompt {
  readonly prompt: string;
  readonly metadata?: unknown;
}

/** A prompt of a list or file. */
export interface ListedPrompt extends Prompt {
  /** Where it stands, which errors name: `prompts.txt:3`. */
  readonly where: string;
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
  /** All prompts that it gives, where they are known before, so that a run can look at them before it begins. */
  readonly listed?: readonly ListedPrompt[];
}

/** How a list is used: `random` draws a prompt for each episode; `sequential` takes them in order, again and again. */
export type PromptOrder = 'random' | 'sequential';

/** The number of characters of the longest prompt that is accepted. */
export const maxPromptLength = 4096;

/** @throws GymError E_VALUE that names the place where there is no prompt, or one too long */
export function checkPrompt(where: string, value: unknown): Prompt {
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
 * Prompts from a list of strings or `{ prompt, metadata }`, or from what `readPrompts` gives.
 * @throws GymError E_VALUE when the list is empty or an entry is something else.
 */
export function promptList(
  list: readonly (string | Prompt | ListedPrompt)[],
  { order = 'random' }: { order?: PromptOrder | undefined } = {},
): PromptSource {
  if (list.length === 0) throw new GymError('E_VALUE', 'prompts: the list is empty; name at least one prompt.');
  if (order !== 'random' && order !== 'sequential')
    throw new GymError('E_VALUE', `prompts: order must be 'random' or 'sequential', actual value ${shownJson(order)}.`);
  const listed = list.map((entry, i): ListedPrompt => {
    const place = typeof entry === 'object' && 'where' in entry ? entry.where : `prompts[${i}]`;
    const { prompt, metadata } = checkPrompt(place, entry);
    return { prompt, ...(metadata !== undefined && { metadata }), where: place };
  });
  const prompts = listed.map(({ where: _, ...prompt }): Prompt => prompt);
  return {
    at: (episode, random) => (order === 'random' ? random.choice(prompts) : prompts[episode % prompts.length]!),
    listed,
  };
}

/**
 * Prompts that are made by a function of the episode's number and a stream of random numbers of its own. The function
 * must use no other randomness. What it returns is checked at each call.
 */
export function promptGenerator(make: (episode: number, random: Random) => string | Prompt): PromptSource {
  return { at: (episode, random) => checkPrompt(`prompt generator, episode ${episode}`, make(episode, random)) };
}
