import type { Agent } from '../agents/agent.js';
import { GymError, messageOf } from '../core/errors.js';
import type { Snapshot } from '../core/snapshot.js';
import type { Awaitable, Metrics } from '../core/types.js';
import type { Env } from '../envs/env.js';
import type { VectorEnv } from '../envs/vector-env.js';
import { Collector, type Episode } from './collect.js';
import type { CheckpointState, RunFolder } from './run-folder.js';
import { mean, standardDeviation } from './statistics.js';

/** What a callback is told. */
export interface TrainContext<O, A> {
  /** Finished epochs. */
  readonly epoch: number;
  readonly epochs: number;
  readonly agent: Agent<O, A>;
  readonly folder?: RunFolder;
}

/** Something that happens beside the loop: evaluation, pictures, a guard. */
export interface Callback<O, A> {
  /** Names its state in a checkpoint. */
  readonly name: string;
  /** Before the first epoch of a new run; not when one is resumed. */
  start?(context: TrainContext<O, A>): Awaitable<void>;
  /** After each epoch's `learn`; what it returns joins the epoch's metrics. */
  epoch?(context: TrainContext<O, A>, metrics: Readonly<Metrics>): Awaitable<Metrics | undefined>;
  /** What it needs to go on after a resume. */
  state?(): Awaitable<Snapshot>;
  restore?(state: Snapshot): Awaitable<void>;
}

/** What is going on within an epoch. */
export interface TrainProgress {
  readonly epoch: number;
  readonly epochs: number;
  readonly phase: 'sample' | 'learn' | 'callbacks';
  /** Of `total` vector steps or episodes, while sampling. */
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
    };

export interface TrainOptions<O, A> {
  readonly agent: Agent<O, A>;
  /** One, or several alike so that scoring overlaps with sampling: see {@link Collector}. */
  readonly envs: readonly (VectorEnv<O, A> | Env<O, A>)[];
  readonly epochs: number;
  readonly seed: number;
  /** Where metrics and checkpoints go; nothing is written without it. */
  readonly folder?: RunFolder;
  /** The checkpoint to go on from, as {@link RunFolder.resume} gave it. */
  readonly checkpoint?: { readonly path: string; readonly state: CheckpointState };
  readonly checkpointEvery?: number;
  readonly keepCheckpoints?: number;
  readonly callbacks?: readonly Callback<O, A>[];
  /** Aborted: the epoch is finished, saved, and the run stops. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: TrainProgress) => void;
}

/** The named terms of the episodes' rewards (`info.rewardTerms` of the last step); without NaN, which says that a term does not apply. */
export function rewardTerms(episodes: readonly Episode[]): Map<string, number[]> {
  const terms = new Map<string, number[]>();
  for (const { info } of episodes)
    for (const [name, value] of Object.entries((info.rewardTerms ?? {}) as Record<string, number>)) {
      if (!terms.has(name)) terms.set(name, []);
      if (!Number.isNaN(value)) terms.get(name)!.push(value);
    }
  return terms;
}

/** Mean, spread and range of an epoch's rewards, and the mean of each named term. */
export function rewardMetrics(episodes: readonly Episode[]): Metrics {
  if (episodes.length === 0) return {};
  const rewards = episodes.map((episode) => episode.reward);
  const metrics: Metrics = {
    'reward/mean': mean(rewards),
    'reward/std': standardDeviation(rewards),
    'reward/min': Math.min(...rewards),
    'reward/max': Math.max(...rewards),
    'episode/length': mean(episodes.map((episode) => episode.length)),
  };
  for (const [name, values] of rewardTerms(episodes)) metrics[`term/${name}`] = mean(values);
  return metrics;
}

/**
 * The loop, and nothing else: collect a rollout, learn from it, report. Everything around it listens to its events.
 * With a folder, each epoch's metrics are on the disk before its event, and checkpoints fall after `learn`, when nothing is
 * pending; so a killed run goes on from its last checkpoint with the same numbers as one never killed.
 * @throws what an environment, a reward or the agent throws, with what is saved and how to go on added to the message.
 */
export async function* train<O, A>(options: TrainOptions<O, A>): AsyncGenerator<TrainEvent, void, undefined> {
  const { agent, envs, epochs, seed, folder, checkpoint, callbacks = [], signal, onProgress } = options;
  const { checkpointEvery = 1, keepCheckpoints = 2 } = options;
  const collector = new Collector({ agent, envs, seed });
  const counters = { envSteps: 0, episodes: 0, rewardQueries: 0 };
  let epoch = 0;
  let saved = 0;
  // Where the collector stood before an epoch that may fail: the agent has not learned since.
  let before: Snapshot | undefined;
  let closed = false;

  const save = async (collectorState: Snapshot): Promise<string> => {
    const states: Record<string, Snapshot> = {};
    for (const callback of callbacks) if (callback.state) states[callback.name] = await callback.state();
    const state = { epoch, counters: { ...counters }, collector: collectorState, callbacks: states };
    const path = await folder!.writeCheckpoint(state, (path) => agent.save(path), keepCheckpoints);
    saved = epoch;
    return path;
  };

  try {
    if (checkpoint) {
      const { state, path } = checkpoint;
      epoch = saved = state.epoch;
      await agent.restore(`${path}/agent`);
      await collector.restore(state.collector);
      Object.assign(counters, state.counters);
      for (const callback of callbacks) {
        const callbackState = state.callbacks[callback.name];
        if (callbackState !== undefined) await callback.restore?.(callbackState);
      }
    }
    await folder?.writeStatus({ state: 'running', epoch, epochs });
    yield { type: 'start', epoch, epochs };
    if (!checkpoint) for (const callback of callbacks) await callback.start?.({ epoch, epochs, agent, folder });

    while (epoch < epochs && !signal?.aborted) {
      if (folder && saved < epoch) before = await collector.state();
      const started = performance.now();
      const progress = (phase: TrainProgress['phase'], done = 0, total = 0) =>
        onProgress?.({ epoch: epoch + 1, epochs, phase, done, total });
      const collected =
        agent.needsRollout?.() === false
          ? undefined
          : await collector.collect((done, total) => progress('sample', done, total));
      before = undefined;
      const sampled = performance.now();
      progress('learn');
      agent.setProgress?.(epoch / epochs);
      const learned = await agent.learn(collected?.rollout);
      const ended = performance.now();

      epoch++;
      const episodes = collected?.episodes ?? [];
      const envSteps = collected?.envSteps ?? 0;
      counters.envSteps += envSteps;
      counters.episodes += episodes.length;
      counters.rewardQueries += envs[0] && 'horizon' in envs[0] && envs[0].horizon ? episodes.length : envSteps;
      const metrics: Metrics = {
        epoch,
        ...rewardMetrics(episodes),
        ...learned,
        ...counters,
        'time/sample': (sampled - started) / 1000,
        'time/learn': (ended - sampled) / 1000,
      };
      progress('callbacks');
      for (const callback of callbacks)
        Object.assign(metrics, await callback.epoch?.({ epoch, epochs, agent, folder }, metrics));
      metrics['time/epoch'] = (performance.now() - started) / 1000;
      await folder?.appendMetrics(metrics);
      const last = epoch === epochs || signal?.aborted === true;
      let path: string | undefined;
      if (folder && (last || epoch % checkpointEvery === 0)) path = await save(await collector.state());
      await folder?.writeStatus({ state: 'running', epoch, epochs });
      yield { type: 'epoch', epoch, epochs, metrics, episodes };
      if (path !== undefined) yield { type: 'checkpoint', epoch, path };
    }
    const reason = epoch < epochs ? 'stopped' : 'finished';
    if (folder && saved < epoch) yield { type: 'checkpoint', epoch, path: await save(await collector.state()) };
    await folder?.writeStatus({ state: reason, epoch, epochs });
    closed = true;
    yield { type: 'end', epoch, epochs, reason };
  } catch (error) {
    closed = true;
    if (!folder) throw error;
    // A failed `collect` has changed no weights: what was learned since the last checkpoint is saved too, if the disk lets us.
    if (before !== undefined) await save(before).catch(() => {});
    await folder.writeStatus({ state: 'failed', epoch: saved, epochs, message: messageOf(error) }).catch(() => {});
    throw new GymError(
      GymError.is(error) ? error.code : 'E_STATE',
      `${messageOf(error)}\nThe run is saved up to epoch ${saved} of ${epochs} in ${folder.path}; remove the cause and go on with --resume.`,
      { cause: error },
    );
  } finally {
    // Whoever listened has left early.
    if (!closed) await folder?.writeStatus({ state: 'stopped', epoch: saved, epochs });
  }
}
