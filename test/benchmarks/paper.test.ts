import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PaperBenchmark, PaperResults } from '../../benchmarks/paper/definition.js';
import { bySeed, positiveFinding } from '../../benchmarks/paper/findings.js';
import { runPaper, writePage } from '../../benchmarks/paper/run.js';

let out: string;
beforeAll(async () => {
  out = await mkdtemp(join(tmpdir(), 'paper-'));
});
afterAll(() => rm(out, { recursive: true }));

const options = { epochs: 2, numEnvs: 4, 'evaluation.samples': 8, 'agent.collect': { episodes: 8 } };
const part = (agent: string, vary = {}) => ({
  ...{ title: `Bandit, ${agent}`, about: 'A bandit.', score: 'reward' },
  matrices: [{ agents: [agent], envs: ['Bandit-v0'], vary, options }],
});

const definition: PaperBenchmark = {
  name: 'example',
  title: 'An example',
  about: 'About it.',
  seeds: [0],
  parts: {
    first: part('ppo', { 'agent.learningRate': [0.001, 0.01] }),
    second: part('reinforce'),
    rare: { ...part('reinforce'), data: { what: 'a rare data set', options: ['description'] } },
  },
  drawings: [
    ...['reinforce', 'dpok'].map((algorithm) => ({
      ...{ file: algorithm, title: `By ${algorithm}`, caption: 'A square.', algorithm },
      draw: async (folder: string) => `<svg>${(await readdir(folder)).includes('metrics.jsonl')}</svg>`,
    })),
  ],
  measures: { seen: { title: 'measured' } },
  measure: async (folder) => ({ seen: (await readdir(folder)).includes('metrics.jsonl') ? 7 : 0 }),
  findings: (runs) => [
    positiveFinding('It has a score', 'score', [...bySeed(runs, { part: 'second', algorithm: 'reinforce' }).values()]),
  ],
};

const read = async () => JSON.parse(await readFile(join(out, 'results.json'), 'utf8')) as PaperResults;

describe('a benchmark after a paper', () => {
  it('runs a part alone, keeps other parts and seeds, and makes figures and a page of what is there', async () => {
    const common = { out, jobs: 2, command: 'a command' };
    await runPaper(definition, { ...common, seeds: [4], only: ['first'] });
    const { runs: first } = await read();
    expect(first.map(({ name, state }) => [name, state])).toEqual([
      ['first-Bandit-v0-ppo-learningRate-0.001-seed-4', 'finished'],
      ['first-Bandit-v0-ppo-learningRate-0.01-seed-4', 'finished'],
    ]);
    expect(first[0]).toMatchObject({
      ...{ part: 'first', seed: 4, options, measures: { seen: 7 }, rewardQueries: 16 },
      command: 'npm run --silent bench -- example --only first --seeds 4',
    });
    expect(first[0]!.commit).toMatch(/^[0-9a-f]{40}(-dirty)?$/);

    const said: string[] = [];
    await runPaper(definition, { ...common, seeds: [4], only: ['first'], onProgress: ({ run }) => said.push(run) });
    expect(said).toEqual([]);

    await runPaper(definition, { ...common, seeds: [5], only: ['second'] });
    const { runs } = await read();
    expect(runs.map(({ part, seed }) => `${part} ${seed}`)).toEqual(['first 4', 'first 4', 'second 5']);
    expect(runs.slice(0, 2)).toEqual(first);

    const files = await readdir(out);
    expect(files).toEqual(expect.arrayContaining(['first-by-queries.svg', 'second-by-seconds.svg', 'findings.md']));
    const figure = await readFile(join(out, 'first-by-queries.svg'), 'utf8');
    expect(figure).toMatch(/^<svg [^>]*width="[\d.]+".*learningRate 0.01/s);
    // Colours are no variables, which only browsers know.
    expect(figure).not.toContain('var(');
    expect(figure).toContain('#3454d1');
    // Drawn of the run that is there, and not of the one that is not.
    expect(await readFile(join(out, 'second-reinforce.svg'), 'utf8')).toBe('<svg>true</svg>');
    expect(files.filter((name) => name.endsWith('dpok.svg'))).toEqual([]);
    const page = await readFile(join(out, 'findings.md'), 'utf8');
    expect(page).toContain('![By reinforce](second-reinforce.svg)\n\nA square.');
    expect(page).toContain('# An example');
    expect(page).toMatch(/\| ppo \(learningRate 0\.001\) \| [\d.-]+ \| [\d.-]+ \| 7 \| 16 \|/);
    expect(page).toMatch(/\| It has a score \| \*\*within noise\*\* \| score: [\d.-]+, 1 seed \|/);

    await writePage({ ...definition, title: 'Another title' }, await read(), out);
    expect(await readFile(join(out, 'findings.md'), 'utf8')).toBe(page.replace('# An example', '# Another title'));
  });

  it('leaves out a part whose data are not there, and says so', async () => {
    const missing: string[] = [];
    const onMissing = (message: string) => void missing.push(message);
    const common = { out, jobs: 1, command: '', seeds: [0], only: ['rare'] };
    const { runs } = await runPaper(definition, { ...common, onMissing });
    expect(missing).toEqual(['rare: left out, needs a rare data set; name its folder by --data']);
    expect(runs.filter((run) => run.part === 'rare')).toEqual([]);
    // With them, the folder becomes the part's option; this environment has none of that name.
    await expect(runPaper(definition, { ...common, data: 'there' })).rejects.toThrow(/description/);
  });

  it('runs those alone that are asked for by a part of their names', async () => {
    const common = { out: join(out, 'asked'), jobs: 1, command: '', seeds: [4], only: ['first'] };
    await runPaper(definition, { ...common, runs: ['learningRate-0.01-'] });
    await expect(runPaper(definition, { ...common, runs: ['rank-4'] })).rejects.toThrow(
      /example: no run has "rank-4" in its name; the first is called first-Bandit-v0-ppo/,
    );
    const { runs } = await runPaper(definition, { ...common, seeds: [5], runs: ['learningRate-0.001-'] });
    expect(runs.map(({ name }) => name)).toEqual([
      'first-Bandit-v0-ppo-learningRate-0.001-seed-5',
      'first-Bandit-v0-ppo-learningRate-0.01-seed-4',
    ]);
  });

  it('names its parts to whoever asks for another one', async () => {
    const asked = runPaper(definition, { out, jobs: 1, command: '', seeds: [0], only: ['third'] });
    await expect(asked).rejects.toThrow(/example: no part third; there are first, second, rare/);
  });
});
