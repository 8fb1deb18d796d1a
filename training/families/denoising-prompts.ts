import * as z from 'zod';
import { GymError, messageOf } from '../../core/errors.js';
import { Random } from '../../core/random.js';
import type { Denoiser } from '../../diffusion/index.js';
import type { ListedPrompt, PromptSource } from '../../envs/denoising/prompts.js';

const count = z.int().min(1);
const text = z.string().min(1).max(4096);
const kinds = z.enum(['color', 'count', 'composition', 'location']);

/** Where prompts come from. */
export const promptsOption = z
  .strictObject({
    kind: z
      .enum(['shapes', 'list', 'file'])
      .default('shapes')
      .describe('captions of the world of shapes, a list given here, or a file'),
    kinds: z.array(kinds).min(1).default(kinds.options).describe('shapes: which kinds of captions'),
    list: z.array(z.string()).min(1).optional().describe('list: the prompts'),
    path: text
      .optional()
      .describe('file: a text file with a prompt a line, or .jsonl, .csv or .json with metadata, too'),
    limit: count.optional().describe('only so many of the prompts, drawn once by the seed'),
    truncation: z
      .boolean()
      .default(false)
      .describe('whether prompts that are too long for the text encoder are cut, as ddpo-pytorch does, or an error'),
    order: z.enum(['random', 'sequential']).default('random').describe('how episodes take prompts from the list'),
  })
  .prefault({});

type PromptsConfig = z.output<typeof promptsOption>;

/** The prompts that a configuration asks for. */
export async function makePrompts(config: PromptsConfig, seed: number): Promise<PromptSource> {
  const [{ promptGenerator, promptList }, { readPrompts }, { shapesPrompts }] = await Promise.all([
    import('../../envs/denoising/prompts.js'),
    import('../../envs/denoising/prompt-files.js'),
    import('../../rewards/index.js'),
  ]);
  const { kind, list, path, limit, order } = config;
  if (kind === 'file') return promptList(limited(await readPrompts(path!), limit, seed), { order });
  if (kind === 'list') {
    const listed = list!.map((prompt, i): ListedPrompt => ({ prompt, where: `prompts.list[${i}]` }));
    return promptList(limited(listed, limit, seed), { order });
  }
  const captions = captionsOf(config, seed, shapesPrompts);
  const source = promptGenerator((episode, random) => {
    const turn = captions[order === 'sequential' ? episode % captions.length : random.integer(captions.length)]!;
    return order === 'sequential'
      ? turn[Math.floor(episode / captions.length) % turn.length]!
      : turn[random.integer(turn.length)]!;
  });
  return { ...source, listed: captions.flat().map((prompt) => ({ prompt, where: 'prompts.kind shapes' })) };
}

/** How many unknown words a warning names. */
const namedWords = 10;

/**
 * Looks at the prompts of a run before it begins.
 * @param prompts those that are known before; of others each is looked at when it is drawn.
 * @param warn is told of words that the model does not know.
 * @throws GymError E_VALUE for a prompt that is too long for the text encoder, or names none of the model's classes.
 */
export async function checkPrompts(
  denoiser: Pick<Denoiser, 'unet' | 'textEncoder' | 'tokenizer'>,
  prompts: readonly ListedPrompt[],
  { truncation, warn }: { readonly truncation: boolean; readonly warn?: ((message: string) => void) | undefined },
): Promise<void> {
  const { classOf, conditionOf } = await import('../../diffusion/index.js');
  const condition = conditionOf(denoiser);
  const { tokenizer } = denoiser;
  const unknown = new Map<string, string>();
  for (const { prompt, where } of prompts) {
    try {
      if (condition === 'class') classOf(prompt, denoiser.unet.config.num_class_embeds!);
      tokenizer?.encode(prompt, { truncation });
    } catch (error) {
      throw new GymError('E_VALUE', `${where}: ${messageOf(error)}`, { cause: error });
    }
    for (const word of tokenizer?.unknownWords(prompt) ?? []) if (!unknown.has(word)) unknown.set(word, where);
  }
  if (unknown.size === 0) return;
  const words = Array.from(unknown, ([word, where]) => `"${word}" (${where})`);
  const more = words.length > namedWords ? ` and ${words.length - namedWords} more` : '';
  warn?.(
    `the model does not know the words ${words.slice(0, namedWords).join(', ')}${more}: what of them it cannot spell ends the prompt for it. Say it in words that it was trained on.`,
  );
}

/** The captions of shapes that training draws from, by kind: each kind as often as another, however many captions it has. */
export function captionsOf(
  { kinds, limit }: PromptsConfig,
  seed: number,
  all: (kind: (typeof kinds)[number]) => readonly string[],
): (readonly string[])[] {
  const share = (i: number) => limit && Math.floor(limit / kinds.length) + (i < limit % kinds.length ? 1 : 0);
  return kinds.map((kind, i) => limited(all(kind), share(i), seed)).filter((captions) => captions.length > 0);
}

function limited<T>(list: readonly T[], limit: number | undefined, seed: number): readonly T[] {
  if (limit === undefined || limit >= list.length) return list;
  const order = new Random(seed).child('prompts').permutation(list.length);
  return Array.from(order.subarray(0, limit), (i) => list[i]!);
}
