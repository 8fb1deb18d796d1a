import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseConfig, withFlags } from '../../../training/config/index.js';
import { normalized } from './normalized.js';

const config = { env: 'CartPole-v1', numEnvs: 8, agent: { collect: { steps: 32 } } };

it('totalSteps is the length of the training, rounded up to whole rollouts', () => {
  expect(parseConfig({ ...config, totalSteps: 2560 }).epochs).toBe(10);
  expect(parseConfig({ ...config, totalSteps: 2561 }).epochs).toBe(11);
  // The 99,840 steps of the agent's settings for this environment.
  expect(parseConfig(config).epochs).toBe(390);
  const complete = parseConfig({ ...config, totalSteps: 1000 });
  expect(parseConfig(complete)).toEqual(complete);
});

it('totalSteps beside epochs is an error, and so it is where the length of rollouts is not known', () => {
  expect(() => parseConfig({ ...config, totalSteps: 2560, epochs: 11 })).toThrow(
    /epochs: the length of the run is given twice, by epochs \(11\) and in steps \(10 epochs\); leave one out/,
  );
  expect(() => parseConfig({ ...config, agent: { collect: { episodes: 8 } }, totalSteps: 2560 })).toThrow(
    /totalSteps: how many steps make a rollout of the agent `ppo` is not known before; give epochs/,
  );
  expect(() => parseConfig({ totalSteps: 9 })).toThrow(/totalSteps: no such option/);
});

it('of totalSteps and epochs, a flag takes the place of what the file says', () => {
  const length = (file: object, flags: object) =>
    parseConfig(withFlags({ ...config, ...file }, flags as Record<string, unknown>)).epochs;
  expect(length({ epochs: 3 }, { totalSteps: 2560 })).toBe(10);
  expect(length({ totalSteps: 2560 }, { epochs: 3 })).toBe(3);
});

it('a run is made longer by totalSteps when it is resumed', async () => {
  const runs = await mkdtemp(join(tmpdir(), 'total-steps-'));
  try {
    const start = (totalSteps: number, resume: boolean) =>
      normalized(runs, 'run', undefined, { more: { totalSteps }, resume });
    expect((await start(256, false)).epochs).toBe(2);
    expect(await start(300, true)).toMatchObject({ epochs: 3, epoch: 3, reason: 'finished' });
  } finally {
    await rm(runs, { recursive: true });
  }
});
