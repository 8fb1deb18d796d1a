import { type BackendName, useBackend } from '../backend/index.js';
import { Random } from '../core/random.js';
import { mean, standardDeviation } from '../core/statistics.js';
import { loadBertScorer, shapesPrompts } from '../rewards/index.js';
import { colours, kinds, shapes, sides } from '../rewards/shapes/world.js';
import { print } from './print.js';

export interface BertScoreOptions {
  encoder: string;
  layer?: number;
  prompts: number;
  seed: number;
  backend?: BackendName;
  json?: boolean;
}

/** One word of a prompt replaced by another of its kind: of colours, shapes, counts or sides. */
function oneWordWrong(prompt: string, random: Random): string {
  const numbers = ['one', 'two', 'three', 'four'];
  const groups: readonly (readonly string[])[] = [colours, shapes, shapes.map((shape) => `${shape}s`), numbers, sides];
  const words = prompt.split(' ');
  const places = [...words.keys()].filter((i) => groups.some((group) => group.includes(words[i]!)));
  const place = random.choice(places);
  const others = groups.find((group) => group.includes(words[place]!))!.filter((word) => word !== words[place]);
  words[place] = random.choice(others);
  return words.join(' ');
}

/** What descriptions of a picture a judge may give for a prompt, from right to nonsense. */
const descriptions: Readonly<Record<string, (prompt: string, random: Random) => string>> = {
  'the prompt itself': (prompt) => prompt,
  'right, in other words': (prompt) => `This is a simple drawing of ${prompt} on a black background.`,
  'one word wrong': oneWordWrong,
  'another prompt': (prompt, random) => {
    const all = kinds.flatMap((kind) => shapesPrompts(kind)).filter((other) => other !== prompt);
    return random.choice(all);
  },
  'of noise': () => 'The image is a blurry pattern of colorful noise without any recognizable object.',
  'no answer': () => "I'm sorry, but I cannot tell what is in this picture.",
};

/**
 * What DDPO's reward says of descriptions that are right, wrong, or of noise: BERTScore of the reference "The image contains
 * {prompt}", and how often the right description in other words has the higher recall.
 */
export async function bertScore({ encoder, layer, prompts, seed, backend, json }: BertScoreOptions): Promise<void> {
  const info = await useBackend(backend);
  const scorer = await loadBertScorer(encoder, { layer });
  const random = new Random(seed);
  const all = kinds.flatMap((kind) => shapesPrompts(kind));
  const asked = Array.from({ length: prompts }, () => random.choice(all));
  const references = asked.map((prompt) => `The image contains ${prompt}`);
  const scored = new Map<string, Awaited<ReturnType<typeof scorer.score>>>();
  for (const [name, describe] of Object.entries(descriptions))
    scored.set(
      name,
      await scorer.score(
        asked.map((prompt) => describe(prompt, random)),
        references,
      ),
    );
  scorer.dispose();
  const right = scored.get('right, in other words')!.recall;
  const rows = Array.from(scored, ([description, { precision, recall, f1 }]) => ({
    description,
    recall: mean(recall).toFixed(3),
    deviation: standardDeviation(recall).toFixed(3),
    precision: mean(precision).toFixed(3),
    f1: mean(f1).toFixed(3),
    'below right': `${Math.round((100 * recall.filter((x, i) => x < right[i]!).length) / prompts)} %`,
  }));
  print('bert-score', info, { encoder, layer: scorer.layer, prompts, seed }, rows, json);
}
