import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../core/files.js';
import type { NdArray } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import type { Metrics } from '../../core/types.js';
import { parseConfig, type RunConfigInput } from '../../training/config/index.js';
import { type EvaluationRecord, evaluationFiles } from '../../training/evaluation/index.js';
import { animationWebp, gridPng } from '../../training/images.js';
import { RunFolder } from '../../training/run-folder/index.js';
import { signatureOf } from '../../training/trust.js';

/** A disc of a colour on white, with noise. */
export function disc(random: Random, size: number, noise: number): NdArray {
  const data = new Uint8Array(size * size * 3);
  const colour = [random.integer(200), random.integer(200), random.integer(200)];
  const radius = size * random.uniform(0.2, 0.42);
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++)
      for (let c = 0; c < 3; c++) {
        const inside = Math.hypot(x - size / 2, y - size / 2) < radius;
        data[(y * size + x) * 3 + c] = Math.max(
          0,
          Math.min(255, (inside ? colour[c]! : 255) + noise * random.normal()),
        );
      }
  return { data, shape: [size, size, 3] };
}

export interface SyntheticRunOptions {
  /** How many epochs the run is to have. Default 20. */
  epochs?: number;
  /** How many of them are done. Default: all. */
  finished?: number;
  /** Width and height of its pictures. */
  size?: number;
  /** Over the configuration. An environment other than `Denoising-v0` leaves no pictures. */
  config?: RunConfigInput;
  /** What is logged of an epoch, given what would be. */
  metrics?: (metrics: Metrics) => Metrics;
}

const versions = { 'denoise-gym': '0.1.0', node: '20.0.0', commit: 'abc' };
const backend = { name: 'wasm', tfjsName: 'wasm', reason: 'it loads', threads: 1 };

/** A run's folder as a real run leaves it, without a run. */
export async function syntheticRun(path: string, options: SyntheticRunOptions = {}): Promise<RunFolder> {
  const { epochs = 20, finished = epochs, size = 16, metrics: change = (metrics) => metrics } = options;
  const random = new Random('synthetic');
  const config = parseConfig({ name: 'synthetic', epochs, ...options.config });
  const started = new Date(0).toISOString();
  const folder = await RunFolder.create(path, {
    config,
    versions,
    backend,
    started,
    signature: await signatureOf(config),
  });
  const denoising = config.env === 'Denoising-v0';
  for (let epoch = 1; epoch <= finished; epoch++)
    await folder.appendMetrics(
      change(denoising ? denoisingMetrics(epoch, epochs, random) : cartPoleMetrics(epoch, epochs, random)),
    );
  await mkdir(join(path, 'samples'));
  for (const epoch of finished === epochs ? [0, epochs] : [0]) {
    const record = denoising
      ? await denoisingEvaluation(path, epoch, size, random)
      : evaluationOf(epoch, 20 + 10 * epoch, random);
    await writeFileAtomic(evaluationFiles(path, epoch).json, JSON.stringify(record));
  }
  await folder.writeStatus({ state: finished === epochs ? 'finished' : 'running', epoch: finished, epochs });
  return folder;
}

function denoisingMetrics(epoch: number, epochs: number, random: Random): Metrics {
  const level = 0.78 + (0.1 * epoch) / epochs;
  return {
    epoch,
    'reward/mean': level + 0.005 * random.normal(),
    'reward/std': 0.04 + 0.003 * random.normal(),
    'reward/min': level - 0.1,
    'reward/max': level + 0.1,
    'term/jpeg': level,
    'term/exact <b>': epoch === 3 ? Number.NaN : 0.8 - 0.01 * epoch,
    'episode/length': 10,
    'train/policyLoss': 0.002 * random.normal(),
    'train/clipFraction': 0.2 + 0.1 * random.next(),
    'train/approxKl': 1e-6 * (1 + random.next()),
    'train/gradNorm': 0.5 + 0.1 * random.next(),
    'train/learningRate': 1e-4,
    'train/skippedUpdates': 0,
    envSteps: epoch * 640,
    episodes: epoch * 64,
    rewardQueries: epoch * 64,
    updates: epoch * 4,
    'time/sample': 1.1 + 0.1 * random.next(),
    'time/learn': 2.4 + 0.2 * random.next(),
    'time/epoch': 3.7,
  };
}

function cartPoleMetrics(epoch: number, epochs: number, random: Random): Metrics {
  const level = 20 + (200 * epoch) / epochs;
  return {
    epoch,
    'reward/mean': level + 5 * random.normal(),
    'reward/std': 0.4 * level,
    'reward/min': 9,
    'reward/max': 2 * level,
    'episode/length': level,
    'train/policyLoss': 0.02 * random.normal(),
    'train/valueLoss': 300 * random.next(),
    'train/entropy': 0.69 - 0.01 * epoch,
    'train/clipFraction': 0.1 * random.next(),
    'train/approxKl': 0.01 * random.next(),
    'train/gradNorm': 0.5 + 0.1 * random.next(),
    'train/learningRate': 1e-3 * (1 - epoch / epochs),
    envSteps: epoch * 1024,
    episodes: epoch * 30,
    rewardQueries: epoch * 1024,
    updates: epoch * 32,
    'time/sample': 0.2 + 0.1 * random.next(),
    'time/learn': 0.4 + 0.2 * random.next(),
    'time/epoch': 0.8,
  };
}

function evaluationOf(epoch: number, mean: number, random: Random): EvaluationRecord {
  const samples = Array.from({ length: 20 }, () => ({ reward: mean * (1 + 0.1 * random.normal()) }));
  const numbers = { mean, std: 0.1 * mean, se: 0.02 * mean, min: 0.8 * mean, max: 1.2 * mean };
  return { epoch, explore: true, ...numbers, terms: {}, samples, animation: false };
}

async function denoisingEvaluation(
  path: string,
  epoch: number,
  size: number,
  random: Random,
): Promise<EvaluationRecord> {
  const pictures = Array.from({ length: 24 }, (_, i) => disc(random.child(i), size, epoch));
  const { png, layout } = await gridPng(pictures);
  const files = evaluationFiles(path, epoch);
  await writeFileAtomic(files.png, png);
  const frames = [200, 150, 100, 50, 20, 0].map((noise) =>
    Array.from({ length: 8 }, (_, i) => disc(random.child(i), size, noise)),
  );
  await writeFileAtomic(files.webp, await animationWebp(frames, { columns: 8 }));
  return {
    epoch,
    explore: true,
    mean: 0.78 + epoch * 0.005,
    std: 0.04,
    se: 0.005,
    min: 0.7,
    max: 0.95,
    terms: { jpeg: 0.78 + epoch * 0.005 },
    samples: Array.from({ length: 64 }, (_, i) => ({
      prompt:
        i === 0 ? '<script>alert("a red & green circle")</script>' : `a red circle and a blue square, number ${i}`,
      reward: 0.78 + 0.04 * random.normal() + epoch * 0.005,
    })),
    grid: layout,
    animation: true,
  };
}
