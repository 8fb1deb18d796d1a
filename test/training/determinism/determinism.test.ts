import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backendReport } from '../../../backend/index.js';

type Recording = Record<string, Record<string, number | string>[]>;

let temporary: string;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'determinism-test-'));
});
afterAll(() => rm(temporary, { recursive: true }));

const read = async (path: string) => JSON.parse(await readFile(path, 'utf8')) as Recording;

async function record(backend: string, name = backend): Promise<Recording> {
  const out = join(temporary, `${name}.json`);
  const program = join(import.meta.dirname, 'record.ts');
  await promisify(execFile)(process.execPath, ['--import', './register.mjs', program, backend, out]);
  return await read(out);
}

// What was recorded may gain metrics; what it has stays as it is, bit for bit.
describe.each(['wasm', 'cpu'])('on %s', (backend) => {
  it('small runs of ppo and reinforce give the recorded metrics', async () => {
    const [recorded, now] = [await read(join(import.meta.dirname, `${backend}.json`)), await record(backend)];
    expect(Object.keys(now)).toEqual(Object.keys(recorded));
    for (const [run, epochs] of Object.entries(recorded))
      epochs.forEach((metrics, i) => {
        const known = Object.fromEntries(Object.keys(metrics).map((key) => [key, now[run]![i]![key]]));
        expect(known, `${run}, epoch ${i + 1}`).toEqual(metrics);
      });
  });
});

const native = (await backendReport()).some(({ name, available }) => name === 'native' && available);

// The bits depend on the processor there.
it.skipIf(!native)('natively, two runs give the same metrics (skipped without `npm run native`)', async () => {
  expect(await record('native', 'first')).toEqual(await record('native', 'second'));
});
