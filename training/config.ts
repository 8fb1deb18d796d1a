import { basename } from 'node:path';
import { parseDocument } from 'yaml';
import * as z from 'zod';
import { GymError, nearest } from '../core/errors.js';
import { readText } from '../core/files.js';

const count = z.int().min(1);
const positive = z.number().positive();
const fraction = z.number().min(0).max(1);

const schedule = z.union([
  z.number().nonnegative(),
  z.strictObject({ from: z.number().nonnegative(), to: z.number().nonnegative() }),
]);

/** A constant, or a value that goes from one number to another in a straight line over the run. */
export type Schedule = z.infer<typeof schedule>;

const prompts = z
  .strictObject({
    kind: z
      .enum(['shapes', 'list', 'file'])
      .default('shapes')
      .describe('captions of the world of shapes, a list given here, or the lines of a text file'),
    kinds: z
      .array(z.enum(['color', 'count', 'composition', 'location']))
      .min(1)
      .default(['color', 'count', 'composition', 'location'])
      .describe('shapes: which kinds of captions'),
    list: z.array(z.string()).min(1).optional().describe('list: the prompts'),
    path: z.string().min(1).optional().describe('file: the text file, one prompt a line'),
    limit: count.optional().describe('only so many of the prompts, drawn once by the seed'),
    order: z.enum(['random', 'sequential']).default('random').describe('how episodes take prompts from the list'),
  })
  .prefault({});

const sampling = z
  .strictObject({
    steps: count.default(10).describe('denoising steps an episode'),
    scheduler: z.enum(['ddim', 'ddpm']).default('ddim').describe('the rule from x_t to x_{t-1}'),
    spacing: z
      .enum(['trailing', 'leading', 'linspace'])
      .default('trailing')
      .describe('which timesteps of the training schedule are used'),
    eta: fraction.default(1).describe("DDIM's η: how much noise a step adds; learning needs more than 0"),
    guidanceScale: z.number().min(0).default(1).describe('classifier-free guidance; 1 is none and half the work'),
  })
  .prefault({});

const agent = z
  .strictObject({
    name: z.string().min(1).default('ppo').describe('the algorithm'),
    learningRate: schedule.default(1e-4).describe("AdamW's step size; a number, or {from, to} over the run"),
    beta1: fraction.default(0.9).describe("AdamW's decay of the gradient's mean"),
    beta2: fraction.default(0.999).describe("AdamW's decay of the gradient's square"),
    epsilon: positive.default(1e-8).describe("AdamW's guard against division by zero"),
    weightDecay: z.number().min(0).default(1e-4).describe("AdamW's decoupled weight decay"),
    maxGradNorm: positive.default(1).describe('gradients of a larger global norm are scaled down to it'),
    clipRange: schedule.default(1e-3).describe('ppo: how far the probability ratio may leave 1; or {from, to}'),
    advantage: z
      .enum(['batch', 'per-prompt', 'gae', 'reward-to-go', 'none'])
      .default('batch')
      .describe('how rewards become advantages; gae needs a policy with values'),
    advantageClip: positive.default(5).describe('advantages are cut to plus or minus this'),
    perPromptBuffer: count.default(16).describe('per-prompt: how many past rewards of a prompt count'),
    perPromptMinCount: count.default(16).describe('per-prompt: with fewer than this the batch is used'),
    innerEpochs: count.default(1).describe('ppo: passes over each rollout'),
    updates: count.default(4).describe('ppo: optimiser steps a pass (reinforce always makes 1)'),
    microBatch: count.default(64).describe('transitions in one forward pass; changes memory, not the result'),
    timestepFraction: z
      .number()
      .gt(0)
      .max(1)
      .default(1)
      .describe("the share of each sample's timesteps that is trained"),
    collect: z
      .union([z.strictObject({ episodes: count }), z.strictObject({ steps: count })])
      .optional()
      .describe('what makes a rollout, {episodes: n} or {steps: n}; default samplesPerEpoch episodes'),
    gamma: fraction.default(1).describe('gae, reward-to-go: discount of future rewards'),
    gaeLambda: fraction.default(0.95).describe('gae: bias against variance'),
    valueCoefficient: z.number().min(0).default(0.5).describe("gae: weight of the value function's loss"),
    entropyCoefficient: z.number().min(0).default(0).describe('weight of the entropy bonus'),
  })
  .prefault({});

const policy = z
  .strictObject({
    hidden: z
      .array(count)
      .default([64, 64])
      .describe('widths of the hidden layers, for environments without a denoiser'),
  })
  .prefault({});

const evaluation = z
  .strictObject({
    samples: z
      .int()
      .min(0)
      .default(64)
      .describe('the same prompts and noises before and after training; 0 for no evaluation'),
    every: z.int().min(0).default(0).describe('also every so many epochs; 0 for before and after only'),
    pictures: z.int().min(0).default(64).describe('how many of them are kept as pictures'),
    explore: z.boolean().default(true).describe("true: with the run's η; false: the policy's mode (η = 0)"),
  })
  .prefault({});

/**
 * What suits an ordinary environment with a small network better than the defaults above, which are a denoiser's; close to
 * stable-baselines3's PPO.
 */
const ordinary = {
  numEnvs: 8,
  evaluation: { samples: 20, explore: false },
  agent: {
    collect: { steps: 128 },
    learningRate: { from: 1e-3, to: 0 },
    weightDecay: 0,
    maxGradNorm: 0.5,
    clipRange: 0.2,
    advantage: 'gae',
    innerEpochs: 8,
    updates: 4,
    microBatch: 256,
    gamma: 0.99,
  },
};

/** Every option of a run. What it says of itself (`.describe`) is what `list` and `--help` print. */
export const runSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[\w][\w.-]*$/, 'letters, digits, dots, dashes and underscores only')
    .optional()
    .describe("the run's name, and its folder's; default: the configuration file's name"),
  runs: z.string().min(1).default('runs').describe('the folder that holds the runs'),
  env: z.string().min(1).default('Denoising-v0').describe('the environment'),
  envOptions: z.record(z.string(), z.json()).default({}).describe('options of an environment that is not Denoising-v0'),
  model: z.string().min(1).default('models/shapes').describe('the folder of the denoiser, in the layout of diffusers'),
  reward: z
    .string()
    .min(1)
    .default('jpeg-incompressibility')
    .describe("a reward's name, a file with your own (./reward.ts), or an expression over names"),
  rewardTimeout: positive.default(300).describe('seconds that the reward may take for one batch'),
  prompts: prompts.describe('where prompts come from'),
  sampling: sampling.describe('how samples are made'),
  agent: agent.describe('the learning algorithm'),
  policy: policy.describe('the network, where the environment has no denoiser'),
  samplesPerEpoch: count.default(64).describe('samples (finished episodes) an epoch'),
  numEnvs: count.default(32).describe('environments stepped together: the batch of one forward pass'),
  epochs: count.default(50).describe('how often samples are made and learned from'),
  seed: z.int().min(0).default(0).describe('everything random follows from it'),
  backend: z
    .enum(['auto', 'native', 'wasm', 'cpu'])
    .default('auto')
    .describe('what computes; auto takes the fastest that loads'),
  overlap: z
    .int()
    .min(0)
    .default(4)
    .describe('how many batches may still be scored while the next one of the epoch is sampled'),
  checkpointEvery: count.default(1).describe('epochs between checkpoints'),
  keepCheckpoints: count.default(2).describe('how many of the latest checkpoints are kept'),
  evaluation: evaluation.describe('fixed prompts and noises, before and after'),
});

/** A configuration as a person writes it: everything is optional. */
export type RunConfigInput = z.input<typeof runSchema>;

/** A complete, validated configuration. */
export type RunConfig = z.infer<typeof runSchema> & { name: string };

/** One option for `list`, `--help` and flags. */
export interface OptionInfo {
  /** As in the file: `agent.learningRate`. */
  readonly path: string;
  /** What it takes, for people: `number`, `ddim | ddpm`. */
  readonly type: string;
  readonly default?: unknown;
  readonly description: string;
}

interface JsonSchema {
  type?: string;
  enum?: unknown[];
  anyOf?: JsonSchema[];
  items?: JsonSchema;
  default?: unknown;
  description?: string;
  properties?: Record<string, JsonSchema>;
}

function typeOf(schema: JsonSchema): string {
  if (schema.enum) return schema.enum.join(' | ');
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(' | ');
  if (schema.type === 'array') return `[${schema.items ? typeOf(schema.items) : ''}]`;
  if (schema.type === 'object' && schema.properties) return `{${Object.keys(schema.properties).join(', ')}}`;
  return schema.type ?? 'value';
}

/** Every option of a run with what it takes, its default and a line about it, from the schema itself. */
export function runOptions(): OptionInfo[] {
  const options: OptionInfo[] = [];
  const visit = (schema: JsonSchema, path: string) => {
    for (const [key, property] of Object.entries(schema.properties ?? {})) {
      const at = path === '' ? key : `${path}.${key}`;
      if (property.properties) visit(property, at);
      else
        options.push({
          path: at,
          type: typeOf(property),
          default: property.default,
          description: property.description ?? '',
        });
    }
  };
  visit(z.toJSONSchema(runSchema, { io: 'input' }) as JsonSchema, '');
  return options;
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'number') return String(value);
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function at(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const key of path) value = (value as Record<PropertyKey, unknown> | undefined)?.[key];
  return value;
}

/** The keys known beside a mistyped one. */
function siblings(path: readonly PropertyKey[]): string[] {
  const prefix = path.map((p) => `${String(p)}.`).join('');
  const keys = new Set<string>();
  for (const option of runOptions())
    if (option.path.startsWith(prefix)) keys.add(option.path.slice(prefix.length).split('.')[0]!);
  return [...keys];
}

function expectation(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${issue.expected === 'int' ? 'a whole number' : /^[aeiou]/.test(issue.expected) ? `an ${issue.expected}` : `a ${issue.expected}`}`;
    case 'invalid_value':
      return `must be one of ${issue.values.map(String).join(', ')}`;
    case 'too_small':
      return issue.origin === 'array' || issue.origin === 'string'
        ? 'must not be empty'
        : `must be ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}`;
    case 'too_big':
      return `must be ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`;
    case 'invalid_union':
      return `must be ${runOptions().find((option) => option.path === issue.path.map(String).join('.'))?.type ?? 'another type'}`;
    default:
      return issue.message;
  }
}

function describeIssue(issue: z.core.$ZodIssue, input: unknown): string[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => {
      const known = siblings(issue.path);
      const guess = nearest(key, known);
      const path = [...issue.path, key].map(String).join('.');
      return known.length > 0
        ? `${path}: no such option.${guess ? ` Did you mean \`${guess}\`?` : ''} Known here: ${known.join(', ')}.`
        : `${path}: no such option.`;
    });
  const path = issue.path.map(String).join('.') || '(the whole)';
  const value = at(input, issue.path);
  const guess =
    issue.code === 'invalid_value' && typeof value === 'string' ? nearest(value, issue.values.map(String)) : undefined;
  return [`${path}: ${expectation(issue)}, actual value ${show(value)}.${guess ? ` Did you mean \`${guess}\`?` : ''}`];
}

/**
 * Checks a configuration and fills in what it leaves out.
 * @param where named in errors: the file, or 'flags'.
 * @throws GymError E_CONFIG with one line for each wrong field: its path, what is allowed, the actual value and, for a
 * typing mistake, the nearest name.
 */
export function parseConfig(input: unknown, where = 'configuration'): RunConfig {
  const given =
    isObject(input) && 'agent' in input ? { ...input, agent: longForm('agent', input.agent) } : (input ?? {});
  const ordinaryEnv = isObject(given) && typeof given.env === 'string' && !isDenoising({ env: given.env });
  const result = runSchema.safeParse(ordinaryEnv ? withDefaults(given, ordinary) : given);
  const problems = result.success
    ? crossCheck(result.data)
    : result.error.issues.flatMap((issue) => describeIssue(issue, given));
  if (!result.success || problems.length > 0)
    throw new GymError(
      'E_CONFIG',
      problems.length === 1 ? `${where}: ${problems[0]}` : `${where}:\n${problems.map((p) => `  ${p}`).join('\n')}`,
    );
  const config = result.data;
  return { ...config, name: config.name ?? `${config.env.replace(/[^\w.-]/g, '-')}-${config.agent.name}` };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function withDefaults(given: Record<string, unknown>, defaults: Record<string, unknown>): Record<string, unknown> {
  const merged = { ...defaults, ...given };
  // `collect` and schedules are one value, although they are objects.
  for (const [key, value] of Object.entries(defaults))
    if (isObject(value) && isObject(given[key]) && (key === 'agent' || key === 'evaluation'))
      merged[key] = withDefaults(given[key], value);
  return merged;
}

/** What no single field can know. */
function crossCheck(config: z.infer<typeof runSchema>): string[] {
  const problems: string[] = [];
  const { kind, list, path } = config.prompts;
  if (kind === 'list' && list === undefined) problems.push('prompts.list: needed because prompts.kind is list.');
  if (kind === 'file' && path === undefined) problems.push('prompts.path: needed because prompts.kind is file.');
  if (kind !== 'list' && list !== undefined)
    problems.push(`prompts.list: given, but prompts.kind is ${kind}; say prompts.kind: list.`);
  if (kind !== 'file' && path !== undefined)
    problems.push(`prompts.path: given, but prompts.kind is ${kind}; say prompts.kind: file.`);
  if (isDenoising(config) && config.agent.collect === undefined && config.samplesPerEpoch % config.numEnvs !== 0)
    problems.push(
      `samplesPerEpoch: must be a multiple of numEnvs (${config.numEnvs}), because samples are made in batches of that size, actual value ${config.samplesPerEpoch}.`,
    );
  if (config.sampling.eta === 0 && isDenoising(config) && config.sampling.scheduler === 'ddim')
    problems.push('sampling.eta: must be more than 0, because without noise there is no probability to learn from.');
  return problems;
}

/** Whether the run fine-tunes a denoiser (and so has a model, prompts and a reward). */
export function isDenoising(config: { env: string }): boolean {
  return /^Denoising(-v\d+)?$/.test(config.env);
}

/** Puts a value at a dotted path of a plain object, making objects on the way. */
export function setPath(target: Record<string, unknown>, path: string, value: unknown): void {
  const keys = path.split('.');
  let object = target;
  for (const key of keys.slice(0, -1)) {
    const next = object[key];
    if (typeof next !== 'object' || next === null || Array.isArray(next))
      object[key] = next === undefined ? {} : longForm(key, next);
    object = object[key] as Record<string, unknown>;
  }
  object[keys.at(-1)!] = value;
}

/** `agent: ppo` is short for `agent: { name: ppo }`. */
function longForm(key: string, value: unknown): unknown {
  return key === 'agent' && typeof value === 'string' ? { name: value } : value;
}

/** Parses YAML or JSON (JSON is YAML). @throws GymError E_CONFIG with the line and column. */
export function parseYaml(text: string, where: string): unknown {
  const document = parseDocument(text);
  const error = document.errors[0];
  if (error) throw new GymError('E_CONFIG', `${where}: not valid YAML: ${error.message.trim()}`);
  return document.toJS();
}

/**
 * Reads a run's configuration from a YAML or JSON file, puts flags over it, checks it and fills in the defaults.
 * @param file path, or undefined for none.
 * @param flags values by dotted path (`agent.learningRate`), which win over the file's.
 * @throws GymError E_FILE, E_CONFIG.
 */
export async function loadConfig(file?: string, flags: Readonly<Record<string, unknown>> = {}): Promise<RunConfig> {
  const raw = file === undefined ? {} : (parseYaml(await readText(file), file) ?? {});
  if (typeof raw !== 'object' || Array.isArray(raw) || raw === null)
    throw new GymError(
      'E_CONFIG',
      `${file}: must hold options by name (env: ..., agent: ...), actual value ${show(raw)}.`,
    );
  const input = structuredClone(raw) as Record<string, unknown>;
  if (file !== undefined) input.name ??= basename(file).replace(/\.(ya?ml|json)$/, '');
  for (const [path, value] of Object.entries(flags))
    setPath(input, path === 'agent' && typeof value === 'string' ? 'agent.name' : path, value);
  return parseConfig(input, file ?? 'configuration');
}
