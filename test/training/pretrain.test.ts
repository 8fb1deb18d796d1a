import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { loadDenoiser } from '../../diffusion/index.js';
import { type PretrainOptions, pretrain } from '../../training/pretrain.js';
import { saveTinyDenoiser } from './tiny-denoiser.js';

let temporary: string;
/** A model of which the first 2 of 4 steps are made, and the losses of all 4. */
let begun: string;
let losses: number[];
beforeAll(async () => {
  await useBackend('wasm');
  temporary = await mkdtemp(join(tmpdir(), 'pretrain-'));
  begun = join(temporary, 'begun');
  losses = await steps({ out: join(temporary, 'whole') });
  await steps({ out: begun }, 2);
});
afterAll(() => rm(temporary, { recursive: true }));

async function steps(options: PretrainOptions, stop = 4): Promise<number[]> {
  const seen: number[] = [];
  for await (const { loss } of pretrain({
    steps: 4,
    batchSize: 2,
    images: 8,
    warmup: 0,
    checkpointEvery: 2,
    ...options,
  }))
    if (seen.push(loss) === stop) break;
  return seen;
}

/** A copy of what is begun, with the name that a test gives it. */
async function copy(name: string): Promise<string> {
  const out = join(temporary, name);
  await cp(`${begun}.checkpoint`, `${out}.checkpoint`, { recursive: true });
  return out;
}

it('goes on with the same numbers from a checkpoint', async () => {
  const out = await copy('goes-on');
  expect(await steps({ out, resume: true })).toEqual(losses.slice(2));
  expect(existsSync(`${out}.checkpoint`)).toBe(false);
});

it('goes on after a kill between the two renames of a checkpoint', async () => {
  const out = await copy('between');
  const { pid } = spawnSync(process.execPath, ['-e', '']);
  const left = (kind: string) => join(temporary, `.${basename(out)}.checkpoint.${pid}.0123abcd.${kind}`);
  await rename(`${out}.checkpoint`, left('old'));
  await mkdir(left('tmp'));
  expect(await steps({ out, resume: true })).toEqual(losses.slice(2));
  expect((await readdir(temporary)).filter((name) => name.startsWith('.'))).toEqual([]);
});

it('names what is damaged in a checkpoint', async () => {
  const out = await copy('damaged');
  const file = join(`${out}.checkpoint`, 'ema.safetensors');
  const bytes = await readFile(file);
  bytes[bytes.length >> 1]! ^= 1;
  await writeFile(file, bytes);
  await expect(steps({ out, resume: true })).rejects.toThrow(
    /damaged\.checkpoint is damaged: ema\.safetensors was changed/,
  );
  await writeFile(join(`${out}.checkpoint`, 'position.json'), '{"start":-1}');
  await expect(steps({ out, resume: true })).rejects.toThrow(
    /position\.json: start: must be at least 0, actual value -1/,
  );
});

it('does not save weights that have diverged over those that have not', async () => {
  const out = await copy('diverged');
  await expect(steps({ out, resume: true, learningRate: 1e308 })).rejects.toThrow(
    /the (loss is|weights have diverged)/,
  );
  await expect(steps({ out: join(temporary, 'at-once'), steps: 1, learningRate: 1e308 })).rejects.toThrow(
    /have diverged/,
  );
  expect(existsSync(join(temporary, 'at-once'))).toBe(false);
  expect(await steps({ out, resume: true })).toEqual(losses.slice(2));
});

it('trains by flow matching, and does not go on with another objective', async () => {
  const out = join(temporary, 'flow');
  // Another target, so other losses from the first step on.
  const first = await steps({ out, objective: 'flow-matching' }, 2);
  expect(first[0]).not.toBe(losses[0]);
  await expect(steps({ out, resume: true })).rejects.toThrow(/objective flow-matching, and cannot go on with velocity/);
  await steps({ out, objective: 'flow-matching', resume: true });
  const config = JSON.parse(await readFile(join(out, 'scheduler', 'scheduler_config.json'), 'utf8'));
  expect(config).toMatchObject({ _class_name: 'FlowMatchEulerDiscreteScheduler', shift: 1 });
});

it('goes on from another model, of another objective too', async () => {
  const out = join(temporary, 'from');
  const from = 'models/shapes';
  // A trained network errs by about .05 on the velocity of its own diffusion, an untrained one by more than .5.
  expect((await steps({ out, from }, 1))[0]).toBeLessThan(0.3 * losses[0]!);
  await steps({ out, from, objective: 'flow-matching', learningRate: 1e-12 }, 5);
  const [weights, original] = await Promise.all(
    [out, from].map(async (folder) => {
      const { unet } = await loadDenoiser(folder);
      const values = (await unet.parameters.get('conv_in.weight')!.data()) as Float32Array;
      unet.dispose();
      return values;
    }),
  );
  weights!.forEach((value, i) => {
    expect(value).toBeCloseTo(original![i]!, 5);
  });
  const tiny = join(temporary, 'tiny');
  await saveTinyDenoiser(tiny);
  await expect(steps({ out, from: tiny })).rejects.toThrow(/tiny has .* go on from a model of the same layers/);
});
