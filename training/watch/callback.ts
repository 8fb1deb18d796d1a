import { writeFileAtomic } from '../../core/files.js';
import { isNdArray, type NdArray } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import type { Snapshot } from '../../core/snapshot.js';
import { mean, standardDeviation } from '../../core/statistics.js';
import type { Awaitable, Metrics } from '../../core/types.js';
import type { VectorEnv } from '../../envs/vector-env.js';
import { featureDistance } from '../../rewards/nsfw/feature-distance.js';
import { KeptAgents } from '../callbacks/kept-agents.js';
import type { Episode } from '../collect/index.js';
import { evaluate } from '../evaluation/index.js';
import { gridPng } from '../images.js';
import type { Callback, TrainContext } from '../train.js';
import { meanByPrompt, measurePictures } from './measures.js';
import { type WatchRecord, watchFiles } from './record.js';

/** The name under which the watched environments' reward gives the guard's score, among its details. */
export const guardTerm = 'watch-guard';

/** The parts of a watch that a family puts together. */
export interface WatchParts<O, A> {
  /** Environments for this alone, whose episodes end in pictures; their reward says the guard's score as {@link guardTerm}. */
  readonly envs: readonly VectorEnv<O, A>[];
  /** How many episodes: a multiple of the environments' number. */
  readonly samples: number;
  /** The features of pictures, by which they are compared as people see them. */
  features?(images: readonly NdArray[]): Awaitable<readonly ArrayLike<number>[]>;
  /** KL of single decisions to the policy as the run found it. */
  kl?(observations: readonly O[], actions: readonly A[]): Awaitable<ArrayLike<number>>;
  /** Epochs between looks; there is one before the first epoch, and one after the last. */
  readonly every: number;
  /** What happens when the guard falls while the trained reward rises, or by more than its spread: nothing but a warning; the run ends; or it ends with the agent of the last look at which the guard had not fallen. */
  readonly rule: 'warn' | 'stop' | 'rollback';
  /** How far the guard may fall, in standard deviations of its scores before the first epoch. */
  readonly tolerance: number;
}

export interface WatchOptions<O, A> extends WatchParts<O, A> {
  readonly warn?: ((message: string) => void) | undefined;
}

/** What a later look is compared with. */
interface Start {
  readonly reward: readonly number[];
  readonly guard: readonly number[];
  /** The mean features of the pictures, where there are features. */
  readonly features?: readonly number[] | undefined;
}

const kept = new KeptAgents('watch-agents');

const rounded = (value: number) => String(Number(value.toPrecision(3)));

/** The mean of paired differences, and its standard error. */
function change(before: readonly number[], after: readonly number[]): { mean: number; se: number } {
  const differences = after.map((value, i) => value - before[i]!).filter((value) => !Number.isNaN(value));
  return { mean: mean(differences), se: standardDeviation(differences, 1) / Math.sqrt(differences.length) };
}

/**
 * Looks at what training does to pictures beside raising their reward: on prompts and noises that are always the same, with
 * the noise of training and without, by a second reward that is not trained on, by their diversity, brightness, saturation
 * and high frequencies, and by the KL to the policy as the run found it. A look is logged (`watch/...`), and kept in the
 * run's folder with its pictures. When the trained reward has risen and the guard has fallen, which is how over-optimisation
 * is known, the rule says what happens.
 */
export function watchCallback<O, A>(options: WatchOptions<O, A>): Callback<O, A> {
  const { every, rule, tolerance, warn } = options;
  let start: Start | undefined;
  /** Epoch of the last look at which the guard had not fallen. */
  let good = 0;
  /** What was wrong at the latest look. */
  let alarm: string | undefined;

  const look = async ({ agent, epoch, folder, signal, progress }: TrainContext<O, A>) => {
    const seen = await lookAt(agent, epoch, options, start, signal, (done) =>
      progress('watching', done, 2 * options.samples),
    );
    if (folder) {
      const files = watchFiles(folder.path, epoch);
      await writeFileAtomic(files.png, (await gridPng(seen.images)).png);
      await writeFileAtomic(files.json, `${JSON.stringify(seen.record)}\n`);
    }
    return seen;
  };
  const keep = async ({ agent, epoch, folder }: TrainContext<O, A>) => {
    good = epoch;
    if (rule !== 'rollback' || folder === undefined) return;
    await kept.write(folder, agent, epoch, { rule });
    await kept.tidy(folder, epoch);
  };
  /**
   * Whether the guard has fallen, by more than chance: by more than it may while the trained reward rose, which is
   * over-optimisation, or by more than its own spread without that, which is a model that breaks.
   */
  const judge = (reward: readonly number[], guard: readonly number[]): string | undefined => {
    if (start === undefined || guard.length === 0) return undefined;
    const [risen, fallen] = [change(start.reward, reward), change(start.guard, guard)];
    const allowed = tolerance * standardDeviation(start.guard);
    if (!(-fallen.mean > allowed && -fallen.mean > 3 * fallen.se)) return undefined;
    const fall = `the guard fell by ${rounded(-fallen.mean)} (from ${rounded(mean(start.guard))} to ${rounded(mean(guard))}; ${rounded(allowed)} is tolerated)`;
    if (risen.mean > 0) return `the trained reward has risen by ${rounded(risen.mean)} while ${fall}`;
    const spread = Math.max(standardDeviation(start.guard), standardDeviation(guard));
    return -fallen.mean > spread ? `${fall}, and the trained reward has not risen` : undefined;
  };

  return {
    name: 'watch',
    start: async (context) => {
      const { reward, guard, features } = await look(context);
      start = { reward, guard, features };
      await keep(context);
    },
    epoch: async (context) => {
      if (!context.last && context.epoch % every !== 0) return undefined;
      const { record, reward, guard } = await look(context);
      const wrong = judge(reward, guard);
      if (wrong === undefined) {
        alarm = undefined;
        await keep(context);
      } else {
        if (alarm === undefined || rule !== 'warn')
          warn?.(`watch: ${wrong}: look at the pictures, and lower the learning rate, or hold the policy by a KL.`);
        alarm = wrong;
        if (rule === 'rollback' && context.folder !== undefined)
          await context.agent.restore(`${kept.pathOf(context.folder.path, good)}/agent`);
      }
      return metricsOf(record);
    },
    stop: () =>
      alarm === undefined || rule === 'warn'
        ? undefined
        : `${alarm}${rule === 'rollback' ? `; the agent is that of epoch ${good} again` : ''} (watch.rule)`,
    state: (): Snapshot => ({
      start:
        start === undefined
          ? null
          : {
              reward: [...start.reward],
              guard: [...start.guard],
              ...(start.features && { features: [...start.features] }),
            },
      good,
      alarm: alarm ?? null,
    }),
    restore: (state) => {
      const saved = state as unknown as { start: Start | null; good: number; alarm: string | null };
      start = saved.start ?? undefined;
      good = saved.good;
      alarm = saved.alarm ?? undefined;
    },
  };
}

/** One look: all samples with the noise of training, and all of them without. */
async function lookAt<O, A>(
  agent: TrainContext<O, A>['agent'],
  epoch: number,
  { envs, samples, features: featuresOf, kl, warn }: WatchOptions<O, A>,
  start: Start | undefined,
  signal: AbortSignal | undefined,
  progress: (done: number) => void,
): Promise<{ record: WatchRecord; reward: number[]; guard: number[]; features?: number[]; images: NdArray[] }> {
  const decisions: [O[], A[]] = [[], []];
  const run = (explore: boolean, offset: number) =>
    evaluate(agent, envs, {
      episodes: samples,
      // Of its own, so that every look, and that of runs with other seeds, is on the same prompts and noises.
      random: new Random('watch'),
      explore,
      signal,
      warn,
      onProgress: (done) => progress(offset + done),
      onAct: (observations, actions) => {
        if (kl === undefined || !explore) return;
        decisions[0].push(...(observations as O[]));
        decisions[1].push(...(actions as A[]));
      },
    });
  const drawn = await run(true, 0);
  const deterministic = await run(false, samples);
  const images = drawn.episodes.flatMap(({ info }) => (isNdArray(info.image) ? [info.image] : []));
  const prompts = drawn.episodes.map(({ info }) => String(info.prompt));
  const { brightness, saturation, highFrequency, diversity, blank } = measurePictures(images, prompts);
  const seen = featuresOf && (await featuresOf(images));
  const features = seen && meanOf(seen);
  const divergences = kl && (await kl(...decisions));
  const guard = guardOf(drawn.episodes);
  const hasGuard = guard.length > 0;
  return {
    record: {
      epoch,
      reward: drawn.mean,
      rewardDeterministic: deterministic.mean,
      ...(hasGuard && {
        guard: mean(guard),
        guardStd: standardDeviation(guard),
        guardDeterministic: mean(guardOf(deterministic.episodes)),
      }),
      brightness,
      saturation,
      highFrequency,
      diversity,
      blank,
      ...(seen && {
        featureDiversity: meanByPrompt(seen, prompts, featureDistance),
        featureDrift: featureDistance(features!, start?.features ?? features!),
      }),
      ...(divergences && { kl: (mean(divergences) * divergences.length) / samples }),
    },
    reward: drawn.episodes.map(({ reward }) => reward),
    guard,
    features,
    images,
  };
}

/** The mean of vectors. */
function meanOf(vectors: readonly ArrayLike<number>[]): number[] {
  return Array.from(vectors[0]!, (_, k) => mean(vectors.map((vector) => vector[k]!)));
}

function guardOf(episodes: readonly Episode[]): number[] {
  const scores = episodes.map(({ info }) => (info.rewardTerms as Record<string, number> | undefined)?.[guardTerm]);
  return scores.filter((score): score is number => score !== undefined);
}

function metricsOf({ epoch: _, ...numbers }: WatchRecord): Metrics {
  return Object.fromEntries(
    Object.entries(numbers).flatMap(([key, value]) => (value === undefined ? [] : [[`watch/${key}`, value]])),
  );
}
