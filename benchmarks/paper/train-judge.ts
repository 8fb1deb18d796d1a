import * as tf from '@tensorflow/tfjs';
import { AdamW } from '../../agents/optimization/adamw.js';
import { euclideanNorm } from '../../backend/index.js';

/** How long a judge is trained, and how fast. */
export interface JudgeTraining {
  /** Optimiser steps. */
  readonly steps: number;
  readonly learningRate: number;
  /** Told of each step's loss. */
  readonly onStep?: ((step: number, steps: number, loss: number) => void) | undefined;
}

/** What a step learns from. */
export interface JudgeBatch {
  /** What the loss is made of; freed after the step. */
  readonly inputs: readonly tf.Tensor[];
  /** Differentiable in the parameters. */
  loss(): tf.Scalar;
}

/**
 * Minimises a loss by AdamW, with gradients of at most norm 1 and a rate that rises for a while and falls to 0 as a cosine.
 * @param draw makes the batch of a step
 */
export async function trainJudge(
  parameters: ReadonlyMap<string, tf.Variable>,
  { steps, learningRate, onStep }: JudgeTraining,
  draw: () => JudgeBatch,
): Promise<void> {
  const warmup = Math.min(200, Math.ceil(steps / 4));
  const optimizer = new AdamW(parameters, { weightDecay: 0.01 });
  for (let step = 0; step < steps; step++) {
    const { inputs, loss } = draw();
    const { value, grads } = tf.variableGrads(loss, [...optimizer.variables]);
    const gradient = optimizer.flatten(grads);
    const norm = euclideanNorm(gradient);
    const [lost, gradNorm] = [(await value.data())[0]!, (await norm.data())[0]!];
    const warm = Math.min(1, (step + 1) / warmup);
    optimizer.step(gradient, gradNorm, (warm * learningRate * (1 + Math.cos((Math.PI * step) / steps))) / 2, 1);
    tf.dispose([value, norm, gradient, ...inputs, ...Object.values(grads)]);
    onStep?.(step + 1, steps, lost);
  }
  optimizer.dispose();
}
