import * as z from 'zod';

const folder = z.string().min(1).max(4096);

/** What all rewards of learned networks have. */
const learned = {
  model: folder.describe("the model's folder"),
  batchSize: z.int().min(1).max(1024).default(8).describe('how many pictures are computed at once'),
};

/** The options of {@link clipScore}. */
export const clipScoreOptions = z.strictObject({
  ...learned,
  form: z
    .enum(['cosine', 'percent', 'paper'])
    .default('cosine')
    .describe('the cosine; 100 · max(cosine, 0), as in torchmetrics; or 2.5 · max(cosine, 0), as in the paper'),
});

/** The options of {@link pickScore}. */
export const pickScoreOptions = z.strictObject({
  ...learned,
  divisor: z
    .number()
    .positive()
    .default(1)
    .describe('by what the score is divided: 26 in flow_grpo and DiffusionNFT, so that it is about 0..1'),
});

/** The options of {@link hps}. */
export const hpsOptions = z.strictObject(learned);

/** The options of {@link aesthetic}. */
export const aestheticOptions = z.strictObject({
  ...learned,
  head: z.string().min(1).max(4096).describe('the predictor, as safetensors: layers.0.weight, layers.0.bias, ...'),
});

/** The options of {@link imageReward}. */
export const imageRewardOptions = z.strictObject(learned);

/** The options of a {@link clipScore}: see there. */
export type ClipScoreOptions = z.input<typeof clipScoreOptions>;
/** The options of a {@link pickScore}: see there. */
export type PickScoreOptions = z.input<typeof pickScoreOptions>;
/** The options of an {@link hps}: see there. */
export type HpsOptions = z.input<typeof hpsOptions>;
/** The options of an {@link aesthetic}: see there. */
export type AestheticOptions = z.input<typeof aestheticOptions>;
/** The options of an {@link imageReward}: see there. */
export type ImageRewardOptions = z.input<typeof imageRewardOptions>;
