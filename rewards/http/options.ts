import * as z from 'zod';
import { longestTimeoutMs } from '../../core/score.js';
import { protocolNames } from './protocols.js';

/** The options of a reward that a server computes. */
export const httpRewardOptions = z.strictObject({
  url: z
    .url({ protocol: /^https?$/, error: 'must be an address such as http://127.0.0.1:8000' })
    .describe('where the server is'),
  protocol: z
    .enum(protocolNames as [string, ...string[]])
    .default('denoise-gym')
    .describe('how it is asked'),
  names: z
    .array(z.string().min(1).max(200))
    .min(1)
    .max(64)
    .optional()
    .describe('which of its rewards; the score is their sum, and each is logged. Default: all that it gives'),
  timeout: z
    .number()
    .positive()
    .max(longestTimeoutMs / 1000)
    .default(120)
    .describe('seconds that one request may take'),
  retries: z.int().min(0).max(100).default(8).describe('how often a request is made again where that may help'),
  retryPause: z
    .number()
    .positive()
    .max(60)
    .default(0.5)
    .describe('seconds before a request is made again; each further pause is twice as long'),
  batchSize: z.int().min(1).max(4096).default(16).describe('samples of one request'),
  concurrency: z.int().min(1).max(256).default(4).describe('how many requests are open at once'),
  token: z
    .string()
    .regex(/^[A-Za-z_]\w*$/, 'must be the name of an environment variable')
    .optional()
    .describe('the environment variable that holds the token the server asks for'),
});

/** The options of {@link httpReward}: see there. */
export type HttpRewardOptions = z.input<typeof httpRewardOptions>;
