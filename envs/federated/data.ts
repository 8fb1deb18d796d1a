import { GymError } from '../../core/errors.js';
import type { Random } from '../../core/random.js';
import { type LabelledImages, loadDomain, pick } from '../data/index.js';
import type { ClientSpec } from './allocations.js';

/** All pictures that an environment's episodes draw from. */
export interface FederatedData {
  /** By domain, in the order of the clients. */
  readonly train: ReadonlyMap<string, LabelledImages>;
  readonly test: ReadonlyMap<string, LabelledImages>;
}

export interface DataOptions {
  /** How many pictures of each domain the global model is tested on. */
  readonly testSamples: number;
  /** How many pictures of each domain the clients' ones are drawn from, at least. */
  readonly poolSamples: number;
  readonly dataSeed: number;
  /** Where data sets lie that are not in this package: a folder by the domain's name. */
  readonly folders: Readonly<Record<string, string>>;
}

/** Loads what the clients need. @throws GymError E_FILE, E_NAME as {@link loadDomain}; E_VALUE where there is too little. */
export async function loadFederatedData(clients: readonly ClientSpec[], options: DataOptions): Promise<FederatedData> {
  const { testSamples, poolSamples, dataSeed: seed, folders } = options;
  const train = new Map<string, LabelledImages>();
  const test = new Map<string, LabelledImages>();
  for (const domain of new Set(clients.map((client) => client.domain))) {
    const needed = clients.reduce((sum, client) => sum + (client.domain === domain ? client.samples : 0), 0);
    const folder = Object.hasOwn(folders, domain) ? folders[domain] : undefined;
    const pool = await loadDomain(domain, { split: 'train', count: Math.max(poolSamples, needed), seed, folder });
    if (pool.labels.length < needed)
      throw new GymError(
        'E_VALUE',
        `FederatedPrototypes: the clients of ${domain} need ${needed} training pictures, and there are ${pool.labels.length}; give them fewer.`,
      );
    train.set(domain, pool);
    test.set(domain, await loadDomain(domain, { split: 'test', count: testSamples, seed, folder }));
  }
  return { train, test };
}

/** Gives each client pictures of its domain, no two the same one. */
export function dealtOut(clients: readonly ClientSpec[], data: FederatedData, random: Random): LabelledImages[] {
  const decks = new Map<string, number[]>();
  for (const [domain, { labels }] of data.train)
    decks.set(domain, [...random.child(`deal/${domain}`).permutation(labels.length)]);
  return clients.map(({ domain, samples, attack }) => {
    const dealt = pick(data.train.get(domain)!, decks.get(domain)!.splice(0, samples));
    return attack === 'label-flip'
      ? { ...dealt, labels: dealt.labels.map((label) => dealt.classes.length - 1 - label) }
      : dealt;
  });
}
