import { GymError } from '../../core/errors.js';
import { snapshotNumbers, snapshotParts } from '../checks.js';
import { type Modification, stepModification } from './modifier.js';

/** What {@link recordEpisodeStatistics} writes into the info of an episode's last step. The names are Gymnasium's. */
export interface EpisodeStatistics {
  /** The return: the sum of the episode's rewards. */
  readonly r: number;
  /** The episode's length in steps. */
  readonly l: number;
  /** The seconds since the episode's reset, rounded to six digits. */
  readonly t: number;
}

/** The returns, lengths and seconds of the last episodes of all environments that it was put around. */
export interface EpisodeRecorder<O, A> extends Modification<O, A, O, A> {
  readonly returns: readonly number[];
  readonly lengths: readonly number[];
  readonly times: readonly number[];
}

/**
 * Writes `info.episode = { r, l, t }` at an episode's last step, and keeps those of the last `bufferLength` episodes.
 * To record the environment's own rewards, put it inside of whatever changes rewards.
 */
export function recordEpisodeStatistics<O, A>({
  bufferLength = 100,
  key = 'episode',
}: {
  bufferLength?: number | undefined;
  key?: string | undefined;
} = {}): EpisodeRecorder<O, A> {
  const queues = { returns: [] as number[], lengths: [] as number[], times: [] as number[] };
  const push = (queue: number[], value: number) => {
    queue.push(value);
    if (queue.length > bufferLength) queue.shift();
  };
  const modification = stepModification<O, A>('RecordEpisodeStatistics', () => () => {
    let [r, l, begun] = [0, 0, performance.now()];
    return {
      first: (result) => {
        [r, l, begun] = [0, 0, performance.now()];
        return result;
      },
      next: (result) => {
        r += result.reward;
        l++;
        if (!result.terminated && !result.truncated) return result;
        if (Object.hasOwn(result.info, key))
          throw new GymError(
            'E_CONFIG',
            `RecordEpisodeStatistics: the info has a \`${key}\` already; name another \`key\`.`,
          );
        const t = Math.round((performance.now() - begun) * 1000) / 1e6;
        push(queues.returns, r);
        push(queues.lengths, l);
        push(queues.times, t);
        const episode: EpisodeStatistics = { r, l, t };
        return { ...result, info: { ...result.info, [key]: episode } };
      },
      state: () => ({ r, l, elapsed: performance.now() - begun }),
      restore: (state, result) => {
        const saved = snapshotParts('RecordEpisodeStatistics', state, ['r', 'l', 'elapsed']);
        const numbers = snapshotNumbers('RecordEpisodeStatistics', [saved.r, saved.l, saved.elapsed], 3);
        [r, l, begun] = [numbers[0]!, numbers[1]!, performance.now() - numbers[2]!];
        return result;
      },
    };
  });
  return { ...modification, ...queues };
}
