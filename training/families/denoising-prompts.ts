import * as z from 'zod';
import { Random } from '../../core/random.js';
import type { PromptSource } from '../../envs/denoising/prompts.js';

const count = z.int().min(1);
const text = z.string().min(1).max(4096);
const kinds = z.enum(['color', 'count', 'composition', 'location']);

/** Where prompts come from. */
export const promptsOption = z
  .strictObject({
    kind: z
      .enum(['shapes', 'list', 'file'])
      .default('shapes')
      .describe('captions of the world of shapes, a list given here, or the lines of a text file'),
    kinds: z.array(kinds).min(1).default(kinds.options).describe('shapes: which kinds of captions'),
    list: z.array(z.string()).min(1).optional().describe('list: the prompts'),
    path: text.optional().describe('file: the text file, one prompt a line'),
    limit: count.optional().describe('only so many of the prompts, drawn once by the seed'),
    order: z.enum(['random', 'sequential']).default('random').describe('how episodes take prompts from the list'),
  })
  .prefault({});

type PromptsConfig = z.output<typeof promptsOption>;

/** The prompts that a configuration asks for. */
export async function makePrompts(config: PromptsConfig, seed: number): Promise<PromptSource> {
  const [{ promptGenerator, promptList, readPrompts }, { shapesPrompts }] = await Promise.all([
    import('../../envs/denoising/prompts.js'),
    import('../../rewards/index.js'),
  ]);
  const { kind, list, path, limit, order } = config;
  if (kind === 'file') return promptList(limited(await readPrompts(path!), limit, seed), { order });
  if (kind === 'list') return promptList(limited(list!, limit, seed), { order });
  const captions = captionsOf(config, seed, shapesPrompts);
  return promptGenerator((episode, random) => {
    const turn = captions[order === 'sequential' ? episode % captions.length : random.integer(captions.length)]!;
    return order === 'sequential'
      ? turn[Math.floor(episode / captions.length) % turn.length]!
      : turn[random.integer(turn.length)]!;
  });
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
