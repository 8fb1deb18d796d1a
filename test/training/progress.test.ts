import { expect, it } from 'vitest';
import { duration, number, progressReporter } from '../../training/progress.js';

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

it('prints one line an epoch where there is no terminal', () => {
  let text = '';
  const write = (chunk: string) => {
    text += chunk;
    return true;
  };
  const stream = { isTTY: false, write } as unknown as NodeJS.WriteStream;
  const reporter = progressReporter(stream);
  reporter.onEvent({ type: 'start', epoch: 0, epochs: 10 });
  for (let done = 1; done < 100; done++)
    reporter.onProgress({ epoch: 1, epochs: 10, phase: 'sample', done, total: 100 });
  const metrics = { 'reward/mean': 0.5, 'reward/std': 0.1, 'train/clipFraction': 0.25, 'time/epoch': 2 };
  const episode = { reward: 1, length: 1, info: {} };
  reporter.onEvent({ type: 'epoch', epoch: 1, epochs: 10, metrics, episodes: Array(64).fill(episode) });
  reporter.say('warning: look out');
  reporter.close();
  expect(text).toBe(
    'epoch  1/10 · reward 0.500 ± 0.100 · clipped 25 % · 32 samples/s · 2 s · 18 s left\nwarning: look out\n',
  );
});

it('draws a bar with reward, rate, time left and phase on a terminal', async () => {
  let text = '';
  const write = (chunk: string) => {
    text += chunk;
    return true;
  };
  const stream = Object.assign(Object.create(process.stderr), {
    isTTY: true,
    columns: 200,
    write,
    cursorTo: () => true,
    clearLine: () => true,
    moveCursor: () => true,
    clearScreenDown: () => true,
    on: () => stream,
    removeListener: () => stream,
  }) as NodeJS.WriteStream;
  const reporter = progressReporter(stream);
  reporter.onEvent({ type: 'start', epoch: 0, epochs: 4 });
  const metrics = { 'reward/mean': 0.5, 'reward/std': 0.1, 'time/epoch': 2 };
  const episode = { reward: 1, length: 1, info: {} };
  reporter.onEvent({ type: 'epoch', epoch: 1, epochs: 4, metrics, episodes: Array(64).fill(episode) });
  reporter.onProgress({ epoch: 2, epochs: 4, phase: 'sample', done: 5, total: 20 });
  await new Promise((resolve) => setTimeout(resolve, 300));
  reporter.onEvent({ type: 'end', epoch: 4, epochs: 4, reason: 'finished' });
  reporter.close();
  expect(text).toMatch(/epoch 1\/4 .*reward 0\.500 ± 0\.100 · 32 samples\/s · 6 s left · sampling 25 %/);
});
