import type { Agent } from '../../agents/agent.js';
import type { Random } from '../../core/random.js';
import { mean, standardDeviation } from '../../core/statistics.js';
import type { Env } from '../../envs/env.js';
import type { VectorEnv } from '../../envs/vector-env.js';
import { Collector, type CollectProgress, type Episode } from '../collect/index.js';
import { rewardTerms } from '../reward-metrics.js';

export interface EvaluateOptions {
  /** How many whole episodes. */
  readonly episodes: number;
  /** Seeds the environment and gives the agent its draws: the same one gives the same episodes. */
  readonly random: Random;
  /** false: the policy's mode. Default false. */
  readonly explore?: boolean;
  /** Told of every vector step, in order. */
  readonly onAct?: (observations: readonly unknown[], actions: readonly unknown[]) => void;
  readonly onProgress?: CollectProgress | undefined;
  /** An episode that is longer is cut there. Default: no limit. */
  readonly maxSteps?: number | undefined;
  /** Told that episodes were cut, and how many. Default: nobody. */
  readonly warn?: ((message: string) => void) | undefined;
  /** Aborted: throws its reason after the present step. */
  readonly signal?: AbortSignal | undefined;
}

export interface Evaluation {
  readonly mean: number;
  /** Standard deviation of the episodes' rewards. */
  readonly std: number;
  /** Standard error of the mean. */
  readonly se: number;
  readonly min: number;
  readonly max: number;
  /** Mean of each named term of the reward. */
  readonly terms: Readonly<Record<string, number>>;
  readonly episodes: readonly Episode[];
}

/**
 * Runs an agent on environments of its own and changes nothing in it: it draws from the given stream and does not learn.
 * @throws what the environment or the agent throws.
 */
export async function evaluate<O, A>(
  agent: Agent<O, A>,
  envs: VectorEnv<O, A> | Env<O, A> | readonly (VectorEnv<O, A> | Env<O, A>)[],
  { episodes: count, random, explore = false, onAct, onProgress, maxSteps, warn, signal }: EvaluateOptions,
): Promise<Evaluation> {
  const draws = random.child('agent');
  const observer: Agent<O, A> = {
    collect: { episodes: count },
    get lanes() {
      return agent.lanes ?? 1;
    },
    act: async (observations, options) => {
      const decision = await agent.act(observations, { ...options, explore, random: draws });
      onAct?.(observations, decision.actions);
      return decision;
    },
    learn: () => ({}),
    save: async () => {},
    restore: async () => {},
    dispose: () => {},
  };
  const collector = new Collector({
    agent: observer,
    envs: Array.isArray(envs) ? envs : [envs as VectorEnv<O, A>],
    seed: random.child('env').integer(2 ** 31),
    store: false,
    maxEpisodeSteps: maxSteps,
  });
  const episodes = (await collector.collect({ onProgress, signal })).episodes.slice(0, count);
  const cut = episodes.filter((episode) => episode.cut).length;
  if (cut > 0)
    warn?.(
      `evaluation: ${cut} of ${episodes.length} episodes had not ended after ${maxSteps} steps (evaluation.maxSteps) and were cut there. Give the environment a limit (maxEpisodeSteps), or allow more.`,
    );
  const rewards = episodes.map((episode) => episode.reward);
  return {
    mean: mean(rewards),
    std: standardDeviation(rewards),
    se: standardDeviation(rewards, 1) / Math.sqrt(rewards.length),
    min: Math.min(...rewards),
    max: Math.max(...rewards),
    terms: Object.fromEntries([...rewardTerms(episodes)].map(([name, values]) => [name, mean(values)])),
    episodes,
  };
}
