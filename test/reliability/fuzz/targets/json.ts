import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { readJson } from '../../../../core/files.js';
import {
  Box,
  Dict,
  Discrete,
  Graph,
  MultiBinary,
  MultiDiscrete,
  OneOf,
  Sequence,
  Text,
  Tuple,
} from '../../../../envs/spaces/index.js';
import { elementFromJson, spaceFromJson } from '../../../../envs/spaces/json.js';
import { parseConfig } from '../../../../training/config/index.js';
import { renderReport } from '../../../../training/report.js';
import { RunFolder } from '../../../../training/run-folder/index.js';
import { readRunRecord } from '../../../../training/run-record.js';
import { jsonText, mutated, mutatedText, nested, oddValue } from '../arbitraries.js';
import { expectThat } from '../judge.js';
import { target } from '../target.js';

/** Any file that should be JSON. */
export const jsonFiles = target<string>({
  name: 'JSON files',
  inputs: 100,
  input: fc.oneof(
    mutatedText('{"a": [1, 2.5e3, "x\\u00e9", null, true], "b": {"c": {}}}'),
    oddValue.map(jsonText),
    fc.constantFrom(199, 200, 201, 10_000, 200_000).map((n) => '['.repeat(n) + ']'.repeat(n)),
    fc.constantFrom(150, 10_000).map((n) => JSON.stringify(null).replace('null', jsonText(nested(n)))),
    fc.string(),
  ),
  async check(text, { files }) {
    const path = join(files, 'x.json');
    await writeFile(path, text);
    // What is read can be walked through.
    JSON.stringify(await readJson(path));
  },
});

const spaces = [
  new Box(-1, 1, [2, 2]),
  new Box([0, Number.NEGATIVE_INFINITY], [1, 5], [2], 'int8'),
  new Discrete(5, -1),
  new MultiBinary([2, 3]),
  new MultiDiscrete([2, 3], { start: [1, -1] }),
  new Text(5, { minLength: 0 }),
  new Tuple([new Discrete(2), new Box(0, 1)]),
  new Dict({ b: new Discrete(2), a: new Dict({ c: new Text(3) }) }),
  new Sequence(new Box(0, 1, [2])),
  new Graph(new Box(0, 1, [2]), new Discrete(3)),
  new OneOf([new Discrete(2), new Box(0, 1)]),
];

/** Spaces in JSON, as worker threads send them: what is made of it is a space, with elements of its own. */
export const spacesInJson = target<unknown>({
  name: 'spaces in JSON',
  inputs: 200,
  input: fc.oneof(
    {
      weight: 8,
      arbitrary: fc.constantFrom(...spaces).chain((space) => mutated(JSON.parse(JSON.stringify(space.toJson())))),
    },
    { weight: 1, arbitrary: oddValue },
    {
      weight: 1,
      arbitrary: fc.constantFrom(10, 300, 10_000).map((levels) => {
        let json: unknown = { kind: 'Discrete', n: 2, start: 0 };
        for (let i = 0; i < levels; i++) json = { kind: 'Tuple', spaces: [json] };
        return json;
      }),
    },
  ),
  check(json) {
    const space = spaceFromJson(json);
    space.seed(1);
    expectThat(space.contains(space.sample()), `${space} does not contain its own sample`);
    expectThat(
      spaceFromJson(JSON.parse(JSON.stringify(space.toJson()))).equals(space),
      `${space} is another one in JSON`,
    );
    elementFromJson(space, json);
  },
});

const config = JSON.parse(JSON.stringify(parseConfig({ env: 'CartPole-v1', name: 'run', epochs: 3 })));
const record = {
  config,
  versions: { node: '20' },
  backend: { name: 'cpu', tfjsName: 'cpu', reason: 'asked', threads: 1 },
  started: '2026-01-01T00:00:00.000Z',
};
const evaluation = {
  epoch: 0,
  explore: false,
  mean: 1,
  std: 1,
  se: 0.1,
  min: 0,
  max: 2,
  terms: { a: 1 },
  samples: [{ reward: 1, prompt: 'p', terms: { a: 1 } }, { reward: 2 }],
  animation: false,
};
const metrics = [1, 2, 3].map((epoch) => ({
  epoch,
  'reward/mean': epoch,
  'reward/std': 0.5,
  'train/loss': 'NaN',
  'time/epoch': 1,
  episodes: 4,
  envSteps: 100,
}));
const status = { state: 'finished', epoch: 3, epochs: 3, updated: '2026-01-01T00:00:00.000Z' };

const originals: Readonly<Record<string, string>> = {
  'config.json': JSON.stringify(record),
  'status.json': JSON.stringify(status),
  'metrics.jsonl': metrics.map((line) => `${JSON.stringify(line)}\n`).join(''),
  'samples/epoch-000000.json': JSON.stringify(evaluation),
  'samples/epoch-000003.json': JSON.stringify({ ...evaluation, epoch: 3, mean: 2 }),
  'log.txt': 'epoch 1: a warning\n',
};

/** A run's folder of which one file was changed: it is reported, or the file is named. */
export const runFolders = target<{ name: string; text: string }>({
  name: 'run folders',
  inputs: 80,
  input: fc.constantFrom(...Object.keys(originals)).chain((name) => {
    const original = originals[name]!;
    const texts = [mutatedText(original)];
    if (name.endsWith('.json')) texts.push(mutated(JSON.parse(original)).map(jsonText));
    if (name.endsWith('.jsonl'))
      texts.push(
        mutated(metrics).map((lines) =>
          (Array.isArray(lines) ? lines : [lines]).map((line) => `${jsonText(line)}\n`).join(''),
        ),
      );
    return fc.oneof(...texts).map((text) => ({ name, text }));
  }),
  async check({ name, text }, { files }) {
    const folder = join(files, 'run');
    await rm(folder, { recursive: true, force: true });
    await mkdir(join(folder, 'samples'), { recursive: true });
    for (const [file, original] of Object.entries(originals))
      await writeFile(join(folder, file), file === name ? text : original);
    const page = await renderReport(folder);
    expectThat(page.includes('<html'), 'the report is no page');
    await readRunRecord(RunFolder.open(folder));
  },
  prepare: async ({ files }) => {
    await runFolders.check({ name: '', text: '' }, { files });
  },
});
