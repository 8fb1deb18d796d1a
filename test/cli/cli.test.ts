import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import type { Metrics } from '../../core/types.js';
import { RunFolder } from '../../training/run-folder/index.js';
import { saveTinyDenoiser } from '../training/tiny-denoiser.js';

let temporary: string;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'cli-'));
  await useBackend('wasm');
  await saveTinyDenoiser(join(temporary, 'model'));
});
afterAll(() => rm(temporary, { recursive: true }));

function start(...args: string[]): ChildProcess {
  const env = { ...process.env, DENOISE_GYM_BACKEND: 'wasm' };
  return spawn(process.execPath, ['--import', './register.mjs', 'cli/main.ts', ...args], { env });
}

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

function ended(child: ChildProcess): Promise<Ended> {
  let [out, err] = ['', ''];
  child.stdout!.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr!.on('data', (chunk) => {
    err += chunk;
  });
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err })));
}

const cli = (...args: string[]) => ended(start(...args));

/** Until a line on stderr says so, or the process has ended. */
function said(child: ChildProcess, word: string): Promise<void> {
  let text = '';
  return new Promise((resolve) => {
    child.stderr!.on('data', (chunk) => {
      text += chunk;
      if (text.includes(word)) resolve();
    });
    child.once('close', () => resolve());
  });
}

const trainArguments = (name: string, epochs: number) => [
  ...['train', '--name', name, '--runs', temporary, '--epochs', String(epochs)],
  ...['--model', join(temporary, 'model'), '--sampling.steps', '3', '--samples-per-epoch', '8', '--num-envs', '4'],
  ...['--agent.minibatches', '2', '--evaluation.samples', '8', '--agent.learning-rate', '{from: 1e-3, to: 1e-4}'],
];

const withoutTime = (metrics: Metrics[]) =>
  metrics.map((line) => Object.fromEntries(Object.entries(line).filter(([key]) => !key.startsWith('time/'))));

describe('the command line', () => {
  it('lists every environment, agent, reward, wrapper and option', async () => {
    const { code, out } = await cli('list', '--json');
    expect(code).toBe(0);
    const lists = JSON.parse(out) as Record<string, { name?: string; summary?: string; flag?: string }[]>;
    expect(lists.environments!.map((e) => e.name)).toContain('Denoising-v0');
    expect(lists.rewards!.map((e) => e.name)).toContain('jpeg-incompressibility');
    expect(lists.options!.map((e) => e.flag)).toContain('--evaluation.max-steps');
    expect(JSON.stringify(lists.agents)).toContain('"path":"learningRate"');
    expect(lists.wrappers!.map((e) => e.name)).toContain('normalizeObservation');
    for (const name of ['environments', 'agents', 'rewards', 'wrappers'])
      for (const e of lists[name]!) expect(e.summary).toBeTruthy();
  });

  it.each([
    [['trian'], /unknown command 'trian'\n\(Did you mean train\?\)/],
    [
      ['train', '--agent.learning-rte', '1'],
      /^error: .*agent\.learningRte: no such option of the agent `ppo`\. Did you mean `learningRate`/,
    ],
    [['train', '--epochs', 'many'], /^error: .*epochs: must be a number, actual value "many"\.\n$/],
  ])('%j: one clear message, no stack, exit code 1', async (args, message) => {
    const { code, out, err } = await cli(...args);
    expect(code).toBe(1);
    expect(out).toBe('');
    expect(err).toMatch(message);
    expect(err).not.toMatch(/\n {4}at /);
  });

  it.each([
    [['--help'], 0],
    [['train', '--help'], 0],
    [['--version'], 0],
    [['train', '--nonsense'], 1],
    [['nonsense'], 1],
  ])('%s ends with status %i', async (args, status) => {
    const { code, err } = await cli(...args);
    expect(err).not.toMatch(/process\.exit/);
    expect(code).toBe(status);
  });

  it('doctor finds a backend', async () => {
    const { code, out } = await cli('doctor');
    expect(code).toBe(0);
    expect(out).toMatch(/✔ backend: wasm/);
  });

  it('waits for the workers that it was asked for: nothing else keeps the process while they begin', async () => {
    const { code, err } = await cli(...trainArguments('workers', 1), '--workers', '1');
    expect(err).not.toMatch(/warning/);
    expect(code).toBe(0);
  });

  it('trains, resumes after kill -9 and Ctrl-C with the same numbers, evaluates, samples, exports and reports', async () => {
    const whole = await cli(...trainArguments('whole', 8), '--json');
    expect(whole.err).toMatch(/backend: wasm .*\n/);
    expect(whole.code).toBe(0);
    expect(JSON.parse(whole.out)).toMatchObject({ epoch: 8, reason: 'finished' });
    const expected = withoutTime(await RunFolder.open(join(temporary, 'whole')).metrics());
    expect(expected).toHaveLength(8);

    const killed = start(...trainArguments('cut', 8));
    const gone = ended(killed);
    await said(killed, 'epoch 2/8');
    killed.kill('SIGKILL');
    expect((await gone).code).toBe(null);
    // A run that exists is not written over.
    expect((await cli(...trainArguments('cut', 8))).err).toMatch(/--resume.*--overwrite/);

    const interrupted = start('train', join(temporary, 'cut'), '--resume');
    const stopped = ended(interrupted);
    await said(interrupted, 'epoch 4/8');
    // As a terminal and npm send it: twice.
    interrupted.kill('SIGINT');
    interrupted.kill('SIGINT');
    const { code, err } = await stopped;
    expect(code).toBe(130);
    expect(err).toMatch(/stopped after epoch \d+ of 8, saved; go on by: train .*cut --resume/);

    expect((await cli(...trainArguments('cut', 8), '--resume')).code).toBe(0);
    expect(withoutTime(await RunFolder.open(join(temporary, 'cut')).metrics())).toEqual(expected);

    const run = join(temporary, 'cut');
    const evaluated = await cli('evaluate', '--run', run, '--samples', '8', '--json');
    const { results } = JSON.parse(evaluated.out) as { results: { name: string; mean: number }[] };
    expect(results.map((r) => r.name)).toEqual(['before', 'epoch-8']);
    // The same prompts and noises as the run's own evaluation.
    expect(results[1]!.mean).toBe(expected[7]!['eval/mean']);

    const audited = await cli('audit', run, '--json');
    const audit = JSON.parse(audited.out) as { epoch: number; findings: unknown[] };
    expect(audit.epoch).toBe(8);
    expect(audited.code).toBe(audit.findings.length > 0 ? 3 : 0);

    const out = join(temporary, 'sample.png');
    const sampled = await cli(
      'sample',
      '--run',
      run,
      '--prompt',
      'a red circle',
      'two stars',
      '--steps',
      '2',
      '--out',
      out,
    );
    expect(sampled.out).toBe(`${out}\n`);
    expect((await sharp(out).metadata()).width).toBe(2 * (64 + 4) + 4);

    const model = join(temporary, 'exported');
    expect((await cli('export', run, model)).code).toBe(0);
    expect(existsSync(join(model, 'unet', 'diffusion_pytorch_model.safetensors'))).toBe(true);
    const refused = await cli('export', run, join(temporary, 'adapter'), '--adapter');
    expect(refused.err).toMatch(/--adapter, but the run trains the whole network and no LoRA/);
    expect((await cli('export', model, join(temporary, 'adapter'), '--lora', run)).err).toMatch(
      /LoRA .*: the folder holds neither/,
    );

    await rm(join(run, 'report.html'));
    expect((await cli('report', run)).out).toBe(`${join(run, 'report.html')}\n`);
    expect(await readFile(join(run, 'report.html'), 'utf8')).toContain('finished · epoch 8 of 8');
  });

  it("takes a user's own reward in TypeScript, and keeps the run when it fails", async () => {
    const reward = join(temporary, 'my-reward.ts');
    await writeFile(
      reward,
      `let calls = 0;
export default async function ({ images, prompts }: { images: { data: Uint8Array }; prompts: string[] }) {
  if (++calls > 4) throw new Error('no more');
  return prompts.map((_, i) => images.data[i * 192]! / 255);
}
`,
    );
    const { code, err } = await cli(...trainArguments('own', 5), '--reward', reward, '--evaluation.samples', '0');
    expect(code).toBe(1);
    expect(err).toMatch(/my-reward.*no more/);
    expect(err).toMatch(/saved up to epoch 2 of 5/);
  });

  it('samples and exports the best agent that a run keeps', async () => {
    // Rewards only fall, so that the best agent is that of the first epoch and not the latest one.
    const reward = join(temporary, 'falling.mjs');
    await writeFile(reward, 'let calls = 0; export default ({ prompts }) => prompts.map(() => -calls++);\n');
    const flags = ['--reward', reward, '--evaluation.samples', '0', '--keep-best', 'reward/mean'];
    expect((await cli(...trainArguments('best', 2), ...flags)).code).toBe(0);
    const run = join(temporary, 'best');
    const sampled = async (name: string, ...which: string[]) => {
      const out = join(temporary, `${name}.png`);
      await cli('sample', '--run', run, ...which, '--prompt', 'a red circle', '--steps', '2', '--out', out);
      return await readFile(out);
    };
    const picture = await sampled('of-best', '--best');
    expect(picture.equals(await sampled('of-first', '--from-checkpoint', '1'))).toBe(true);
    expect(picture.equals(await sampled('of-latest'))).toBe(false);

    const exported = async (name: string, ...which: string[]) => {
      const out = join(temporary, name);
      await cli('export', run, out, ...which);
      return await readFile(join(out, 'unet', 'diffusion_pytorch_model.safetensors'));
    };
    const weights = await exported('best-model', '--best');
    expect(weights.equals(await exported('first-model', '--from-checkpoint', '1'))).toBe(true);
    expect(weights.equals(await exported('latest-model'))).toBe(false);

    const both = /run .*best: both the best agent .* checkpoint 1 are asked for; leave out --best or --from-checkpoint/;
    const prompt = ['--prompt', 'a red circle'];
    for (const command of [
      ['sample', '--run', run, ...prompt],
      ['export', run, join(temporary, 'both')],
    ]) {
      const { code, err } = await cli(...command, '--best', '--from-checkpoint', '1');
      expect(code).toBe(1);
      expect(err).toMatch(both);
    }
    expect((await cli('sample', '--best', ...prompt)).err).toMatch(/sample: --best is an agent .*add --run/);
    const lora = ['export', join(temporary, 'model'), join(temporary, 'lora'), '--lora', run];
    expect((await cli(...lora, '--best')).err).toMatch(/--lora goes with a model's folder.*leave out --best/);
  }, 480_000);
});
