import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeFileAtomic } from '../../../core/files.js';
import { evaluationFiles } from '../../../training/evaluation/index.js';
import { tensorBoardLogger } from '../../../training/loggers/index.js';
import { crc32c, tfRecord } from '../../../training/loggers/tfrecord.js';
import { RunFolder } from '../../../training/run-folder/index.js';
import type { Callback } from '../../../training/train.js';
import { fields, type ReadEvent, readEvents, readRecords } from './event-reader.js';
import { toyRun } from './toy-folder.js';

let path: string;
beforeEach(async () => {
  path = join(await mkdtemp(join(tmpdir(), 'tensorboard-test-')), 'run');
});
afterEach(() => rm(join(path, '..'), { recursive: true }));

const config = { name: 'run', seed: 3, agent: { name: 'toy', learningRate: 0.5, nested: { on: true, list: [1, 2] } } };

/** Writes what an evaluation writes: numbers, and in epochs 0 and 2 a picture. */
function evaluation(): Callback<number, number> {
  const write = async (folder: string, epoch: number) => {
    const files = evaluationFiles(folder, epoch);
    const channels = { width: 5 + epoch, height: 4, channels: 3, background: 'red' } as const;
    await writeFileAtomic(files.png, await sharp({ create: channels }).png().toBuffer());
    const numbers = { mean: epoch, std: 2, se: 1, min: 0, max: 1 };
    const record = { epoch, explore: true, ...numbers, terms: {}, samples: [{ reward: 1 }], animation: false };
    await writeFileAtomic(files.json, JSON.stringify(record));
  };
  return {
    name: 'evaluation',
    start: ({ folder }) => write(folder!.path, 0),
    epoch: async ({ epoch, folder }) => {
      if (epoch !== 2) return undefined;
      await write(folder!.path, epoch);
      return { 'eval/mean': epoch };
    },
  };
}

const run = (epochs: number, from?: number) =>
  toyRun({
    path,
    epochs,
    ...(from !== undefined && { from }),
    callbacks: () => [evaluation()],
    listen: (folder) => tensorBoardLogger(folder.path, { config }),
  });

async function eventFiles(): Promise<ReadEvent[][]> {
  const names = (await readdir(path)).filter((name) => name.includes('tfevents')).sort();
  return await Promise.all(names.map(async (name) => readEvents(await readFile(join(path, name)))));
}

describe('the framing', () => {
  it('has the checksums of RFC 3720, B.4', () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
  });

  it('is what its reader expects, also of nothing and of large records', () => {
    const records = [Buffer.alloc(0), Buffer.from('text'), Buffer.alloc(100_000, 7)];
    expect(readRecords(Buffer.concat(records.map(tfRecord)))).toEqual(records);
    const broken = tfRecord(Buffer.from('text'));
    broken[13]! ^= 1;
    expect(() => readRecords(broken)).toThrow('checksum of the data');
  });
});

describe('the events of a run', () => {
  it('are every metric of every epoch, the pictures of evaluations, and the configuration', async () => {
    await run(3);
    const [events] = await eventFiles();
    expect(events![0]!.version).toBe('brain.Event:2');
    expect(events!.some((event) => event.start)).toBe(false);
    expect(Math.abs(events![0]!.time - Date.now() / 1000)).toBeLessThan(600);

    for (const { epoch, ...metrics } of await RunFolder.open(path).metrics()) {
      const logged = events!.find((event) => event.step === epoch && event.scalars.envSteps !== undefined)!;
      expect(logged.scalars).toEqual(Object.fromEntries(Object.entries(metrics).map(([k, v]) => [k, Math.fround(v)])));
    }

    const pictures = events!.flatMap(({ step, pictures }) => Object.entries(pictures).map((entry) => [step, ...entry]));
    expect(pictures).toEqual([
      [0, 'samples', { width: 5, height: 4, png: await readFile(evaluationFiles(path, 0).png) }],
      [2, 'samples', { width: 7, height: 4, png: await readFile(evaluationFiles(path, 2).png) }],
    ]);
    expect(events!.find((event) => event.step === 0 && 'eval/mean' in event.scalars)!.scalars).toEqual({
      'eval/mean': 0,
      'eval/std': 2,
      'eval/se': 1,
    });

    const plugins = Object.assign({}, ...events!.map((event) => event.plugins)) as ReadEvent['plugins'];
    expect(Object.entries(plugins).map(([tag, { name }]) => [tag, name])).toEqual([
      ['configuration/text_summary', 'text'],
      ['_hparams_/session_start_info', 'hparams'],
      ['_hparams_/session_end_info', 'hparams'],
    ]);
    const [shown] = plugins['configuration/text_summary']!.texts;
    expect(JSON.parse(shown!)).toEqual(config);
    // SessionStartInfo of HParamsPluginData: a map of names to values.
    const session = fields(fields(plugins['_hparams_/session_start_info']!.content).get(3)![0] as Buffer);
    const hyperparameters = session.get(1)!.map((entry) => {
      const [name, value] = [1, 2].map((n) => fields(entry as Buffer).get(n)![0] as Buffer) as [Buffer, Buffer];
      const [[kind, [what]]] = [...fields(value)] as [[number, [number | Buffer]]];
      return [name.toString(), kind === 4 ? Boolean(what) : kind === 3 ? what.toString() : what];
    });
    expect(Object.fromEntries(hyperparameters)).toEqual({
      name: 'run',
      seed: 3,
      'agent.name': 'toy',
      'agent.learningRate': 0.5,
      'agent.nested.on': true,
      'agent.nested.list': '[1,2]',
    });
  });

  it('go on in a file of their own after a resume, which says what is void', async () => {
    await run(4);
    await run(5, 2);
    const [before, after, ...more] = await eventFiles();
    expect(more).toEqual([]);
    expect(before!.at(-1)!.step).toBe(4);
    expect(after![0]!.version).toBe('brain.Event:2');
    expect(after!.filter((event) => event.start).map((event) => event.step)).toEqual([3]);
    expect(after!.filter(({ scalars }) => 'envSteps' in scalars).map((event) => event.step)).toEqual([3, 4, 5]);
    expect(after!.some(({ plugins }) => 'configuration/text_summary' in plugins)).toBe(false);
  });
});

/** A Python that has TensorBoard: `DENOISE_GYM_PYTHON`, or `python3`. */
const python = process.env.DENOISE_GYM_PYTHON ?? 'python3';
const program = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
accumulator = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'images': 0, 'tensors': 0})
accumulator.Reload()
print(json.dumps({
  'scalars': {tag: [[e.step, e.value] for e in accumulator.Scalars(tag)] for tag in accumulator.Tags()['scalars']},
  'images': {tag: [[e.step, e.width, e.height, e.encoded_image_string.hex()] for e in accumulator.Images(tag)] for tag in accumulator.Tags()['images']},
  'text': accumulator.Tensors('configuration/text_summary')[0].tensor_proto.string_val[0].decode(),
  'rate': metadata.parse_session_start_info_plugin_data(
    accumulator.SummaryMetadata('_hparams_/session_start_info').plugin_data.content).hparams['agent.learningRate'].number_value,
}))
`;
function hasTensorBoard(): boolean {
  try {
    execFileSync(python, ['-c', 'import tensorboard.backend.event_processing.event_accumulator'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

it.skipIf(!hasTensorBoard())(
  "TensorBoard's own reader finds the metrics of a resumed run, each epoch once (skipped where Python has no tensorboard)",
  { timeout: 120_000 },
  async () => {
    await run(4);
    // What a killed process leaves: a record that is not complete.
    const [name] = (await readdir(path)).filter((name) => name.includes('tfevents'));
    const whole = await readFile(join(path, name!));
    await writeFile(join(path, name!), whole.subarray(0, -5));
    await run(5, 2);
    const read = JSON.parse(
      execFileSync(python, ['-c', program, path], { stdio: ['ignore', 'pipe', 'ignore'] }).toString(),
    );
    const metrics = await RunFolder.open(path).metrics();
    for (const tag of ['train/shift', 'envSteps', 'time/epoch'])
      expect(read.scalars[tag]).toEqual(metrics.map((m) => [m.epoch, Math.fround(m[tag]!)]));
    expect(read.images).toEqual({
      samples: [
        [0, 5, 4, await readFile(evaluationFiles(path, 0).png, 'hex')],
        [2, 7, 4, await readFile(evaluationFiles(path, 2).png, 'hex')],
      ],
    });
    expect(JSON.parse(read.text)).toEqual(config);
    expect(read.rate).toBe(0.5);
  },
);
