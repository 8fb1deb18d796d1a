import { channel } from 'node:diagnostics_channel';
import { GymError, messageOf } from './errors.js';
import { copy } from './ndarray.js';
import type { RewardLike, RewardResult, ScoreBatch } from './reward.js';
import { shown, shownJson, shownName } from './shown.js';
import { isPromiseLike } from './types.js';

/** The longest time that a timer of Node can wait: 2^31 − 1 ms, about 25 days. A longer one would fire at once. */
export const longestTimeoutMs = 2 ** 31 - 1;

/** Tells who listens (a profiler) of each batch that was scored: `{ name, start, end }`, as `performance.now()` counts. */
export const rewardChannel = channel('denoise-gym:reward');

/** Options of {@link scoreImages}. */
export interface ScoreOptions {
  /**
   * Milliseconds after which a pending reward counts as failed and its `signal` is aborted, up to
   * {@link longestTimeoutMs}; default: it may take for ever. A reward that computes synchronously blocks the timer, so it is not stopped.
   */
  timeoutMs?: number;
}

/** What a reward said, checked and copied: one finite score an image, its named terms, and its notes. */
export interface Scores {
  readonly scores: Float64Array;
  readonly details: Record<string, Float64Array>;
  readonly notes: Record<string, string[]>;
}

/** What a reward said of one image, beside its score, as `info` has it: notes only where there are some. */
export function termsOf({ details, notes }: Scores, index: number) {
  const at = <T>(named: Readonly<Record<string, ArrayLike<T>>>): Record<string, T> =>
    Object.fromEntries(Object.entries(named).map(([term, values]) => [term, values[index]!]));
  const rewardNotes = at(notes);
  return { rewardTerms: at(details), ...(Object.keys(rewardNotes).length > 0 && { rewardNotes }) };
}

/** The name that errors and logs use; a nameless function is `reward`. */
export function nameOfReward(reward: RewardLike): string {
  return reward.name || 'reward';
}

/**
 * Calls a reward and checks everything that it does: the one way in which this package asks for a score.
 *
 * @param reward an object `{ name, score }` or a plain function.
 * @param batch images uint8 [n, height, width, channels] and n prompts. Its `signal`, if any, ends the wait. The reward
 *   gets a signal in any case: one that is aborted together with the batch's own, and by the time-out.
 * @returns `scores` [n], all finite, `details` [n] each (numbers; NaN there means "does not apply"), and `notes` [n] each.
 * @throws GymError E_SHAPE when the batch itself is not of that form; E_VALUE on a time-out that is none; E_REWARD, naming the reward (and the sample where
 *   there is one), when the reward throws, rejects (`cause` keeps what it threw), takes longer than `timeoutMs`, was
 *   aborted, or returns anything but one finite number an image.
 */
export async function scoreImages(reward: RewardLike, batch: ScoreBatch, options: ScoreOptions = {}): Promise<Scores> {
  const name = nameOfReward(reward);
  checkBatch(name, batch);
  const { timeoutMs } = options;
  if (timeoutMs !== undefined && !(timeoutMs > 0 && timeoutMs <= longestTimeoutMs))
    throw new GymError(
      'E_VALUE',
      `reward \`${name}\`: timeoutMs must be above 0 and at most ${longestTimeoutMs}, actual value ${shown(timeoutMs)}; leave it out for no limit.`,
    );
  const started = performance.now();
  const result = await ask(reward, name, batch, timeoutMs);
  if (rewardChannel.hasSubscribers) rewardChannel.publish({ name, start: started, end: performance.now() });
  const split = typeof result === 'object' && result !== null && 'scores' in result;
  const scores = numbers(name, 'scores', split ? result.scores : result, batch);
  const bad = scores.findIndex((score) => !usable(score));
  if (bad >= 0) {
    const count = scores.filter((score) => !usable(score)).length;
    throw new GymError(
      'E_REWARD',
      `reward \`${name}\`: sample ${bad} (prompt ${shownJson(batch.prompts[bad])}) got ${scores[bad]} (${count} of ${scores.length} are not finite in float32); every score must be a finite number, at most 3.4e38 either way.`,
    );
  }
  const details = Object.entries((split ? result.details : undefined) ?? {}).map(
    ([term, values]) => [term, numbers(name, `details.${shownName(term)}`, values, batch)] as const,
  );
  const notes = Object.entries((split ? result.notes : undefined) ?? {}).map(
    ([term, values]) => [term, texts(name, `notes.${shownName(term)}`, values, batch)] as const,
  );
  return { scores, details: Object.fromEntries(details), notes: Object.fromEntries(notes) };
}

function checkBatch(name: string, { images, prompts }: ScoreBatch): void {
  if (images.shape.length !== 4 || !(images.data instanceof Uint8Array))
    throw new GymError(
      'E_SHAPE',
      `reward \`${name}\`: images must be uint8 [n, height, width, channels], actual ${images.data.constructor.name} [${images.shape.join(', ')}].`,
    );
  if (images.shape[0] !== prompts.length)
    throw new GymError(
      'E_SHAPE',
      `reward \`${name}\`: ${images.shape[0]} images but ${prompts.length} prompts; hand in one prompt an image.`,
    );
}

/** The reward's raw answer, awaited no longer than the limit and the batch's own signal allow. */
async function ask(reward: RewardLike, name: string, batch: ScoreBatch, timeoutMs?: number): Promise<RewardResult> {
  const what = `batch of ${batch.prompts.length} (first prompt ${shownJson(batch.prompts[0])})`;
  const aborted = () => new GymError('E_REWARD', `reward \`${name}\`: gave up on a ${what}: the run was stopped.`);
  const outer = batch.signal;
  if (outer?.aborted) throw aborted();
  const stop = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let stopWith: (() => void) | undefined;
  try {
    // Copies, so that a reward that draws into its pictures changes neither those that are shown and saved nor those
    // that the other terms of an expression are given.
    const { images, prompts, metadata } = batch;
    const own = { images: copy(images), prompts: [...prompts], ...(metadata && { metadata: [...metadata] }) };
    const asked = { ...own, signal: stop.signal };
    const answer = typeof reward === 'function' ? reward(asked) : reward.score(asked);
    if (!isPromiseLike(answer)) return answer;
    return await new Promise<RewardResult>((resolve, reject) => {
      answer.then(resolve, reject);
      const giveUp = (error: GymError) => {
        reject(error);
        stop.abort(error);
      };
      stopWith = () => giveUp(aborted());
      outer?.addEventListener('abort', stopWith);
      if (timeoutMs !== undefined)
        timer = setTimeout(() => {
          giveUp(
            new GymError(
              'E_REWARD',
              `reward \`${name}\`: no answer for a ${what} within ${timeoutMs} ms; allow it more time or make it faster.`,
            ),
          );
        }, timeoutMs);
    });
  } catch (error) {
    if (stop.signal.aborted) throw error;
    throw new GymError('E_REWARD', `reward \`${name}\`: failed on a ${what}: ${messageOf(error)}`, { cause: error });
  } finally {
    clearTimeout(timer);
    if (stopWith) outer?.removeEventListener('abort', stopWith);
  }
}

/** A copy of what should be one number an image. */
function numbers(name: string, field: string, values: unknown, { prompts }: ScoreBatch): Float64Array {
  const where = `reward \`${name}\`: ${field}`;
  if (!isArrayLike(values))
    throw new GymError(
      'E_REWARD',
      `${where}: ${describe(values)} is not an array of numbers; return one number an image, or { scores, details }.`,
    );
  if (values.length !== prompts.length)
    throw new GymError(
      'E_REWARD',
      `${where}: ${values.length} numbers for ${prompts.length} images; return one number an image.`,
    );
  const copy = new Float64Array(values.length);
  for (let i = 0; i < copy.length; i++) {
    const value = values[i];
    if (typeof value !== 'number')
      throw new GymError(
        'E_REWARD',
        `${where}: sample ${i} (prompt ${shownJson(prompts[i])}) got ${describe(value)}; return a number.`,
      );
    copy[i] = value;
  }
  return copy;
}

/** The longest text that is kept of a note. */
const longestNote = 2000;

/** A copy of what should be one text an image, cut where it is long. */
function texts(name: string, field: string, values: unknown, { prompts }: ScoreBatch): string[] {
  const valid = Array.isArray(values) && values.length === prompts.length && values.every((v) => typeof v === 'string');
  if (!valid)
    throw new GymError(
      'E_REWARD',
      `reward \`${name}\`: ${field}: ${Array.isArray(values) ? `${values.length} values` : describe(values)} for ${prompts.length} images; return one text an image.`,
    );
  return values.map((text: string) => text.slice(0, longestNote));
}

/** Finite in float32: with larger numbers the squares and sums of a rollout overflow. */
const usable = (score: number) => Number.isFinite(Math.fround(score));

function isArrayLike(value: unknown): value is ArrayLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { length?: unknown }).length === 'number';
}

function describe(value: unknown): string {
  if (typeof value === 'string') return `the string ${shownJson(value)}`;
  if (typeof value === 'bigint') return `the BigInt ${value}n`;
  if (typeof value === 'object' && value !== null) return `an object (${value.constructor?.name ?? 'Object'})`;
  return typeof value === 'function' ? 'a function' : String(value);
}
