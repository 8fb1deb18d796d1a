import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import type { RunConfigInput } from '../../training/config/index.js';
import { openCheckpoint, RunFolder, runTraining, sampleImages } from '../../training/index.js';
import { saveTinyDenoiser } from './tiny-denoiser.js';

// What the numbers of a run follow from beside its checkpoint (configuration, model, prompts) must be what it was made with.

let temporary: string;
/** Holds a run with its model and its prompts, fresh for each test. */
let folder: string;
let path: string;
const warnings: string[] = [];

beforeAll(async () => {
  await useBackend('wasm');
  temporary = await mkdtemp(join(tmpdir(), 'run-origin-'));
  folder = join(temporary, 'folder');
  path = join(folder, 'run');
  await saveTinyDenoiser(join(folder, 'model'));
  await writeFile(join(folder, 'prompts.txt'), 'a red circle\na blue square\n');
  await run();
  await cp(folder, join(temporary, 'pristine'), { recursive: true });
});
afterAll(() => rm(temporary, { recursive: true }));
beforeEach(async () => {
  await rm(folder, { recursive: true });
  await cp(join(temporary, 'pristine'), folder, { recursive: true });
  warnings.length = 0;
});

function run(more: RunConfigInput = {}, resume = false, fromCheckpoint?: number) {
  const config: RunConfigInput = {
    ...{ name: 'run', runs: folder, model: join(folder, 'model'), numEnvs: 2, samplesPerEpoch: 2, epochs: 2 },
    prompts: { kind: 'file', path: join(folder, 'prompts.txt') },
    ...{ sampling: { steps: 2 }, agent: { minibatches: 1, learningRate: { from: 1e-3, to: 0 } }, backend: 'wasm' },
    evaluation: { samples: 0 },
    ...more,
  };
  return runTraining(config, { resume, fromCheckpoint, warn: (message) => warnings.push(message) });
}

/** As `train RUN --resume` does: with the configuration that the folder says. */
async function resumeAsItIs() {
  const { config } = JSON.parse(await readFile(join(path, 'config.json'), 'utf8'));
  return runTraining({ ...config, epochs: 3 }, { resume: true, warn: () => {} });
}

async function editConfig(edit: (config: Record<string, never>) => void): Promise<void> {
  const file = join(path, 'config.json');
  const record = JSON.parse(await readFile(file, 'utf8'));
  edit(record.config);
  await writeFile(file, JSON.stringify(record));
}

async function flipBit(...names: string[]): Promise<void> {
  const file = join(folder, ...names);
  const bytes = await readFile(file);
  bytes[bytes.length - 5]! ^= 1;
  await writeFile(file, bytes);
}

const sample = () => sampleImages({ run: path, prompts: ['a red circle'], sampling: { steps: 1 } });

describe('what is refused, and named, by resume and by all that use a checkpoint', () => {
  type Edit = Parameters<typeof editConfig>[0];
  it.each<[string, Edit, RegExp]>([
    ['seed', (config) => Object.assign(config, { seed: 9 }), /seed: 0 there, 9 now/],
    ['reward', (config) => Object.assign(config, { reward: 'shapes' }), /reward: "jpeg-incompressibility" there, "sh/],
    [
      'learning rate',
      (config) => Object.assign(config.agent!, { learningRate: 1 }),
      /agent\.learningRate: \{"from":0\.001,"to":0\} there, 1 now/,
    ],
    [
      'option that had its default',
      (config) => Object.assign(config.prompts!, { limit: 1 }),
      /prompts\.limit: nothing/,
    ],
  ])('another %s in config.json', async (_, edit, message) => {
    await editConfig(edit);
    for (const use of [resumeAsItIs, () => openCheckpoint(path), sample]) await expect(use()).rejects.toThrow(message);
    expect(await RunFolder.open(path).status()).toMatchObject({ state: 'finished', epoch: 2 });
  });

  it.each([
    [
      'text encoder',
      ['model', 'text_encoder', 'model.safetensors'],
      'model/text_encoder/model.safetensors was changed',
    ],
    [
      'UNet',
      ['model', 'unet', 'diffusion_pytorch_model.safetensors'],
      'model/unet/diffusion_pytorch_model.safetensors',
    ],
    ['tokenizer', ['model', 'tokenizer', 'merges.txt'], 'model/tokenizer/merges.txt was changed'],
    [
      'weights of the checkpoint',
      ['run', 'checkpoints', 'epoch-000002', 'agent', 'policy', 'diffusion_pytorch_model.safetensors'],
      /agent\/policy\/diffusion_pytorch_model\.safetensors was changed.*--from-checkpoint 1/,
    ],
    [
      'optimiser',
      ['run', 'checkpoints', 'epoch-000002', 'agent', 'optimizer', 'adamw.safetensors'],
      /agent\/optimizer\/adamw\.safetensors was changed.*--from-checkpoint 1/,
    ],
  ])('a flipped bit in the %s', async (_, file, message) => {
    await flipBit(...file);
    for (const use of [resumeAsItIs, () => openCheckpoint(path), sample]) await expect(use()).rejects.toThrow(message);
    expect(await RunFolder.open(path).status()).toMatchObject({ state: 'finished', epoch: 2 });
  });

  it('other prompts, where they are used', async () => {
    await writeFile(join(folder, 'prompts.txt'), 'a red circle\n');
    for (const use of [resumeAsItIs, () => openCheckpoint(path)])
      await expect(use()).rejects.toThrow('prompts.path was changed');
    await rm(join(folder, 'prompts.txt'));
    expect((await sample()).images).toHaveLength(1);
  });

  it('a damaged config.json', async () => {
    for (const [text, message] of [
      ['{', /config\.json: not valid JSON/],
      ['{}', /config\.json:\n {2}config: must be an object, actual value nothing/],
      ['[]', /config\.json: .*must be an object/],
    ] as const) {
      await writeFile(join(path, 'config.json'), text);
      for (const use of [() => run({}, true), () => openCheckpoint(path), sample])
        await expect(use()).rejects.toThrow(message);
    }
  });
});

describe('what may change', () => {
  it('is taken from the configuration that a run is resumed with', async () => {
    await run({ epochs: 3, checkpointEvery: 2, keepCheckpoints: 3, rewardTimeout: 9 }, true);
    const { config } = JSON.parse(await readFile(join(path, 'config.json'), 'utf8'));
    expect(config).toMatchObject({ epochs: 3, checkpointEvery: 2, keepCheckpoints: 3, rewardTimeout: 9 });
    // The next resume compares with a checkpoint that has the options of before.
    await run({ epochs: 4 }, true, 2);
  });

  it('metrics.jsonl is said to have changed, and the run goes on', async () => {
    const file = join(path, 'metrics.jsonl');
    await writeFile(file, (await readFile(file, 'utf8')).replace(/"reward\/mean":0\.(\d)/, '"reward/mean":9.$1'));
    expect((await run({ epochs: 3 }, true)).epoch).toBe(3);
    expect(warnings.join()).toMatch(/metrics\.jsonl was changed since checkpoint .*epoch-000002/);
  });

  it('a longer run keeps the length of its schedules, unless told otherwise, and says so', async () => {
    const rates = async () => (await RunFolder.open(path).metrics()).map((line) => line['train/learningRate']);
    await run({ epochs: 3 }, true);
    expect(warnings.join()).toMatch(/has 3 epochs instead of 2; schedules .* still refer to 2.*--schedule-epochs 3/);
    expect(await rates()).toEqual([1e-3, 5e-4, 0]);
    warnings.length = 0;
    await run({ epochs: 5, scheduleEpochs: 6 }, true);
    expect(warnings.join()).toMatch(/now refer to 6 epochs instead of 2/);
    const expected = [1e-3, 5e-4, 0, 1e-3 * (1 - 3 / 6), 1e-3 * (1 - 4 / 6)];
    for (const [i, rate] of (await rates()).entries()) expect(rate).toBeCloseTo(expected[i]!, 12);
    warnings.length = 0;
    await run({ epochs: 5 }, true);
    expect(warnings).toEqual([]);
  });
});
