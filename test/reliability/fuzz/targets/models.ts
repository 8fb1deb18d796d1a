import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import * as fc from 'fast-check';
import { networkPolicy } from '../../../../agents/policies/index.js';
import { makeAgent } from '../../../../agents/registry.js';
import { useBackend } from '../../../../backend/index.js';
import { Random } from '../../../../core/random.js';
import { disposeDenoiser, encodePrompts, loadDenoiser } from '../../../../diffusion/index.js';
import { Box } from '../../../../envs/spaces/box.js';
import { Discrete } from '../../../../envs/spaces/discrete.js';
import { saveTinyDenoiser } from '../../../training/tiny-denoiser.js';
import { jsonText, mutated, mutatedBytes } from '../arbitraries.js';
import { expectThat } from '../judge.js';
import { type Place, target } from '../target.js';

/** Files of a folder, by their path in it. They are read when the folder has been written. */
class Folder {
  readonly files = new Map<string, Buffer>();
  path = '';

  async read(path: string, names: readonly string[]): Promise<void> {
    this.path = path;
    for (const name of names) this.files.set(name, await readFile(join(path, name)));
  }

  /** One of the files, changed. */
  change(name: string): fc.Arbitrary<{ name: string; bytes: Uint8Array }> {
    const original = this.files.get(name)!;
    const changes = [mutatedBytes(original)];
    if (name.endsWith('.json'))
      changes.push(mutated(JSON.parse(original.toString())).map((json) => Buffer.from(jsonText(json))));
    // Twice as often what can be read, and means something else.
    if (changes[1]) changes.push(changes[1]);
    return fc.oneof(...changes).map((bytes) => ({ name, bytes }));
  }

  /** A copy of the folder with that file in it. */
  async with({ name, bytes }: { name: string; bytes: Uint8Array }, { files }: Place): Promise<string> {
    const copy = join(files, 'changed');
    await rm(copy, { recursive: true, force: true });
    await cp(this.path, copy, { recursive: true });
    await writeFile(join(copy, name), bytes);
    return copy;
  }
}

const modelFiles = [
  'model_index.json',
  'unet/config.json',
  'unet/diffusion_pytorch_model.safetensors',
  'scheduler/scheduler_config.json',
  'text_encoder/config.json',
  'text_encoder/model.safetensors',
  'tokenizer/vocab.json',
  'tokenizer/merges.txt',
  'tokenizer/tokenizer_config.json',
  'tokenizer/special_tokens_map.json',
];
const model = new Folder();

const change = (folder: Folder, names: readonly string[]) =>
  fc.constantFrom(...names).chain((name) => fc.constant(undefined).chain(() => folder.change(name)));

/** Loads a model, looks at its steps and takes one. */
async function denoise(folder: string): Promise<void> {
  const denoiser = await loadDenoiser(folder);
  try {
    const { scheduler, unet, tokenizer } = denoiser;
    scheduler.setTimesteps(Math.min(3, scheduler.config.num_train_timesteps));
    for (const t of scheduler.timesteps) {
      const { sigma, mean } = scheduler.coefficients(t, { eta: 1 });
      expectThat(sigma >= 0 && Object.values(mean).every(Number.isFinite), `step ${t} has no finite coefficients`);
    }
    const { sample_size: size, in_channels: channels } = unet.config;
    const [height, width] = typeof size === 'number' ? [size, size] : (size ?? [8, 8]);
    if (height! * width! > 256 || !tokenizer) return;
    const out = tf.tidy(() =>
      unet.apply(
        tf.zeros([1, height!, width!, channels]),
        scheduler.timesteps[0]!,
        encodePrompts(denoiser, ['a circle']),
      ),
    );
    await out.data();
    out.dispose();
  } finally {
    disposeDenoiser(denoiser);
  }
}

/** Folders of a model of which one file was changed: it is a model that denoises, or the file is named. */
export const modelFolders = target<{ name: string; bytes: Uint8Array }>({
  name: 'model folders',
  inputs: 200,
  input: change(model, modelFiles),
  async check(input, place) {
    const folder = await model.with(input, place);
    const before = tf.memory().numTensors;
    const problem = await denoise(folder).then(
      () => undefined,
      (error: unknown) => error,
    );
    expectThat(tf.memory().numTensors === before, `${tf.memory().numTensors - before} tensors are left`);
    if (problem !== undefined) throw problem;
  },
  async prepare({ files }) {
    await useBackend('cpu');
    const path = join(files, 'model');
    await saveTinyDenoiser(path);
    await model.read(path, modelFiles);
    // The first pass compiles.
    await modelFolders.check({ name: 'model_index.json', bytes: model.files.get('model_index.json')! }, { files });
  },
});

const agentFiles = ['agent.json', 'optimizer/optimizer.json', 'optimizer/adamw.safetensors'];
const saved = new Folder();

function smallAgent() {
  const spaces = { observationSpace: new Box(-1, 1, [2]), actionSpace: new Discrete(2) };
  const policy = networkPolicy(spaces, { hidden: [3] }, new Random('policy'));
  const options = { advantage: 'per-prompt', perPromptBuffer: 4, perPromptMinCount: 2 };
  return makeAgent<unknown, unknown>('ppo', {
    policy: policy as never,
    options,
    random: new Random('agent'),
    warn: () => {},
  });
}

/** Saved agents of which one file was changed: the agent goes on, or the file is named and the agent is as it was. */
export const agents = target<{ name: string; bytes: Uint8Array }>({
  name: 'saved agents',
  inputs: 100,
  input: change(saved, agentFiles),
  async check(input, place) {
    const folder = await saved.with(input, place);
    const agent = await smallAgent();
    try {
      await agent.restore(folder);
      const { actions } = await agent.act([{ data: new Float32Array(2), shape: [2] }]);
      expectThat(actions.length === 1, 'not one action');
    } finally {
      agent.dispose();
    }
  },
  async prepare({ files }) {
    await useBackend('cpu');
    const path = join(files, 'agent');
    const agent = await smallAgent();
    await agent.save(path);
    agent.dispose();
    await saved.read(path, agentFiles);
  },
});
