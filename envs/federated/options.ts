import * as z from 'zod';
import { configError, parseSchema } from '../../core/schema.js';
import { type Allocation, allocationNames, type ClientGroup, clientGroup } from './allocations.js';
import type { PrivacyOptions } from './differential-privacy.js';
import { optionSummaries as about } from './option-summaries.js';

const count = z.int().min(1).max(1_000_000);
const share = z.number().min(0).max(1);

/** The networks that clients can train. */
const networkNames = ['digits', 'resnet-10'] as const;

/** The options of FederatedPrototypes-v0, with their defaults: the setting in which prototypes were found to pay. */
export const federatedOptions = z.strictObject({
  clients: z
    .union([z.enum(allocationNames), z.array(clientGroup).min(1).max(10_000)])
    .default('drawn')
    .describe(about.clients),
  folders: z.record(z.string(), z.string()).default({}).describe(about.folders),
  testSamples: count.default(300).describe(about.testSamples),
  poolSamples: count.default(600).describe(about.poolSamples),
  dataSeed: z.int().min(0).default(0).describe(about.dataSeed),
  rounds: z.int().min(1).max(10_000).default(16).describe(about.rounds),
  localEpochs: z.int().min(1).max(1000).default(4).describe(about.localEpochs),
  batchSize: count.default(16).describe(about.batchSize),
  learningRate: z.number().positive().max(100).default(0.05).describe(about.learningRate),
  momentum: z.number().min(0).lt(1).default(0.9).describe(about.momentum),
  weightDecay: z.number().min(0).default(1e-5).describe(about.weightDecay),
  maxGradNorm: z.number().positive().default(5).describe(about.maxGradNorm),
  shift: z.int().min(0).max(8).default(2).describe(about.shift),
  network: z.enum(networkNames).default('digits').describe(about.network),
  imageSize: z.int().min(8).max(512).default(28).describe(about.imageSize),
  features: z.int().min(1).max(4096).default(64).describe(about.features),
  batchNorm: z.boolean().default(false).describe(about.batchNorm),
  consistency: z.enum(['sum', 'mean']).default('mean').describe(about.consistency),
  spreadPenalty: z.number().min(0).max(100).default(0.1).describe(about.spreadPenalty),
  showParameters: z.boolean().default(true).describe(about.showParameters),
  secondsPerExample: z.number().positive().default(0.01).describe(about.secondsPerExample),
  workers: z
    .union([z.literal('auto'), z.int().min(0).max(256)])
    .default('auto')
    .describe(about.workers),
  failureRate: share.default(0).describe(about.failureRate),
  stragglerRate: share.default(0).describe(about.stragglerRate),
  stragglerSlowness: z.number().min(1).max(1e6).default(10).describe(about.stragglerSlowness),
  deadline: z.number().positive().nullable().default(null).describe(about.deadline),
});

/** What stands around the environment. */
export const aroundOptions = {
  masked: z.boolean().default(false).describe(about.masked),
  privacy: z
    .strictObject({
      clip: z.number().positive().default(1).describe('the length that updates are clipped to'),
      prototypeClip: z
        .number()
        .positive()
        .default(1)
        .describe('the length that all prototypes of a client are clipped to'),
      noiseMultiplier: z.number().positive().default(1).describe('the deviation of the noise, in lengths clipped to'),
      delta: z.number().gt(0).lt(1).default(1e-3).describe('δ of the ε that is logged'),
    })
    .nullable()
    .default(null)
    .describe(about.privacy),
};

/** All options, validated. */
export type FederatedConfig = z.output<typeof federatedOptions>;

/** The options as a program gives them. */
export type FederatedOptions = Partial<Omit<FederatedConfig, 'clients'>> & {
  clients?: Allocation | readonly ClientGroup[];
};

/** The same with what stands around the environment. */
export type OpenFederatedOptions = FederatedOptions & {
  readonly masked?: boolean | undefined;
  readonly privacy?: Partial<PrivacyOptions> | null | undefined;
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

/** @throws GymError E_CONFIG with a line for each option that is wrong. */
export function parseAroundOptions(options: Pick<OpenFederatedOptions, 'masked' | 'privacy'>) {
  const { value, problems } = parseSchema(z.strictObject(aroundOptions), options, {
    prefix: '',
    owner: 'of FederatedPrototypes',
  });
  if (problems.length > 0) throw configError('FederatedPrototypes', problems);
  return value as z.output<z.ZodObject<typeof aroundOptions>>;
}
