import { describe, expect, it } from 'vitest';
import { adaptation } from '../../benchmarks/adaptation/definition.js';
import type { PaperRun } from '../../benchmarks/paper/definition.js';
import { completeConfig, withFlags } from '../../training/config/index.js';

function run(
  part: string,
  agent: string,
  varied: Record<string, unknown>,
  seed: number,
  accuracies: number[],
): PaperRun {
  const measures = Object.fromEntries(accuracies.map((value, pass) => [`pass${pass}`, value]));
  return {
    ...{ name: `${agent}-${seed}`, env: 'SourceFreeAdaptation-v0', agent, seed, varied, part },
    ...{ state: 'finished' as const, score: accuracies.at(-1)!, curve: [], command: '', options: {} },
    measures: { ...measures, source: accuracies[0]!, weightRight: 0.8, weightWrong: 0.6 },
  };
}

const guided = { 'agent.contrast': 0.2, 'adaptation.learningRate': 0.02 };
const naive = { 'agent.diversity': 0, 'adaptation.learningRate': 0.02 };
/** Three seeds on which guided labels come from 50 % to 90 %, and naive ones collapse in the second pass on one seed. */
const runs = [0, 1, 2].flatMap((seed) => [
  run('texture-mnist', 'guided-pseudo-labels', guided, seed, [0.5, 0.7, 0.9 + seed / 100]),
  run('texture-mnist', 'naive-pseudo-labels', naive, seed, seed === 0 ? [0.5, 0.1] : [0.5, 0.4, 0.2]),
]);

describe('the benchmark of source-free adaptation', () => {
  it('has options that the environment and the agents take', async () => {
    for (const { matrices } of Object.values(adaptation.parts))
      for (const { agents, envs, vary, options } of matrices)
        for (const name of agents) {
          const first = Object.fromEntries(Object.entries(vary).map(([path, [value]]) => [path, value]));
          const input = withFlags({ env: envs[0]!, agent: { name } }, { ...options, ...first });
          expect((await completeConfig(input, 'test')).agent.name).toBe(name);
        }
  });

  it('tests the bar seed by seed, and differences over seeds', () => {
    const findings = adaptation.findings(runs);
    const verdict = (statement: RegExp) => findings.find((finding) => statement.test(finding.statement))!;
    expect(verdict(/at least 88 %/)).toMatchObject({
      verdict: 'for',
      evidence: expect.stringMatching(/^3 of 3: seed 0/),
    });
    expect(verdict(/better than naive ones by at least 20 points/).verdict).toBe('for');
    expect(verdict(/right labels weigh more/).verdict).toBe('for');
    expect(verdict(/better than SHOT/).verdict).toBe('not measured');
    const worse = runs.map((one) => (one.seed === 2 && one.agent.startsWith('guided') ? { ...one, score: 0.87 } : one));
    expect(adaptation.findings(worse)[0]).toMatchObject({ verdict: 'against' });
  });

  it('draws accuracy by passes: a run that has collapsed stays where it was', () => {
    const [figure, ...others] = adaptation.figures!('texture-mnist', runs);
    expect(others).toEqual([]);
    const [, series] = figure!.series;
    expect(series!.name).toBe('naive-pseudo-labels (diversity 0)');
    expect(series!.points.map(([, value]) => value)).toEqual([0.5, expect.closeTo(0.3, 9), expect.closeTo(0.5 / 3, 9)]);
    expect(series!.band!.at(-1)).toEqual([2, 0.1, 0.2]);
  });
});
