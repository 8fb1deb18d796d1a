import * as z from 'zod';
import { type OptionInfo, optionsOf } from '../../core/schema.js';
import { mostEnvs } from '../../envs/checks.js';
import type { Family } from '../families/family.js';
import { families } from '../families/index.js';
import { loggerNames } from '../loggers/names.js';

const count = z.int().min(1);

/** A name, a path or an expression. Longer ones are no mistake of typing but another file's contents. */
const text = z.string().min(1).max(4096);

const evaluation = {
  samples: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(64)
    .describe('how many fixed episodes, before and after training; 0 for none'),
  every: z.int().min(0).default(0).describe('also every so many epochs; 0 for before and after only'),
  explore: z.boolean().default(true).describe("true: actions are drawn as in training; false: the policy's mode"),
  maxSteps: count
    .default(20_000)
    .describe('an episode of an evaluation that is longer than this is cut there, with a warning'),
};

/** The options of every run. What they say of themselves (`.describe`) is what `list` and `--help` print. */
const common = {
  name: z
    .string()
    .max(100, 'must be at most 100 characters')
    .regex(/^[\w][\w.-]*$/, 'must be letters, digits, dots, dashes and underscores')
    .optional()
    .describe("the run's name, and its folder's; default: the configuration file's name, or what is trained by what"),
  runs: text.default('runs').describe('the folder that holds the runs'),
  env: text
    .default('Denoising-v0')
    .describe('the environment; ./my-env.ts:Mine-v0 imports the file first that registers it'),
  numEnvs: count.max(mostEnvs).default(8).describe('environments stepped together: the batch of one forward pass'),
  epochs: count.default(50).describe('how often samples are made and learned from'),
  scheduleEpochs: count
    .optional()
    .describe('over how many epochs schedules run, however many the run has; default: the epochs that it starts with'),
  seed: z.int().min(0).default(0).describe('everything random follows from it'),
  backend: z
    .enum(['auto', 'native', 'wasm', 'cpu'])
    .default('auto')
    .describe('what computes; auto takes the fastest that loads'),
  checkpointEvery: count.default(1).describe('epochs between checkpoints'),
  keepCheckpoints: count.default(2).describe('how many of the latest checkpoints are kept'),
  keepBest: z
    .enum(['none', 'eval/mean', 'reward/mean', 'reward/rolling'])
    .default('none')
    .describe('also keeps the agent of the epoch in which this metric was highest, in the folder best/'),
  stopAtReward: z
    .union([z.enum(['auto']), z.number()])
    .optional()
    .describe(
      'the run ends once the mean reward has reached this: that of an evaluation where there are some during training (evaluation.every), else that of the last 100 episodes; auto: the threshold of the environment; default: it does not',
    ),
  patience: z
    .int()
    .min(0)
    .default(0)
    .describe('the run ends after so many evaluations in a row without a better mean reward; 0: it does not'),
  callbacks: z
    .array(text)
    .max(100)
    .default([])
    .describe("files of your own, each of a callback, told after the run's own: [./my-callback.ts]"),
  loggers: z
    .array(z.enum(loggerNames))
    .max(16)
    .default([])
    .describe('what is written beside metrics.jsonl: [csv, tensorboard, trackio], or some of them'),
  trackio: z
    .strictObject({
      url: z
        .url({ protocol: /^https?$/, error: 'must be an address such as http://127.0.0.1:7860' })
        .default('http://127.0.0.1:7860')
        .describe('where the server of the logger trackio is'),
      project: text.default('denoise-gym').describe('the project that the run belongs to there'),
    })
    .prefault({})
    .describe('the logger trackio; the token is taken from the environment variable TRACKIO_WRITE_TOKEN'),
};

const agent = z
  .looseObject({ name: text.default('ppo').describe('the algorithm: a name, or the file of your own') })
  .prefault({})
  .describe('the algorithm and its options; each agent has its own');

const schemas = new Map<string, z.ZodObject>();

/** The schema of a run of a family, with the family's defaults; the options of its agent are checked by the agent's own. */
export function schemaOf(family: Family): z.ZodObject {
  let schema = schemas.get(family.name);
  if (schema === undefined) {
    const { evaluation: more, ...options } = family.options as z.ZodRawShape & { evaluation?: z.ZodObject };
    const defaults = family.defaults as Record<string, unknown> & { evaluation?: Record<string, unknown> };
    const withDefaults = (shape: z.ZodRawShape, values: Readonly<Record<string, unknown>> = {}): z.ZodRawShape =>
      Object.fromEntries(
        Object.entries(shape).map(([key, field]) => {
          if (!Object.hasOwn(values, key)) return [key, field];
          const { description } = field as z.ZodType;
          const again = (field as z.ZodDefault).unwrap() as z.ZodType;
          return [key, again.default(values[key]).describe(description ?? '')];
        }),
      );
    schema = z.strictObject({
      ...withDefaults(common, defaults),
      ...options,
      agent,
      evaluation: z
        .strictObject(withDefaults({ ...evaluation, ...(more?.shape ?? {}) }, defaults.evaluation))
        .prefault({})
        .describe('fixed episodes, before and after'),
    });
    schemas.set(family.name, schema);
  }
  return schema;
}

/** An option of a run for `list` and `--help`. */
export interface RunOptionInfo extends OptionInfo {
  /** The names of the families that have it; undefined where every run has it. */
  readonly families?: readonly string[];
  /** Where families have different defaults: by the family's title. */
  readonly defaults?: Readonly<Record<string, unknown>>;
}

/** Every option of runs but those of agents: what all families share, and each family's own. */
export function runOptions(): RunOptionInfo[] {
  const byPath = new Map<string, { family: Family; info: OptionInfo }[]>();
  for (const family of families)
    for (const info of optionsOf(schemaOf(family)))
      byPath.set(info.path, [...(byPath.get(info.path) ?? []), { family, info }]);
  return [...byPath.values()].map((entries): RunOptionInfo => {
    const { info } = entries[0]!;
    if (entries.length < families.length) return { ...info, families: entries.map(({ family }) => family.name) };
    const values = new Set(entries.map((entry) => JSON.stringify(entry.info.default)));
    if (values.size === 1) return info;
    const { default: _, ...rest } = info;
    return { ...rest, defaults: Object.fromEntries(entries.map((e) => [e.family.title, e.info.default])) };
  });
}
