import { spawnSync } from 'node:child_process';
import { renameSync } from 'node:fs';
import {
  appendFile,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RunFolder } from '../../../training/run-folder/index.js';
import { train } from '../../../training/train.js';
import { Lockstep, ToyAgent } from '../toys.js';

let temporary: string;
/** A finished run of 5 epochs with checkpoints of the last three. */
let made: string;
let path: string;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'run-folder-'));
  made = join(temporary, 'made');
  const folder = await RunFolder.create(made, { what: 'a toy' });
  await go(folder);
});
afterAll(() => rm(temporary, { recursive: true }));
beforeEach(async ({ task }) => {
  path = join(temporary, task.id);
  await cp(made, path, { recursive: true });
});

type Opened = Awaited<ReturnType<typeof RunFolder.resume>>;

async function go(folder: RunFolder, checkpoint?: Opened['checkpoint'], epochs = 5): Promise<void> {
  const agent = new ToyAgent({ episodes: 6 }, 5);
  for await (const _ of train({
    agent,
    envs: [new Lockstep()],
    epochs,
    seed: 3,
    folder,
    checkpoint,
    keepCheckpoints: 3,
  }));
}

async function resume(from?: number, epochs?: number): Promise<RunFolder> {
  const { folder, checkpoint } = await RunFolder.resume(path, { from });
  await go(folder, checkpoint, epochs);
  return folder;
}

/** Everything in a folder, to see whether it was touched. */
async function contents(folder: string): Promise<Map<string, string>> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(await Promise.all(files.map(async (file) => [file, await readFile(file, 'latin1')] as const)));
}

const inCheckpoint = (epoch: number, ...names: string[]) => join(RunFolder.open(path).checkpointPath(epoch), ...names);

async function flipBit(file: string): Promise<void> {
  const bytes = await readFile(file);
  bytes[bytes.length >> 1]! ^= 1;
  await writeFile(file, bytes);
}

describe('a checkpoint that is damaged', () => {
  const damages: [string, () => Promise<void>, RegExp][] = [
    [
      'state.json without its field for the length of metrics.jsonl',
      async () => {
        const file = inCheckpoint(5, 'state.json');
        const { metricsBytes: _, ...state } = JSON.parse(await readFile(file, 'utf8'));
        await writeFile(file, JSON.stringify(state));
      },
      /epoch-000005 is damaged: state\.json was changed/,
    ],
    ['a flipped bit in the agent', () => flipBit(inCheckpoint(5, 'agent', 'toy.json')), /agent\/toy\.json was changed/],
    ['a flipped bit in the digests', () => flipBit(inCheckpoint(5, 'digests.json')), /epoch-000005 is damaged: /],
    ['a file cut off', () => truncate(inCheckpoint(5, 'agent', 'toy.json'), 5), /agent\/toy\.json was changed/],
    ['a file missing', () => rm(inCheckpoint(5, 'agent', 'toy.json')), /agent\/toy\.json is missing/],
    ['no digests', () => rm(inCheckpoint(5, 'digests.json')), /digests\.json.*check the path/],
    ['an empty state.json', () => writeFile(inCheckpoint(5, 'state.json'), ''), /state\.json was changed/],
  ];
  it.each(damages)('%s: is named, an older one is offered, and nothing is touched', async (_, damage, message) => {
    await damage();
    const before = await contents(path);
    await expect(resume()).rejects.toThrow(message);
    await expect(resume()).rejects.toThrow(/An older one is kept: use it by --from-checkpoint 4/);
    expect(await contents(path)).toEqual(before);
  });

  it('is passed over by an older one, from which the run goes on with the same numbers', async () => {
    await flipBit(inCheckpoint(5, 'agent', 'toy.json'));
    await flipBit(inCheckpoint(4, 'agent', 'toy.json'));
    await expect(resume()).rejects.toThrow('--from-checkpoint 3');
    await expect(resume(2)).rejects.toThrow(/no checkpoint of epoch 2; it has those of epochs 3, 4, 5/);
    const numbers = async (folder: RunFolder) =>
      (await folder.metrics()).map((line) => [line.epoch, line['train/shift']]);
    expect(await numbers(await resume(3))).toEqual(await numbers(RunFolder.open(made)));
    expect(await RunFolder.open(path).checkpoints()).toEqual([3, 4, 5]);
  });

  it('and is the only one: says to restore it or to start again', async () => {
    for (const epoch of [3, 4]) await rm(inCheckpoint(epoch), { recursive: true });
    await flipBit(inCheckpoint(5, 'state.json'));
    await expect(resume()).rejects.toThrow(/No older one is kept: restore it from a copy, or start again/);
  });
});

it('a checkpoint that a running run removes while it is read gives way to the latest one', async () => {
  const folder = RunFolder.open(path);
  const [latest, next, later] = [inCheckpoint(5), join(path, 'next'), inCheckpoint(6)];
  await cp(latest, next, { recursive: true });
  await folder.checkpoints();
  const reading = folder.readCheckpoint();
  // Now that it has asked which there are, and has read none.
  const until = performance.now() + 20;
  while (performance.now() < until);
  renameSync(next, later);
  renameSync(latest, join(path, 'removed'));
  expect((await reading)?.path).toBe(later);
});

describe('metrics.jsonl', () => {
  it.each([
    ['cut off', () => truncate(join(path, 'metrics.jsonl'), 10), /has 10 bytes, but checkpoint .* was made at \d+/],
    [
      'damaged',
      async () => {
        const file = join(path, 'metrics.jsonl');
        await writeFile(file, (await readFile(file, 'utf8')).replace('\n{', '\n['));
      },
      /metrics\.jsonl:2: not valid JSON/,
    ],
    ['missing', () => rm(join(path, 'metrics.jsonl')), /cannot read .*metrics\.jsonl/],
  ])('%s: named before anything is touched', async (_, damage, message) => {
    await damage();
    const before = await contents(path);
    await expect(resume()).rejects.toThrow(message);
    expect(await contents(path)).toEqual(before);
  });

  it('with another number in it is noticed', async () => {
    const { folder, checkpoint } = await RunFolder.resume(path);
    expect(await folder.hasMetricsOf(checkpoint!)).toBe(true);
    const file = join(path, 'metrics.jsonl');
    await writeFile(file, (await readFile(file, 'utf8')).replace(/"reward\/mean":-0\.(\d)/, '"reward/mean":-9.$1'));
    expect(await folder.hasMetricsOf(checkpoint!)).toBe(false);
    folder.close();
  });

  it('holds lines after the checkpoint: they are cut once the checkpoint is restored, and not before', async () => {
    await appendFile(join(path, 'metrics.jsonl'), '{"epoch":6}\n{"epo');
    const before = await contents(path);
    const { folder, checkpoint } = await RunFolder.resume(path);
    await writeFile(join(checkpoint!.path, 'agent', 'toy.json'), '{}');
    await expect(go(folder, checkpoint, 6)).rejects.toThrow(/cannot be restored: .*\nThe run's folder is as it was/);
    expect((await contents(path)).get(join(path, 'metrics.jsonl'))).toBe(before.get(join(path, 'metrics.jsonl')));
    expect(await RunFolder.open(path).status()).toMatchObject({ state: 'finished', epoch: 5 });
  });
});

describe('status.json', () => {
  it.each(['', 'null', '{"state":"walking"}', '{"state":1'])('that holds %j blocks nothing', async (text) => {
    await writeFile(join(path, 'status.json'), text);
    expect(await RunFolder.open(path).status()).toBeUndefined();
    expect(await (await resume(undefined, 6)).status()).toMatchObject({ state: 'finished', epoch: 6 });
  });
});

describe('a folder that a kill has left', () => {
  it.each([
    ['before its configuration', ['metrics.jsonl']],
    ['with nothing', []],
    ['with what was half-written', ['metrics.jsonl', '.config.json.1.0123abcd.tmp', 'lock']],
  ])('%s does not block its name', async (_, names) => {
    for (const overwrite of [false, true]) {
      const left = `${path}-left-${overwrite}`;
      await mkdir(left);
      for (const name of names) await writeFile(join(left, name), '');
      const old = new Date(Date.now() - 60_000);
      if (names.includes('lock')) await utimes(join(left, 'lock'), old, old);
      const folder = await RunFolder.create(left, { what: 'new' }, { overwrite });
      expect(await folder.config()).toEqual({ what: 'new' });
      folder.close();
      expect((await readdir(left)).sort()).toEqual(['config.json', 'metrics.jsonl']);
    }
  });

  it('between the renames of --overwrite is found again', async () => {
    const [folder, name] = [temporary, path.slice(temporary.length + 1)];
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    await rename(path, join(folder, `.${name}.${pid}.0123abcd.old`));
    expect((await RunFolder.open(path).metrics()).length).toBe(5);
  });
});

it('a folder that was opened to be read cannot be written', async () => {
  await expect(RunFolder.open(path).appendMetrics({ epoch: 6 })).rejects.toThrow(/opened to be read/);
});
