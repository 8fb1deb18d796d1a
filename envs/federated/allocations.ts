import * as z from 'zod';
import type { Random } from '../../core/random.js';

/** Some clients of one domain. */
export const clientGroup = z
  .strictObject({
    domain: z.string().min(1),
    /** How many clients. */
    clients: z.int().min(1).max(10_000),
    /** How many examples each of them has; no two have the same one. */
    samples: z.int().min(1).max(1_000_000).optional(),
    /** Instead: the share of the domain's training pictures that each of them has, rounded down. */
    share: z.number().positive().max(1).optional(),
    /**
     * Whether each of them has an example of every class: where a class is missing, one of it takes the place of an example of
     * the class that the client has most of, as far as the domain's pictures that nobody has allow it. Default false.
     */
    everyClass: z.boolean().optional(),
    /** Seconds on the virtual clock before which they are not there. Default 0. */
    joinsAt: z.number().min(0).optional(),
    /** How many times as long as others they take. Default 1. */
    slowness: z.number().positive().max(1e6).optional(),
    /**
     * What they do to the server: send their update times −4 (`sign-flip`), a random one of the same length (`noise`), no
     * numbers (`nan`), or train on wrong labels, 9 for 0, 8 for 1 and so on (`label-flip`). Default: nothing.
     */
    attack: z.enum(['sign-flip', 'noise', 'nan', 'label-flip']).optional(),
  })
  .refine(({ samples, share }) => (samples === undefined) !== (share === undefined), {
    error: 'must have either samples or share',
  });

/** Some clients of one domain. */
export type ClientGroup = z.output<typeof clientGroup>;

const group = (domain: string, clients: number, samples: number): ClientGroup => ({ domain, clients, samples });
const part = (domain: string, clients: number, share: number): ClientGroup => ({ domain, clients, share });
const office = (domain: string, clients: number) => ({ ...part(domain, clients, 0.2), everyClass: true });

/** Allocations by name. */
export const allocations = {
  /** Four drawn domains, ten clients with few examples. */
  drawn: [group('clean', 2, 40), group('lowres', 3, 20), group('street', 3, 60), group('texture', 2, 20)],
  /** Real handwriting beside drawn digits; USPS comes out of a folder of yours. */
  real: [group('mnist', 3, 40), group('usps', 2, 20), group('street', 3, 60), group('texture', 2, 20)],
  /** The same where USPS is not at hand: two drawn domains more in its place. */
  'real-without-usps': [
    group('mnist', 3, 40),
    group('lowres', 2, 20),
    group('invert', 2, 20),
    group('street', 3, 60),
    group('texture', 2, 20),
  ],
  /** The numbers of clients of FPL's paper, 3, 7, 6 and 4, on drawn domains. */
  paper: [group('clean', 3, 40), group('lowres', 7, 20), group('street', 6, 60), group('texture', 4, 20)],
  /** One domain that dominates. */
  dominant: [group('clean', 7, 40), group('lowres', 1, 20), group('street', 1, 60), group('texture', 1, 20)],
  /** As in FPL's paper (section 4.1): a hundredth of its domain for each client. All data sets come out of your folders. */
  digits: [part('mnist', 3, 0.01), part('usps', 7, 0.01), part('svhn', 6, 0.01), part('syn', 4, 0.01)],
  /** The paper's other one: a fifth of its domain for each client, and an example of every class, as its code has it. */
  'office-caltech': [office('caltech', 3), office('amazon', 2), office('webcam', 1), office('dslr', 4)],
} as const satisfies Record<string, readonly ClientGroup[]>;

/** `random`: ten clients of the domains of `drawn`, how many of which is drawn in each episode, at least one of each. */
export type Allocation = keyof typeof allocations | 'random';

export const allocationNames: readonly [Allocation, ...Allocation[]] = [
  'random',
  ...(Object.keys(allocations) as (keyof typeof allocations)[]),
];

const randomClients = 10;

/** The most clients of each kind that an episode can have. */
export function groupsOf(allocation: Allocation | readonly ClientGroup[]): readonly ClientGroup[] {
  if (typeof allocation !== 'string') return allocation;
  if (allocation !== 'random') return allocations[allocation];
  const kinds = allocations.drawn;
  return kinds.map((kind) => ({ ...kind, clients: randomClients - kinds.length + 1 }));
}

/** The domains of an allocation, in its order. */
export function domainsOf(allocation: Allocation | readonly ClientGroup[]): string[] {
  return [...new Set(groupsOf(allocation).map(({ domain }) => domain))];
}

/** One client. */
export type ClientSpec = Omit<ClientGroup, 'clients'>;

/** The clients of an episode. @param random decides what is left open, which is nothing but in `random`. */
export function clientsOf(allocation: Allocation | readonly ClientGroup[], random: Random): ClientSpec[] {
  const groups = groupsOf(allocation);
  const numbers = groups.map(({ clients }) => clients);
  if (allocation === 'random') {
    numbers.fill(1);
    for (let left = randomClients - groups.length; left > 0; left--) numbers[random.integer(groups.length)]!++;
  }
  return groups.flatMap(({ clients: _, ...client }, i) => new Array<ClientSpec>(numbers[i]!).fill(client));
}
