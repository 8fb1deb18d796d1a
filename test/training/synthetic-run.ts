import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../../core/files.js';
import type { NdArray } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import type { Metrics } from '../../core/types.js';
import { parseConfig } from '../../training/config.js';
import { type EvaluationRecord, evaluationFiles } from '../../training/evaluation.js';
import { animationWebp, gridPng } from '../../training/images.js';
import { RunFolder } from '../../training/run-folder.js';

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

/** A run's folder as a real run leaves it, without a run. */
export async function syntheticRun(path: string, { epochs = 20, finished = 20, size = 16 } = {}): Promise<RunFolder> {
  const random = new Random('synthetic');
  const config = parseConfig({ name: 'synthetic', epochs, reward: 'jpeg-incompressibility' });
  const versions = { 'denoise-gym': '0.1.0', node: '20.0.0', commit: 'abc' };
  const backend = { name: 'wasm', tfjsName: 'wasm', reason: 'it loads', threads: 1 };
  const folder = await RunFolder.create(path, { config, versions, backend, started: new Date(0).toISOString() });
  await mkdir(join(path, 'samples'));
  for (let epoch = 1; epoch <= finished; epoch++) {
    const level = 0.78 + (0.1 * epoch) / epochs;
    const metrics: Metrics = {
      epoch,
      'reward/mean': level + 0.005 * random.normal(),
      'reward/std': 0.04 + 0.003 * random.normal(),
      'reward/min': level - 0.1,
      'reward/max': level + 0.1,
      'term/jpeg': level,
      'term/exact <b>': epoch === 3 ? Number.NaN : 0.8 - 0.01 * epoch,
      'episode/length': 10,
      'train/loss': 0.002 * random.normal(),
      'train/clipFraction': 0.2 + 0.1 * random.next(),
      'train/approxKl': 1e-6 * (1 + random.next()),
      'train/gradNorm': 0.5 + 0.1 * random.next(),
      envSteps: epoch * 640,
      episodes: epoch * 64,
      rewardQueries: epoch * 64,
      updates: epoch * 4,
      'time/sample': 1.1 + 0.1 * random.next(),
      'time/learn': 2.4 + 0.2 * random.next(),
      'time/epoch': 3.7,
    };
    await folder.appendMetrics(metrics);
  }
  for (const epoch of finished === epochs ? [0, epochs] : [0]) {
    const pictures = Array.from({ length: 24 }, (_, i) => disc(random.child(i), size, epoch));
    const { png, layout } = await gridPng(pictures);
    const files = evaluationFiles(path, epoch);
    await writeFileAtomic(files.png, png);
    const frames = [200, 150, 100, 50, 20, 0].map((noise) =>
      Array.from({ length: 8 }, (_, i) => disc(random.child(i), size, noise)),
    );
    await writeFileAtomic(files.webp, await animationWebp(frames, { columns: 8 }));
    const record: EvaluationRecord = {
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
    await writeFileAtomic(files.json, JSON.stringify(record));
  }
  await folder.writeStatus({ state: finished === epochs ? 'finished' : 'running', epoch: finished, epochs });
  return folder;
}
