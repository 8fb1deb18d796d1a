import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { captioner } from '../../benchmarks/captioner/definition.js';
import { trainCaptioner } from '../../benchmarks/captioner/train.js';
import { learnedReward } from '../../benchmarks/learned-reward/definition.js';
import { trainRewardModel } from '../../benchmarks/learned-reward/train.js';
import type { PaperBenchmark, Part } from '../../benchmarks/paper/definition.js';
import { runPaper } from '../../benchmarks/paper/run.js';

// The smallest form of the benchmarks whose reward is a model's opinion: their own parts, one seed, a few pictures, and models
// that have hardly been trained.

let out: string;
beforeAll(async () => {
  await useBackend('wasm');
  out = await mkdtemp(join(tmpdir(), 'judged-'));
});
afterAll(() => rm(out, { recursive: true }));

const least = {
  ...{ epochs: 1, numEnvs: 4, samplesPerEpoch: 8, 'sampling.steps': 2, 'agent.minibatches': 1 },
  ...{ 'evaluation.samples': 8, 'evaluation.pictures': 8, 'watch.samples': 4, 'watch.perPrompt': 4 },
};
const smallest = (part: Part): Part => ({
  ...part,
  matrices: part.matrices.map((matrix) => ({ ...matrix, options: { ...matrix.options, ...least } })),
});

it.each<[string, PaperBenchmark, string, (folder: string) => Promise<void>, string]>([
  [
    'a captioner behind HTTP that describes, and BERTScore',
    { ...captioner, parts: { caption: smallest(captioner.parts.caption!) } },
    'test/fixtures/rewards/bert',
    async (folder) => {
      const model = await trainCaptioner({ steps: 2, batch: 4 });
      await model.save(join(folder, 'captioner.safetensors'));
      model.dispose();
      await writeFile(join(folder, 'agreement.md'), 'A table of its agreement.');
    },
    'A table of its agreement.',
  ],
  [
    'a learned reward',
    { ...learnedReward, parts: { composition: smallest(learnedReward.parts.composition!) } },
    '',
    async (folder) => {
      await trainRewardModel(join(folder, 'model'), { ofModel: [], steps: 2, batch: 4 });
      await writeFile(join(folder, 'quality.md'), 'A table of its quality.');
    },
    'A table of its quality.',
  ],
])('%s: runs, results, figures and page', async (_, definition, data, make, table) => {
  const folder = join(out, definition.name);
  await mkdir(join(folder, 'runs', 'prepared'), { recursive: true });
  await make(join(folder, 'runs', 'prepared'));
  // The last layer of the fixture's encoder.
  const parts = Object.fromEntries(
    Object.entries(definition.parts).map(([name, part]) => [
      name,
      {
        ...part,
        matrices: part.matrices.map((matrix) => ({
          ...matrix,
          options: { ...matrix.options, ...(name === 'caption' && { 'rewards.judge.layer': 1 }) },
        })),
      },
    ]),
  );
  const { runs, prepared } = await runPaper(
    { ...definition, parts },
    { out: folder, data, seeds: [0], jobs: 2, backend: 'wasm', command: 'a command' },
  );
  expect(runs.map(({ state, message }) => [state, message])).toEqual(runs.map(() => ['finished', undefined]));
  expect(runs.length).toBeGreaterThan(1);
  for (const { measures, byEpoch, options } of runs) {
    expect(measures.exact).toBeGreaterThanOrEqual(0);
    expect(measures.kl).toBeGreaterThanOrEqual(0);
    expect(byEpoch).toMatchObject({ epoch: [0, 1] });
    // What holds on this machine alone is not recorded.
    expect(JSON.stringify(options)).not.toMatch(/127\.0\.0\.1|prepared|fixtures/);
  }
  expect(prepared).toContain(table);
  const page = await readFile(join(folder, 'findings.md'), 'utf8');
  expect(page).toContain(`## Before the runs\n\n${prepared}`);
  const [part] = Object.keys(definition.parts);
  for (const file of [`${part}-exact.svg`, `${part}-reward.svg`])
    expect(page.includes(file) && existsSync(join(folder, file)), file).toBe(true);
});
