import type { NdArray } from '../../core/ndarray.js';
import type { Random } from '../../core/random.js';
import { scoreShapes } from '../../rewards/shapes/scorers.js';
import { colours, drawScene, sceneOf, shapes, shapesPrompts } from '../../rewards/shapes/world.js';
import { embeddedPictures } from '../paper/judged.js';

/** The prompts of this benchmark: two objects of two colours. */
export const prompts: readonly string[] = shapesPrompts('composition');

/** A picture beside a prompt, and its rank by the exact scorers: 2 where it is right, 1 where only its shapes are wrong, else 0. */
export interface Ranked {
  /** uint8 [16, 16, 3] */
  readonly image: NdArray<Uint8Array>;
  readonly prompt: string;
  readonly rank: number;
}

/** Ranks a picture. */
export function ranked(image: NdArray<Uint8Array>, prompt: string): Ranked {
  const { right, shape } = scoreShapes(image, prompt);
  return { image, prompt, rank: right ? 1 + Number(shape) : 0 };
}

const drawn = (prompt: string, random: Random) => drawScene(sceneOf(prompt, random));

/** The prompt with a colour or a shape exchanged, such that it is a prompt still. */
function nearMiss(prompt: string, random: Random): string {
  for (;;) {
    const words = prompt.split(' ');
    // "a red circle and a blue square": colours at 1 and 5, shapes at 2 and 6.
    const at = random.choice([1, 2, 5, 6]);
    words[at] = random.choice<string>(at % 4 === 1 ? colours : shapes);
    const other = words.join(' ');
    if (other !== prompt && prompts.includes(other)) return other;
  }
}

/** The first picture on the second where `share` is 0, and on its place where it is 1. */
function mixed(a: NdArray<Uint8Array>, b: ArrayLike<number>, share: number): NdArray<Uint8Array> {
  return { data: a.data.map((value, i) => Math.round((1 - share) * value + share * b[i]!)), shape: a.shape };
}

/** Ways to draw a picture for a prompt, most of which are wrong in one way. */
const ways: readonly ((prompt: string, random: Random) => NdArray<Uint8Array>)[] = [
  drawn,
  drawn,
  (prompt, random) => drawn(nearMiss(prompt, random), random),
  (prompt, random) => drawn(nearMiss(prompt, random), random),
  (_, random) => drawn(random.choice(prompts), random),
  // One of the two alone.
  (prompt, random) => drawn(random.choice(prompt.split(' and ')), random),
  // One picture shines through another.
  (prompt, random) =>
    mixed(drawn(prompt, random), drawn(random.choice(prompts), random).data, random.uniform(0.2, 0.8)),
  (prompt, random) => {
    const picture = drawn(prompt, random);
    const noise = Uint8Array.from(picture.data, () => random.integer(256));
    return mixed(picture, noise, random.uniform(0.1, 1));
  },
];

/** A picture that is drawn for a prompt, right or not. */
export function drawnFor(prompt: string, random: Random): Ranked {
  return ranked(random.choice(ways)(prompt, random), prompt);
}

/** Pictures of the embedded model: as in training, and of so few steps that most are broken. */
export async function modelPictures(
  count: number,
  random: Random,
  steps: readonly number[] = [8, 8, 3],
): Promise<Ranked[]> {
  const all: Ranked[] = [];
  for (const number of steps) {
    const asked = Array.from({ length: Math.ceil(count / steps.length) }, () => random.choice(prompts));
    const images = await embeddedPictures(asked, number, random);
    all.push(...asked.map((prompt, i) => ranked(images[i]!, prompt)));
  }
  return all;
}

/** Two pictures of one prompt, of which the first ranks higher. */
export interface Pair {
  readonly better: Ranked;
  readonly worse: Ranked;
}

/** A random pair: two drawn pictures, or one of the model and a drawn one. */
export function randomPair(random: Random, ofModel: readonly Ranked[]): Pair {
  for (;;) {
    const prompt = random.choice(prompts);
    const first = random.next() < 0.3 && ofModel.length > 0 ? random.choice(ofModel) : drawnFor(prompt, random);
    const second = drawnFor(first.prompt, random);
    if (first.rank !== second.rank)
      return first.rank > second.rank ? { better: first, worse: second } : { better: second, worse: first };
  }
}
