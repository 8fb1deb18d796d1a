import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent } from '../agents/index.js';
import { type BackendName, useBackend } from '../backend/index.js';
import type { RewardBatch } from '../core/reward.js';
import { Collector, compose, parseConfig } from '../training/index.js';
import { median, print } from './print.js';

export interface SlowRewardOptions {
  seconds: number;
  samples: number;
  batch: number;
  repeats: number;
  backend?: BackendName;
  json?: boolean;
}

/** Sampling an epoch while a slow reward (a server, say) scores the batches before: what is left of its time. */
export async function slowReward({
  seconds,
  samples,
  batch,
  repeats,
  backend,
  json,
}: SlowRewardOptions): Promise<void> {
  const info = await useBackend(backend);
  const brightness = ({ images }: RewardBatch) => {
    const [n, ...shape] = images.shape as [number, ...number[]];
    const size = shape.reduce((a, b) => a * b, 1);
    return Float64Array.from({ length: n }, (_, i) =>
      Array.from(images.data.subarray(i * size, (i + 1) * size)).reduce((a, b) => a + b, 0),
    );
  };
  const slow = async (images: RewardBatch) => {
    await sleep(seconds * 1000);
    return brightness(images);
  };
  const cases = [
    { reward: 'instant', overlap: 4, score: brightness },
    { reward: `${seconds} s a batch`, overlap: 4, score: slow },
    { reward: `${seconds} s a batch, no overlap`, overlap: 0, score: slow },
  ];
  const rows = [];
  for (const { reward, overlap, score } of cases) {
    const config = parseConfig({ samplesPerEpoch: samples, numEnvs: batch, overlap }, 'benchmark');
    const parts = await compose(config, { reward: score, warn: () => {} });
    const collector = new Collector({ agent: parts.agent as Agent<unknown, unknown>, envs: parts.envs, seed: 0 });
    const collecting: number[] = [];
    const learning: number[] = [];
    for (let i = 0; i <= repeats; i++) {
      const started = performance.now();
      const { rollout } = await collector.collect();
      const collected = performance.now();
      await parts.agent.learn(rollout);
      if (i === 0) continue; // warm-up
      collecting.push((collected - started) / 1000);
      learning.push((performance.now() - collected) / 1000);
    }
    const total = median(collecting) + median(learning);
    rows.push({ reward, 'collect s': median(collecting), 'learn s': median(learning), 'epoch s': total });
    await parts.close();
  }
  const instant = rows[0]!['epoch s'];
  print(
    'slow-reward',
    info,
    { seconds, samples, batch, repeats },
    rows.map((row) => ({ ...row, 'times instant': row['epoch s'] / instant })),
    json,
  );
}
