import * as z from 'zod';

/** Some clients of one domain. */
export const clientGroup = z.strictObject({
  domain: z.string().min(1),
  /** How many clients. */
  clients: z.int().min(1).max(10_000),
  /** How many examples each of them has; no two have the same one. */
  samples: z.int().min(1).max(1_000_000),
  /** Seconds on the virtual clock before which they are not there. Default 0. */
  joinsAt: z.number().min(0).optional(),
  /** How many times as long as others they take. Default 1. */
  slowness: z.number().positive().max(1e6).optional(),
  /**
   * What they do to the server: send their update times −4 (`sign-flip`), a random one of the same length (`noise`), no
   * numbers (`nan`), or train on wrong labels, 9 for 0, 8 for 1 and so on (`label-flip`). Default: nothing.
   */
  attack: z.enum(['sign-flip', 'noise', 'nan', 'label-flip']).optional(),
});

/** Some clients of one domain. */
export type ClientGroup = z.output<typeof clientGroup>;

const group = (domain: string, clients: number, samples: number): ClientGroup => ({ domain, clients, samples });

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
  /** The numbers of clients of FPL's paper: MNIST 3, USPS 7, SVHN 6, SYN 4. */
  paper: [group('clean', 3, 40), group('lowres', 7, 20), group('street', 6, 60), group('texture', 4, 20)],
  /** One domain that dominates. */
  dominant: [group('clean', 7, 40), group('lowres', 1, 20), group('street', 1, 60), group('texture', 1, 20)],
} as const satisfies Record<string, readonly ClientGroup[]>;

export type Allocation = keyof typeof allocations;

export const allocationNames = Object.keys(allocations) as [Allocation, ...Allocation[]];

/** One client. */
export type ClientSpec = Omit<ClientGroup, 'clients'>;

/** The clients of an allocation. */
export function clientsOf(allocation: Allocation | readonly ClientGroup[]): ClientSpec[] {
  const groups: readonly ClientGroup[] = typeof allocation === 'string' ? allocations[allocation] : allocation;
  return groups.flatMap(({ clients, ...client }) => new Array<ClientSpec>(clients).fill(client));
}
