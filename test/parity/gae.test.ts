import { expect, it } from 'vitest';
import { GeneralizedAdvantages } from '../../agents/index.js';
import { readFixture } from './fixtures.js';

interface Case {
  gamma: number;
  lambda_: number;
  rewards: number[][];
  values: number[][];
  /** [steps + 1][envs]: 1 where step i begins a new episode; the last row says whether the last step ended one. */
  episodeStarts: number[][];
  lastValues: number[];
  advantages: number[][];
  returns: number[][];
}

const { cases } = await readFixture<{ cases: Case[] }>('gae.json');

it.each(cases)('advantages and returns of stable-baselines3, γ = $gamma, λ = $lambda_', async (given) => {
  const numEnvs = given.lastValues.length;
  for (let env = 0; env < numEnvs; env++) {
    const steps = given.rewards.length;
    const column = (rows: number[][]) => rows.map((row) => row[env]!);
    const [rewards, values, starts] = [column(given.rewards), column(given.values), column(given.episodeStarts)];
    // What an agent makes of one environment: a span for each episode, the last of which the rollout may cut.
    const spans: { first: number; end: number; complete: boolean }[] = [];
    const terminated = new Uint8Array(steps);
    for (let t = 0, first = 0; t < steps; t++) {
      terminated[t] = starts[t + 1]!;
      if (starts[t + 1] || t === steps - 1) {
        spans.push({ first, end: t + 1, complete: true });
        first = t + 1;
      }
    }
    const { advantages, targets } = await new GeneralizedAdvantages({
      gamma: given.gamma,
      lambda: given.lambda_,
      standardize: false,
      values: async (observations) => Float32Array.from(observations as number[]),
    }).estimate({
      observations: values,
      actions: values,
      rewards: Float64Array.from(rewards),
      terminated,
      truncated: new Uint8Array(steps),
      infos: values.map(() => ({})),
      extras: { value: Float32Array.from(values) },
      successors: spans.map(({ end }) => (terminated[end - 1] ? undefined : given.lastValues[env])),
      spans,
    });
    for (let t = 0; t < steps; t++) {
      expect(advantages[t]).toBeCloseTo(given.advantages[t]![env]!, 5);
      expect(targets![t]).toBeCloseTo(given.returns[t]![env]!, 5);
    }
  }
});
