import * as tf from '@tensorflow/tfjs';
import { AdamW } from '../../agents/optimization/adamw.js';
import { euclideanNorm } from '../../backend/index.js';
import { Random } from '../../core/random.js';
import { Captioner } from './captioner.js';
import { randomExample, type Style } from './texts.js';

export interface TrainCaptionerOptions {
  readonly seed?: number;
  /** Optimiser steps. Default 2500. */
  readonly steps?: number;
  /** Pictures of a step, each of which is described twice: in full and in the style of a kind of prompt. Default 64. */
  readonly batch?: number;
  readonly learningRate?: number;
  /** Told of each step's loss. */
  readonly onStep?: (step: number, steps: number, loss: number) => void;
}

/** Pixels get noise of up to this standard deviation (pictures are −1..1), so that a soft edge more or less says nothing. */
const largestNoise = 0.2;
/** Noise is taken from anywhere in so many numbers, which are drawn once. */
const noiseBank = 1 << 18;
const size = 16;
const pixels = size * size * 3;

/** Trains a captioner on pictures that are drawn as it goes, by AdamW with a rate that falls to 0 as a cosine. */
export async function trainCaptioner(options: TrainCaptionerOptions = {}): Promise<Captioner> {
  const { seed = 0, steps = 2500, batch = 64, learningRate = 2e-3, onStep } = options;
  /** Steps over which the learning rate rises from 0. */
  const warmup = Math.min(200, Math.ceil(steps / 4));
  const random = new Random(seed).child('captioner');
  const captioner = Captioner.create(random.child('weights'));
  const optimizer = new AdamW(captioner.parameters, { weightDecay: 0.01 });
  const noise = random.child('noise').normals(noiseBank);
  for (let step = 0; step < steps; step++) {
    const examples = Array.from({ length: batch }, () => randomExample(random));
    const data = new Float32Array(batch * pixels);
    for (const [i, { image }] of examples.entries()) {
      const [deviation, from] = [random.uniform(0, largestNoise), random.integer(noiseBank - pixels)];
      for (let k = 0; k < pixels; k++) data[i * pixels + k] = image.data[k]! / 127.5 - 1 + deviation * noise[from + k]!;
    }
    const images = tf.tensor4d(data, [batch, size, size, 3]);
    const asked: Style[] = [...examples.map(() => 'everything' as const), ...examples.map(({ style }) => style)];
    const texts = [...examples.map(({ everything }) => everything), ...examples.map(({ text }) => text)];
    const { value, grads } = tf.variableGrads(() => captioner.loss(images, asked, texts), [...optimizer.variables]);
    const gradient = optimizer.flatten(grads);
    const norm = euclideanNorm(gradient);
    const [loss, gradNorm] = [(await value.data())[0]!, (await norm.data())[0]!];
    const warm = Math.min(1, (step + 1) / warmup);
    optimizer.step(gradient, gradNorm, (warm * learningRate * (1 + Math.cos((Math.PI * step) / steps))) / 2, 1);
    tf.dispose([value, norm, gradient, images, ...Object.values(grads)]);
    onStep?.(step + 1, steps, loss);
  }
  optimizer.dispose();
  return captioner;
}
