import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../../backend/index.js';
import { compareRuns } from '../../../training/benchmark/compare.js';
import { cellsOf } from '../../../training/benchmark/matrix.js';
import { type BenchmarkResults, comparisonsOf, type RunOutcome, rowsOf } from '../../../training/benchmark/results.js';
import { type BenchmarkOptions, benchmark } from '../../../training/benchmark/runner.js';
import { saveTinyDenoiser } from '../tiny-denoiser.js';

let temporary: string;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'benchmark-'));
});
afterAll(() => rm(temporary, { recursive: true }));

const matrix = {
  agents: ['ppo', 'reinforce'],
  envs: ['Bandit-v0'],
  seeds: [3, 5],
  vary: {},
  options: { epochs: 2, numEnvs: 4, 'evaluation.samples': 8, 'agent.collect': { episodes: 8 } },
};

describe('the runs of a matrix', () => {
  it('have names of their own, and complete configurations', async () => {
    const cells = await cellsOf({ ...matrix, vary: { 'agent.gamma': [0.5, 1] } }, 'out');
    expect(cells).toHaveLength(8);
    expect(cells[0]).toMatchObject({
      name: 'Bandit-v0-ppo-gamma-0.5-seed-3',
      config: {
        runs: join('out', 'runs'),
        seed: 3,
        epochs: 2,
        agent: { name: 'ppo', gamma: 0.5, collect: { episodes: 8 } },
      },
    });
  });

  it.each([
    [{ seeds: [] }, /seeds is an empty list/],
    [{ agents: ['ppo', 'ppo'] }, /agents has "ppo" twice/],
    [{ agents: ['pop'] }, /unknown agent `pop`/],
    [{ vary: { 'agent.gama': [1] } }, /benchmark, .*: agent\.gama: no such option.*`gamma`/],
    [{ options: { epoch: 3 } }, /epoch: no such option.*`epochs`/],
  ])('%j is an error', async (more, message) => {
    await expect(cellsOf({ ...matrix, ...more }, 'out')).rejects.toThrow(message);
  });
});

describe('a benchmark', () => {
  it('trains each run in a process, records one that fails, goes on where it was, and leaves numbers and a page', async () => {
    const out = join(temporary, 'out');
    const broken = join(temporary, 'broken.ts');
    await writeFile(broken, "export default { name: 'broken', make: () => { throw new Error('out of order'); } };");
    const said: string[] = [];
    const options: BenchmarkOptions = {
      ...matrix,
      options: { epochs: 2, numEnvs: 4, 'evaluation.samples': 8 },
      agents: ['ppo', broken],
      out,
      jobs: 2,
      backend: 'wasm',
      command: 'benchmark for a test',
      onProgress: ({ run, state }) => {
        if (state !== 'running') said.push(`${run} ${state}`);
      },
    };
    const { runs, rows } = await benchmark(options);
    expect(runs.map(({ state }) => state)).toEqual(['finished', 'finished', 'failed', 'failed']);
    expect(runs[2]!.message).toMatch(/out of order/);
    expect(rows.map(({ algorithm, runs, failed }) => [algorithm, runs, failed])).toEqual([
      ['ppo', 2, 0],
      [broken, 0, 2],
    ]);
    expect(said).toHaveLength(4);
    expect(runs[0]!.curve).toHaveLength(2);

    const stored = JSON.parse(await readFile(join(out, 'results.json'), 'utf8')) as BenchmarkResults;
    expect(stored.runs[0]!.score).toBe(runs[0]!.score);
    expect(await readFile(join(out, 'results.csv'), 'utf8')).toMatch(/^env,agent,seed,state,score/);
    const page = await readFile(join(out, 'index.html'), 'utf8');
    for (const text of ['<svg', '2 of 4 runs finished', 'out of order', 'Bandit-v0']) expect(page).toContain(text);
    // Nothing is known of the scores of an agent whose runs have all failed.
    expect(page.replace(/<style>.*<\/style>/s, '')).not.toMatch(/NaN|Infinity/);

    // What is finished is not made again; what failed is tried again.
    said.length = 0;
    const again = await benchmark({ ...options, agents: ['ppo'] });
    expect(said).toEqual([]);
    expect(again.runs.map(({ score }) => score)).toEqual(runs.slice(0, 2).map(({ score }) => score));

    const { results, page: compared } = await compareRuns(
      [3, 5].map((seed) => join(out, 'runs', `Bandit-v0-ppo-seed-${seed}`)),
    );
    expect(results.rows).toMatchObject([{ algorithm: 'ppo', runs: 2 }]);
    expect(compared).toContain('Comparison');

    // As it is while a run goes on, and after it was killed.
    const [first] = runs;
    const path = join(out, 'runs', first!.name);
    const status = { ...JSON.parse(await readFile(join(path, 'status.json'), 'utf8')), state: 'running' };
    await writeFile(join(path, 'status.json'), JSON.stringify(status));
    const { results: underway, page: open } = await compareRuns([path]);
    expect(underway.runs).toMatchObject([{ state: 'unfinished', message: 'running' }]);
    expect(open).toContain('has not ended');
  }, 120_000);
});

describe('the table', () => {
  const run = (agent: string, env: string, seed: number, score?: number): RunOutcome => ({
    ...{ name: `${agent}-${seed}`, env, agent, seed, varied: {}, curve: [], seconds: 1 },
    ...(score === undefined ? { state: 'failed' } : { state: 'finished', score }),
  });

  it('counts what failed, and compares where both have runs', () => {
    const runs = [
      ...[1, 2, 3].map((score, seed) => run('a', 'X', seed, score)),
      ...[0, 0, 1].map((score, seed) => run('b', 'X', seed, score)),
      run('a', 'Y', 0, 5),
      run('b', 'Y', 0),
    ];
    const rows = rowsOf(runs);
    expect(rows.map(({ env, algorithm, runs, failed, mean }) => [env, algorithm, runs, failed, mean])).toEqual([
      ['X', 'a', 3, 0, 2],
      ['X', 'b', 3, 0, 1 / 3],
      ['Y', 'a', 1, 0, 5],
      ['Y', 'b', 0, 1, undefined],
    ]);
    const [comparison] = comparisonsOf(runs);
    // of 9 pairs a is above b in 8, and equal in one
    expect(comparison).toMatchObject({ first: 'a', second: 'b', envs: 1 });
    expect(comparison!.probability.value).toBeCloseTo(8.5 / 9, 12);
  });
});

it('a benchmark fine-tunes a denoiser by each reward of a dimension', async () => {
  const model = join(temporary, 'model');
  await useBackend('wasm');
  await saveTinyDenoiser(model);
  const out = join(temporary, 'denoising');
  const rewards = ['jpeg-compressibility', 'jpeg-incompressibility'];
  const { runs, rows } = await benchmark({
    agents: ['ppo'],
    envs: ['Denoising-v0'],
    seeds: [0],
    vary: { reward: rewards },
    options: {
      ...{ model, epochs: 1, numEnvs: 2, samplesPerEpoch: 2, 'sampling.steps': 2, workers: 0 },
      ...{ 'agent.minibatches': 1, 'evaluation.samples': 2 },
    },
    out,
    jobs: 1,
    backend: 'wasm',
    command: 'benchmark for a test',
  });
  expect(runs.map(({ name, state, message }) => [name, state, message])).toEqual(
    rewards.map((reward) => [`Denoising-v0-ppo-reward-${reward}-seed-0`, 'finished', undefined]),
  );
  expect(runs.map(({ varied }) => varied)).toEqual(rewards.map((reward) => ({ reward })));
  // The one reward is the size of a JPEG in kB, the other that with its sign turned.
  const [small, large] = runs.map(({ score }) => score!);
  expect(small).toBeLessThan(0);
  expect(large).toBeGreaterThan(0);
  expect(rows).toHaveLength(2);
  const page = await readFile(join(out, 'index.html'), 'utf8');
  for (const reward of rewards) expect(page).toContain(reward);
}, 120_000);
