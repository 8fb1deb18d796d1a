import * as z from 'zod';
import { longestTimeoutMs } from '../../core/score.js';
import { rewardDefinitions } from '../../rewards/definitions.js';
import { adapterOptions, adapterProblems } from '../adapter.js';
import type { RunConfig } from '../config/run-config.js';
import { promptsOption } from './denoising-prompts.js';
import { groupProblems } from './groups.js';

const count = z.int().min(1);
const text = z.string().min(1).max(4096);

const sampling = z
  .strictObject({
    steps: count.default(10).describe('denoising steps an episode'),
    scheduler: z
      .enum(['auto', 'ddim', 'ddpm', 'flow-match'])
      .default('auto')
      .describe('the rule from x_t to x_{t-1}; auto: flow-match for a model of flow matching, ddim for all others'),
    spacing: z
      .enum(['auto', 'trailing', 'leading', 'linspace'])
      .default('auto')
      .describe(
        "which timesteps of the training schedule are used; auto: as the model's scheduler says; flow matching has its own rule",
      ),
    eta: z
      .number()
      .min(0)
      .max(1)
      .default(1)
      .describe(
        "DDIM's η, or the noise level of flow matching: how much noise a step adds; learning needs more than 0",
      ),
    guidanceScale: z.number().min(0).default(1).describe('classifier-free guidance; 1 is none and half the work'),
    negativePrompt: z
      .string()
      .max(4096)
      .default('')
      .describe('what guidance leads away from; for a model of classes the number of one'),
    size: count
      .max(65_536)
      .optional()
      .describe("height and width of the pictures in pixels; default: as the model's configuration says"),
    tile: count
      .max(65_536)
      .optional()
      .describe(
        'models of latents: height and width in pixels of the tiles that larger pictures are decoded in, for less memory',
      ),
    sharedNoise: z
      .boolean()
      .default(false)
      .describe('agents that compare groups: whether the samples of a group start from the same noise'),
  })
  .prefault({});

const watch = z
  .strictObject({
    every: z.int().min(0).default(0).describe('epochs between looks at what training does to pictures; 0: no watch'),
    samples: count.max(4096).default(32).describe('how many pictures a look makes with noise, and without'),
    perPrompt: count.default(4).describe('how many of them of each prompt, whose diversity is measured'),
    prompts: z
      .array(z.string())
      .min(1)
      .optional()
      .describe('held-out prompts; default: the captions that prompts.limit leaves out, or else those of training'),
    features: z
      .boolean()
      .default(false)
      .describe(
        'also compares pictures by the features of a vision network, for which the npm package nsfwjs is needed',
      ),
    guard: text.optional().describe('a reward that is not trained on: a name, a file or an expression'),
    rule: z
      .enum(['warn', 'stop', 'rollback'])
      .default('warn')
      .describe(
        'once the trained reward has risen and the guard fallen: say so, end the run, or end it as it was before',
      ),
    tolerance: z
      .number()
      .min(0)
      .default(0.5)
      .describe('how far the guard may fall, in standard deviations of its scores at the start'),
  })
  .prefault({});

/** The options of the fine-tuning of a diffusion model, beside those that every run has. */
export const denoisingOptions = {
  model: text.default('models/shapes').describe('the folder of the denoiser, in the layout of diffusers'),
  ...adapterOptions,
  reward: text
    .default('jpeg-incompressibility')
    .describe("a reward's name, a file with your own (./reward.ts), or an expression over names"),
  rewards: rewardDefinitions.describe(
    'rewards with options, by a name of your choice that `reward` and `watch.guard` may use',
  ),
  rewardTimeout: z
    .number()
    .positive()
    .max(longestTimeoutMs / 1000)
    .default(300)
    .describe('seconds that the reward may take for one batch'),
  prompts: promptsOption.describe('where prompts come from'),
  sampling: sampling.describe('how samples are made'),
  samplesPerEpoch: count
    .max(1_000_000)
    .default(64)
    .describe('samples (finished episodes) an epoch; short for agent.collect'),
  workers: z
    .union([z.literal('auto'), z.int().min(0)])
    .default('auto')
    .describe('threads that compute batches and micro-batches, with the same numbers; auto: one a core where it pays'),
  overlap: z
    .int()
    .min(0)
    .max(256)
    .default(4)
    .describe('how many batches may still be scored while the next one of the epoch is sampled'),
  watch: watch.describe('what training does to pictures beside raising their reward'),
  evaluation: z.strictObject({
    pictures: z.int().min(0).max(4096).default(64).describe('how many of the evaluated samples are kept as pictures'),
  }),
};

/** The options of this family, validated. */
export type DenoisingConfig = RunConfig &
  Omit<z.output<z.ZodObject<typeof denoisingOptions>>, 'evaluation' | 'samplesPerEpoch'> & {
    readonly evaluation: RunConfig['evaluation'] & { readonly pictures: number };
    /** Absent where the agent itself says how much makes a rollout. */
    readonly samplesPerEpoch?: number;
  };

/** Whether a decision is a whole chain. */
export function isOneStep({ env }: DenoisingConfig): boolean {
  return env.startsWith('OneStep');
}

/** What no single option can know: a line for each problem. */
export function denoisingProblems(config: DenoisingConfig): string[] {
  const problems = adapterProblems(config);
  const { kind, list, path } = config.prompts;
  if (kind === 'list' && list === undefined) problems.push('prompts.list: needed because prompts.kind is list.');
  if (kind === 'file' && path === undefined) problems.push('prompts.path: needed because prompts.kind is file.');
  if (kind !== 'list' && list !== undefined)
    problems.push(`prompts.list: given, but prompts.kind is ${kind}; say prompts.kind: list.`);
  if (kind !== 'file' && path !== undefined)
    problems.push(`prompts.path: given, but prompts.kind is ${kind}; say prompts.kind: file.`);
  if (config.samplesPerEpoch !== undefined && config.samplesPerEpoch % config.numEnvs !== 0)
    problems.push(
      `samplesPerEpoch: must be a multiple of numEnvs (${config.numEnvs}), because samples are made in batches of that size, actual value ${config.samplesPerEpoch}.`,
    );
  problems.push(...groupProblems(config, config.sampling));
  const { every, guard, rule, samples, perPrompt } = config.watch;
  if (every === 0 && (guard !== undefined || rule !== 'warn'))
    problems.push('watch: there is none, because watch.every is 0; say after how many epochs it looks.');
  if (every > 0 && rule !== 'warn' && guard === undefined)
    problems.push(`watch.guard: needed, because watch.rule is ${rule}; name a reward that is not trained on.`);
  if (samples % perPrompt !== 0)
    problems.push(`watch.samples: must be a multiple of watch.perPrompt (${perPrompt}), actual value ${samples}.`);
  if (every > 0 && isOneStep(config))
    problems.push(
      `watch.every: must be 0, because ${config.env} has no steps whose KL could be watched; or take Denoising-v0.`,
    );
  const { guidanceScale, negativePrompt } = config.sampling;
  if (guidanceScale === 1 && negativePrompt !== '')
    problems.push(
      'sampling.negativePrompt: given, but sampling.guidanceScale is 1, which is no guidance; say how much.',
    );
  if (config.sampling.eta === 0 && config.sampling.scheduler !== 'ddpm')
    problems.push('sampling.eta: must be more than 0, because without noise there is no probability to learn from.');
  return problems;
}
