import { GymError } from '../../core/errors.js';
import type { Random } from '../../core/random.js';
import { type LabelledImages, loadDomain, pick } from '../data/index.js';
import { type Allocation, type ClientGroup, type ClientSpec, domainsOf, groupsOf } from './allocations.js';

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
  /** Height and width to which a user's own pictures are brought. */
  readonly imageSize: number;
  /** Where data sets lie that are not in this package: a folder by the domain's name. */
  readonly folders: Readonly<Record<string, string>>;
}

/** Loads what the clients need. @throws GymError E_FILE, E_NAME as {@link loadDomain}; E_VALUE where there is too little. */
export async function loadFederatedData(
  allocation: Allocation | readonly ClientGroup[],
  options: DataOptions,
): Promise<FederatedData> {
  const { testSamples, poolSamples, dataSeed: seed, folders, imageSize: size } = options;
  const train = new Map<string, LabelledImages>();
  const test = new Map<string, LabelledImages>();
  const groups = groupsOf(allocation);
  for (const domain of domainsOf(allocation)) {
    const own = groups.filter((group) => group.domain === domain);
    const folder = Object.hasOwn(folders, domain) ? folders[domain] : undefined;
    // Of how many pictures a share is meant can be told by all of them alone.
    const count = own.some(({ share }) => share !== undefined)
      ? undefined
      : Math.max(
          poolSamples,
          own.reduce((sum, { clients, samples }) => sum + clients * samples!, 0),
        );
    const pool = await loadDomain(domain, { split: 'train', count, seed, folder, size });
    const there = pool.labels.length;
    const needed = own.reduce((sum, group) => sum + group.clients * examplesOf(group, there), 0);
    if (there < needed)
      throw new GymError(
        'E_VALUE',
        `FederatedPrototypes: the clients of ${domain} need ${needed} training pictures, and there are ${there}; give them fewer.`,
      );
    train.set(domain, pool);
    test.set(domain, await loadDomain(domain, { split: 'test', count: testSamples, seed, folder, size }));
  }
  return { train, test };
}

/** How many examples a client has. @param there the training pictures of its domain. */
function examplesOf({ samples, share }: Pick<ClientSpec, 'samples' | 'share'>, there: number): number {
  return samples ?? Math.max(1, Math.floor(share! * there));
}

/** Gives each client pictures of its domain, no two the same one. */
export function dealtOut(clients: readonly ClientSpec[], data: FederatedData, random: Random): LabelledImages[] {
  const decks = new Map<string, number[]>();
  for (const [domain, { labels }] of data.train)
    decks.set(domain, [...random.child(`deal/${domain}`).permutation(labels.length)]);
  return clients.map((client) => {
    const all = data.train.get(client.domain)!;
    const deck = decks.get(client.domain)!;
    const hand = deck.splice(0, examplesOf(client, all.labels.length));
    if (client.everyClass === true) fillIn(hand, deck, all);
    const dealt = pick(all, hand);
    return client.attack === 'label-flip'
      ? { ...dealt, labels: dealt.labels.map((label) => dealt.classes.length - 1 - label) }
      : dealt;
  });
}

/**
 * Gives a hand an example of each class that it lacks and the deck still has, for one of the class that it has most of: the
 * first of the deck for the last of the hand, which goes back into the deck, so that no two clients have the same picture.
 */
function fillIn(hand: number[], deck: number[], { labels, classes }: LabelledImages): void {
  const numbers = new Int32Array(classes.length);
  for (const i of hand) numbers[labels[i]!]!++;
  for (let missing = 0; missing < classes.length; missing++) {
    if (numbers[missing]! > 0) continue;
    const most = numbers.indexOf(Math.max(...numbers));
    const from = deck.findIndex((i) => labels[i] === missing);
    if (from < 0 || numbers[most]! < 2) continue;
    const to = hand.findLastIndex((i) => labels[i] === most);
    [hand[to], deck[from]] = [deck[from]!, hand[to]!];
    numbers[missing]!++;
    numbers[most]!--;
  }
}
