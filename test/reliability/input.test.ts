// What malformed inputs did, by kind: each is refused with an error that names it, soon. `fuzz.test.ts` looks for more.
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { networkPolicy } from '../../agents/policies/index.js';
import { makeAgent } from '../../agents/registry.js';
import { useBackend } from '../../backend/index.js';
import { addRunFlags, givenFlags, withSetFlags } from '../../cli/flags.js';
import { decimal, positive, whole } from '../../cli/numbers.js';
import { GymError } from '../../core/errors.js';
import { ndarray } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { fromJson, toJson } from '../../core/snapshot-json.js';
import { CLIPTextModel, CLIPTokenizer, DDIMScheduler, loadDenoiser } from '../../diffusion/index.js';
import { Denoising } from '../../envs/denoising/denoising.js';
import { promptFile } from '../../envs/denoising/prompt-files.js';
import { make, makeVec, makeWorkerVec, wrap } from '../../envs/index.js';
import { NumpyRandom } from '../../envs/numpy-random.js';
import { Box, Discrete, flattenSpace, MultiBinary, spaceFromJson, Text } from '../../envs/spaces/index.js';
import { frameStackObservation } from '../../envs/wrappers/index.js';
import { expressionReward } from '../../rewards/index.js';
import { checkedStep } from '../../training/collect/checks.js';
import { completeConfig, parseConfig, parseYaml, withFlags } from '../../training/config/index.js';
import { readEvaluations } from '../../training/evaluation/index.js';
import { renderReport } from '../../training/report.js';
import { saveTinyDenoiser } from '../training/tiny-denoiser.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'input-'));
  await useBackend('cpu');
  await saveTinyDenoiser(join(folder, 'model'));
});
afterAll(() => rm(folder, { recursive: true }));

/** The error of what must be refused within two seconds. */
async function refusal(read: () => unknown): Promise<string> {
  const begun = performance.now();
  try {
    await read();
  } catch (error) {
    if (!GymError.is(error)) throw error;
    expect(performance.now() - begun, error.message).toBeLessThan(2000);
    expect(error.message.length).toBeLessThan(20_000);
    return error.message;
  }
  throw new Error('it was accepted');
}

/** The model's folder with some fields of one file changed. */
async function changedModel(file: string, change: Record<string, unknown>): Promise<string> {
  const copy = await mkdtemp(join(folder, 'changed-'));
  await cp(join(folder, 'model'), copy, { recursive: true });
  const config = JSON.parse(await readFile(join(copy, file), 'utf8'));
  await writeFile(join(copy, file), JSON.stringify({ ...config, ...change }));
  return copy;
}

const deep = (levels: number) => JSON.parse('['.repeat(levels) + ']'.repeat(levels));

describe('inherited names are no entries', () => {
  it('of activations, types of arrays, and configurations', async () => {
    const encoder = () => CLIPTextModel.create({ hidden_act: 'constructor' as 'gelu' }, new Random(1));
    expect(await refusal(encoder)).toMatch(/unknown hidden_act `constructor`/);
    expect(await refusal(() => fromJson({ $array: 'constructor', shape: [], data: '' }))).toMatch(/is no array/);
    for (const text of [
      '{"__proto__": {"x": 1}}',
      '{"agent": {"__proto__": {"x": 1}}}',
      '{"envOptions": {"__proto__": 1}}',
    ])
      expect(await refusal(() => parseConfig(JSON.parse(`{"env": "CartPole-v1", ${text.slice(1)}`)))).toMatch(
        /__proto__: no such option/,
      );
    expect(await refusal(() => completeConfig({ agent: 'constructor' }))).toMatch(/unknown agent `constructor`/);
  });

  it('of flags', async () => {
    const command = await addRunFlags(new Command().exitOverride());
    command.parse(withSetFlags(['--agent.__proto__.x', '1']), { from: 'user' });
    const flags = await givenFlags(command.opts());
    expect(await refusal(() => completeConfig(withFlags({}, flags)))).toMatch(/agent\.__proto__: no such option/);
    expect(await refusal(() => givenFlags({ set: ['no-value'] }))).toMatch(/needs an option and its value/);
  });
});

describe('what is too large is refused with the limit', () => {
  it.each<[string, () => unknown, RegExp]>([
    [
      'a schedule',
      () => DDIMScheduler.fromConfig({ num_train_timesteps: 1e9 }),
      /from 1 to 100000, actual value 1000000000/,
    ],
    ['a Box', () => new Box(0, 1, [1e9]), /has 1000000000 numbers; an array may have at most 33554432/],
    ['a Box of many axes', () => new Box(0, 1, new Array(100).fill(1)), /shape has 100 axes.* at most 64/],
    ['bits', () => new MultiBinary([1e5, 1e5]), /at most 33554432/],
    ['a text', () => new Text(1e9), /at most 33554432/],
    ['a one-hot vector', () => flattenSpace(new Discrete(1e9)), /at most 33554432/],
    ['a stack of frames', async () => wrap(await make('CartPole-v1'), frameStackObservation(1e9)), /at most 33554432/],
    ['environments', () => makeVec('CartPole-v1', 1e7), /integer of 1 to 65536, actual value 10000000/],
    ['environments in threads', () => makeWorkerVec('CartPole-v1', 1e7), /integer of 1 to 65536/],
    [
      'threads',
      () => makeWorkerVec('CartPole-v1', 5000, {}, { workers: 5000 }),
      /workers must be an integer of 1 to 1024/,
    ],
    [
      'environments of a run',
      () => parseConfig({ numEnvs: 1e7 }),
      /numEnvs: must be at most 65536, actual value 10000000/,
    ],
    ['a time-out', () => parseConfig({ rewardTimeout: 1e7 }), /rewardTimeout: must be at most 2147483\.647/],
    ['batches that overlap', () => parseConfig({ overlap: 1e9 }), /overlap: must be at most 256/],
    ['a layer', () => parseConfig({ env: 'CartPole-v1', policy: { hidden: [1e9] } }), /must be at most 8192/],
    ['a name', () => completeConfig({ env: 'x'.repeat(1e6) }), /env: must have at most 4096 characters/],
    ['a reward', () => completeConfig({ reward: `${'a'.repeat(1e6)}/` }), /reward: must have at most 4096 characters/],
    ['an agent', () => completeConfig({ agent: 'x'.repeat(1e6) }), /at most 4096 characters|unknown agent/],
    ['an option', () => completeConfig({ ['x'.repeat(1e6)]: 1 }), /x\.\.\.: no such option/],
    ['a path', () => completeConfig({ agent: `./${'x'.repeat(3000)}.ts` }), /cannot be looked for/],
    ['vocabulary', () => new CLIPTokenizer({ vocab: { a: 2 ** 40 }, merges: [] }), /ids are integers from 0 to 2\^31/],
  ])('%s', async (_, read, message) => {
    expect(await refusal(read)).toMatch(message);
  });

  it('thousands of unknown options, of which a few are told', async () => {
    const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`k${i}`, 1]));
    expect(await refusal(() => completeConfig(many))).toMatch(/k0: no such option.*\.\.\. and 9980 more/s);
    expect(await refusal(() => completeConfig({ agent: { name: 'ppo', ...many } }))).toMatch(/and 9980 more/);
  });

  it('prompts of a million tokens', async () => {
    const model = await changedModel('tokenizer/tokenizer_config.json', { model_max_length: 1e8 });
    expect(await refusal(() => loadDenoiser(model))).toMatch(/model_max_length\) must be an integer from 3 to 4096/);
    const text = await changedModel('tokenizer/tokenizer_config.json', { model_max_length: '77' });
    expect(await refusal(() => loadDenoiser(text))).toMatch(/actual value "77"/);
  });

  it('a vocabulary may be large', () => {
    const vocab = Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [`t${i}`, i]));
    const special = { bosToken: 't0', eosToken: 't1', unkToken: 't2', padToken: 't3' };
    expect(new CLIPTokenizer({ vocab, merges: [], ...special }).vocabSize).toBe(200_000);
  });

  it('a prompt may be long', () => {
    const tokenizer = CLIPTokenizer.fromWords(['a'], 8);
    expect(tokenizer.tokenize('é'.repeat(200_000)).length).toBe(400_002);
  });
});

describe('YAML', () => {
  const laughs = [
    'a0: &a0 [x]',
    ...Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`)}]`),
  ];
  it.each([
    ['that contains itself', 'a: &a [*a]', /f\.yaml: not valid YAML: .*contain themselves/],
    ['of which an agent contains itself', 'agent: &a {name: ppo, x: *a}', /f\.yaml: .*contain themselves/],
    ['that grows by its aliases', laughs.join('\n'), /f\.yaml: .*[Ee]xcessive alias count/],
    ['with an alias of nothing', 'a: *b', /f\.yaml: .*[Uu]nresolved alias.*b/],
    ['that is deep', '['.repeat(10_000), /f\.yaml: .*more than 200 levels/],
    ['with a key twice', 'a: 1\nb: 2\na: 3', /f\.yaml: .*`a` stands twice, again at line 3, column 1/],
    ['of a million characters', `a: ${'x'.repeat(1e6)}`, /f\.yaml: it has 1000003 characters, at most 500000/],
  ])('%s', async (_, text, message) => {
    expect(await refusal(() => parseYaml(text, 'f.yaml'))).toMatch(message);
  });

  it('of 40,000 keys is read at once', () => {
    const begun = performance.now();
    parseYaml(Array.from({ length: 40_000 }, (_, i) => `k${i}: 1`).join('\n'), 'f.yaml');
    expect(performance.now() - begun).toBeLessThan(10_000); // it took minutes
  });

  it('with an agent left empty', async () => {
    const parsed = parseYaml('agent:\nepochs: 3', 'f.yaml') as Record<string, unknown>;
    expect(await refusal(() => completeConfig(parsed, 'f.yaml'))).toMatch(
      /f\.yaml: agent: must be an object, actual value null/,
    );
  });
});

describe('JSON nested 10,000 levels deep', () => {
  const text = '['.repeat(10_000) + ']'.repeat(10_000);

  it.each([
    'model_index.json',
    'unet/config.json',
    'scheduler/scheduler_config.json',
    'tokenizer/vocab.json',
    'text_encoder/config.json',
  ])('in %s', async (file) => {
    const model = await changedModel(file, {});
    await writeFile(join(model, file), text);
    expect(await refusal(() => loadDenoiser(model))).toContain(file);
  });

  it('in prompts, spaces, snapshots and configurations', async () => {
    await writeFile(join(folder, 'deep.json'), text);
    expect(await refusal(() => promptFile(join(folder, 'deep.json')))).toMatch(/deep\.json: .*200 levels/);
    expect(await refusal(() => spaceFromJson({ kind: 'Tuple', spaces: deep(10_000) }))).toMatch(/200 levels/);
    expect(await refusal(() => toJson(deep(10_000)))).toMatch(/200 levels/);
    expect(await refusal(() => parseConfig({ epochs: deep(10_000) }))).toMatch(/200 levels/);
  });
});

describe('models', () => {
  it.each<[string, Record<string, unknown>, RegExp]>([
    ['unet/config.json', { layers_per_block: 2 ** 33 }, /layers_per_block` is 8589934592/],
    ['unet/config.json', { block_out_channels: new Array(1e5).fill(8) }, /block_out_channels` is \[8,8,.*\.\.\.;/],
    [
      'text_encoder/config.json',
      { num_hidden_layers: 2 ** 33 },
      /num_hidden_layers must be an integer from 1 to 1048576/,
    ],
    ['scheduler/scheduler_config.json', { clip_sample_range: -1 }, /clip_sample_range must be above 0/],
    ['scheduler/scheduler_config.json', { beta_start: 1e-12, beta_end: 1e-12 }, /beta 0 is .* first above 6e-8/],
    [
      'scheduler/scheduler_config.json',
      { num_train_timesteps: 1, rescale_betas_zero_snr: true },
      /rescale_betas_zero_snr needs/,
    ],
  ])('%s with %j', async (file, change, message) => {
    const model = await changedModel(file, change);
    expect(await refusal(() => loadDenoiser(model))).toMatch(message);
  });

  it('whose weights are a folder', async () => {
    const model = await changedModel('unet/config.json', {});
    const weights = join(model, 'unet/diffusion_pytorch_model.safetensors');
    await rm(weights);
    await mkdir(weights);
    expect(await refusal(() => loadDenoiser(model))).toMatch(/model\.safetensors: it is a folder/);
  });
});

describe('snapshots', () => {
  it('of environments are checked before they are taken', async () => {
    const env = await make('CartPole-v1');
    await env.reset({ seed: 1 });
    type Inner = { inner: { own: number; inner: { state: number[]; random: { alea: object } } }; own: object };
    const snapshot = (await env.snapshot!()) as unknown as Inner;
    const damaged: [(s: Inner) => void, RegExp][] = [
      [(s) => Object.assign(s.own, { phase: 'constructor' }), /phase must be one of new, running, over/],
      [(s) => Object.assign(s.inner, { own: -1 }), /integer of at least 0, actual value -1/],
      [(s) => Object.assign(s.inner.inner, { state: [1, 2, 3, 'x'] }), /must have numbers/],
      [(s) => Object.assign(s.inner.inner.random.alea, { s0: Number.NaN }), /is the state of no stream/],
    ];
    for (const [damage, message] of damaged) {
      const copy = structuredClone(snapshot);
      damage(copy);
      expect(await refusal(() => env.restore!(copy as never))).toMatch(message);
    }
  });

  it('of vector environments too', async () => {
    const env = await makeVec('CartPole-v1', 2);
    await env.reset({ seed: 1 });
    const snapshot = (await env.snapshot!()) as object;
    for (const ended of [[0, 0, 0], [0, 2], ['a', 'b'], 1])
      expect(await refusal(() => env.restore!({ ...snapshot, ended } as never))).toMatch(/restore/);
  });

  it('of NumPy streams', async () => {
    const state = new NumpyRandom(1).state();
    for (const change of [
      { pcg64: null },
      { pcg64: { state: 'xyz', increment: '1' } },
      { half: -1 },
      { pcg64: { ...state.pcg64, increment: '2' } },
    ])
      expect(await refusal(() => NumpyRandom.restore({ ...state, ...change } as never))).toMatch(
        /the state of no stream/,
      );
  });

  it('and resets of a pendulum with many turns do not hang', async () => {
    const env = await make('Acrobot-v1');
    await env.reset({ seed: 1, options: { low: 1e20, high: 1e21 } });
    const { observation } = await env.step(1);
    expect((observation as { data: Float32Array }).data.every(Number.isFinite)).toBe(true);
  });

  it('are read as they were written, whatever their keys, and what JSON would lose is refused', async () => {
    const view = { data: Buffer.from([1, 2]), shape: [2] };
    const value = { $array: 'x', $number: '5', $$: [-0, Number.NaN], ['__proto__']: { a: null }, view };
    const back = fromJson(JSON.parse(JSON.stringify(toJson(value)))) as typeof value;
    expect(back).toEqual({ ...value, view: { data: Uint8Array.of(1, 2), shape: [2] } });
    expect(Object.is((back.$$ as number[])[0], -0)).toBe(true);
    for (const lost of [
      new Map(),
      new Date(),
      () => 1,
      5n,
      [undefined],
      new Float32Array(2),
      { data: new Float32Array(2), shape: [3] },
    ])
      expect(await refusal(() => toJson({ a: lost } as never))).toMatch(/snapshot\.a.* cannot be saved/);
    const damaged = [
      { $number: '7' },
      { $array: 'Float32Array', shape: [2], data: 'AAAA' },
      { $array: 'Uint8Array', shape: [3], data: '####' },
    ];
    for (const json of damaged) expect(await refusal(() => fromJson(json))).toMatch(/the file is damaged/);
  });
});

describe('saved agents', () => {
  const spaces = { observationSpace: new Box(-1, 1, [2]), actionSpace: new Discrete(2) };
  const agent = () =>
    makeAgent<unknown, unknown>('ppo', {
      policy: networkPolicy(spaces, { hidden: [3] }, new Random(1)) as never,
      options: { advantage: 'per-prompt' },
      random: new Random(2),
    });

  it.each<[string, unknown, RegExp]>([
    ['agent.json', null, /agent\.json: .*must be an object/],
    ['agent.json', { random: { seed: 'a' }, progress: 0 }, /is the state of no stream/],
    [
      'agent.json',
      { random: new Random(1).state(), progress: 0, advantages: { a: ['x'] } },
      /list of at most 16 rewards/,
    ],
    ['optimizer/optimizer.json', { updates: -1 }, /optimizer\.json: updates: must be at least 0/],
    ['optimizer/optimizer.json', [], /optimizer\.json: .*must be an object/],
  ])('with %s of %j', async (file, content, message) => {
    const saved = await mkdtemp(join(folder, 'agent-'));
    const one = await agent();
    await one.save(saved);
    await writeFile(join(saved, file), JSON.stringify(content));
    expect(await refusal(() => one.restore(saved))).toMatch(message);
    one.dispose();
  });
});

describe('rewards', () => {
  it('of environments are finite in float32', async () => {
    const step = {
      observations: [0],
      rewards: Float64Array.of(1e308),
      terminated: new Uint8Array(1),
      truncated: new Uint8Array(1),
      infos: [{}],
    };
    expect(await refusal(() => checkedStep(step, 1))).toMatch(/gave the reward 1e\+308; .* at most 3\.4e38/);
  });

  it.each([
    "jpeg-incompressibility'",
    'a ?? 1',
    'a .^ 2',
    `${'('.repeat(1900)}a${')'.repeat(1900)}`,
    `e-${'1e-1-'.repeat(24)}x`,
    'a'.repeat(1e6),
  ])('of an expression that is none: %.30s', async (text) => {
    const make = async (name: string) => ({ name, score: () => [1] });
    const message = await refusal(() => expressionReward(text, ['a', 'jpeg-incompressibility'], make));
    expect(message).not.toMatch(/call stack|is not a function|undefined/);
  });

  it('do not draw into the pictures that an evaluation keeps', async () => {
    const env = new Denoising({
      timesteps: [0],
      latentShape: [2, 2, 3],
      prompts: ['a'],
      numEnvs: 1,
      reward: ({ images, prompts }) => {
        images.data.fill(7);
        return prompts.map(() => 1);
      },
    });
    await env.reset();
    const { infos } = await env.step([ndarray(new Float32Array(12).fill(1), [2, 2, 3])]);
    expect((infos[0]!.image as { data: Uint8Array }).data.every((x) => x === 255)).toBe(true);
    expect(
      await refusal(
        () =>
          new Denoising({
            ...{ timesteps: [0], latentShape: [2, 2, 3], prompts: ['a'], numEnvs: 1, reward: () => [1] },
            rewardTimeoutMs: 2 ** 31,
          }),
      ),
    ).toMatch(/at most 2147483647/);
  });
});

describe('flags', () => {
  it('take numbers alone', async () => {
    expect([whole('--n', 0)('7'), decimal('--x')('1e-3'), positive('--y')('.5')]).toEqual([7, 1e-3, 0.5]);
    for (const text of ['', ' ', 'x', '0x10', '1_000', 'Infinity', 'NaN', '1.5', '-1', '1e9'])
      expect(await refusal(() => whole('--n', 0, 1e6)(text))).toMatch(/--n must be a whole number from 0 to 1000000/);
    for (const text of ['', 'x', '-1', '1e999'])
      expect(await refusal(() => decimal('--eta')(text))).toMatch(/--eta must be a number of at least 0/);
    expect(await refusal(() => positive('--rate')('0'))).toMatch(/--rate must be a number above 0/);
  });
});

describe('a run that is reported', () => {
  const evaluation = {
    epoch: 0,
    explore: true,
    mean: 1,
    std: 0,
    se: null,
    min: 1,
    max: 1,
    terms: {},
    samples: [{ reward: 1 }],
    animation: false,
  };
  const config = parseConfig({ env: 'CartPole-v1', name: 'run' });
  const record = { config, versions: {}, backend: { name: 'cpu' }, started: '2026-01-01T00:00:00.000Z' };

  async function run(files: Record<string, unknown>): Promise<string> {
    const path = await mkdtemp(join(folder, 'run-'));
    await mkdir(join(path, 'samples'));
    for (const [name, content] of Object.entries({ 'config.json': record, ...files }))
      await writeFile(join(path, name), JSON.stringify(content));
    return path;
  }

  it('names what is damaged', async () => {
    for (const content of [null, 'x', {}, { ...record, config: {} }])
      expect(await refusal(async () => renderReport(await run({ 'config.json': content })))).toMatch(/config\.json: /);
    for (const content of [null, [], { ...evaluation, samples: [] }, { ...evaluation, grid: { columns: 1e9 } }])
      expect(await refusal(async () => renderReport(await run({ 'samples/epoch-000000.json': content })))).toMatch(
        /epoch-000000\.json: /,
      );
    const without = await run({ 'samples/epoch-000000.json': { ...evaluation, animation: true } });
    expect(await refusal(() => renderReport(without))).toMatch(/denoising-000000\.webp/);
  });

  it('has null where a number was not finite', async () => {
    const [read] = await readEvaluations(await run({ 'samples/epoch-000000.json': evaluation }));
    expect(read!.se).toBeNaN();
  });
});
