import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import {
  type BackendInfo,
  backendNames,
  backendReport,
  describeBackend,
  describeReport,
  useBackend,
} from '../../backend/index.js';

const run = promisify(execFile);

/** Runs a program in a process of its own, with the package's TypeScript; what it prints, and what it says on stderr. */
async function program(code: string, env: Record<string, string> = {}) {
  const source = `const { useBackend, describeBackend } = await import('./backend/index.ts');\n${code}`;
  return run(process.execPath, ['--import', './register.mjs', '--input-type=module', '-e', source], {
    env: { ...process.env, DENOISE_GYM_BACKEND: '', ...env },
  });
}

describe('useBackend', () => {
  it('chooses by name, and keeps the choice', async () => {
    const cpu = await useBackend('cpu');
    expect(cpu).toMatchObject({ name: 'cpu', tfjsName: 'cpu', threads: 1, reason: 'asked for' });
    expect(await useBackend()).toBe(cpu);
    expect(await useBackend('wasm')).toMatchObject({ name: 'wasm', tfjsName: 'wasm', threads: 1 });
    expect(tf.getBackend()).toBe('wasm');
    await tf.setBackend('cpu');
    expect((await useBackend()).name).toBe('wasm');
    expect(tf.getBackend()).toBe('wasm');
  });

  it('answers calls at the same time in their order', async () => {
    const infos = await Promise.all([useBackend('cpu'), useBackend('wasm'), useBackend(), useBackend('cpu')]);
    expect(infos.map(({ name }) => name)).toEqual(['cpu', 'wasm', 'wasm', 'cpu']);
    expect(tf.getBackend()).toBe('cpu');
  });

  it('obeys DENOISE_GYM_BACKEND', async () => {
    const { stdout } = await program('console.log(JSON.stringify(await useBackend()))', {
      DENOISE_GYM_BACKEND: 'wasm',
    });
    expect(JSON.parse(stdout)).toMatchObject({ name: 'wasm', reason: 'named by DENOISE_GYM_BACKEND' });
  });

  it('names the nearest of a mistyped name', async () => {
    const code = 'await useBackend().catch((e) => console.log(e.code, e.message))';
    const { stdout } = await program(code, { DENOISE_GYM_BACKEND: 'wsam' });
    expect(stdout).toBe(
      'E_NAME DENOISE_GYM_BACKEND: unknown backend `wsam`. Did you mean `wasm`? Known: native, wasm, cpu.\n',
    );
    await expect(useBackend('gpu' as 'cpu')).rejects.toThrow('unknown backend `gpu`. Did you mean `cpu`?');
  });

  it('prints nothing itself, and leaves unhandled rejections to the process', async () => {
    const code = `console.log((await useBackend()).name);
      const tf = await import('@tensorflow/tfjs');
      tf.ones([2]).square().dispose();
      for (const name of ['wasm', 'cpu']) { await useBackend(name); tf.ones([2]).square().dispose(); }
      console.log(process.listenerCount('uncaughtException') + process.listenerCount('unhandledRejection'));`;
    const { stdout, stderr } = await program(code);
    expect(stdout).toMatch(/^(native|wasm)\n0\n$/);
    expect(stderr.replace(/.*(ExperimentalWarning|DeprecationWarning|--trace-|--import).*\n/g, '')).toBe('');
  });
});

describe('what people are told', () => {
  it('describeBackend', () => {
    const info: BackendInfo = {
      name: 'wasm',
      tfjsName: 'wasm',
      reason: 'asked for',
      version: '4.22.0',
      threads: 1,
    };
    expect(describeBackend(info)).toBe('backend: wasm (TensorFlow.js 4.22.0, 1 thread): asked for');
    expect(
      describeBackend({
        name: 'native',
        tfjsName: 'tensorflow',
        reason: 'the fastest is there',
        version: '2.21.0',
        threads: 2,
        onednn: true,
      }),
    ).toBe('backend: native (TensorFlow 2.21.0, convolutions on oneDNN, 2 threads): the fastest is there');
  });

  it('backendReport loads each, and leaves the active one active', async () => {
    await useBackend('cpu');
    const reports = await backendReport();
    expect(reports.map(({ name }) => name)).toEqual(backendNames);
    expect(reports.slice(1).map(({ available }) => available)).toEqual([true, true]);
    expect(reports.map(describeReport)[2]).toBe('cpu: available (TensorFlow.js 4.22.0, 1 thread)');
    expect(
      describeReport({ available: false, name: 'native', reason: 'its addon is not built yet', remedy: 'build it' }),
    ).toBe('native: not available: its addon is not built yet; build it');
    expect(tf.getBackend()).toBe('cpu');
  });
});
