import { describe, expect, it } from 'vitest';
import type { NdArray } from '../../core/ndarray.js';
import { ClassicEnv, type Env, type StepResult } from '../../envs/index.js';
import { spec } from '../../envs/registry.js';
import { readFixture } from './fixtures.js';

interface Step {
  action: number | number[];
  observation: number[];
  state: number[];
  reward: number;
  terminated: boolean;
  truncated: boolean;
}
interface Fixture {
  runs: Record<string, { initialState: number[]; steps: Step[] }[]>;
}

const { runs } = await readFixture<Fixture>('classic_control.json');

type Any = ClassicEnv<NdArray<Float32Array>, number | NdArray>;

/** The environment without its time limit, which cuts nothing that a run of one step at a time could notice. */
async function bare(id: string): Promise<Any> {
  const env: Env<unknown, unknown> = await spec(id).create!({});
  if (!(env instanceof ClassicEnv)) throw new Error(`${id} takes no state`);
  return env as Any;
}

const actionOf = (action: number | number[]) =>
  Array.isArray(action) ? { data: Float32Array.from(action), shape: [action.length] } : action;

function expectNear(got: ArrayLike<number>, want: readonly number[], tolerance: number, where: string): void {
  expect(got.length, where).toBe(want.length);
  for (let i = 0; i < want.length; i++)
    expect(Math.abs(got[i]! - want[i]!), `${where}, element ${i}: ${got[i]} for ${want[i]}`).toBeLessThanOrEqual(
      tolerance,
    );
}

describe.each(Object.keys(runs))('%s', (id) => {
  it('makes every step from the stored state as Gymnasium does', async () => {
    const env = await bare(id);
    env.reset({ seed: 0 });
    for (const [r, { initialState, steps }] of runs[id]!.entries()) {
      let before = initialState;
      for (const [t, step] of steps.entries()) {
        const where = `run ${r}, step ${t}`;
        env.state = before;
        const result = env.step(actionOf(step.action)) as StepResult<NdArray<Float32Array>>;
        expectNear(result.observation.data, step.observation, 1e-6, where);
        expectNear(env.state, step.state, 1e-6, where);
        expect(Math.abs(result.reward - step.reward), where).toBeLessThanOrEqual(1e-6);
        expect(result.terminated, where).toBe(step.terminated);
        before = step.state;
      }
    }
  });

  it('stays beside Gymnasium in a free run, and is cut where that is', async () => {
    const limit = spec(id).maxEpisodeSteps!;
    for (const [r, { initialState, steps }] of runs[id]!.entries()) {
      const env = await bare(id);
      env.reset({ seed: 0 });
      env.state = initialState;
      for (const [t, step] of steps.entries()) {
        const { observation, reward } = env.step(actionOf(step.action));
        expectNear(observation.data, step.observation, 1e-3, `run ${r}, step ${t}`);
        expect(Math.abs(reward - step.reward)).toBeLessThanOrEqual(1e-3);
        expect(t + 1 >= limit, `run ${r}, step ${t}`).toBe(step.truncated);
      }
    }
  });
});
