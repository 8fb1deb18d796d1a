import * as z from 'zod';
import { NameRegistry } from '../../core/registry.js';
import type { Awaitable } from '../../core/types.js';
import type { Env } from '../../envs/env.js';
import { dtypes } from '../../envs/spaces/dtype.js';
import {
  addRenderObservation,
  clipAction,
  clipReward,
  cubes,
  delayObservation,
  discretizeAction,
  discretizeObservation,
  dtypeObservation,
  filterObservation,
  flattenObservation,
  frameStackObservation,
  grayscaleObservation,
  MaxAndSkipObservation,
  type Modification,
  type Normalization,
  type NormalizationOptions,
  normalizeObservation,
  normalizeReward,
  RecordVideo,
  RepeatAction,
  recordEpisodeStatistics,
  rescaleAction,
  rescaleObservation,
  reshapeObservation,
  resizeObservation,
  stickyAction,
  TimeLimit,
  timeAwareObservation,
} from '../../envs/wrappers/index.js';

export type AnyEnv = Env<unknown, unknown>;
export type AnyModification = Modification<unknown, unknown, unknown, unknown>;
export type AnyNormalization = Normalization<unknown, unknown, unknown, unknown>;

/** What a wrapper does, once its options are known. */
export type WrapperMaker<Options> =
  /** It goes around single environments only. */
  | { readonly kind: 'single'; make(options: Options, index: number): (env: AnyEnv) => Awaitable<AnyEnv> }
  /** It goes around single and vector environments alike. */
  | { readonly kind: 'any'; make(options: Options): AnyModification }
  /** It has statistics, which all environments of a vector share, and goes around the vector. */
  | { readonly kind: 'normalization'; make(options: Options & NormalizationOptions): AnyNormalization };

/** A wrapper of this package that configurations can name. */
export interface WrapperDescription {
  readonly name: string;
  /** One line for people who choose. */
  readonly summary: string;
  /** A strict object schema of its options. Each field's `.describe()` is what `list` prints. */
  readonly options: z.ZodObject;
  /** The option that a value stands for which is no object: `frameStackObservation: 4`. */
  readonly short?: string;
  /** Where an evaluation leaves it out: always, or where it stands after a normalisation of rewards. */
  readonly leftOut?: 'in evaluation' | 'after normalizeReward';
  readonly maker: WrapperMaker<Record<string, unknown>>;
}

function describe<S extends z.ZodRawShape>(
  name: string,
  summary: string,
  shape: S,
  maker: WrapperMaker<z.output<z.ZodObject<S>>>,
  more: Pick<WrapperDescription, 'short' | 'leftOut'> = {},
): WrapperDescription {
  return {
    name,
    summary,
    options: z.strictObject(shape),
    maker: maker as unknown as WrapperDescription['maker'],
    ...more,
  };
}

/** The types of observations and actions are known only when a modification is put around an environment. */
const any = <Options>(make: (options: Options) => unknown): WrapperMaker<Options> => ({
  kind: 'any',
  make: (options) => make(options) as AnyModification,
});
const single = <Options>(
  make: (env: never, options: Options, index: number) => Awaitable<unknown>,
): WrapperMaker<Options> => ({
  kind: 'single',
  make: (options, index) => (env) => make(env as never, options, index) as Awaitable<AnyEnv>,
});
const normalization = <Options>(make: (options: Options & NormalizationOptions) => unknown): WrapperMaker<Options> => ({
  kind: 'normalization',
  make: (options) => make(options) as AnyNormalization,
});

const count = z.int().min(1).max(1_000_000);
const bound = z.union([z.number(), z.array(z.number())]);
/** Two numbers. A schema of a tuple would not say of itself what it takes. */
const pair = z.array(count).length(2) as unknown as z.ZodType<[number, number]>;
const bins = {
  bins: z.union([count, z.array(count)]).describe('how many bins, for all numbers or for each'),
  multidiscrete: z.boolean().default(false).describe('an index for each number; else one counts all combinations'),
};
const normalizing = {
  epsilon: z.number().positive().default(1e-8).describe('added to the variance'),
  clip: z.number().positive().optional().describe('cuts what is normalised to plus or minus this; default: not at all'),
};

const registry = new NameRegistry<WrapperDescription>('wrapper', [
  describe(
    'timeLimit',
    'cuts episodes after a number of steps',
    { maxSteps: count.describe('of an episode') },
    single((env, { maxSteps }) => new TimeLimit(env, maxSteps)),
    { short: 'maxSteps' },
  ),
  describe(
    'repeatAction',
    'takes each action several times, and adds up the rewards',
    { times: count.describe('how often') },
    single((env, { times }) => new RepeatAction(env, times)),
    { short: 'times' },
  ),
  describe(
    'maxAndSkipObservation',
    'takes each action several times, and observes the larger numbers of the last two steps',
    { skip: count.default(4).describe('how often') },
    single((env, { skip }) => new MaxAndSkipObservation(env, skip)),
    { short: 'skip' },
  ),
  describe(
    'addRenderObservation',
    "observes the environment's picture",
    {
      renderOnly: z.boolean().default(true).describe('the picture alone; else beside the observation'),
      renderKey: z.string().min(1).default('pixels').describe('key of the picture beside the observation'),
      stateKey: z.string().min(1).default('state').describe('key of the observation beside the picture'),
    },
    single((env, options) => addRenderObservation(env, options)),
  ),
  describe(
    'recordVideo',
    'writes training episodes of the first environment as animated pictures',
    {
      folder: z.string().min(1).describe('where the files are written'),
      every: count.optional().describe('records every so many episodes; default: episodes 0, 1, 8, 27, ...'),
      length: z.int().min(0).default(0).describe('frames of a recording; 0: to the end of the episode'),
      name: z.string().min(1).default('rl-video').describe('what names of files begin with'),
      format: z.enum(['webp', 'gif']).default('webp').describe('of the files'),
      fps: z.number().positive().default(30).describe('frames a second'),
      shrink: count.default(2).describe('by which pictures are made smaller'),
    },
    single((env, { folder, every, ...options }, index) =>
      index > 0
        ? env
        : new RecordVideo(env, folder, {
            ...options,
            episode: every === undefined ? cubes : (episode: number) => episode % every === 0,
          }),
    ),
    { short: 'folder', leftOut: 'in evaluation' },
  ),
  describe(
    'filterObservation',
    'observes some keys of a Dict, or some parts of a Tuple',
    {
      keys: z
        .array(z.union([z.string(), z.int().min(0)]))
        .min(1)
        .describe('which'),
    },
    any(({ keys }) => filterObservation(keys as readonly string[])),
    { short: 'keys' },
  ),
  describe(
    'flattenObservation',
    'observes one list of numbers',
    {},
    any(() => flattenObservation()),
  ),
  describe(
    'grayscaleObservation',
    'observes RGB images in grey',
    { keepDim: z.boolean().default(false).describe('[height, width, 1] instead of [height, width]') },
    any((options) => grayscaleObservation(options)),
    { short: 'keepDim' },
  ),
  describe(
    'resizeObservation',
    'observes images in another size',
    { size: pair.describe('[height, width]') },
    any(({ size }) => resizeObservation(size)),
    { short: 'size' },
  ),
  describe(
    'reshapeObservation',
    'observes the same numbers in another shape',
    { shape: z.array(count).describe('of an observation') },
    any(({ shape }) => reshapeObservation(shape)),
    { short: 'shape' },
  ),
  describe(
    'rescaleObservation',
    'maps the bounds of observations linearly to others',
    {
      low: bound.describe('the new lower bound, of all numbers or of each'),
      high: bound.describe('the new upper bound'),
    },
    any(({ low, high }) => rescaleObservation(low, high)),
  ),
  describe(
    'dtypeObservation',
    'observes the numbers in another type',
    { dtype: z.enum(dtypes).describe('the type') },
    any(({ dtype }) => dtypeObservation(dtype)),
    { short: 'dtype' },
  ),
  describe(
    'discretizeObservation',
    'observes the index of the bin that an observation falls into',
    bins,
    any(({ bins, ...options }) => discretizeObservation(bins, options)),
    { short: 'bins' },
  ),
  describe(
    'delayObservation',
    'observes what was observed some steps ago',
    { delay: z.int().min(0).max(1_000_000).describe('how many') },
    any(({ delay }) => delayObservation(delay)),
    { short: 'delay' },
  ),
  describe(
    'timeAwareObservation',
    'adds to each observation how many steps of the episode were taken',
    {
      flatten: z.boolean().default(true).describe('one list of numbers; else the time stands beside the observation'),
      normalize: z.boolean().default(false).describe('the time as a part of the limit, 0..1'),
      key: z.string().min(1).default('time').describe('of the time, where observations are a Dict'),
      maxEpisodeSteps: count.optional().describe("the limit in steps; default: the environment's"),
    },
    any((options) => timeAwareObservation(options)),
  ),
  describe(
    'frameStackObservation',
    'observes the last observations, the newest last',
    {
      size: count.describe('how many'),
      padding: z.enum(['reset', 'zero']).default('reset').describe('what is there before them: the first one, or zero'),
    },
    any(({ size, padding }) => frameStackObservation(size, { padding })),
    { short: 'size' },
  ),
  describe(
    'normalizeObservation',
    'subtracts the running mean of all observations, and divides by their deviation',
    normalizing,
    normalization((options) => normalizeObservation(options)),
  ),
  describe(
    'clipAction',
    'takes any numbers as action, and clips them into the bounds',
    {},
    any(() => clipAction()),
  ),
  describe(
    'rescaleAction',
    'takes actions between other bounds, and maps them linearly',
    { low: bound.describe('the lower bound, of all numbers or of each'), high: bound.describe('the upper bound') },
    any(({ low, high }) => rescaleAction(low, high)),
  ),
  describe(
    'discretizeAction',
    'takes the index of a bin of the bounds as action',
    bins,
    any(({ bins, ...options }) => discretizeAction(bins, options)),
    { short: 'bins' },
  ),
  describe(
    'stickyAction',
    'takes the last action again, at random',
    {
      probability: z.number().min(0).lt(1).describe('at each step but the first'),
      duration: z
        .union([count, z.tuple([count, count])])
        .default(1)
        .describe('for how many steps, or a range of them'),
    },
    any(({ probability, duration }) => stickyAction(probability, { duration })),
    { short: 'probability' },
  ),
  describe(
    'clipReward',
    'clips rewards',
    { low: z.number().optional().describe('the least'), high: z.number().optional().describe('the most') },
    any((options) => clipReward(options)),
    { leftOut: 'after normalizeReward' },
  ),
  describe(
    'normalizeReward',
    'divides rewards by the running deviation of the discounted return; in training only',
    { gamma: z.number().min(0).max(1).default(0.99).describe('the discount'), ...normalizing },
    normalization((options) => normalizeReward(options)),
    { leftOut: 'in evaluation' },
  ),
  describe(
    'recordEpisodeStatistics',
    "writes an episode's return, length and seconds into its last info",
    { key: z.string().min(1).default('episode').describe('the key in the info') },
    any((options) => recordEpisodeStatistics(options)),
    { short: 'key' },
  ),
]);

/** What this package exports beside these, and why no configuration can name it. */
const elsewhere = new Map([
  ...['transformObservation', 'transformAction', 'transformReward'].map(
    (name) =>
      [name, 'it takes a function: write a wrapper of your own, in a file, and name that (./my-wrapper.ts)'] as const,
  ),
  ['orderEnforcing', 'every environment has it already'],
  ['autoresetWrapper', 'the vector environment resets environments by itself'],
]);

/** Every wrapper that a configuration can name, in order of what it changes. */
export function listWrappers(): WrapperDescription[] {
  return registry.list();
}

/**
 * The wrapper of a name.
 * @throws GymError E_NAME with the nearest name when there is none.
 */
export function wrapperNamed(name: string, where: string): WrapperDescription {
  return registry.get(name, where);
}

/** Why a wrapper of this package cannot be named, if it is such a one. */
export function whyNotByName(name: string): string | undefined {
  return elsewhere.get(name);
}
