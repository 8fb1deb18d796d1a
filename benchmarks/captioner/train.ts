import * as tf from '@tensorflow/tfjs';
import { Random } from '../../core/random.js';
import { type JudgeTraining, trainJudge } from '../paper/train-judge.js';
import { Captioner } from './captioner.js';
import { randomExample, type Style } from './texts.js';

/** Default: 2500 steps. */
export interface TrainCaptionerOptions extends Partial<JudgeTraining> {
  readonly seed?: number;
  /** Pictures of a step, each of which is described twice: in full and in the style of a kind of prompt. Default 64. */
  readonly batch?: number;
}

/** Pixels get noise of up to this standard deviation (pictures are −1..1), so that a soft edge more or less says nothing. */
const largestNoise = 0.2;
/** Noise is taken from anywhere in so many numbers, which are drawn once. */
const noiseBank = 1 << 18;
const size = 16;
const pixels = size * size * 3;

/** Trains a captioner on pictures that are drawn as it goes. */
export async function trainCaptioner(options: TrainCaptionerOptions = {}): Promise<Captioner> {
  const { seed = 0, steps = 2500, batch = 64, learningRate = 2e-3, onStep } = options;
  const random = new Random(seed).child('captioner');
  const captioner = Captioner.create(random.child('weights'));
  const noise = random.child('noise').normals(noiseBank);
  await trainJudge(captioner.parameters, { steps, learningRate, onStep }, () => {
    const examples = Array.from({ length: batch }, () => randomExample(random));
    const data = new Float32Array(batch * pixels);
    for (const [i, { image }] of examples.entries()) {
      const [deviation, from] = [random.uniform(0, largestNoise), random.integer(noiseBank - pixels)];
      for (let k = 0; k < pixels; k++) data[i * pixels + k] = image.data[k]! / 127.5 - 1 + deviation * noise[from + k]!;
    }
    const images = tf.tensor4d(data, [batch, size, size, 3]);
    const asked: Style[] = [...examples.map(() => 'everything' as const), ...examples.map(({ style }) => style)];
    const texts = [...examples.map(({ everything }) => everything), ...examples.map(({ text }) => text)];
    return { inputs: [images], loss: () => captioner.loss(images, asked, texts) };
  });
  return captioner;
}
