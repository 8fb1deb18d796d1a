import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Metrics } from '../../../core/types.js';
import {
  everyEpochs,
  keepBest,
  readBest,
  stopAtReward,
  stopWithoutImprovement,
} from '../../../training/callbacks/index.js';
import { RunFolder } from '../../../training/run-folder/index.js';
import type { Callback, TrainContext, TrainEvent } from '../../../training/train.js';
import { toyRun } from '../loggers/toy-folder.js';
import { ToyAgent } from '../toys.js';

let path: string;
beforeEach(async () => {
  path = join(await mkdtemp(join(tmpdir(), 'callbacks-test-')), 'run');
});
afterEach(() => rm(join(path, '..'), { recursive: true }));

type Toy = Callback<number, number>;

/** Makes the epochs' `eval/mean` what a list says; undefined: that epoch has none. */
const evaluations = (values: readonly (number | undefined)[]): Toy => ({
  name: 'evaluations',
  epoch: ({ epoch }) => {
    const value = values[epoch - 1];
    return value === undefined ? undefined : { 'eval/mean': value };
  },
});

const withoutTime = (metrics: readonly Metrics[]) =>
  metrics.map((m) => Object.fromEntries(Object.entries(m).filter(([key]) => !key.startsWith('time/'))));
const metricsOf = async (run: string) => withoutTime(await RunFolder.open(run).metrics());
const endOf = (events: readonly TrainEvent[]) => events.at(-1) as TrainEvent & { type: 'end' };

describe('a run that a callback ends', () => {
  const values = [1, 2, undefined, 5, 3, 9];
  const callbacks = () => [evaluations(values), stopAtReward<number, number>(5, { metric: 'eval/mean' })];

  it('is finished, says why, and has its last epoch in a checkpoint', async () => {
    const events = await toyRun({ path, epochs: 6, callbacks, checkpointEvery: 5 });
    const why = 'eval/mean has reached 5, and 5 were asked for (stopAtReward)';
    expect(endOf(events)).toEqual({ type: 'end', epoch: 4, epochs: 6, reason: 'finished', why });
    expect(await RunFolder.open(path).checkpoints()).toEqual([4]);
    expect(await RunFolder.open(path).status()).toMatchObject({ state: 'finished', epoch: 4, epochs: 6, message: why });
  });

  it('ends at once when it is resumed, and goes on when more is asked for', async () => {
    await toyRun({ path, epochs: 6, callbacks });
    const again = await toyRun({ path, epochs: 6, from: 4, callbacks });
    expect(again.map((event) => event.type)).toEqual(['start', 'end']);
    const more = () => [evaluations(values), stopAtReward<number, number>(8, { metric: 'eval/mean' })];
    expect(endOf(await toyRun({ path, epochs: 9, from: 4, callbacks: more }))).toMatchObject({ epoch: 6 });
  });

  it('lets callbacks that come later know that this epoch is the last', async () => {
    const last: [number, boolean][] = [];
    const look = everyEpochs<number, number>(1, (context) => void last.push([context.epoch, context.last]));
    await toyRun({ path, epochs: 6, callbacks: () => [...callbacks(), look] });
    expect(last).toEqual([1, 2, 3, 4].map((epoch) => [epoch, epoch === 4]));
  });
});

describe('stopAtReward', () => {
  it('waits for 100 episodes before it believes the rolling mean', async () => {
    const callback = stopAtReward<number, number>(10, { metric: 'reward/rolling' });
    const told = async (episodes: number) => {
      await callback.epoch!({} as TrainContext<number, number>, { 'reward/rolling': 12, episodes });
      return callback.stop!();
    };
    expect(await told(99)).toBeUndefined();
    expect(await told(100)).toBe(
      'the mean reward of the last episodes (reward/rolling) has reached 12, and 10 were asked for (stopAtReward)',
    );
  });
});

describe('stopWithoutImprovement', () => {
  const values = [1, 3, undefined, 3, 2, undefined, 4, 3, Number.NaN, 1, 9];
  const callbacks = () => [evaluations(values), stopWithoutImprovement<number, number>(3)];

  it('counts evaluations, and begins again with each better one', async () => {
    const end = endOf(await toyRun({ path, epochs: 11, callbacks }));
    expect(end).toMatchObject({
      epoch: 10,
      why: 'eval/mean has not risen above 4 in the last 3 evaluations (patience)',
    });
  });

  it('counts on after a resume, from each checkpoint alike', async () => {
    const whole = join(path, '..', 'whole');
    await toyRun({ path: whole, epochs: 11, callbacks });
    await toyRun({ path, epochs: 9, callbacks });
    for (const from of [8, 5]) {
      expect(endOf(await toyRun({ path, epochs: 11, from, callbacks })).epoch).toBe(10);
      expect(await metricsOf(path)).toEqual(await metricsOf(whole));
    }
  });

  it('ends a run of which no evaluation was a number', async () => {
    const none = () => [evaluations([Number.NaN, Number.NaN, 1]), stopWithoutImprovement<number, number>(2)];
    expect(endOf(await toyRun({ path, epochs: 3, callbacks: none })).why).toBe(
      'eval/mean has not been a number in the last 2 evaluations (patience)',
    );
  });

  it.each([0, 1.5, Number.NaN])('refuses a patience of %s', (patience) => {
    expect(() => stopWithoutImprovement(patience)).toThrow(/patience must be a whole number from 1/);
  });
});

it('two callbacks of one name are refused before anything is written', async () => {
  const note = () => everyEpochs<number, number>(2, () => {});
  await expect(toyRun({ path, epochs: 2, callbacks: () => [note(), note()] })).rejects.toThrow(
    /two are named `every 2 epochs`.*give it another name/,
  );
  expect(await RunFolder.open(path).status()).toBeUndefined();
  await rm(path, { recursive: true, force: true });
  const other = { ...note(), name: 'other' };
  expect(endOf(await toyRun({ path, epochs: 2, callbacks: () => [note(), other] }))).toMatchObject({ epoch: 2 });
});

describe('keepBest', () => {
  const values = [1, 5, undefined, 5, 2, 7, 3, 4];
  const callbacks = () => [evaluations(values), keepBest<number, number>()];
  const kept = () => readdir(join(path, 'best'));

  async function shiftOf(folder: string): Promise<number> {
    const agent = new ToyAgent({ steps: 3 });
    await agent.restore(folder);
    return agent.shift;
  }

  it('keeps the agent of the best epoch, the earlier one of a tie, with its number', async () => {
    const events = await toyRun({ path, epochs: 5, callbacks });
    const best = await readBest(path);
    expect(best.state.epoch).toBe(2);
    expect(JSON.parse(await readFile(join(best.path, 'best.json'), 'utf8'))).toEqual({
      metric: 'eval/mean',
      value: 5,
      epoch: 2,
    });
    const epochs = events.filter((event) => event.type === 'epoch');
    expect(await shiftOf(join(best.path, 'agent'))).toBe(epochs[1]!.metrics['train/shift']);
  });

  it('has after a resume what an uninterrupted run has, from a checkpoint before the best too', async () => {
    await toyRun({ path, epochs: 8, callbacks });
    const [shift, { epoch }] = [
      await shiftOf(join((await readBest(path)).path, 'agent')),
      (await readBest(path)).state,
    ];
    expect(epoch).toBe(6);
    // All checkpoints are kept here, and with them what each knows as the best.
    expect(await kept()).toEqual(['epoch-000001', 'epoch-000002', 'epoch-000006']);
    await toyRun({ path, epochs: 5, from: 4, callbacks });
    expect((await readBest(path)).state.epoch).toBe(2);
    await toyRun({ path, epochs: 8, from: 5, callbacks });
    expect((await readBest(path)).state.epoch).toBe(6);
    expect(await shiftOf(join((await readBest(path)).path, 'agent'))).toBe(shift);
  });

  it('keeps no more than checkpoints need', async () => {
    await toyRun({ path, epochs: 8, callbacks, keepCheckpoints: 1 });
    expect(await kept()).toEqual(['epoch-000006']);
    expect(await RunFolder.open(path).checkpoints()).toEqual([8]);
  });

  it('is read only whole, and says where there is none', async () => {
    await toyRun({ path, epochs: 2, callbacks });
    await writeFile(join((await readBest(path)).path, 'agent', 'toy.json'), '{}');
    await expect(readBest(path)).rejects.toThrow(/agent\/toy\.json was changed since it was written/);
    await rm(join(path, 'best'), { recursive: true });
    await expect(readBest(path)).rejects.toThrow(/it keeps no best agent/);
  });
});

describe('everyEpochs', () => {
  it('calls after every so many epochs and after the last, and what it returns is a metric', async () => {
    const called: number[] = [];
    const note = everyEpochs<number, number>(2, ({ epoch }) => {
      called.push(epoch);
      return { 'own/epoch': epoch };
    });
    await toyRun({ path, epochs: 5, callbacks: () => [note] });
    expect(called).toEqual([2, 4, 5]);
    expect((await metricsOf(path)).map((m) => m['own/epoch'])).toEqual([undefined, 2, undefined, 4, 5]);
    expect(() => everyEpochs(0, () => {})).toThrow(/whole number of epochs from 1, actual value 0/);
  });
});

describe('reward/rolling', () => {
  it('is the mean of the last 100 episodes, stays where none ended, and goes on after a resume', async () => {
    const events = await toyRun({ path, epochs: 160 });
    const rewards: number[] = [];
    let silent = 0;
    for (const event of events) {
      if (event.type !== 'epoch') continue;
      rewards.push(...event.episodes.map((episode) => episode.reward));
      if (event.episodes.length === 0) silent++;
      const last = rewards.slice(-100);
      const mean = last.length === 0 ? undefined : last.reduce((a, b) => a + b, 0) / last.length;
      expect(event.metrics['reward/rolling']).toBe(mean);
    }
    expect(rewards.length).toBeGreaterThan(100);
    expect(silent).toBeGreaterThan(0);
    const whole = await metricsOf(path);
    await toyRun({ path, epochs: 160, from: 100 });
    expect(await metricsOf(path)).toEqual(whole);
  });
});
