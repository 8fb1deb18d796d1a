import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import type { Reward, RewardBatch } from '../../core/reward.js';
import { shownJson } from '../../core/shown.js';
import { type OcrOptions, ocrOptions } from './options.js';
import { cut, type Picture, TextReader } from './reader.js';

/** The text that a picture should show: what stands between the first two double quotes of its prompt. */
export function wantedText(prompt: string): string | undefined {
  return /["“”]([^"“”]*)["“”]/.exec(prompt)?.[1];
}

/** The least number of characters to insert, remove or replace (Levenshtein 1966). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

/**
 * Flow-GRPO's OCR reward (Liu et al. 2025), 0..1: 1 where the wanted text stands in what is read, else 1 less the edit
 * distance of both in lengths of the wanted one, at least 0. White space and case do not count.
 */
export function readScore(read: string, wanted: string): number {
  const plain = (text: string) => text.replace(/\s/g, '').toLowerCase();
  const [a, b] = [plain(read), plain(wanted)];
  if (a.includes(b)) return 1;
  return 1 - Math.min(editDistance(a, b), b.length) / b.length;
}

/** A picture of a batch with three channels. */
function pictureOf({ data, shape }: NdArray, index: number): Picture {
  const [height, width, channels] = shape.slice(1) as [number, number, number];
  const length = height * width * channels;
  const own = data.subarray(index * length, (index + 1) * length) as Uint8Array;
  if (channels === 3) return { data: own, height, width };
  return { data: Uint8Array.from({ length: 3 * own.length }, (_, i) => own[Math.floor(i / 3)]!), height, width };
}

/**
 * How much of the quoted text of its prompt can be read in a picture: {@link readScore}. What was read is the note `read`.
 * @param name what errors and logs call it
 * @throws GymError E_FILE where the optional packages are not installed
 */
export async function ocrReward(name: string, options: OcrOptions = {}): Promise<Reward> {
  const { detect, crop } = ocrOptions.parse(options);
  const reader = await TextReader.load();
  return {
    name,
    score: async ({ images, prompts, signal }: RewardBatch) => {
      const wanted = prompts.map((prompt, i) => {
        const text = wantedText(prompt);
        if (text === undefined || text.trim() === '')
          throw new GymError(
            'E_REWARD',
            `sample ${i}: the prompt ${shownJson(prompt)} does not say in double quotes what is to be read, as in: a sign that says "HELLO".`,
          );
        return text;
      });
      const read: string[] = [];
      for (const i of prompts.keys()) {
        signal.throwIfAborted();
        const whole = pictureOf(images, i);
        const { width, height } = whole;
        const [left, top, right, bottom] = crop ?? [0, 0, 1, 1];
        const picture = cut(whole, {
          left: Math.floor(left * width),
          top: Math.floor(top * height),
          right: Math.ceil(right * width),
          bottom: Math.ceil(bottom * height),
        });
        read.push(detect ? (await reader.read(picture)).join(' ') : await reader.readLine(picture));
      }
      return { scores: read.map((text, i) => readScore(text, wanted[i]!)), notes: { read } };
    },
    dispose: () => void reader.dispose(),
  };
}
