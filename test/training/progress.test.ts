import { afterEach, describe, expect, it, vi } from 'vitest';
import { agentNamed } from '../../agents/registry.js';
import type { Metrics } from '../../core/types.js';
import { duration, epochLine, number, progressReporter, rewardSummary } from '../../training/progress.js';
import type { TrainEvent } from '../../training/train.js';

const ppo = { metrics: agentNamed('ppo').metrics, words: { episodes: 'samples' } };

/** A stream that keeps what is written to it. */
function listeningStream(isTTY: boolean): { stream: NodeJS.WriteStream; text: () => string } {
  let text = '';
  const stream = Object.assign(Object.create(process.stderr), {
    isTTY,
    columns: 200,
    write: (chunk: string) => {
      text += chunk;
      return true;
    },
    cursorTo: () => true,
    clearLine: () => true,
    moveCursor: () => true,
    clearScreenDown: () => true,
    on: () => stream,
    removeListener: () => stream,
  }) as NodeJS.WriteStream;
  return { stream, text: () => text };
}

function epochEvent(epoch: number, metrics: Metrics, finished: number, epochs = 10): TrainEvent {
  const episode = { reward: 1, length: 1, info: {} };
  return { type: 'epoch', epoch, epochs, metrics: { epoch, ...metrics }, episodes: Array(finished).fill(episode) };
}

it('writes numbers and durations for people', () => {
  expect([0, 64, 0.78012, -12.3456, 1234.5, 1.5e-5, Number.NaN, undefined].map(number)).toEqual([
    '0',
    '64',
    '0.780',
    '-12.3',
    '1235',
    '1.50e-5',
    'NaN',
    '–',
  ]);
  expect([0.4, 59, 125, 3600, 4830].map(duration)).toEqual(['0 s', '59 s', '2 min 05 s', '1 h 00 min', '1 h 20 min']);
});

describe('the line of an epoch', () => {
  const metrics = { epoch: 3, 'reward/mean': 0.5, 'reward/std': 0.1, 'time/epoch': 2 };

  it('shows what the agent describes with `progress`, a share in per cent, and nothing else of the agent', () => {
    const descriptions = {
      'train/half': { title: '', unit: '', about: '', progress: { label: 'half', share: true } },
      'train/size': { title: '', unit: '', about: '', progress: { label: 'size' } },
      'train/absent': { title: '', unit: '', about: '', progress: { label: 'absent' } },
      'train/quiet': { title: '', unit: '', about: '' },
    };
    const logged = { ...metrics, 'train/half': 0.5, 'train/size': 12.3456, 'train/quiet': 7, 'train/clipFraction': 1 };
    expect(epochLine(3, 5, logged, { metrics: descriptions })).toBe(
      'epoch 3/5 · reward 0.500 ± 0.100 · half 50 % · size 12.3 · 2 s',
    );
  });

  it('counts finished episodes by the word of the family, and steps where none ended', () => {
    expect(epochLine(3, 5, metrics, { finished: 8, words: { episodes: 'samples' } })).toContain('· 4 samples/s ·');
    expect(epochLine(3, 5, metrics, { finished: 8 })).toContain('· 4 episodes/s ·');
    expect(epochLine(3, 5, metrics, { finished: 0, steps: 64 })).toContain('· 32 steps/s ·');
    expect(epochLine(3, 5, metrics, { finished: 0 })).not.toContain('/s');
  });

  it('shows the reward of the last epoch that had one, marked so, where no episode ended in this one', () => {
    const none = { epoch: 9, 'time/epoch': 2, episodes: 12 };
    const rewarded = { epoch: 7, 'reward/mean': 23.1, 'reward/std': 4 };
    expect(epochLine(9, 20, none, { rewarded })).toBe('epoch  9/20 · reward 23.1 ± 4 (epoch 7) · 2 s');
    // A resumed process has not seen the epochs before.
    expect(epochLine(9, 20, none)).toContain('· no episode ended in this epoch ·');
    expect(epochLine(1, 20, { ...none, episodes: 0 })).toContain('· no episode has ended yet ·');
  });
});

it('sums up the rewards of a run by the first and the last epoch that have one', () => {
  const none = (epoch: number) => ({ epoch });
  const some = (epoch: number, mean: number) => ({ epoch, 'reward/mean': mean });
  expect(rewardSummary([])).toBeUndefined();
  expect(rewardSummary([none(1), none(2)])).toBe('mean reward: unknown, no episode has ended yet');
  expect(rewardSummary([some(1, 20)])).toBe('mean reward: 20');
  expect(rewardSummary([some(1, 20), some(2, 0.5)])).toBe(
    'mean reward: 20 in the first epoch, 0.500 in the last epoch',
  );
  expect(rewardSummary([none(1), some(2, 20), none(3)])).toBe(
    'mean reward: 20 in epoch 2, the only one in which episodes ended',
  );
  expect(rewardSummary([none(1), some(2, 20), some(3, 30), none(4)])).toBe(
    'mean reward: 20 in epoch 2, the first in which episodes ended, 30 in epoch 3, the last in which episodes ended',
  );
});

describe('where there is no terminal', () => {
  afterEach(() => void vi.useRealTimers());

  it('prints one line an epoch', () => {
    const { stream, text } = listeningStream(false);
    const reporter = progressReporter(stream, ppo);
    reporter.onEvent({ type: 'start', epoch: 0, epochs: 10 });
    for (let done = 1; done < 100; done++)
      reporter.onProgress({ epoch: 1, epochs: 10, phase: 'sampling', done, total: 100 });
    const metrics = { 'reward/mean': 0.5, 'reward/std': 0.1, 'train/clipFraction': 0.25, 'time/epoch': 2 };
    reporter.onEvent(epochEvent(1, metrics, 64));
    reporter.say('warning: look out');
    reporter.close();
    expect(text()).toBe(
      'epoch  1/10 · reward 0.500 ± 0.100 · clipped 25 % · 32 samples/s · 2 s · 18 s left\nwarning: look out\n',
    );
  });

  it('remembers the last reward, and counts the steps of each epoch', () => {
    const { stream, text } = listeningStream(false);
    const reporter = progressReporter(stream, { words: { episodes: 'episodes' } });
    reporter.onEvent({ type: 'start', epoch: 0, epochs: 10 });
    reporter.onEvent(epochEvent(1, { 'time/epoch': 2, envSteps: 64, episodes: 0 }, 0));
    reporter.onEvent(
      epochEvent(2, { 'reward/mean': 9, 'reward/std': 1, 'time/epoch': 2, envSteps: 128, episodes: 2 }, 2),
    );
    reporter.onEvent(epochEvent(3, { 'time/epoch': 2, envSteps: 328, episodes: 2 }, 0));
    expect(text().split('\n')).toEqual([
      'epoch  1/10 · no episode has ended yet · 32 steps/s · 2 s · 18 s left',
      'epoch  2/10 · reward 9 ± 1 · 1 episodes/s · 2 s · 16 s left',
      'epoch  3/10 · reward 9 ± 1 (epoch 2) · 100 steps/s · 2 s · 14 s left',
      '',
    ]);
  });

  it('says what goes on outside of epochs, and after half a minute of silence how far it is', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const { stream, text } = listeningStream(false);
    const reporter = progressReporter(stream);
    reporter.onEvent({ type: 'start', epoch: 0, epochs: 10 });
    const at = (epoch: number, phase: string, done: number, total: number) => {
      reporter.onProgress({ epoch, epochs: 10, phase, done, total });
      vi.advanceTimersByTime(20_000);
    };
    at(0, 'evaluating', 1, 10);
    at(0, 'evaluating', 2, 10);
    at(0, 'evaluating', 4, 10);
    at(1, 'sampling', 1, 8);
    at(1, 'learning', 0, 0);
    expect(text().split('\n')).toEqual(['evaluating', 'evaluating 40 %', 'epoch 1/10 · learning', '']);
  });

  it('names each evaluation that is made without a run', () => {
    const { stream, text } = listeningStream(false);
    const reporter = progressReporter(stream);
    for (const [epoch, name] of [[0, 'before'] as const, [5, 'epoch-5'] as const])
      for (let done = 1; done <= 4; done++)
        reporter.onProgress({ epoch, epochs: epoch, phase: `evaluating ${name}`, done, total: 4 });
    expect(text()).toBe('evaluating before\nevaluating epoch-5\n');
  });
});

describe('on a terminal', () => {
  const drawn = () => new Promise((resolve) => setTimeout(resolve, 300));

  it('draws a bar with reward, time left, phase, what the agent wants to have shown, and rate', async () => {
    const { stream, text } = listeningStream(true);
    const reporter = progressReporter(stream, ppo);
    reporter.onEvent({ type: 'start', epoch: 0, epochs: 4 });
    reporter.onProgress({ epoch: 0, epochs: 4, phase: 'evaluating', done: 4, total: 10 });
    await drawn();
    expect(text()).toMatch(/epoch 0\/4 ░+ evaluating 40 %/);
    const metrics = { 'reward/mean': 0.5, 'reward/std': 0.1, 'train/clipFraction': 0.25, 'time/epoch': 2 };
    reporter.onEvent(epochEvent(1, metrics, 64, 4));
    reporter.onProgress({ epoch: 2, epochs: 4, phase: 'sampling', done: 5, total: 20 });
    await drawn();
    reporter.onEvent({ type: 'end', epoch: 1, epochs: 4, reason: 'stopped' });
    reporter.close();
    const epoch = 'epoch 1/4 █{6}░{18} reward 0\\.500 ± 0\\.100 · 6 s left';
    expect(text()).toMatch(new RegExp(`${epoch} · sampling 25 % · clipped 25 % · 32 samples/s`));
    expect(text()).toMatch(new RegExp(`${epoch} · stopped ·`));
  });

  it('draws the bar of an evaluation without a run', async () => {
    const { stream, text } = listeningStream(true);
    const reporter = progressReporter(stream);
    reporter.onProgress({ epoch: 0, epochs: 0, phase: 'evaluating before', done: 16, total: 64 });
    await drawn();
    reporter.onProgress({ epoch: 5, epochs: 5, phase: 'evaluating epoch-5', done: 32, total: 64 });
    await drawn();
    reporter.close();
    expect(text()).toMatch(/evaluating before █{6}░{18} 25 %/);
    expect(text()).toMatch(/evaluating epoch-5 █{12}░{12} 50 %/);
  });

  it('keeps what is said right before the end', () => {
    const { stream, text } = listeningStream(true);
    const reporter = progressReporter(stream);
    reporter.onEvent({ type: 'start', epoch: 0, epochs: 4 });
    reporter.say('warning: look out');
    reporter.onEvent({ type: 'end', epoch: 4, epochs: 4, reason: 'finished' });
    reporter.say('the end');
    expect(text()).toMatch(/warning: look out\n[\s\S]*the end\n$/);
  });

  it('gives the cursor back when the process ends in between', () => {
    const { stream, text } = listeningStream(true);
    const others = process.listeners('exit');
    const reporter = progressReporter(stream);
    reporter.onEvent({ type: 'start', epoch: 0, epochs: 4 });
    const [atExit] = process.listeners('exit').filter((listener) => !others.includes(listener));
    expect(text()).not.toContain('\x1B[?25h');
    atExit!(130);
    expect(text()).toContain('\x1B[?25h');
    expect(process.listeners('exit')).toEqual(others);
  });
});
