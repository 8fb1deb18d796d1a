import { spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../../backend/index.js';
import type { NdArray } from '../../../core/ndarray.js';
import { Random } from '../../../core/random.js';
import { parseConfig } from '../../../training/config/index.js';
import { evaluate } from '../../../training/evaluation/index.js';
import { compose } from '../../../training/families/index.js';
import { openCheckpoint } from '../../../training/trained.js';
import { bitsOf, type NormalizedOptions, normalized } from './normalized.js';

let runs: string;
beforeAll(async () => {
  await useBackend('wasm');
  runs = await mkdtemp(join(tmpdir(), 'normalized-'));
});
afterAll(() => rm(runs, { recursive: true }));

interface Statistics {
  readonly wrapper: string;
  readonly mean: number[];
  readonly variance: number[];
  readonly count: number;
}

async function statisticsIn(folder: string): Promise<Statistics[]> {
  return JSON.parse(await readFile(join(folder, 'normalization.json'), 'utf8')).normalizations;
}

const kinds = [
  ['in the middle of episodes', { collect: { steps: 16 } }],
  ['between whole episodes', { collect: { episodes: 12 } }],
] as const satisfies readonly (readonly [string, NormalizedOptions])[];

describe.each(kinds)('a run with normalisation that is cut %s', (kind, options) => {
  const slug = kind.replaceAll(' ', '-');
  let whole: unknown;
  beforeAll(async () => {
    await normalized(runs, `${slug}-whole`, 6, options);
    whole = await bitsOf(join(runs, `${slug}-whole`));
  });

  it('gives the same bits when it is stopped after an epoch and resumed', async () => {
    const abort = new AbortController();
    const name = `${slug}-stopped`;
    const onEvent: NormalizedOptions['onEvent'] = ({ type, epoch }) => {
      if (type === 'epoch' && epoch === 3) abort.abort();
    };
    const first = await normalized(runs, name, 6, { ...options, signal: abort.signal, onEvent });
    expect(first).toMatchObject({ epoch: 3, reason: 'stopped' });
    await normalized(runs, name, 6, { ...options, resume: true });
    expect(await bitsOf(join(runs, name))).toEqual(whole);
  });

  it('gives the same bits when it is stopped within a rollout, whose statistics are dropped', async () => {
    const abort = new AbortController();
    const name = `${slug}-within`;
    const more = { checkpointEvery: 100 };
    await normalized(runs, name, 6, {
      ...options,
      more,
      signal: abort.signal,
      onProgress: ({ epoch, phase, done, total }) => {
        if (epoch === 4 && phase === 'sampling' && done === Math.floor(total / 2)) abort.abort();
      },
    });
    const { path, epoch } = await openCheckpoint(join(runs, name));
    expect(epoch).toBe(3);
    // Those of the end of epoch 3, as a run has them that ends there.
    await normalized(runs, `${slug}-three`, 3, options);
    const three = await openCheckpoint(join(runs, `${slug}-three`));
    expect(await statisticsIn(path)).toEqual(await statisticsIn(three.path));
    await normalized(runs, name, 6, { ...options, more, resume: true });
    expect(await bitsOf(join(runs, name))).toEqual(whole);
  });

  it('gives the same bits after kill -9', async () => {
    const name = `${slug}-killed`;
    const child = spawn(process.execPath, [
      ...['--import', './register.mjs', join(import.meta.dirname, 'normalized-run.ts')],
      ...[runs, name, '6', JSON.stringify(options.collect)],
    ]);
    let errors = '';
    child.stderr.on('data', (chunk) => {
      errors += chunk;
    });
    const ended = await new Promise((resolve) =>
      child.once('close', (code, signal) => resolve(signal ?? `${code}: ${errors}`)),
    );
    expect(ended).toBe('SIGKILL');
    await normalized(runs, name, 6, { ...options, resume: true });
    expect(await bitsOf(join(runs, name))).toEqual(whole);
  });
});

describe('the statistics of a run', () => {
  const config = parseConfig({
    env: 'CartPole-v1',
    numEnvs: 2,
    backend: 'wasm',
    policy: { hidden: [8] },
    agent: { collect: { steps: 8 } },
    evaluation: { samples: 2, maxSteps: 30 },
    wrappers: ['normalizeObservation', 'normalizeReward', { clipReward: { low: 0, high: 0.5 } }],
  });

  it('are taken by the evaluation, which changes nothing of them and rewards what the environment does', async () => {
    const parts = await compose(config);
    const evaluation = parts.evaluationEnvs[0]!;
    const raw = await compose({ ...config, wrappers: [] });
    try {
      const act = () => [1, 0];
      const env = parts.envs[0]!;
      await env.reset({ seed: 1 });
      for (let t = 0; t < 20; t++) await env.step(act());
      const before = (env as unknown as { snapshot(): unknown }).snapshot();
      const first = (await evaluation.reset({ seed: 9 })).observations as NdArray[];
      const own = (await raw.evaluationEnvs[0]!.reset({ seed: 9 })).observations as NdArray[];
      const stats = normalizationIn(before);
      for (const [i, { data }] of first.entries())
        for (let k = 0; k < 4; k++)
          expect(data[k]).toBeCloseTo((own[i]!.data[k]! - stats.mean[k]!) / Math.sqrt(stats.variance[k]! + 1e-8), 4);
      const { rewards } = await evaluation.step(act());
      expect([...rewards]).toEqual([1, 1]);
      const result = await evaluate(parts.agent, evaluation, { episodes: 2, random: new Random(1), maxSteps: 30 });
      expect(result.episodes.map(({ reward, length }) => reward - length)).toEqual([0, 0]);
      expect((env as unknown as { snapshot(): unknown }).snapshot()).toEqual(before);
    } finally {
      await parts.close();
      await raw.close();
    }
  });

  it('are in the checkpoint, and evaluate takes them from there', async () => {
    await normalized(runs, 'exported', 4);
    const { path, config: stored } = await openCheckpoint(join(runs, 'exported'));
    const saved = await statisticsIn(path);
    expect(saved.map(({ wrapper, mean }) => [wrapper, mean.length])).toEqual([
      ['normalizeObservation', 4],
      ['normalizeReward', 1],
    ]);
    // 4 rollouts of 16 steps of 8 environments, and the first observations.
    expect(saved[0]!.count).toBeGreaterThan(500);
    expect(saved[0]!.count).toBeLessThan(700);
    const measured = async (folder: string) => {
      const parts = await compose(stored);
      try {
        await parts.agent.restore(folder);
        const { evaluationEnvs, agent } = parts;
        const random = new Random('evaluation');
        return (await evaluate(agent, evaluationEnvs, { episodes: 3, random, maxSteps: 40 })).mean;
      } finally {
        await parts.close();
      }
    };
    const line = JSON.parse(
      (await readFile(join(runs, 'exported', 'metrics.jsonl'), 'utf8')).trim().split('\n').at(-1)!,
    );
    expect(await measured(path)).toBe(line['eval/mean']);

    const other = join(runs, 'other-agent');
    await cp(path, other, { recursive: true });
    const [observations, rewards] = saved;
    await writeFile(join(other, 'normalization.json'), JSON.stringify({ normalizations: [rewards, observations] }));
    await expect(measured(other)).rejects.toThrow(
      /holds the statistics of normalizeReward, normalizeObservation, and the run has normalizeObservation, normalizeReward/,
    );
    await writeFile(
      join(other, 'normalization.json'),
      JSON.stringify({ normalizations: [{ ...observations!, mean: [1] }, rewards] }),
    );
    await expect(measured(other)).rejects.toThrow(
      /normalization\.json: normalizeObservation.*has 1 numbers where this one has 4/,
    );
    await rm(join(other, 'normalization.json'));
    await expect(measured(other)).rejects.toThrow(/normalization\.json/);
  });

  it('leave the metrics in the rewards of the environment', async () => {
    const { folder } = await normalized(runs, 'metrics', 2, { collect: { episodes: 8 } });
    for (const line of await folder.metrics()) expect(line['reward/mean']).toBe(line['episode/length']);
  });
});

/** The statistics of the observations in a snapshot of the innermost normalisation. */
function normalizationIn(snapshot: unknown): Statistics {
  const found: Statistics[] = [];
  const visit = (value: unknown) => {
    if (typeof value !== 'object' || value === null) return;
    if ('variance' in value && (value as Statistics).mean.length === 4) found.push(value as Statistics);
    for (const part of Object.values(value)) visit(part);
  };
  visit(snapshot);
  return found[0]!;
}
