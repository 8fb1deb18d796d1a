import { type NdArray, stack } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { mean } from '../../core/statistics.js';
import { drawScene, type Kind, kinds, sceneOf, shapesPrompts } from '../../rewards/shapes/world.js';
import { shown } from '../paper/findings.js';
import { areaUnderCurve, embeddedPictures, isExact } from '../paper/judged.js';
import type { Captioner } from './captioner.js';
import { says } from './texts.js';

/** Pictures of a kind in each row of the table. */
const perKind = 128;

interface Asked {
  readonly image: NdArray<Uint8Array>;
  readonly prompt: string;
}

/** Pictures of the embedded model for prompts of a kind, made as in training. */
async function modelPictures(kind: Kind, random: Random): Promise<Asked[]> {
  const prompts = Array.from({ length: perKind }, () => random.choice(shapesPrompts(kind)));
  const images = await embeddedPictures(prompts, 5, random);
  return prompts.map((prompt, i) => ({ prompt, image: images[i]! }));
}

/** Drawn pictures of a kind, half of them beside a prompt of which they are, half beside any other one. */
function drawnPictures(kind: Kind, random: Random): Asked[] {
  const all = shapesPrompts(kind);
  return Array.from({ length: perKind }, (_, i) => {
    const prompt = random.choice(all);
    return { prompt, image: drawScene(sceneOf(i % 2 === 0 ? prompt : random.choice(all), random)) };
  });
}

/** A table of how far the captioner, by either way to ask it, agrees with the exact scorers. Markdown. */
export async function agreementTable(captioner: Captioner, seed = 1): Promise<string> {
  const random = new Random(seed).child('agreement');
  const lines = [
    '| pictures | kind | right by the exact scorers | its yes or no agrees | AUC of its yes | yes of wrong ones | its description agrees |',
    '|---|---|---|---|---|---|---|',
  ];
  for (const [name, picturesOf] of [
    ['drawn, half beside another prompt', drawnPictures],
    ['of the embedded model', modelPictures],
  ] as const)
    for (const kind of kinds) {
      const asked = await picturesOf(kind, random);
      const images = stack(asked.map(({ image }) => image)) as NdArray<Uint8Array>;
      const prompts = asked.map(({ prompt }) => prompt);
      const chances = await captioner.chances(images, prompts);
      const descriptions = await captioner.describe(images);
      const judged = asked.map(({ image, prompt }, i) => ({
        ...{ reward: chances[i]!, right: isExact(image, prompt), described: says(descriptions[i]!, prompt) },
      }));
      const share = (of: (one: (typeof judged)[number]) => boolean, among = judged) =>
        shown(mean(among.map((one) => Number(of(one)))));
      lines.push(
        `| ${[
          ...[name, kind, share(({ right }) => right)],
          share(({ reward, right }) => reward > 0.5 === right),
          shown(areaUnderCurve(judged)),
          share(
            ({ reward }) => reward > 0.5,
            judged.filter(({ right }) => !right),
          ),
          share(({ described, right }) => described === right),
        ].join(' | ')} |`,
      );
    }
  return lines.join('\n');
}
