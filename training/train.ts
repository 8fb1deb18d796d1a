import type { Agent } from '../agents/agent.js';
import { GymError, messageOf } from '../core/errors.js';
import type { Snapshot } from '../core/snapshot.js';
import type { Awaitable, Metrics } from '../core/types.js';
import type { Env } from '../envs/env.js';
import type { VectorEnv } from '../envs/vector-env.js';
import { Collector, type Episode } from './collect/index.js';
import { recentRewards, rewardMetrics, rollingMetrics } from './reward-metrics.js';
import type { Checkpoint, RunFolder } from './run-folder/index.js';

/** What a callback is told. */
export interface TrainContext<O, A> {
  /** Finished epochs. */
  readonly epoch: number;
  readonly epochs: number;
  /** Whether the run is known to end with this epoch: there is no other, or a callback has asked for the end. */
  readonly last: boolean;
  readonly agent: Agent<O, A>;
  readonly folder?: RunFolder | undefined;
  /** Aborted when the run is to stop: a callback that takes long looks at it, and throws its reason. */
  readonly signal: AbortSignal | undefined;
  /** Says how far a callback is. */
  progress(what: string, done: number, total: number): void;
}

/** Something that happens beside the loop: evaluation, pictures, a guard. */
export interface Callback<O, A> {
  /** Names its state in a checkpoint; no two callbacks of a run have the same. */
  readonly name: string;
  /** Before the first epoch of a new run; not when one is resumed. */
  start?(context: TrainContext<O, A>): Awaitable<void>;
  /** After each epoch's `learn`; what it returns joins the epoch's metrics. */
  epoch?(context: TrainContext<O, A>, metrics: Readonly<Metrics>): Awaitable<Metrics | undefined>;
  /**
   * Why the run is to end now, as a sentence without its full stop; undefined where it may go on. It is asked before every
   * epoch, also before the first one after a resume: the answer must follow from what {@link state} saves.
   */
  stop?(): string | undefined;
  /** What it needs to go on after a resume. */
  state?(): Awaitable<Snapshot>;
  restore?(state: Snapshot): Awaitable<void>;
}

/** What is going on within an epoch. */
export interface TrainProgress {
  readonly epoch: number;
  readonly epochs: number;
  /** 'sampling', 'learning', or what a callback says of itself: 'evaluating'. */
  readonly phase: string;
  /** Of `total`, where that is known; else both are 0. */
  readonly done: number;
  readonly total: number;
}

export type TrainEvent =
  | { readonly type: 'start'; readonly epoch: number; readonly epochs: number }
  | {
      readonly type: 'epoch';
      readonly epoch: number;
      readonly epochs: number;
      readonly metrics: Readonly<Metrics>;
      readonly episodes: readonly Episode[];
    }
  | { readonly type: 'checkpoint'; readonly epoch: number; readonly path: string }
  | {
      readonly type: 'end';
      readonly epoch: number;
      readonly epochs: number;
      readonly reason: 'finished' | 'stopped';
      /** What a callback said that ended the run before its last epoch. Its `reason` is then `finished`. */
      readonly why?: string | undefined;
    };

export interface TrainOptions<O, A> {
  readonly agent: Agent<O, A>;
  /** One, or several alike so that scoring overlaps with sampling: see {@link Collector}. */
  readonly envs: readonly (VectorEnv<O, A> | Env<O, A>)[];
  readonly epochs: number;
  /** The epochs over which the agent's schedules run, however many the run has. Default: `epochs`. */
  readonly scheduleEpochs?: number | undefined;
  readonly seed: number;
  /** Where metrics and checkpoints go; nothing is written without it. */
  readonly folder?: RunFolder | undefined;
  /** The checkpoint to go on from, as {@link RunFolder.resume} gave it. */
  readonly checkpoint?: Checkpoint | undefined;
  readonly checkpointEvery?: number | undefined;
  readonly keepCheckpoints?: number | undefined;
  readonly callbacks?: readonly Callback<O, A>[] | undefined;
  /**
   * Aborted: the run stops after the present step of an environment, micro-batch or call of the user's code. A rollout
   * that is not complete is dropped and made anew on resume, with the same numbers; so is an update.
   */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: TrainProgress) => void) | undefined;
  /** Told what looks wrong, and what to do about it. */
  readonly warn?: ((message: string) => void) | undefined;
}

/**
 * The loop, and nothing else: collect a rollout, learn from it, report. Everything around it listens to its events.
 * With a folder, each epoch's metrics are on the disk before its event, and checkpoints fall after `learn`, when nothing is
 * pending; so a killed run goes on from its last checkpoint with the same numbers as one never killed. Nothing is written
 * before the checkpoint to go on from is restored. At its end the folder is given back: see {@link RunFolder.close}.
 * @throws GymError E_CONFIG when two callbacks have the same name, before anything is written;
 *   what an environment, a reward or the agent throws, with what is saved and how to go on added to the message;
 *   GymError E_DIVERGED when the agent's weights become infinite or NaN, with the last checkpoint before that kept for good.
 */
export async function* train<O, A>(options: TrainOptions<O, A>): AsyncGenerator<TrainEvent, void, undefined> {
  const { agent, envs, epochs, seed, folder, checkpoint, callbacks = [], signal, onProgress, warn } = options;
  const { checkpointEvery = 1, keepCheckpoints = 2, scheduleEpochs = epochs } = options;
  refuseSameNames(callbacks);
  const collector = new Collector({ agent, envs, seed });
  const counters = { envSteps: 0, episodes: 0, rewardQueries: 0 };
  /** Finished epochs. */
  let epoch = 0;
  /** Those of them that are in a checkpoint. */
  let saved = 0;
  /** Where the collector stood before the rollout that is being made: until `learn`, the agent can be saved as it was then. */
  let before: Snapshot | undefined;
  /** Rewards of the episodes that ended last. */
  let recent: readonly number[] = [];
  /** Whether the agent may have changed since it was saved. */
  let changed = false;
  let closed = false;

  const saveAgent = (path: string) => agent.save(path);
  const save = async (collectorState: Snapshot): Promise<string> => {
    const states: Record<string, Snapshot> = {};
    for (const callback of callbacks) if (callback.state) states[callback.name] = await callback.state();
    const state = {
      epoch,
      counters: { ...counters },
      recentRewards: recent,
      collector: collectorState,
      callbacks: states,
    };
    const path = await folder!.writeCheckpoint(state, saveAgent, keepCheckpoints);
    saved = epoch;
    changed = false;
    return path;
  };
  const progressOf =
    (current: number) =>
    (phase: string, done = 0, total = 0) =>
      onProgress?.({ epoch: current, epochs, phase, done, total });
  /** What the first callback says that wants the run to end. */
  const whyEnded = (): string | undefined => {
    for (const callback of callbacks) {
      const why = callback.stop?.();
      if (why !== undefined) return why;
    }
    return undefined;
  };
  /** What goes on while the run is told to stop is dropped, and may fail because of that. */
  const unlessStopped = async <T>(work: () => Awaitable<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    }
  };

  if (checkpoint) {
    await restoreFrom(checkpoint, agent, collector, callbacks);
    epoch = saved = checkpoint.state.epoch;
    Object.assign(counters, checkpoint.state.counters);
    recent = checkpoint.state.recentRewards ?? [];
  }
  await folder?.begin(checkpoint);
  try {
    if (folder && collector.obstacleToResume)
      warn?.(`this run cannot be resumed once it is stopped or killed: ${collector.obstacleToResume.message}`);
    await folder?.writeStatus({ state: 'running', epoch, epochs });
    yield { type: 'start', epoch, epochs };
    try {
      if (!checkpoint) {
        const context = { epoch, epochs, last: false, agent, folder, signal, progress: progressOf(epoch) };
        for (const callback of callbacks) await unlessStopped(() => callback.start?.(context));
      }
      while (epoch < epochs && !signal?.aborted && whyEnded() === undefined) {
        const current = epoch + 1;
        const progress = progressOf(current);
        if (folder && saved < epoch) before = await collector.state();
        const started = performance.now();
        const collected =
          agent.needsRollout?.() === false
            ? undefined
            : await unlessStopped(() =>
                collector.collect({ signal, onProgress: (done, total) => progress('sampling', done, total) }),
              );
        before = undefined;
        const sampled = performance.now();
        progress('learning');
        agent.setProgress?.(Math.min(1, epoch / scheduleEpochs));
        changed = true;
        const learned = await unlessStopped(() => agent.learn(collected?.rollout, { signal }));
        const ended = performance.now();

        const episodes = collected?.episodes ?? [];
        const envSteps = collected?.envSteps ?? 0;
        recent = recentRewards(recent, episodes);
        counters.envSteps += envSteps;
        counters.episodes += episodes.length;
        counters.rewardQueries += envs[0] && 'horizon' in envs[0] && envs[0].horizon ? episodes.length : envSteps;
        const metrics: Metrics = {
          epoch: current,
          ...rewardMetrics(episodes),
          ...rollingMetrics(recent),
          ...learned,
          ...counters,
          'time/sample': (sampled - started) / 1000,
          'time/learn': (ended - sampled) / 1000,
        };
        // A number that is not finite is the first sign of weights that are not; nobody should wait for the next checkpoint.
        if (folder && Object.values(learned).some((value) => !Number.isFinite(value)))
          await folder.checkFinite(saveAgent).catch(async (error: unknown) => {
            await folder.appendMetrics(metrics);
            throw error;
          });
        const context = {
          epoch: current,
          epochs,
          // Callbacks that come later know of the end that those before them have asked for.
          get last() {
            return current === epochs || whyEnded() !== undefined;
          },
          agent,
          folder,
          signal,
          progress,
        };
        for (const callback of callbacks)
          Object.assign(metrics, await unlessStopped(() => callback.epoch?.(context, metrics)));
        metrics['time/epoch'] = (performance.now() - started) / 1000;
        await folder?.appendMetrics(metrics);
        epoch = current;
        const last = context.last || signal?.aborted === true;
        let path: string | undefined;
        if (folder && (last || epoch % checkpointEvery === 0)) path = await save(await collector.state());
        await folder?.writeStatus({ state: 'running', epoch, epochs });
        yield { type: 'epoch', epoch, epochs, metrics, episodes };
        if (path !== undefined) yield { type: 'checkpoint', epoch, path };
      }
    } catch (error) {
      // Stopped in the middle of something, which is dropped.
      if (!(signal?.aborted && error === signal.reason)) throw error;
      if (before !== undefined) yield { type: 'checkpoint', epoch, path: await save(before) };
      else if (folder) epoch = saved;
    }
    const why = epoch < epochs ? whyEnded() : undefined;
    const reason = epoch < epochs && why === undefined ? 'stopped' : 'finished';
    if (folder && saved < epoch) yield { type: 'checkpoint', epoch, path: await save(await collector.state()) };
    await folder?.writeStatus({ state: reason, epoch, epochs, message: why });
    closed = true;
    yield { type: 'end', epoch, epochs, reason, ...(why !== undefined && { why }) };
  } catch (error) {
    closed = true;
    if (!folder) throw error;
    const divergence = await divergenceBehind(error, async () => {
      // A failed `collect` has changed no weights: what was learned since the last checkpoint is saved too, if the disk lets us.
      if (before !== undefined) await save(before);
      else if (changed) await folder.checkFinite(saveAgent);
    });
    const failure = divergence
      ? await diverged(divergence, error, folder, saved)
      : new GymError(
          GymError.is(error) ? error.code : 'E_STATE',
          `${messageOf(error)}\nThe run is saved up to epoch ${saved} of ${epochs} in ${folder.path}; remove the cause and go on with --resume.`,
          { cause: error },
        );
    const state = divergence ? 'diverged' : 'failed';
    const message = divergence ? failure.message : messageOf(error);
    await folder.writeStatus({ state, epoch: saved, epochs, message }).catch(() => {});
    throw failure;
  } finally {
    // Whoever listened has left early.
    if (!closed) await folder?.writeStatus({ state: 'stopped', epoch: saved, epochs });
    folder?.close();
  }
}

/** Two callbacks of one name would share one state in a checkpoint. */
function refuseSameNames<O, A>(callbacks: readonly Callback<O, A>[]): void {
  const names = callbacks.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined)
    throw new GymError(
      'E_CONFIG',
      `callbacks: two are named \`${twice}\`, and a checkpoint saves the state of each by its name; leave one out, or give it another name: { ...callback, name: 'another' }.`,
    );
}

async function restoreFrom<O, A>(
  { path, state }: Checkpoint,
  agent: Agent<O, A>,
  collector: Collector<O, A>,
  callbacks: readonly Callback<O, A>[],
): Promise<void> {
  try {
    await agent.restore(`${path}/agent`);
    await collector.restore(state.collector);
    for (const callback of callbacks) {
      const callbackState = state.callbacks[callback.name];
      if (callbackState !== undefined) await callback.restore?.(callbackState);
    }
  } catch (error) {
    throw new GymError(
      GymError.is(error) ? error.code : 'E_STATE',
      `checkpoint ${path} cannot be restored: ${messageOf(error)}\nThe run's folder is as it was.`,
      { cause: error },
    );
  }
}

/** The error of divergence, if that is what an error is, or what stands behind it. @param look throws it where it does. */
async function divergenceBehind(error: unknown, look: () => Promise<void>): Promise<GymError | undefined> {
  const isDivergence = (e: unknown): e is GymError => GymError.is(e) && e.code === 'E_DIVERGED';
  if (isDivergence(error)) return error;
  try {
    await look();
  } catch (found) {
    if (isDivergence(found)) return found;
  }
  return undefined;
}

/** Keeps what is finite of a run that has diverged. @returns the error that says so, and what to do. */
async function diverged(divergence: GymError, cause: unknown, folder: RunFolder, saved: number): Promise<GymError> {
  const kept = await folder.keepFinite().catch(() => undefined);
  const left =
    kept === undefined
      ? 'There is no checkpoint from before.'
      : `The last finite checkpoint, that of epoch ${saved}, is kept in ${kept}; evaluate, sample and export use it.`;
  return new GymError(
    'E_DIVERGED',
    `The run has diverged: ${divergence.message}\n${left} A resume would go the same way: start again with a lower learning rate (agent.learningRate), or look for rewards that are too large.`,
    { cause },
  );
}
