import { describe, expect, it } from 'vitest';
import { Collector } from '../../../training/collect/index.js';
import { Lockstep, SavedWalk, ToyAgent, Walk, Walks } from '../toys.js';

const flat = (value: unknown) => JSON.stringify(value, (_, v) => (ArrayBuffer.isView(v) ? [...(v as Uint8Array)] : v));

describe('a lockstep environment', () => {
  it('overlaps scoring with the sampling of the next batch, and takes results in the order of batches', async () => {
    const log: string[] = [];
    const envs = [0, 1].map(() => new Lockstep({ delay: (batch) => (batch === 0 ? 30 : 1), log: (e) => log.push(e) }));
    const { rollout, episodes, envSteps } = await new Collector({
      agent: new ToyAgent({ episodes: 9 }),
      envs,
      seed: 1,
    }).collect();
    // Batch 1 is sampled (and even scored) while batch 0 is scored; batch 2 needs the environment of batch 0.
    expect(log).toEqual(['reset 0', 'reset 1', 'scored 1', 'scored 0', 'reset 2', 'scored 2']);
    expect(rollout!.steps).toHaveLength(12);
    expect(envSteps).toBe(36);
    expect(episodes).toHaveLength(9);
    expect(episodes.map((e) => e.reward)).toEqual([3, 7, 11].flatMap((t) => [...rollout!.steps[t]!.rewards]));
    expect(rollout!.steps.map((s) => s.starts[0])).toEqual([1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    expect(rollout!.steps[3]!.finalObservations).toEqual(rollout!.steps[3]!.actions);
    expect(rollout!.steps[2]!.finalObservations).toEqual([undefined, undefined, undefined]);
    expect(rollout!.lastObservations).toEqual(rollout!.steps[11]!.actions);
  });

  it('gives bit for bit the same with one environment, two and four', async () => {
    const results = [];
    for (const n of [1, 2, 4]) {
      const envs = Array.from({ length: n }, () => new Lockstep({ delay: (batch) => (batch * 7) % 5 }));
      const collector = new Collector({ agent: new ToyAgent({ episodes: 12 }), envs, seed: 1 });
      results.push(flat([await collector.collect(), await collector.collect()]));
    }
    expect(results[1]).toBe(results[0]);
    expect(results[2]).toBe(results[0]);
  });

  it('numbers batches through the whole training, and a restored collector goes on with them', async () => {
    const agent = new ToyAgent({ steps: 8 });
    const log: string[] = [];
    const first = new Collector({ agent, envs: [new Lockstep({ log: (e) => log.push(e) })], seed: 1 });
    await first.collect();
    const second = new Collector({ agent, envs: [new Lockstep({ log: (e) => log.push(e) })], seed: 1 });
    await second.restore(await first.state());
    await second.collect();
    expect(log.filter((e) => e.startsWith('reset'))).toEqual(['reset 0', 'reset 1', 'reset 2', 'reset 3']);
  });

  it('passes on a failed reward at once, and a later failure of another batch harms nobody', async () => {
    const log: string[] = [];
    const options = { fail: () => true, delay: (b: number) => 20 * b, log: (e: string) => log.push(e) };
    const collector = new Collector({
      agent: new ToyAgent({ episodes: 6 }),
      envs: [new Lockstep(options), new Lockstep(options)],
      seed: 1,
    });
    await expect(collector.collect()).rejects.toThrow('reward of batch 0 failed');
    expect(log).toEqual(['reset 0', 'reset 1']);
    // An unhandled rejection would fail this file.
    await new Promise((resolve) => setTimeout(resolve, 40));
  });
});

describe('other environments', () => {
  for (const mode of ['next-step', 'same-step', 'disabled'] as const)
    it(`are cut after so many steps, with autoreset ${mode}`, async () => {
      const collector = new Collector({ agent: new ToyAgent({ steps: 40 }), envs: [new Walks(mode)], seed: 2 });
      const { rollout, episodes, envSteps } = await collector.collect();
      const steps = rollout!.steps;
      expect(steps).toHaveLength(40);
      let ended = 0;
      for (let t = 0; t < 40; t++)
        for (const i of [0, 1]) {
          const step = steps[t]!;
          const next = steps[t + 1];
          const done = step.terminated[i] === 1;
          if (done) ended++;
          expect(step.finalObservations[i] !== undefined).toBe(done);
          if (done) expect(Math.abs(step.finalObservations[i]!)).toBeGreaterThanOrEqual(2);
          expect(Math.abs(step.observations[i]!) < 2 || step.valid[i] === 0).toBe(true);
          if (!next) continue;
          // A dummy step follows an end in next-step mode only, and the episode starts after it.
          expect(next.valid[i]).toBe(done && mode === 'next-step' ? 0 : 1);
          const starts = mode === 'next-step' ? step.valid[i] === 0 : done;
          expect(next.starts[i]).toBe(Number(starts));
        }
      expect(ended).toBeGreaterThan(5);
      expect(episodes).toHaveLength(ended);
      expect(envSteps).toBe(steps.reduce((n, s) => n + s.valid[0]! + s.valid[1]!, 0));
      // Every step of the walk is worth 1.
      for (const episode of episodes) expect(episode.reward).toBe(episode.length);
    });

  it('give each environment the same number of whole episodes, whatever their length', async () => {
    const collector = new Collector({ agent: new ToyAgent({ episodes: 5 }), envs: [new Walks('disabled')], seed: 2 });
    for (let k = 0; k < 2; k++) {
      const { rollout, episodes } = await collector.collect();
      expect(episodes).toHaveLength(5);
      const ends = [0, 1].map((i) => rollout!.steps.filter((s) => s.valid[i] && s.terminated[i]).length);
      expect(ends).toEqual([3, 2]);
      expect([...rollout!.steps[0]!.starts]).toEqual([1, 1]);
    }
  });

  it('go on within an episode after a snapshot, bit for bit', async () => {
    const run = async (cut: boolean) => {
      const agent = new ToyAgent({ steps: 3 });
      const first = new Collector({ agent, envs: [new SavedWalk()], seed: 4 });
      const results = [await first.collect(), await first.collect()];
      const second = cut ? new Collector({ agent, envs: [new SavedWalk()], seed: 4 }) : first;
      if (cut) await second.restore(JSON.parse(JSON.stringify(await first.state())));
      for (let k = 0; k < 5; k++) results.push(await second.collect());
      return flat(results);
    };
    expect(await run(true)).toBe(await run(false));
  });

  it('cannot go on within an episode without a snapshot, and say so', async () => {
    const collector = new Collector({ agent: new ToyAgent({ steps: 3 }), envs: [new Walk()], seed: 4 });
    await collector.collect();
    await expect(collector.restore(await collector.state())).rejects.toThrow(/no snapshot and restore/);
  });

  it('store nothing for a rule', async () => {
    const collector = new Collector({ agent: new ToyAgent('nothing'), envs: [new Walks('same-step')], seed: 1 });
    const { rollout, episodes } = await collector.collect();
    expect(rollout).toBeUndefined();
    expect(episodes).toHaveLength(2);
  });
});

it('refuses a reward that is not finite and a wrong number of actions', async () => {
  const env = new Walk();
  env.step = () => ({ observation: 0, reward: Number.NaN, terminated: false, truncated: false, info: {} });
  const collector = new Collector({ agent: new ToyAgent({ steps: 1 }), envs: [env], seed: 1 });
  await expect(collector.collect()).rejects.toThrow('environment 0 gave the reward NaN');
  const agent = new ToyAgent({ steps: 1 });
  agent.act = () => ({ actions: [1, 2] });
  await expect(new Collector({ agent, envs: [new Walk()], seed: 1 }).collect()).rejects.toThrow(
    'gave 2 actions for 1 observations',
  );
});
