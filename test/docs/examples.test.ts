import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../training/config/index.js';
import { runTraining } from '../../training/index.js';
import { saveTinyDenoiser } from '../training/tiny-denoiser.js';

let temporary: string;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'examples-'));
  await saveTinyDenoiser(join(temporary, 'tiny'));
});
afterAll(() => rm(temporary, { recursive: true }));

const files = (await readdir('examples')).filter((file) => file.endsWith('.yaml'));

it.each(files)('examples/%s is a valid configuration', async (file) => {
  expect((await loadConfig(join('examples', file))).epochs).toBeGreaterThan(0);
});

// The smallest program of each agent on a diffusion model; some hold more than weights: episodes, a value function, samples.
describe.each([
  'reinforce',
  'grpo',
  'dpok',
  'rwr',
  'rwr-sparse',
  'sft',
  'kl-d',
  'kl-o',
])('examples/%s.yaml', (agent) => {
  it('runs on a tiny model, and a run that goes on from its checkpoint is the one that never ended', async () => {
    const run = async (name: string, epochs: number, resume = false) => {
      const small = { model: join(temporary, 'tiny'), runs: temporary, samplesPerEpoch: 8, numEnvs: 4, workers: 0 };
      const config = await loadConfig(join('examples', `${agent}.yaml`), {
        ...{ ...small, name, epochs, reward: 'jpeg-incompressibility', backend: 'wasm' },
        ...{ sampling: { steps: 3 }, evaluation: { samples: 0 } },
        ...(agent === 'grpo' && { 'agent.groupSize': 4 }),
        ...(!['reinforce', 'grpo', 'dpok'].includes(agent) && {
          'agent.batch': 4,
          'agent.passes': agent.startsWith('rwr') ? 2 : 9,
        }),
      });
      const { folder } = await runTraining(config, { resume, warn: () => {} });
      const metrics = await folder.metrics();
      return metrics.map((line) =>
        Object.fromEntries(Object.entries(line).filter(([key]) => !key.startsWith('time/'))),
      );
    };
    const whole = await run(`${agent}-whole`, 4);
    expect(whole).toHaveLength(4);
    expect(whole.at(-1)!['train/loss']).toEqual(expect.any(Number));
    await run(`${agent}-cut`, 3);
    expect(await run(`${agent}-cut`, 4, true)).toEqual(whole);
  });
});
