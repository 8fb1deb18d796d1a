import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { GymError } from '../core/errors.js';
import { show } from '../core/schema.js';
import { type ParseConfigOptions, parseConfig, type RunConfig } from './config/index.js';
import { familyOf } from './families/index.js';
import { type Checkpoint, type Digests, differingFiles, digestFile } from './run-folder/index.js';
import { codeOf } from './trust.js';

/** What may be another than the run was started with: it changes how far or how fast a run goes, not its numbers. */
const changeable = [
  'epochs',
  'totalSteps',
  'scheduleEpochs',
  'overlap',
  'workers',
  'backend',
  'checkpointEvery',
  'keepCheckpoints',
  'keepBest',
  'stopAtReward',
  'patience',
  'loggers',
  'trackio',
  'rewardTimeout',
  'evaluation',
];
/** Where a run lies, which says nothing of what it is. */
const place = ['runs', 'name'];
/** Where a reward's server is and how patiently it is asked, which is not what it says: it may move while a run waits. */
const address = /^rewards\.[^.]+\.(url|token|timeout|retries|retryPause|concurrency)$/;

interface Difference {
  readonly option: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** The options, by their dotted paths, that two configurations have different, but for those that may change. */
function differences(before: RunConfig, after: RunConfig): Difference[] {
  const found: Difference[] = [];
  const isGroup = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  const visit = (a: unknown, b: unknown, option: string) => {
    if (
      changeable.includes(option) ||
      place.includes(option) ||
      address.test(option) ||
      JSON.stringify(a) === JSON.stringify(b)
    )
      return;
    if (!isGroup(a) || !isGroup(b)) {
      found.push({ option, before: a, after: b });
      return;
    }
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)]))
      visit(a[key], b[key], option === '' ? key : `${option}.${key}`);
  };
  visit(before, after, '');
  return found;
}

function listed(found: readonly Difference[], there: string, here: string): string {
  return found
    .map(({ option, before, after }) => `  ${option}: ${show(before)} ${there}, ${show(after)} ${here}`)
    .join('\n');
}

/**
 * Refuses to go on with a run by other options than it was started with.
 * @throws GymError E_CONFIG that lists what differs.
 */
export function checkSame(stored: RunConfig, given: RunConfig, path: string): void {
  const found = differences(stored, given);
  if (found.length > 0)
    throw new GymError(
      'E_CONFIG',
      `resume ${path}: the run was started with other options:\n${listed(found, 'there', 'now')}\nOnly ${changeable.join(', ')}, and where a reward's server is, may change; resume by \`train ${path} --resume\` to take them as they were.`,
    );
}

/**
 * Refuses a checkpoint that was not made with what `config.json` says now.
 * @throws GymError E_CONFIG that lists the options that differ.
 */
export function checkConfig(
  path: string,
  { path: checkpoint, origin }: Checkpoint,
  config: RunConfig,
  options: ParseConfigOptions = {},
): void {
  if (origin.config === undefined) return;
  // What a newer version has added since has its default in both.
  const found = differences(parseConfig(origin.config, `checkpoint ${checkpoint}`, options), config);
  if (found.length > 0)
    throw new GymError(
      'E_CONFIG',
      `run ${path}: config.json is no longer what checkpoint ${checkpoint} was made with:\n${listed(found, 'there', 'now')}\nPut it back, or start a new run with these options.`,
    );
}

/**
 * The digests of the files that a run reads beside its configuration: its model, its prompts.
 * @param isWanted which of them, by their names as the family gives them; default: all.
 * @throws GymError E_FILE when one is missing.
 */
export async function inputDigests(config: RunConfig, isWanted = (_name: string) => true): Promise<Digests> {
  const files = Object.entries((await familyOf(config.env).inputs?.(config)) ?? {});
  const digests: [string, string][] = [];
  for (const [name, file] of files) if (isWanted(name)) digests.push([name, await digestFile(file)]);
  return Object.fromEntries(digests);
}

/**
 * The digests of the files of a user's own code that a run executes. Unlike its inputs they may change, since that is how a
 * defect in them is mended; it is said.
 */
export async function codeDigests(config: RunConfig): Promise<Digests> {
  const digests: [string, string][] = [];
  for (const { purpose, module } of codeOf(config))
    if (isAbsolute(module) && existsSync(module)) digests.push([`${purpose} ${module}`, await digestFile(module)]);
  return Object.fromEntries(digests);
}

/** What to say of code that is no longer what it was when a checkpoint was made, if anything. */
export function changedCode({ path, origin }: Checkpoint, code: Digests): string | undefined {
  const changes = origin.code === undefined ? [] : differingFiles(origin.code, code);
  if (changes.length === 0) return undefined;
  return `${changes.join(', ')} since checkpoint ${path} was written: from here on, the numbers are those of the new code.`;
}

/**
 * Refuses a checkpoint that was not made with the files that the run reads now.
 * @param inputs what {@link inputDigests} gives, of those that are wanted.
 * @throws GymError E_FILE that lists the files that differ.
 */
export function checkInputs(
  path: string,
  { path: checkpoint, origin }: Checkpoint,
  inputs: Digests,
  isWanted = (_name: string) => true,
): void {
  if (origin.inputs === undefined) return;
  const then = Object.fromEntries(Object.entries(origin.inputs).filter(([name]) => isWanted(name)));
  const problems = differingFiles(then, inputs);
  if (problems.length > 0)
    throw new GymError(
      'E_FILE',
      `run ${path}: files that it reads are no longer those that checkpoint ${checkpoint} was made with: ${problems.join(', ')}. Restore them, or start a new run.`,
    );
}
