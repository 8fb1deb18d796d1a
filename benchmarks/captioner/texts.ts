import type { NdArray } from '../../core/ndarray.js';
import type { Random } from '../../core/random.js';
import { scoreShapes } from '../../rewards/shapes/scorers.js';
import {
  drawScene,
  type Kind,
  kinds,
  parseCaption,
  randomScene,
  type Scene,
  type SceneObject,
  shapesVocabulary,
  sides,
} from '../../rewards/shapes/world.js';

/** In what manner a picture is put in words: all that is there, or as the prompts of one kind do it. */
export const styles = ['everything', ...kinds] as const;
export type Style = (typeof styles)[number];

/** What is said of a picture that cannot be put in words in the style that is asked for. */
export const nothing = 'something else';

/** Every word that a text may hold, sorted. */
export const words: readonly string[] = [...new Set([...shapesVocabulary, 'in', 'middle', 'something', 'else'])].sort();

const numerals = ['one', 'two', 'three', 'four'] as const;

const named = ({ colour, shape }: SceneObject) => `a ${colour} ${shape}`;

/** How far off the middle an object must be for its description to say so, as a share of the picture. */
const offMiddle = 0.1;

function place({ x, y }: SceneObject): string {
  const [dx, dy] = [x - 0.5, y - 0.5];
  if (Math.max(Math.abs(dx), Math.abs(dy)) < offMiddle) return 'in the middle';
  return `on the ${Math.abs(dx) > Math.abs(dy) ? (dx < 0 ? 'left' : 'right') : dy < 0 ? 'top' : 'bottom'}`;
}

/**
 * What is said of a scene.
 * @param image its picture, by which it is decided whether an object is clearly on one side
 * @param random draws in which order a composition names its two objects
 */
export function textOf({ objects }: Scene, image: NdArray, style: Style, random: Random): string {
  const [first, second] = objects as readonly [SceneObject, SceneObject?];
  const alike = objects.every(({ colour }) => colour === first.colour);
  const plural = objects.length > 1 ? 's' : '';
  switch (style) {
    case 'everything':
      if (objects.length === 1) return `${named(first)} ${place(first)}`;
      return alike
        ? `${numerals[objects.length - 1]} ${first.colour} ${first.shape}s`
        : [...objects]
            .sort((a, b) => a.x - b.x)
            .map(named)
            .join(' and ');
    case 'color':
      return objects.length === 1 ? named(first) : nothing;
    case 'count':
      return objects.every(({ shape }) => shape === first.shape)
        ? `${numerals[objects.length - 1]} ${first.shape}${plural}`
        : nothing;
    case 'composition':
      if (!second || objects.length > 2 || alike) return nothing;
      return (random.next() < 0.5 ? [first, second] : [second, first]).map(named).join(' and ');
    case 'location':
      return (
        sides.map((side) => `a ${first.shape} on the ${side}`).find((text) => scoreShapes(image, text).right) ?? nothing
      );
  }
}

/** A picture, all that is said of it, and what is said of it in the style of one kind of prompt. */
export interface Example {
  /** uint8 [16, 16, 3] */
  readonly image: NdArray<Uint8Array>;
  readonly everything: string;
  readonly style: Kind;
  readonly text: string;
}

/** One of so many pictures is none of this world: black, or noise. */
const oneOfNone = 16;

/** A random picture of the world, or of none; half of the time in the style of the kind that it was drawn for. */
export function randomExample(random: Random): Example {
  const [kind, other] = [random.choice(kinds), random.choice(kinds)];
  if (random.integer(oneOfNone) === 0) {
    const [brightest, data] = [random.integer(2) * 255, new Uint8Array(16 * 16 * 3)];
    for (let i = 0; i < data.length; i++) data[i] = random.integer(brightest + 1);
    return { image: { data, shape: [16, 16, 3] }, everything: nothing, style: other, text: nothing };
  }
  const scene = randomScene(kind, random);
  const image = drawScene(scene);
  const style = random.next() < 0.5 ? kind : other;
  const say = (asked: Style) => textOf(scene, image, asked, random);
  return { image, everything: say('everything'), style, text: say(style) };
}

/** The texts that say what a prompt says: itself, and a composition in the other order too. */
export function sameSaid(prompt: string): readonly string[] {
  const description = parseCaption(prompt);
  if (description?.kind !== 'composition') return [prompt];
  const [a, b] = description.pair.map(({ colour, shape }) => `a ${colour} ${shape}`);
  return [`${a} and ${b}`, `${b} and ${a}`];
}

/** The kind of a prompt of this world; undefined of any other text. */
export function kindOf(prompt: string): Kind | undefined {
  return parseCaption(prompt)?.kind;
}

/** Whether a description of everything says what a prompt says, and perhaps more. */
export function says(description: string, prompt: string): boolean {
  const short = (text: string) => text.replace(/ (on the|in the) \w+$/, '');
  switch (kindOf(prompt)) {
    case 'color':
      return short(description) === prompt;
    case 'count': {
      // "two red circles" and "a red circle and a blue circle" are two circles; "a red circle on the left" is one.
      const [first, second] = short(description).split(' and ');
      const [number, , shape] = first!.split(' ');
      const other = second?.split(' ')[2];
      if (second !== undefined) return other === shape && prompt === `two ${shape}s`;
      return prompt === `${number === 'a' ? 'one' : number} ${shape}`;
    }
    case 'composition':
      return sameSaid(prompt).includes(description);
    case 'location':
      return description.replace(/^a \w+ /, 'a ') === prompt;
    case undefined:
      return false;
  }
}
