import * as z from 'zod';
import { configError, parseSchema } from '../../core/schema.js';
import { type Allocation, allocationNames, type ClientGroup, clientGroup } from './allocations.js';

const count = z.int().min(1).max(1_000_000);
const share = z.number().min(0).max(1);

/** The options of FederatedPrototypes-v0, with their defaults: the setting in which prototypes were found to pay. */
export const federatedOptions = z.strictObject({
  clients: z
    .union([z.enum(allocationNames), z.array(clientGroup).min(1).max(10_000)])
    .default('drawn')
    .describe(
      'an allocation by name, or a list of {domain, clients, samples} and, if you like, joinsAt, slowness, attack',
    ),
  folders: z
    .record(z.string(), z.string())
    .default({})
    .describe('where data sets lie that are not in this package: a folder by the domain, such as {usps: data}'),
  testSamples: count.default(300).describe('test pictures of each domain'),
  poolSamples: count
    .default(600)
    .describe('training pictures of each domain from which episodes draw those of clients'),
  dataSeed: z.int().min(0).default(0).describe('which pictures these are; the seed of an episode says who has which'),
  rounds: z.int().min(1).max(10_000).default(16).describe('rounds of training; an episode has one step more'),
  localEpochs: z.int().min(1).max(1000).default(4).describe('passes of a client over its examples in a round'),
  batchSize: count.default(16).describe('examples of a step of a client'),
  learningRate: z.number().positive().max(100).default(0.05).describe('step size of the clients'),
  momentum: z.number().min(0).lt(1).default(0.9).describe('momentum of the clients, which begins anew in each round'),
  weightDecay: z.number().min(0).default(1e-5).describe('weight decay of the clients'),
  maxGradNorm: z.number().positive().default(5).describe('gradients of a larger norm are scaled down to it'),
  shift: z.int().min(0).max(8).default(2).describe('training pictures are moved by so many pixels at most'),
  features: z.int().min(1).max(4096).default(64).describe("length of the network's features, and so of prototypes"),
  batchNorm: z.boolean().default(false).describe('batch normalisation, whose statistics are averaged too'),
  consistency: z
    .enum(['sum', 'mean'])
    .default('mean')
    .describe("of the pull to unbiased prototypes over features: as in FPL's paper, or as in its code"),
  spreadPenalty: z
    .number()
    .min(0)
    .max(100)
    .default(0.1)
    .describe('rewards are the change of the mean accuracy less so many times that of its spread over domains'),
  showParameters: z.boolean().default(true).describe("whether observations have the weights of clients' networks"),
  secondsPerExample: z.number().positive().default(0.01).describe('virtual seconds of a client for an example'),
  failureRate: share.default(0).describe('how likely a client that is asked gives no answer'),
  stragglerRate: share.default(0).describe('how likely one is slower than it would be'),
  stragglerSlowness: z.number().min(1).max(1e6).default(10).describe('how many times as long it then takes'),
  deadline: z
    .number()
    .positive()
    .nullable()
    .default(null)
    .describe('virtual seconds after which answers count as failed; null: the server waits for all'),
});

/** All options, validated. */
export type FederatedConfig = z.output<typeof federatedOptions>;

/** The options as a program gives them. */
export type FederatedOptions = Partial<Omit<FederatedConfig, 'clients'>> & {
  clients?: Allocation | readonly ClientGroup[];
};

/** @throws GymError E_CONFIG with a line for each option that is wrong. */
export function parseFederatedOptions(options: FederatedOptions): FederatedConfig {
  const { value, problems } = parseSchema(federatedOptions, options, {
    prefix: '',
    owner: 'of FederatedPrototypes',
  });
  if (problems.length > 0) throw configError('FederatedPrototypes', problems);
  return value as FederatedConfig;
}
