import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { federated } from '../../benchmarks/federated/definition.js';
import type { PaperRun } from '../../benchmarks/paper/definition.js';
import { completeConfig, withFlags } from '../../training/config/index.js';

/** A run of three rounds: accuracies from before the first on, what rests on answers from the first, movement from the second. */
function run(agent: string, seed: number, last: number): PaperRun {
  return {
    ...{ name: `${agent}-${seed}`, env: 'FederatedPrototypes-v0', agent, seed, varied: {}, part: 'dominant' },
    ...{ state: 'finished' as const, curve: [], command: '', options: {}, measures: { accuracy: last } },
    byEpoch: {
      meanAccuracy: [0.1, 0.3, 0.4, last],
      'accuracy/clean': [0.1, 0.4, 0.5, last],
      clusters: [2, 1.5, 1 + seed],
      'movement/global': [0.5, 0.2],
      'movement/unbiased': [0.4, 0.1],
      'distance/global/clean': [0.3, 0.2, 0.1],
      'distance/unbiased/clean': [0.3, 0.25, 0.2],
    },
  };
}

describe('the benchmark of federated prototypes', () => {
  it('has options that the environment and the agents take', async () => {
    for (const { matrices } of Object.values(federated.parts))
      for (const { agents, envs, vary, options } of matrices)
        for (const name of agents) {
          const first = Object.fromEntries(Object.entries(vary).map(([path, [value]]) => [path, value]));
          const input = withFlags({ env: envs[0]!, agent: { name } }, { ...options, ...first });
          expect((await completeConfig(input, 'test')).agent.name).toBe(name);
        }
  });

  it('draws by rounds: accuracies from before the first, clusters from the first, movement from the second', () => {
    const runs = [run('fpl', 0, 0.8), run('fpl', 1, 0.9), run('fedavg', 0, 0.5)];
    const figures = new Map(federated.figures!('dominant', runs).map((figure) => [figure.file, figure.series]));
    expect(figures.get('dominant-accuracy')!.map(({ name }) => name)).toEqual(['fpl', 'fedavg']);
    expect(figures.get('dominant-accuracy')![0]!.points.at(-1)).toEqual([3, expect.closeTo(0.85, 9)]);
    expect(figures.get('dominant-clusters')![0]!.points.map(([round]) => round)).toEqual([1, 2, 3]);
    expect(figures.get('dominant-clusters')![0]!.band!.at(-1)).toEqual([3, 1, 2]);
    const movement = figures.get('dominant-movement')!;
    expect(movement.map(({ name, points }) => [name, points[0]![0]])).toEqual([
      ['global', 2],
      ['unbiased', 2],
    ]);
    expect(figures.get('dominant-global-prototypes')![0]!.name).toBe('clean');
    // Of FedAvg alone there is nothing to say about FPL's prototypes.
    const files = federated.figures!('dominant', [run('fedavg', 0, 0.5)]).map(({ file }) => file);
    expect(files).toEqual(['dominant-accuracy', 'dominant-clean']);
  });

  it('draws a map of the prototypes at the beginning and at the end, a mark for each', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'federated-map-'));
    const first = [
      { class: 0, domain: 0, x: 0, y: 0 },
      { class: 1, domain: 1, x: 3, y: 4 },
    ];
    const record = { classes: 2, domains: ['clean', '<own>'], first, last: [...first, { ...first[0]!, x: 1 }] };
    await writeFile(join(folder, 'federated.json'), JSON.stringify(record));
    const svg = await federated.drawings![0]!.draw(folder);
    expect(svg.match(/<title>/g)!.length).toBe(5);
    expect(svg).toContain('<title>1, &#60;own&#62;</title>');
    // 3 wide and 4 high in a map of 420 by 320 with a rim of 12: the height fills it, from 308 up to 12.
    expect(svg).toContain('translate(99.0 308.0)');
    expect(svg).toContain('translate(321.0 12.0)');
  });
});
