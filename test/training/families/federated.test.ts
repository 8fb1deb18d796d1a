import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../../backend/index.js';
import type { Metrics } from '../../../core/types.js';
import { parseConfig } from '../../../training/config/index.js';
import { prototypeGeometry } from '../../../training/families/federated-geometry.js';
import { readFederatedRecord } from '../../../training/families/federated-rounds.js';
import { runTraining } from '../../../training/run.js';
import { RunFolder } from '../../../training/run-folder/index.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'federated-'));
  process.env.DENOISE_GYM_CACHE = join(folder, 'cache');
  await useBackend();
});
afterAll(async () => {
  delete process.env.DENOISE_GYM_CACHE;
  await rm(folder, { recursive: true });
});

const small = {
  env: 'FederatedPrototypes-v0',
  agent: 'fpl',
  federated: {
    clients: [
      { domain: 'clean', clients: 2, samples: 20 },
      { domain: 'invert', clients: 2, samples: 20 },
    ],
    ...{ rounds: 3, localEpochs: 1, testSamples: 20, poolSamples: 40 },
  },
};
const timeless = (metrics: readonly Metrics[]) =>
  metrics.map((m) => Object.fromEntries(Object.entries(m).filter(([key]) => !key.startsWith('time/'))));

describe('a run of federated learning', () => {
  it('logs each round, maps prototypes before and after with a rival beside, and resumes bit for bit', async () => {
    const whole = await runTraining({ ...small, runs: folder, name: 'whole', rival: 'fedavg' });
    const metrics = await whole.folder.metrics();
    expect(metrics.map((m) => m.epoch)).toEqual([1, 2, 3, 4]);
    for (const m of metrics) expect(m['federated/accuracy/invert']).toBeGreaterThanOrEqual(0);
    // After the last step nobody has trained.
    expect(metrics.map((m) => m['federated/clusters'] !== undefined)).toEqual([true, true, true, false]);
    expect(metrics.map((m) => m['federated/movement/unbiased'] !== undefined)).toEqual([false, true, true, false]);
    expect(metrics[1]!['federated/distance/global/clean']).toBeGreaterThan(0);

    const { domains, classes, first, last } = await readFederatedRecord(whole.folder.path);
    expect([domains, classes]).toEqual([['clean', 'invert'], 10]);
    // 20 pictures of ten classes, drawn by chance: some client lacks some class.
    for (const map of [first, last!]) expect(map.length).toBeGreaterThan(20);
    const rival = RunFolder.open(join(whole.folder.path, 'rival'));
    expect(await rival.config()).toMatchObject({ config: { agent: { name: 'fedavg' } } });
    // Before there are prototypes both have the clients train alike.
    expect((await readFederatedRecord(rival.path)).first).toEqual(first);
    const report = await readFile(whole.report, 'utf8');
    for (const text of [
      'By domain',
      'Domain by domain',
      'Prototypes with fpl',
      'Prototypes with fedavg',
      'fedavg comes to',
    ])
      expect(report).toContain(text);

    const abort = new AbortController();
    const stopped = { ...small, runs: folder, name: 'resumed' };
    const stop = await runTraining(stopped, {
      signal: abort.signal,
      onEvent: (event) => void (event.type === 'epoch' && event.epoch === 2 && abort.abort()),
    });
    expect(stop).toMatchObject({ reason: 'stopped', epoch: 2 });
    const resumed = await runTraining(stopped, { resume: true });
    expect(timeless(await resumed.folder.metrics())).toEqual(timeless(metrics));
    expect(await readFederatedRecord(resumed.folder.path)).toEqual(await readFederatedRecord(whole.folder.path));
  });

  it.each(['feddyn', 'moon', 'fedopt'])('%s, which remembers, resumes bit for bit', async (agent) => {
    const whole = await runTraining({ ...small, agent, runs: folder, name: `${agent}-whole` });
    const abort = new AbortController();
    const stopped = { ...small, agent, runs: folder, name: `${agent}-resumed` };
    await runTraining(stopped, {
      signal: abort.signal,
      onEvent: (event) => void (event.type === 'epoch' && event.epoch === 2 && abort.abort()),
    });
    const resumed = await runTraining(stopped, { resume: true });
    expect(timeless(await resumed.folder.metrics())).toEqual(timeless(await whole.folder.metrics()));
  });
});

it('an agent that learns on the knobs has a report, too, which knows of no rounds', { timeout: 60_000 }, async () => {
  const { federated } = small;
  const { report } = await runTraining({
    ...{ ...small, runs: folder, name: 'learned', federated: { ...federated, rounds: 2 } },
    ...{ agent: { name: 'ppo', collect: { steps: 2 } }, knobs: true, epochs: 1, evaluation: { samples: 1 } },
  });
  expect(await readFile(report, 'utf8')).toContain('ppo');
});

describe('its configuration', () => {
  it.each<[object, RegExp]>([
    [{ numEnvs: 2 }, /numEnvs: must be 1 without knobs/],
    [{ rival: 'fedavgg' }, /rival: there is no agent .* Did you mean `fedavg`/],
    [{ rival: 'fpl' }, /rival: is fpl, the agent itself/],
    [{ agent: 'ppo', knobs: true, rival: 'fedavg' }, /rival: compares strategies/],
    [{ federated: { clients: [{ domain: 'clean', clients: 1 }] } }, /must have either samples or share/],
    [{ federated: { clients: [{ domain: 'clean', clients: 1, samples: 9, share: 0.1 }] } }, /either samples or share/],
  ])('%o is refused', (change, error) => {
    expect(() => parseConfig({ ...small, ...change })).toThrow(error);
  });
});

describe('prototypeGeometry', () => {
  /** Clients at these places of the plane, with one class. */
  const at = (...places: [number, number][]) =>
    ({
      prototypes: { data: Float32Array.from(places.flat()), shape: [places.length, 1, 2] },
      counts: { data: new Int32Array(places.length).fill(1), shape: [places.length, 1] },
    }) as never;

  it('says how far the mean over clients and the mean over clusters are from each domain, and how far they went', () => {
    // Three clients near [1, 0] and two near [0, 1]: G is their mean, U that of the two clusters' means.
    const now = at([1, 0], [1, 0], [1, 0], [0, 1], [0, 1]);
    const before = at([1, 0], [1, 0], [1, 0], [1, 0], [1, 0]);
    const metrics = prototypeGeometry(now, before, ['a', 'a', 'a', 'b', 'b']);
    expect(metrics['federated/clusters']).toBe(2);
    // G = [.6, .4], U = [.5, .5]; all prototypes have length 1.
    expect(metrics['federated/distance/global/a']).toBeCloseTo(Math.hypot(0.4, 0.4), 6);
    expect(metrics['federated/distance/global/b']).toBeCloseTo(Math.hypot(0.6, 0.6), 6);
    expect(metrics['federated/distance/unbiased/a']).toBeCloseTo(Math.hypot(0.5, 0.5), 6);
    expect(metrics['federated/distance/unbiased/b']).toBeCloseTo(Math.hypot(0.5, 0.5), 6);
    expect(metrics['federated/movement/global']).toBeCloseTo(Math.hypot(0.4, 0.4), 6);
    expect(metrics['federated/movement/unbiased']).toBeCloseTo(Math.hypot(0.5, 0.5), 6);
  });
});
