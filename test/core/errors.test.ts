import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeError, GymError, messageOf, nearest, rooms, unknownName, userFrame } from '../../core/errors.js';

it('a name of a megabyte is near to nothing, and is cut', () => {
  const begun = performance.now();
  const { message } = unknownName('make', 'environment', 'x'.repeat(1e6), ['CartPole-v1']);
  expect(performance.now() - begun).toBeLessThan(1000);
  expect(message.length).toBeLessThan(200);
});

it('a mistyped name gets the nearest known one', () => {
  const known = ['CartPole-v1', 'Pendulum-v1', 'Denoising-v0'];
  expect(nearest('cartpole-v1', known)).toBe('CartPole-v1');
  expect(nearest('Cratpole-v1', known)).toBe('CartPole-v1');
  expect(nearest('xyz', known)).toBeUndefined();
  expect(unknownName('make', 'environment', 'Denoisng-v0', known).message).toBe(
    'make: unknown environment `Denoisng-v0`. Did you mean `Denoising-v0`? Known: CartPole-v1, Pendulum-v1, Denoising-v0.',
  );
  expect(unknownName('make', 'environment', 'x', []).message).toMatch(/Known: \(none\)/);
});

it('errors are known by what they are, across copies of the package', () => {
  const error = new GymError('E_VALUE', 'a: b', { cause: new Error('c') });
  expect(GymError.is(error)).toBe(true);
  expect(GymError.is(new Error('a'))).toBe(false);
  expect(error.code).toBe('E_VALUE');
  expect(messageOf(error)).toBe('a: b');
  expect(messageOf('text')).toBe('text');
});

it('anything that is thrown has a message', () => {
  expect(messageOf(new Error(''))).toBe('Error');
  expect(messageOf(Object.assign(new Error(''), { code: 'ECONNREFUSED' }))).toBe('ECONNREFUSED');
  expect(messageOf({ a: 1 })).toBe('{ a: 1 }');
  expect(messageOf(Object.create(null))).toBe('[Object: null prototype] {}');
  expect(messageOf('')).toBe("''");
  expect(messageOf(undefined)).toBe('undefined');
});

/** An error as it looks when it came about in these places. */
function from(error: Error, ...frames: string[]): Error {
  error.stack = [`Error: ${error.message}`, ...frames.map((frame) => `    at ${frame}`)].join('\n');
  return error;
}

describe('describeError', () => {
  it('tells each cause once, and the line of the user', () => {
    const refused = from(new Error('connect ECONNREFUSED 127.0.0.1:9'), 'TCPConnectWrap.x (node:net:1607:16)');
    const fetched = from(
      new TypeError('fetch failed', { cause: refused }),
      'node:internal/deps/undici/undici:13510:13',
      'async request (/home/me/node_modules/client/index.js:3:4)',
      'async Object.score (file:///home/me/my%20rewards%20(1)/far.ts?v=1:5:20)',
      'async other (/home/me/other.ts:1:1)',
    );
    const outer = new GymError('E_REWARD', 'reward `far`: failed on a batch of 2: fetch failed', { cause: fetched });
    expect(describeError(outer)).toBe(
      [
        'reward `far`: failed on a batch of 2: fetch failed',
        '  caused by: connect ECONNREFUSED 127.0.0.1:9',
        '  at /home/me/my rewards (1)/far.ts:5:20',
      ].join('\n'),
    );
    expect(describeError(outer, { debug: true })).toMatch(/^reward[\s\S]*GymError: [\s\S]*\[cause\]: .*fetch failed/);
  });

  it('tells what several attempts failed of, and ends where causes go round', () => {
    const attempts = [new Error('connect ECONNREFUSED ::1:9'), new Error('connect ECONNREFUSED 127.0.0.1:9')];
    const error = new Error('fetch failed', { cause: new AggregateError(attempts, '') });
    expect(describeError(error)).toMatch(
      /^fetch failed\n {2}caused by: connect ECONNREFUSED ::1:9\n {2}caused by: connect ECONNREFUSED 127\.0\.0\.1:9\n/,
    );
    const round: Error & { cause?: unknown } = new Error('a');
    round.cause = new Error('b', { cause: round });
    expect(describeError(round)).toMatch(/^a\n {2}caused by: b\n {2}at /);
    expect(describeError('just a text')).toBe('just a text');
  });

  it('takes no line of this package, of an installed one or of Node for one of the user', () => {
    const place = (...frames: string[]) => userFrame(from(new Error('x'), ...frames));
    const here = (path: string) => `f (${resolve(path)}:1:2)`;
    expect(
      place(here('core/errors.ts'), here('node_modules/x/index.js'), 'node:fs:1:2', 'new Promise (<anonymous>)'),
    ).toBe(undefined);
    // In a clone, users keep their files among those of the package.
    expect(place(here('envs/registry.ts'), here('my-env.ts'))).toBe('my-env.ts:1:2');
    expect(place(resolve('examples/my-reward.ts:7:8'))).toBe('examples/my-reward.ts:7:8');
    expect(
      place('async Promise.all (index 0)', 'eval (eval at f (/x.js:1:1), <anonymous>:1:1)', '/x (1)/y.ts:3:4'),
    ).toBe('/x (1)/y.ts:3:4');
  });

  it('knows all folders of the package', async () => {
    const { include } = JSON.parse(await readFile('tsconfig.build.json', 'utf8'));
    expect([...rooms].sort()).toEqual([...include, 'benchmarks'].sort());
  });
});
