import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import type { Metrics } from '../../core/types.js';
import { type RewardDefinition, rewardDefinition } from '../../rewards/definitions.js';
import { parseConfig } from '../../training/config/index.js';
import { type RunOptions, runTraining } from '../../training/run.js';
import { type Asked, JudgeServer, type Said } from '../rewards/vlm/judge-server.js';
import { saveTinyDenoiser } from './tiny-denoiser.js';

let temporary: string;
const servers: JudgeServer[] = [];
beforeAll(async () => {
  await useBackend('wasm');
  temporary = await mkdtemp(join(tmpdir(), 'judge-'));
  await saveTinyDenoiser(join(temporary, 'model'));
});
afterAll(() => rm(temporary, { recursive: true }));
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

/** A judge of the red in a picture. */
function say({ colour }: Asked): Said {
  const p = (1 + colour[0]) / 257;
  return { text: `I see ${colour[0]} of red.`, chances: { Yes: p, No: 1 - p } };
}
async function judge(): Promise<JudgeServer> {
  const server = await JudgeServer.start(say);
  servers.push(server);
  return server;
}

async function start(name: string, server: JudgeServer, options: RunOptions = {}, cache = name) {
  const definition: RewardDefinition = rewardDefinition.parse({
    kind: 'vlm',
    url: server.url,
    model: 'sees',
    cache: join(temporary, 'cache', cache),
    retryPause: 0.1,
  });
  const config = parseConfig({
    name,
    runs: temporary,
    model: join(temporary, 'model'),
    reward: 'judge',
    rewards: { judge: definition },
    sampling: { steps: 3 },
    samplesPerEpoch: 8,
    numEnvs: 4,
    epochs: 4,
    evaluation: { samples: 8, every: 2 },
    backend: 'wasm',
  });
  const { folder } = await runTraining(config, { warn: () => {}, ...options });
  const lines: Metrics[] = await folder.metrics();
  return {
    folder,
    numbers: lines.map((line) => Object.fromEntries(Object.entries(line).filter(([key]) => !key.startsWith('time/')))),
  };
}

it('a judge that is down in the middle of a run, and a run that is stopped and resumed: the same bits', async () => {
  const tensors = tf.memory().numTensors;
  const server = await judge();
  const { numbers: undisturbed, folder } = await start('undisturbed', server);
  const questions = server.asked.length;

  const fails = await judge();
  const { numbers } = await start('down', fails, {
    onEvent: ({ type, epoch }) => {
      if (type !== 'epoch' || epoch !== 2) return;
      fails.down = true;
      setTimeout(() => {
        fails.down = false;
      }, 2000);
    },
  });
  expect(numbers).toEqual(undisturbed);

  const stop = new AbortController();
  const other = await judge();
  await start('stopped', other, {
    signal: stop.signal,
    onEvent: ({ type, epoch }) => {
      if (type === 'epoch' && epoch === 2) stop.abort();
    },
  });
  expect((await start('stopped', other, { resume: true })).numbers).toEqual(undisturbed);
  // What had been asked before it was stopped is not asked again.
  expect(other.asked.length).toBe(questions);

  const page = await readFile(join(folder.path, 'report.html'), 'utf8');
  expect(page).toMatch(/<i>answer:<\/i> I see \d+ of red\./);
  expect(tf.memory().numTensors).toBe(tensors);
});

it('a run whose judge has gone for good can be resumed elsewhere, on what was answered', async () => {
  const server = await judge();
  const { numbers } = await start('whole', server);
  // Nothing is asked of a server that nobody reaches: every answer is on disk.
  const gone = await judge();
  gone.down = true;
  expect((await start('again', gone, {}, 'whole')).numbers).toEqual(numbers);
  expect(gone.asked).toHaveLength(0);
});
