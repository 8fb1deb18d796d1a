import { describe, expect, it } from 'vitest';
import { Random } from '../../../core/random.js';
import { allocations, clientsOf, domainsOf, groupsOf } from '../../../envs/federated/allocations.js';

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
