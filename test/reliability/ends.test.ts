import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { RunFolder } from '../../training/run-folder/index.js';
import { saveTinyDenoiser } from '../training/tiny-denoiser.js';
import { CommandLine } from './cli.js';

// How runs end that do not reach their end: by code that ends the process, by Ctrl-C, by divergence, by each other.

let temporary: string;
let cli: CommandLine;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'ends-'));
  await useBackend('wasm');
  await saveTinyDenoiser(join(temporary, 'model'));
  cli = await CommandLine.in(join(temporary, 'built'));
});
afterAll(() => rm(temporary, { recursive: true }));

const path = (name: string) => join(temporary, name);
const open = (name: string) => RunFolder.open(path(name));

const denoising = (name: string, ...more: string[]) => [
  ...['train', '--name', name, '--runs', temporary, '--model', path('model'), '--epochs', '4', '--num-envs', '2'],
  ...['--sampling.steps', '2', '--samples-per-epoch', '2', '--agent.minibatches', '1', ...more],
];
const withoutEvaluation = ['--evaluation.samples', '0'];
const pole = (name: string, ...more: string[]) => [
  ...['train', '--env', 'CartPole-v1', '--name', name, '--runs', temporary, ...withoutEvaluation],
  ...['--num-envs', '2', ...more],
];
const short = ['--agent.collect', '{steps: 8}'];

/** A reward that does something at its n-th call. */
async function reward(name: string, call: number, statements: string): Promise<string> {
  const file = path(`${name}.ts`);
  await writeFile(
    file,
    `import { writeFileSync } from 'node:fs';
let calls = 0;
export default async function ({ prompts, signal }: { prompts: string[]; signal: AbortSignal }) {
  if (++calls === ${call}) { ${statements} }
  return prompts.map((_, i) => i + calls);
}
`,
  );
  return file;
}

/** Never answers, keeps the process, and writes down when its signal was aborted. */
const hangs = (name: string) => `
  process.stderr.write('reward hangs\\n');
  signal.addEventListener('abort', () => writeFileSync(${JSON.stringify(path(`${name}.aborted`))}, String(Date.now())));
  setInterval(() => {}, 1000);
  await new Promise(() => {});`;

/** An agent whose `learn` never ends. @param busy whether it keeps the process. */
async function deafAgent(name: string, busy: boolean): Promise<string> {
  const file = path(`${name}.mjs`);
  await writeFile(
    file,
    `export default { name: 'deaf', make: () => ({
  collect: { steps: 4 },
  act: (observations) => ({ actions: observations.map(() => 0) }),
  learn: async () => {
    process.stderr.write('learn hangs\\n');
    if (${busy}) setInterval(() => {}, 1000);
    await new Promise(() => {});
  },
  save: async () => {}, restore: async () => {}, dispose: () => {},
}) };
`,
  );
  return file;
}

describe('code of a user that ends the process', () => {
  it.each([
    ['process.exit(0)', 'process.exit(0)', 1],
    ['process.exit(7)', 'process.exit(7)', 7],
    [
      'an error outside of all promises',
      "setImmediate(() => { throw new Error('stray'); }); await new Promise(() => {})",
      1,
    ],
  ])('%s: the exit status and status.json say that the run is not finished', async (what, statements, status) => {
    const name = `exit-${status}-${what.length}`;
    const { code, err } = await cli.run(
      ...denoising(name, '--reward', await reward(name, 3, statements), ...withoutEvaluation),
    );
    expect(code).toBe(status);
    if (status === 1 && what.includes('exit'))
      expect(err).toMatch(/exit status 0 in the middle of the run: .*epoch 2 of 4/);
    expect(await open(name).status()).toMatchObject({
      state: 'failed',
      epoch: 2,
      message: expect.stringContaining('ended'),
    });
    expect(existsSync(path(`${name}/lock`))).toBe(false);
  });

  it('waiting for what never comes: the exit status and status.json say that the run is not finished', async () => {
    const { code } = await cli.run(...pole('never', '--agent', await deafAgent('never', false)));
    expect(code).toBe(1);
    expect(await open('never').status()).toMatchObject({ state: 'failed', epoch: 0 });
  });

  it('while evaluating: the exit status is not 0', async () => {
    const file = await reward('evaluate-exit', 1, 'process.exit(0)');
    const given = ['--model', path('model'), '--reward', file, '--sampling.steps', '2', '--num-envs', '2'];
    const { code, err } = await cli.run('evaluate', '--samples', '2', ...given);
    expect(code).toBe(1);
    expect(err).toContain('ended before it was done');
  });
});

describe('Ctrl-C', () => {
  it.each([
    ['while an epoch is sampled', 'hangs-sampling', 3, withoutEvaluation, 2],
    ['while the first evaluation is made', 'hangs-evaluating', 1, ['--evaluation.samples', '2'], 0],
  ])('%s aborts the signal of a reward that hangs within a second', async (_, name, call, more, epoch) => {
    const running = cli.start(...denoising(name, '--reward', await reward(name, call, hangs(name)), ...more));
    await running.said('reward hangs');
    const at = Date.now();
    running.child.kill('SIGINT');
    const { code, err } = await running.ended;
    expect(code).toBe(130);
    expect(err).toContain(`stopped after epoch ${epoch} of 4, saved`);
    expect(Number(await readFile(path(`${name}.aborted`), 'utf8')) - at).toBeLessThan(1000);
    expect(await open(name).status()).toMatchObject({ state: 'stopped', epoch });
  });

  it('a second time ends what does not stop, and the run says so', async () => {
    const running = cli.start(...pole('deaf', '--agent', await deafAgent('deaf', true)));
    await running.said('learn hangs');
    running.child.kill('SIGINT');
    await running.said('stopping');
    expect(await open('deaf').status()).toMatchObject({ state: 'running' });
    await new Promise((resolve) => setTimeout(resolve, 1100));
    running.child.kill('SIGINT');
    expect((await running.ended).code).toBe(130);
    expect(await open('deaf').status()).toMatchObject({ state: 'stopped', epoch: 0 });
    expect(existsSync(path('deaf/lock'))).toBe(false);
  });
});

it('a run that diverges does not end like one that is finished', async () => {
  const { code, err } = await cli.run(...pole('diverges', ...short, '--agent.learning-rate', '1e308'));
  expect(code).toBe(1);
  expect(err).toMatch(/error: The run has diverged: .*\n.*start again with a lower learning rate/);
  expect(await open('diverges').status()).toMatchObject({ state: 'diverged' });
});

it('of several resumes at once, one runs', async () => {
  const begun = cli.start(...pole('shared', ...short, '--epochs', '100000'));
  await begun.said('epoch      2/');
  begun.child.kill('SIGKILL');
  await begun.ended;
  const all = [1, 2, 3].map(() => cli.start('train', path('shared'), '--resume'));
  const losers = await Promise.race(
    all.map(async (one) => {
      await Promise.all(all.filter((other) => other !== one).map((other) => other.ended));
      return all.filter((other) => other !== one);
    }),
  );
  for (const { ended } of losers)
    expect(await ended).toMatchObject({ code: 1, err: expect.stringMatching(/is running it now/) });
  const winner = all.find((one) => !losers.includes(one))!;
  await winner.said('epoch ');
  winner.child.kill('SIGINT');
  expect((await winner.ended).code).toBe(130);
  const epochs = (await open('shared').metrics()).map((line) => line.epoch!);
  expect(epochs).toEqual(epochs.map((_, i) => i + 1));
});
