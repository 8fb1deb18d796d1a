import type { NdArray } from '../../core/ndarray.js';
import { mean } from '../../core/statistics.js';
import { parseCaption, scoreShapes } from '../../rewards/index.js';
import { isBlank, meanDistance, measurePictures, type PictureMeasures } from '../watch/index.js';
import type { Finding } from './findings.js';

/** The same samples before training and after: pictures and prompts by the same index. */
export interface Pairs {
  readonly before: readonly NdArray[];
  readonly after: readonly NdArray[];
  readonly prompts: readonly string[];
}

/** What is tolerated. It was chosen by runs whose pictures were looked at: see `benchmarks/README.md`. */
const limits = {
  /** Share of pictures that have become blank. */
  blank: 0.1,
  /** What is left of the mean distance of two pictures. */
  distance: 0.6,
  /** Change of mean brightness, of mean saturation, and of the mean of a colour channel. */
  tone: 0.2,
  /** Factor by which high frequencies may grow, or shrink. */
  highFrequency: 2,
  /** Share of pictures that no longer show what their prompt says. */
  right: 0.15,
};

const percent = (share: number) => `${Math.round(100 * share)} %`;
const two = (value: number) => value.toFixed(2);

/** What looks wrong with the pictures, whatever the reward says. */
export function judgePictures(pairs: Pairs): Finding[] {
  return [...judgeLooks(pairs), ...judgePrompts(pairs)];
}

function judgeLooks({ before, after, prompts }: Pairs): Finding[] {
  const findings: Finding[] = [];
  const [was, is] = [measurePictures(before, prompts), measurePictures(after, prompts)];
  if (is.blank - was.blank > limits.blank)
    findings.push({
      name: 'blank',
      text: `${percent(is.blank)} of the pictures are blank, all of about one colour; ${percent(was.blank)} were before training.`,
      pictures: after.flatMap((image, i) => (isBlank(image) && !isBlank(before[i]!) ? [i] : [])),
    });
  const [distanceBefore, distanceAfter] = [meanDistance(before), meanDistance(after)];
  if (distanceAfter < limits.distance * distanceBefore)
    findings.push({
      name: 'alike',
      text: `pictures have become alike: two of them differ by ${two(distanceAfter)} on average (root mean square, of 1), and by ${two(distanceBefore)} before training.`,
      pictures: after.map((_, i) => i),
    });
  const [tonesBefore, tonesAfter] = [tones(was, before), tones(is, after)];
  for (const [tone, to] of tonesAfter) {
    const from = tonesBefore.get(tone)!;
    if (Math.abs(to - from) > limits.tone)
      findings.push({
        name: tone,
        text: `mean ${tone} went from ${two(from)} to ${two(to)} (of 1): the pictures have taken on one tone.`,
        pictures: after.map((_, i) => i),
      });
  }
  const factor = is.highFrequency / was.highFrequency;
  if (factor > limits.highFrequency || factor < 1 / limits.highFrequency)
    findings.push({
      name: 'high-frequency',
      text: `the pictures have ${factor > 1 ? `${factor.toFixed(1)} times the high frequencies` : `only ${percent(factor)} of the high frequencies`} that they had before training: ${factor > 1 ? 'noise or a texture covers them' : 'they have lost their detail'}.`,
      pictures: after.map((_, i) => i),
    });
  return findings;
}

/** Means over all pictures, 0 to 1, by name: brightness, saturation, and where there are colours each channel. */
function tones({ brightness, saturation }: PictureMeasures, images: readonly NdArray[]): Map<string, number> {
  const means = new Map(Object.entries({ brightness, saturation }));
  const channels = images[0]!.shape[2]!;
  if (channels < 3) return means;
  const channelMean = ({ data, shape }: NdArray, c: number) => {
    let sum = 0;
    for (let j = c; j < data.length; j += channels) sum += data[j]!;
    return sum / (shape[0]! * shape[1]!) / 255;
  };
  ['red', 'green', 'blue'].forEach((name, c) => {
    means.set(name, mean(images.map((image) => channelMean(image, c))));
  });
  return means;
}

/** Prompts of the world of shapes say exactly what must be seen. Those of other worlds are not judged. */
function judgePrompts({ before, after, prompts }: Pairs): Finding[] {
  const [height = 0, width = 0, channels] = before[0]!.shape;
  const isShapes = height >= 16 && width >= 16 && channels === 3 && prompts.every((prompt) => parseCaption(prompt));
  if (!isShapes) return [];
  const right = [before, after].map((images) => images.map((image, i) => scoreShapes(image, prompts[i]!).right));
  const [was, is] = right.map((list) => list.filter(Boolean).length / list.length);
  if (was! - is! <= limits.right) return [];
  return [
    {
      name: 'prompts',
      text: `${percent(is!)} of the pictures show what their prompts say; ${percent(was!)} did before training.`,
      pictures: prompts.flatMap((_, i) => (right[0]![i] && !right[1]![i] ? [i] : [])),
    },
  ];
}
