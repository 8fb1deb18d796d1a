import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import type { RunConfigInput } from '../../training/config/index.js';
import { openCheckpoint, runTraining, sampleImages } from '../../training/index.js';
import { renderReport } from '../../training/report.js';
import { codeOf } from '../../training/trust.js';
import { saveTinyDenoiser } from './tiny-denoiser.js';

// Another state folder is another user.

let temporary: string;
const before = process.env.XDG_STATE_HOME;
const beUser = (name: string) => {
  process.env.XDG_STATE_HOME = join(temporary, 'state', name);
};
const state = (name: string, ...more: string[]) => join(temporary, 'state', name, 'denoise-gym', ...more);

beforeAll(async () => {
  await useBackend('wasm');
  temporary = await mkdtemp(join(tmpdir(), 'trust-'));
  await saveTinyDenoiser(join(temporary, 'model'));
});
beforeEach(() => beUser('maker'));
afterAll(async () => {
  if (before === undefined) delete process.env.XDG_STATE_HOME;
  else process.env.XDG_STATE_HOME = before;
  await rm(temporary, { recursive: true });
});

/** A file of a user's own that leaves a mark when it is executed. */
async function codeFile(name: string, code: string): Promise<{ file: string; mark: string }> {
  const [file, mark] = [join(temporary, name), join(temporary, `${name}.executed`)];
  await writeFile(
    file,
    `import { writeFileSync } from 'node:fs';\nwriteFileSync(${JSON.stringify(mark)}, '');\n${code}\n`,
  );
  return { file, mark };
}
const reward = (name: string) => codeFile(name, 'export default ({ prompts }) => prompts.map((_, i) => i);');

function run(name: string, more: RunConfigInput, options: Parameters<typeof runTraining>[1] = {}) {
  const config: RunConfigInput = {
    ...{ name, runs: temporary, model: join(temporary, 'model'), numEnvs: 2, samplesPerEpoch: 2, epochs: 1 },
    ...{ sampling: { steps: 2 }, agent: { minibatches: 1 }, backend: 'wasm', evaluation: { samples: 0 }, ...more },
  };
  return runTraining(config, { warn: () => {}, ...options });
}

async function editConfig(name: string, edit: (record: { config: { agent: object } }) => void): Promise<void> {
  const file = join(temporary, name, 'config.json');
  const record = JSON.parse(await readFile(file, 'utf8'));
  edit(record);
  await writeFile(file, JSON.stringify(record));
}

it('finds all code that a configuration names, and nothing else', () => {
  const reward = (text: string) => codeOf({ reward: text }).map(({ module }) => module);
  expect(
    codeOf({ env: 'Denoising-v0', agent: { name: 'ppo' }, reward: '0.7*jpeg-incompressibility - shapes' }),
  ).toEqual([]);
  expect(codeOf({ env: './mine.ts:Mine-v0', agent: './agent.mjs', reward: '/r.ts' })).toEqual([
    { purpose: 'environment', module: resolve('mine.ts') },
    { purpose: 'agent', module: resolve('agent.mjs') },
    { purpose: 'reward', module: '/r.ts' },
  ]);
  expect(codeOf({ callbacks: ['./first.ts', 3, 'none', '/second.js'] })).toEqual([
    { purpose: 'callback', module: resolve('first.ts') },
    { purpose: 'callback', module: '/second.js' },
  ]);
  expect(codeOf({ callbacks: './no-list.ts' })).toEqual([]);
  expect(codeOf({ env: 'some-package:Mine-v0' })).toEqual([{ purpose: 'environment', module: 'some-package' }]);
  expect(reward(`0.5*'./a.ts' + max("/b.js", shapes)`)).toEqual([resolve('a.ts'), '/b.js']);
  expect(reward(`2*'3*"./inner.ts"'`)).toEqual([resolve('inner.ts')]);
  for (const config of [undefined, null, [], {}, { env: 1, agent: null, reward: {} }])
    expect(codeOf(config)).toEqual([]);
});

describe('a run that names code', () => {
  it("is its maker's own; others are told what it would execute, and it is not executed", async () => {
    const { file } = await reward('own.mjs');
    await run('own', { reward: file });
    const path = join(temporary, 'own');
    await run('own', { reward: file, epochs: 2 }, { resume: true });
    expect((await openCheckpoint(path)).epoch).toBe(2);

    beUser('other');
    const uses = [
      () => run('own', { reward: file, epochs: 3 }, { resume: true }),
      () => openCheckpoint(path),
      () => sampleImages({ run: path, prompts: ['a red circle'] }),
    ];
    for (const use of uses)
      await expect(use()).rejects.toMatchObject({
        code: 'E_TRUST',
        message: expect.stringMatching(/not made by this user.*\n {2}reward \/.*own\.mjs\n.*--trust/),
      });
    expect(existsSync(state('other'))).toBe(false);

    const warnings: string[] = [];
    const warn = (message: string) => warnings.push(message);
    await openCheckpoint(path, { trust: true, warn });
    expect(warnings.join()).toMatch(/trusted from now on, with the code that it executes:\n {2}reward .*own\.mjs/);
    await openCheckpoint(path, { trust: true, warn });
    expect(warnings).toHaveLength(1);
    expect((await run('own', { reward: file, epochs: 3 }, { resume: true })).epoch).toBe(3);
    expect((await readdir(path)).sort()).not.toContain('trusted');
  });

  it('is asked for again when it names other code, whatever it says of itself', async () => {
    const { file } = await reward('first.mjs');
    await run('changed', { reward: file });
    const evil = await reward('evil.mjs');
    await editConfig('changed', ({ config }) => Object.assign(config, { reward: evil.file }));
    const path = join(temporary, 'changed');
    for (const user of ['maker', 'other']) {
      beUser(user);
      await expect(openCheckpoint(path)).rejects.toThrow(/reward .*evil\.mjs/);
      await editConfig('changed', (record) => Object.assign(record, { signature: 'a'.repeat(64), trusted: true }));
    }
    expect(existsSync(evil.mark)).toBe(false);
  });

  it('in its checkpoint alone is not executed either', async () => {
    await run('inside', {});
    const evil = await codeFile('evil-agent.mjs', 'export default { name: "evil", make: () => {} };');
    const checkpoint = join(temporary, 'inside', 'checkpoints', 'epoch-000001', 'digests.json');
    const manifest = JSON.parse(await readFile(checkpoint, 'utf8'));
    manifest.config.agent.name = evil.file;
    await writeFile(checkpoint, JSON.stringify(manifest));
    await expect(openCheckpoint(join(temporary, 'inside'))).rejects.toThrow('evil-agent.mjs');
    expect(existsSync(evil.mark)).toBe(false);
  });

  it('as a callback is not executed either', async () => {
    const { file, mark } = await codeFile(
      'callback.mjs',
      // A module is executed once in a process, its function with every run.
      `export default () => (writeFileSync(${JSON.stringify(join(temporary, 'callback.mjs.executed'))}, ""), { name: "own", epoch() {} });`,
    );
    await run('listened', { callbacks: [file] });
    await rm(mark);
    beUser('stranger');
    const resume = () => run('listened', { callbacks: [file], epochs: 2 }, { resume: true });
    await expect(resume()).rejects.toMatchObject({
      code: 'E_TRUST',
      message: expect.stringMatching(/callback .*callback\.mjs/),
    });
    await expect(openCheckpoint(join(temporary, 'listened'))).rejects.toThrow(/callback .*callback\.mjs/);
    expect(existsSync(mark)).toBe(false);
  });

  it('is reported without executing it', async () => {
    await run('reported', {});
    const evil = await codeFile('evil-metrics.mjs', 'export default { name: "evil", make: () => {} };');
    await editConfig('reported', ({ config }) => Object.assign(config.agent, { name: evil.file }));
    expect(await renderReport(join(temporary, 'reported'))).toContain('its code is not executed');
    expect(existsSync(evil.mark)).toBe(false);
  });
});

it('code that has changed since a checkpoint was written is said to have, and taken', async () => {
  const { file } = await reward('mended.mjs');
  await run('mended', { reward: file });
  await writeFile(file, `${await readFile(file, 'utf8')}\n// mended`);
  const warnings: string[] = [];
  const warn = (message: string) => warnings.push(message);
  await run('mended', { reward: file, epochs: 2 }, { resume: true, warn });
  expect(warnings.join()).toMatch(/reward .*mended\.mjs was changed since checkpoint .*epoch-000001/);
  warnings.length = 0;
  await run('mended', { reward: file, epochs: 2 }, { resume: true, warn });
  expect(warnings).toEqual([]);
});

it('knows every place where modules that a configuration names are imported', async () => {
  const purposes: string[] = [];
  for (const room of ['agents', 'core', 'diffusion', 'envs', 'networks', 'rewards', 'training'])
    for (const entry of await readdir(room, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
      const source = await readFile(join(entry.parentPath, entry.name), 'utf8');
      purposes.push(
        ...Array.from(source.matchAll(/await importUserModule\(.*, '(\w+)'\)/g), ([, purpose]) => purpose!),
      );
    }
  const known = codeOf({
    env: 'a:A-v0',
    agent: './a.ts',
    reward: './a.ts',
    wrappers: ['./a.ts'],
    callbacks: ['./a.ts'],
  });
  expect(purposes.sort()).toEqual(known.map(({ purpose }) => purpose).sort());
});

it('a run that names no code needs no trust, and nothing is written for it', async () => {
  beUser('first');
  await run('plain', {});
  beUser('second');
  await run('plain', { epochs: 2 }, { resume: true });
  expect(existsSync(state('first'))).toBe(false);
  expect(existsSync(state('second'))).toBe(false);
});

it('a state folder that cannot be written is said, and the run is made all the same', async () => {
  beUser('closed');
  await mkdir(join(temporary, 'state', 'closed'), { recursive: true });
  await writeFile(state('closed'), 'not a folder');
  const warnings: string[] = [];
  const { file } = await reward('unsigned.mjs');
  await run('unsigned', { reward: file }, { warn: (message) => warnings.push(message) });
  expect(warnings.join()).toMatch(/cannot write .*denoise-gym.*--trust will be needed/);
  await rm(state('closed'));
  await expect(openCheckpoint(join(temporary, 'unsigned'))).rejects.toMatchObject({ code: 'E_TRUST' });
});

it('the key is for nobody else to read', async () => {
  const { file } = await reward('keyed.mjs');
  await run('keyed', { reward: file });
  expect((await stat(state('maker', 'key'))).mode & 0o077).toBe(0);
});
