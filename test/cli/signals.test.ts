import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { saveTinyDenoiser } from '../training/tiny-denoiser.js';

// A signal takes effect within a second, whatever is going on. Synchronous environments and agents never let Node's event
// loop have a turn by themselves, so each of these would go on to its end otherwise.

let temporary: string;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'signals-'));
  await saveTinyDenoiser(join(temporary, 'model'));
  await writeFile(
    join(temporary, 'endless.ts'),
    `import { Box, Discrete, register } from 'denoise-gym/envs';
const observe = () => ({ data: Float32Array.of(0), shape: [1] });
class Endless {
  observationSpace = new Box(-1, 1, [1]);
  actionSpace = new Discrete(2);
  reset() { return { observation: observe(), info: {} }; }
  step() { return { observation: observe(), reward: 1, terminated: false, truncated: false, info: {} }; }
}
register({ id: 'Endless-v0', description: 'never ends', create: () => new Endless() });
`,
  );
});
afterAll(() => rm(temporary, { recursive: true }));

/** Seconds from the signal to the end, its exit status, and what it said. */
async function interrupted(signal: NodeJS.Signals, when: RegExp, wait: number, args: string[]) {
  const child = spawn(
    process.execPath,
    ['--import', './register.mjs', 'cli/main.ts', 'train', '--runs', temporary, ...args],
    {
      env: { ...process.env, DENOISE_GYM_BACKEND: 'wasm' },
    },
  );
  let said = '';
  let sent: number | undefined;
  child.stderr.on('data', (chunk) => {
    said += chunk;
    if (sent === undefined && when.test(said)) {
      sent = Number.NaN;
      setTimeout(() => {
        sent = performance.now();
        child.kill(signal);
      }, wait);
    }
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, said, seconds: (performance.now() - sent!) / 1000 };
}

describe.each([
  [
    'collecting from a synchronous environment',
    'SIGINT',
    ['--env', 'CartPole-v1', '--epochs', '1', '--evaluation.samples', '0', '--agent.collect', '{steps: 1000000}'],
  ],
  [
    'evaluating on an environment without an end',
    'SIGTERM',
    ['--env', 'ENDLESS', '--epochs', '1', '--evaluation.max-steps', '100000000'],
  ],
  [
    'collecting episodes that never end',
    'SIGINT',
    [
      '--env',
      'ENDLESS',
      '--epochs',
      '1',
      '--evaluation.samples',
      '0',
      '--agent.collect',
      '{episodes: 1}',
      '--name',
      'collecting',
    ],
  ],
  [
    'learning',
    'SIGINT',
    [
      '--model',
      'MODEL',
      '--sampling.steps',
      '2',
      '--evaluation.samples',
      '0',
      '--epochs',
      '1',
      '--agent.inner-epochs',
      '100000',
    ],
  ],
] as const)('%s', (name, signal, args) => {
  it(`is stopped by ${signal}, and can be resumed`, async () => {
    const places: Record<string, string> = {
      ENDLESS: `${join(temporary, 'endless.ts')}:Endless-v0`,
      MODEL: join(temporary, 'model'),
    };
    const { code, said, seconds } = await interrupted(
      signal,
      /run: /,
      1500,
      args.map((argument) => places[argument] ?? argument),
    );
    expect(code, said).toBe(130);
    expect(said).toMatch(/stopped after epoch 0 of 1.* --resume/);
    // Of which the report takes some; the machine may be busy with other tests.
    expect(seconds, name).toBeLessThan(20);
  });
});
