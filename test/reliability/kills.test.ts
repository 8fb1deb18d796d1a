import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { Random } from '../../core/random.js';
import { saveTinyDenoiser } from '../training/tiny-denoiser.js';
import { build } from './build.js';
import { type Aim, hunt, scenarios, undisturbed } from './kills/hunt.js';

// A minute of what `npm run kills -- --minutes N --seed S` does for longer.

let folder: string;
let program: string;
const hits = new Map<Aim, number>();
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kills-'));
  await useBackend('wasm');
  await saveTinyDenoiser(join(folder, 'model'));
  program = await build(join(folder, 'built'));
});
afterAll(() => rm(folder, { recursive: true, maxRetries: 9, retryDelay: 1000 }));

describe('runs that are killed (kill -9) at random moments and resumed', () => {
  it.concurrent.each([
    'denoising-1',
    'denoising-3',
    'pole-1',
    'pole-3',
    'normalized-1',
    'normalized-3',
    'dpok',
    'kl-d',
    'kl-o',
    'rwr',
    'federated',
  ])('%s: end with the same bits', async (name) => {
    const scenario = scenarios(join(folder, 'model')).find((other) => other.name === name)!;
    const options = { program, folder: join(folder, 'runs') };
    const reference = await undisturbed(scenario, options);
    const hit = await hunt(reference, { ...options, name, random: new Random(1).child(name), kills: 6 });
    for (const [aim, count] of hit) hits.set(aim, (hits.get(aim) ?? 0) + count);
  }, 600_000);

  it('were met while they started, wrote, ran and evaluated', () => {
    expect([...hits.keys()].sort()).toEqual(['evaluating', 'running', 'starting', 'writing']);
    expect([...hits.values()].reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(20);
  });
});
