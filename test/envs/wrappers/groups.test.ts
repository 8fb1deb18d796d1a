import { describe, expect, it } from 'vitest';
import { CartPole, type Env, Groups, normalizeObservation, wrap } from '../../../envs/index.js';
import { collectRollout } from '../../../testing/rollout.js';
import { Collector } from '../../../training/collect/index.js';
import { Counter } from '../counter.js';

/** Ends after as many steps as its actions add up to. */
class Sum extends Counter {
  constructor() {
    super(100);
  }
  override step(action: number) {
    const result = super.step(action);
    const sum = this.actions.reduce((a, b) => a + b, 0);
    if (sum >= 6) this.actions = [];
    return { ...result, terminated: sum >= 6 };
  }
}

const cartPoles = (n: number) => Array.from({ length: n }, () => new CartPole());

describe('Groups', () => {
  it('begins all members of a group alike, and groups apart', async () => {
    const env = new Groups(cartPoles(4), 2);
    const { observations, infos } = await env.reset({ seed: 3 });
    expect(observations[1]).toEqual(observations[0]);
    expect(observations[3]).toEqual(observations[2]);
    expect(observations[2]).not.toEqual(observations[0]);
    expect(infos.map(({ group }) => group)).toEqual([0, 0, 1, 1]);
    // What follows depends on the actions alone.
    const same = await env.step([1, 1, 1, 0]);
    expect(same.observations[1]).toEqual(same.observations[0]);
    expect(same.observations[3]).not.toEqual(same.observations[2]);
    const again = new Groups(cartPoles(4), 2);
    expect((await again.reset({ seed: 3 })).observations).toEqual(observations);
  });

  it('lets a member that ended idle until the group is over, and then begins the next one', async () => {
    const env = new Groups([new Sum(), new Sum(), new Sum(), new Sum()], 2);
    await env.reset({ seed: 0 });
    // The first group ends after 2 and 3 steps, the second after 6 each.
    const trace: unknown[] = [];
    for (let t = 0; t < 5; t++) {
      const { terminated, infos, rewards, observations } = await env.step([3, 2, 1, 1]);
      trace.push([...terminated.subarray(0, 2)]);
      trace.push(infos.slice(0, 2).map(({ group, idle = false }) => [group, idle]));
      if (t === 2) {
        expect(rewards[0]).toBe(0);
        expect(observations[0]!.data[0]).toBe(2);
        expect(infos[2]).toEqual({ t: 3, group: 1 });
      }
      if (t === 3) expect([observations[0]!.data[0], observations[1]!.data[0], rewards[0]]).toEqual([0, 0, 0]);
    }
    const [going, waiting] = [false, true];
    expect(trace).toEqual([
      ...[
        [0, 0],
        [
          [0, going],
          [0, going],
        ],
      ],
      ...[
        [1, 0],
        [
          [0, going],
          [0, going],
        ],
      ],
      ...[
        [0, 1],
        [
          [0, waiting],
          [0, going],
        ],
      ],
      ...[
        [0, 0],
        [
          [2, going],
          [2, going],
        ],
      ],
      ...[
        [0, 0],
        [
          [2, going],
          [2, going],
        ],
      ],
    ]);
  });

  it('is collected with idle steps as no transitions, by training and by the testing kit', async () => {
    const agent = {
      collect: { episodes: 8 },
      act: (observations: readonly unknown[]) => ({ actions: observations.map((_, i) => [3, 2, 1, 1][i]!) }),
      learn: () => ({}),
      save: async () => {},
      restore: async () => {},
      dispose: () => {},
    };
    const envs = () => new Groups([new Sum(), new Sum(), new Sum(), new Sum()], 2);
    const collector = new Collector({ agent, envs: [envs()], seed: 1 });
    const { rollout, episodes, envSteps } = await collector.collect();
    // Two episodes each of 2, 3, 6 and 6 steps.
    expect(episodes.map(({ length }) => length).sort()).toEqual([2, 2, 3, 3, 6, 6, 6, 6]);
    expect(envSteps).toBe(34);
    for (const { steps } of [rollout!, await collectRollout(agent, envs(), 1)]) {
      const valid = steps.map((step) => [...step.valid]);
      expect(valid.map((one) => one[0]).slice(0, 8)).toEqual([1, 1, 0, 0, 1, 1, 0, 0]);
      expect(steps.map((step) => step.starts[0]).slice(0, 5)).toEqual([1, 0, 0, 0, 1]);
      expect(valid.flat().reduce((a, b) => a! + b!, 0)).toBe(34);
    }
  });

  it('goes on from a snapshot, in the middle of episodes', async () => {
    const play = async (env: Groups<unknown, number>) => {
      const seen: unknown[] = [];
      for (let t = 0; t < 60; t++) {
        const { observations, terminated, infos } = await env.step([0, 1, t % 2, 1]);
        seen.push(observations, [...terminated], infos);
      }
      return seen;
    };
    const one = new Groups<unknown, number>(cartPoles(4) as Env<unknown, number>[], 2);
    await one.reset({ seed: 1 });
    for (let t = 0; t < 11; t++) await one.step([1, 0, 1, 1]);
    const snapshot = await one.snapshot();
    const two = new Groups<unknown, number>(cartPoles(4) as Env<unknown, number>[], 2);
    await two.restore(snapshot);
    expect(await play(two)).toEqual(await play(one));
    const other = new Groups(cartPoles(4), 4);
    await expect(other.restore(snapshot)).rejects.toThrow(/4 environments in groups of 2.*in groups of 4/);
  });

  it('keeps idle members out of the statistics of a normalisation around it', async () => {
    const inner = new Groups([new Sum(), new Sum()], 2);
    const normalization = normalizeObservation();
    const env = wrap(inner, normalization);
    await env.reset({ seed: 0 });
    // 2 observations of the reset, 2 of each of the first two steps, and then 1: the first member waits.
    const counts: number[] = [];
    for (let t = 0; t < 4; t++) {
      await env.step([3, 2]);
      counts.push(normalization.statistics!.count);
    }
    expect(counts.map((count) => Math.round(count))).toEqual([4, 6, 7, 9]);
  });

  it('resets groups as wholes', async () => {
    const env = new Groups(cartPoles(4), 2);
    await env.reset({ seed: 1 });
    const { observations, infos } = await env.reset({ mask: Uint8Array.of(0, 0, 1, 1) });
    expect(infos.map(({ group }) => group)).toEqual([undefined, undefined, 2, 2]);
    expect(observations[3]).toEqual(observations[2]);
    await expect(env.reset({ mask: Uint8Array.of(0, 1, 1, 1) })).rejects.toThrow(/reset as a whole.*\[0, 1, 1, 1\]/);
  });

  it('refuses what are no whole groups, or cannot be restored', async () => {
    expect(() => new Groups(cartPoles(3), 2)).toThrow(/3 environments are no groups of 2/);
    expect(() => new Groups(cartPoles(2), 1)).toThrow(/no groups of 1/);
    const [good, bad] = cartPoles(2);
    Object.assign(bad!, { snapshot: undefined });
    expect(() => new Groups([good!, bad!], 2)).toThrow(/environment 1 \(CartPole\) has no snapshot and restore/);
    const env = new Groups([new Counter(3), new Counter(3)], 2);
    await expect(env.step([1, 1])).rejects.toThrow(/call reset\(\) first/);
    await env.reset();
    await expect(env.step([1])).rejects.toThrow(/1 actions for 2 environments/);
    await expect(env.step([1, 99])).rejects.toThrow(/environment 1: that is too much/);
    await env.close();
    expect((env.envs[0] as Counter).closed).toBe(1);
  });
});
