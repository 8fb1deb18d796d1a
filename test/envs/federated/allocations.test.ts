import { describe, expect, it } from 'vitest';
import { Random } from '../../../core/random.js';
import { allocations, clientsOf, domainsOf, groupsOf } from '../../../envs/federated/allocations.js';
import { dealtOut } from '../../../envs/federated/data.js';

describe('allocations', () => {
  it("has the paper's numbers of clients", () => {
    const numbers = (name: 'digits' | 'office-caltech') => allocations[name].map(({ clients }) => clients);
    expect(numbers('digits')).toEqual([3, 7, 6, 4]);
    expect(numbers('office-caltech')).toEqual([3, 2, 1, 4]);
    expect(
      clientsOf('digits', new Random(0))
        .map(({ domain }) => domain)
        .join(' '),
    ).toBe('mnist mnist mnist usps usps usps usps usps usps usps svhn svhn svhn svhn svhn svhn syn syn syn syn');
  });

  it('draws ten clients, at least one of each domain, by the seed', () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const clients = clientsOf('random', new Random(seed));
      expect(clients.length).toBe(10);
      const numbers = domainsOf('random').map((domain) => clients.filter((client) => client.domain === domain).length);
      expect(Math.min(...numbers)).toBeGreaterThanOrEqual(1);
      numbers.forEach((number, i) => {
        expect(number).toBeLessThanOrEqual(groupsOf('random')[i]!.clients);
      });
      seen.add(numbers.join('/'));
      expect(clientsOf('random', new Random(seed))).toEqual(clients);
    }
    // 84 ways there are to give six clients to four domains.
    expect(seen.size).toBeGreaterThan(50);
  });
});

describe('dealtOut', () => {
  /** Eighty pictures of one pixel, which is their number; class 0 has every second one, 1 to 3 the rest. */
  const labels = Int32Array.from({ length: 80 }, (_, i) => (i % 2 === 0 ? 0 : 1 + (((i - 1) / 2) % 3)));
  const pool = {
    images: { data: Uint8Array.from({ length: 240 }, (_, i) => Math.floor(i / 3)), shape: [80, 1, 1, 3] },
    ...{ labels, classes: ['a', 'b', 'c', 'd'], domain: 'own', split: 'train' as const },
  };
  const data = { train: new Map([['own', pool]]), test: new Map() };
  const hands = (seed: number, everyClass: boolean, clients = 4, samples = 6) => {
    const own = new Array(clients).fill({ domain: 'own', samples, everyClass });
    return dealtOut(own, data, new Random(seed)).map(({ images, labels }) => ({
      pictures: Array.from(images.data).filter((_, i) => i % 3 === 0),
      classes: new Set(labels),
    }));
  };

  it('gives each client every class where that is asked for, and no picture twice', () => {
    let lacking = 0;
    for (let seed = 0; seed < 30; seed++) {
      lacking += hands(seed, false).filter(({ classes }) => classes.size < 4).length;
      const filled = hands(seed, true);
      for (const { pictures, classes } of filled) {
        expect(classes.size).toBe(4);
        expect(pictures.length).toBe(6);
        // The labels still belong to the pictures.
        expect(new Set(pictures.map((i) => labels[i]))).toEqual(classes);
      }
      expect(new Set(filled.flatMap(({ pictures }) => pictures)).size).toBe(24);
    }
    expect(lacking).toBeGreaterThan(10);
  });

  it('leaves as it is what the pictures do not suffice for', () => {
    // Three pictures cannot be of four classes; the last of many clients finds a deck without what it lacks.
    expect(hands(0, true, 2, 3).map(({ classes }) => classes.size)).toEqual([3, 3]);
    const all = hands(0, true, 20, 4);
    expect(new Set(all.flatMap(({ pictures }) => pictures)).size).toBe(80);
  });
});
