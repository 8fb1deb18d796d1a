import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { RunFolder } from '../../training/run-folder/index.js';
import { saveTinyDenoiser } from '../training/tiny-denoiser.js';
import { CommandLine } from './cli.js';

// What every command does with a run of which something is damaged, or is somebody else's.

let temporary: string;
let cli: CommandLine;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'damage-'));
  await useBackend('wasm');
  await saveTinyDenoiser(join(temporary, 'model'));
  cli = await CommandLine.in(join(temporary, 'built'));
});
afterAll(() => rm(temporary, { recursive: true }));

const path = (name: string) => join(temporary, name);

const training = (name: string, ...more: string[]) => [
  ...['train', '--name', name, '--runs', temporary, '--model', path('model'), '--epochs', '3', '--num-envs', '2'],
  ...[
    '--sampling.steps',
    '2',
    '--samples-per-epoch',
    '2',
    '--agent.minibatches',
    '1',
    '--evaluation.samples',
    '0',
    ...more,
  ],
];
const uses = (run: string): [string, string[]][] => [
  ['train', ['train', run, '--resume']],
  ['evaluate', ['evaluate', '--run', run, '--samples', '2']],
  ['sample', ['sample', '--run', run, '--prompt', 'a red circle', '--out', path('sample.png')]],
  ['export', ['export', run, path('exported'), '--overwrite']],
];

describe('a damaged checkpoint', () => {
  it('is named by every command, and each takes an older one', async () => {
    expect((await cli.run(...training('run'))).code).toBe(0);
    const metrics = await RunFolder.open(path('run')).metrics();
    const file = join(path('run'), 'checkpoints', 'epoch-000003', 'agent', 'optimizer', 'adamw.safetensors');
    const bytes = await readFile(file);
    bytes[bytes.length >> 1]! ^= 16;
    await writeFile(file, bytes);
    await cp(path('run'), path('copy'), { recursive: true });
    const results = uses(path('run')).map(async ([what, args]) => {
      expect(await cli.run(...args), what).toMatchObject({
        code: 1,
        err: expect.stringMatching(/epoch-000003 is damaged: .*adamw\.safetensors was changed.*--from-checkpoint 2/),
      });
    });
    await Promise.all(results);
    expect(await RunFolder.open(path('run')).status()).toMatchObject({ state: 'finished', epoch: 3 });

    const [, ...others] = uses(path('run'));
    await Promise.all(
      others.map(async ([what, args]) =>
        expect((await cli.run(...args, '--from-checkpoint', '2')).err, what).not.toMatch(/error/),
      ),
    );
    expect(existsSync(path('exported/model_index.json'))).toBe(true);
    expect(await cli.run('train', path('run'), '--resume', '--from-checkpoint', '2')).toMatchObject({ code: 0 });
    const withoutTime = (line: object) => Object.entries(line).filter(([key]) => !key.startsWith('time/'));
    expect((await RunFolder.open(path('run')).metrics()).map(withoutTime)).toEqual(metrics.map(withoutTime));
    expect(await cli.run('train', '--from-checkpoint', '2')).toMatchObject({
      code: 1,
      err: expect.stringContaining('add --resume'),
    });
  });
});

describe('code that the run of somebody else names', () => {
  it('is listed by every command and not executed, until it is trusted', async () => {
    const mark = path('executed');
    await writeFile(
      path('reward.mjs'),
      `import { appendFileSync } from 'node:fs';
appendFileSync(${JSON.stringify(mark)}, 'x');
export default ({ prompts }) => prompts.map((_, i) => i);
`,
    );
    process.env.XDG_STATE_HOME = path('state-of-maker');
    expect((await cli.run(...training('theirs', '--reward', path('reward.mjs')))).code).toBe(0);
    expect(await readFile(mark, 'utf8')).toBe('x');
    process.env.XDG_STATE_HOME = path('state-of-another');
    const results = uses(path('theirs')).map(async ([what, args]) => {
      expect(await cli.run(...args), what).toMatchObject({
        code: 1,
        err: expect.stringMatching(/names code that would be executed:\n {2}reward .*reward\.mjs\n.*--trust/),
      });
    });
    await Promise.all(results);
    expect((await cli.run('report', path('theirs'))).code).toBe(0);
    expect(await readFile(mark, 'utf8')).toBe('x');

    const trusted = await cli.run('evaluate', '--run', path('theirs'), '--samples', '2', '--trust');
    expect(trusted).toMatchObject({
      code: 0,
      err: expect.stringMatching(/trusted from now on.*\n {2}reward .*reward\.mjs/),
    });
    expect(await readFile(mark, 'utf8')).toBe('xx');
    expect((await cli.run('evaluate', '--run', path('theirs'), '--samples', '2')).code).toBe(0);
    delete process.env.XDG_STATE_HOME;
  });
});
