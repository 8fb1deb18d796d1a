import * as tf from '@tensorflow/tfjs';
import { type BackendName, useBackend } from '../backend/index.js';
import { Collector, compose, parseConfig } from '../training/index.js';
import { print } from './print.js';

export interface MemoryOptions {
  model: string;
  updates: number;
  samples: number;
  steps: number;
  backend?: BackendName;
  json?: boolean;
}

/** So many lines are printed, so that growth can be told from a level that is reached. */
const lines = 10;

/**
 * Whether fine-tuning keeps what it should free: the number of tensors and the process's resident memory after each tenth
 * of many updates, each rollout sampled anew and trained in four updates, all in one thread.
 */
export async function memory({ model, updates, samples, steps, backend, json }: MemoryOptions): Promise<void> {
  const info = await useBackend(backend);
  const agent = { name: 'ppo', advantage: 'none' };
  const parts = await compose(
    parseConfig(
      { model, workers: 0, numEnvs: samples, samplesPerEpoch: samples, sampling: { steps }, agent },
      'benchmark',
    ),
    {
      // A reward that costs nothing and differs from sample to sample, so that there is something to learn.
      reward: ({ images }) => Float64Array.from({ length: images.shape[0]! }, (_, i) => i + 1),
      warn: () => {},
    },
  );
  const collector = new Collector({ agent: parts.agent, envs: parts.envs, seed: 0 });
  const rows = [];
  try {
    for (let done = 0; done < updates; ) {
      const { rollout } = await collector.collect();
      done = (await parts.agent.learn(rollout)).updates!;
      if (done >= ((rows.length + 1) * updates) / lines)
        rows.push({
          updates: done,
          tensors: tf.memory().numTensors,
          'resident MiB': process.memoryUsage.rss() / 2 ** 20,
          'JavaScript heap MiB': process.memoryUsage().heapTotal / 2 ** 20,
          'peak MiB': process.resourceUsage().maxRSS / 1024,
        });
    }
  } finally {
    await parts.close();
  }
  print('memory', info, { model, samples, steps, minibatches: 4 }, rows, json);
}
