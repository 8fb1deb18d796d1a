import { GymError } from '../core/errors.js';
import type { NdArray } from '../core/ndarray.js';
import { meanAndStd } from '../core/statistics.js';
import type { Info, Metrics } from '../core/types.js';
import type { Extras, Rollout } from './agent.js';

/** Consecutive rows of one episode (or the part of it that the rollout holds). */
export interface Span {
  readonly first: number;
  /** One past the last row. */
  readonly end: number;
  /** Whether the rollout holds the episode from its start to its end. */
  readonly complete: boolean;
}

/** A rollout as a list of transitions: environment by environment, each in time order; steps that are no transitions are left out. */
export interface Transitions<O, A> {
  readonly observations: O[];
  readonly actions: A[];
  readonly rewards: Float64Array;
  readonly terminated: Uint8Array;
  readonly truncated: Uint8Array;
  readonly infos: Info[];
  readonly extras: Extras;
  /** What came after the last row of each span, where the episode did not terminate there. */
  readonly successors: (O | undefined)[];
  readonly spans: Span[];
}

/**
 * Flattens a rollout.
 * @throws GymError E_VALUE on a reward that is not finite.
 */
export function transitionsOf<O, A>(rollout: Rollout<O, A>): Transitions<O, A> {
  const numEnvs = rollout.steps[0]?.observations.length ?? 0;
  const at: { step: number; env: number }[] = [];
  const spans: Span[] = [];
  const successors: (O | undefined)[] = [];
  for (let env = 0; env < numEnvs; env++) {
    let first = at.length;
    let started = false;
    const close = (complete: boolean, successor: O | undefined) => {
      if (at.length === first) return;
      spans.push({ first, end: at.length, complete });
      successors.push(successor);
      first = at.length;
    };
    rollout.steps.forEach((step, t) => {
      if (!step.valid[env]) return;
      if (at.length === first) started = step.starts[env] === 1;
      at.push({ step: t, env });
      const reward = step.rewards[env]!;
      if (!Number.isFinite(reward))
        throw new GymError(
          'E_VALUE',
          `learn: the reward of environment ${env} at step ${t} of the rollout is ${reward}.`,
        );
      if (step.terminated[env] || step.truncated[env])
        close(started, step.terminated[env] ? undefined : step.finalObservations[env]);
    });
    close(false, rollout.lastObservations[env]);
  }
  const pick = <T>(of: (step: number, env: number) => T): T[] => at.map(({ step, env }) => of(step, env));
  const extras: Record<string, Float32Array | readonly NdArray[]> = {};
  for (const [name, sample] of Object.entries(rollout.steps[0]?.extras ?? {})) {
    const values = pick((t, env) => rollout.steps[t]!.extras[name]![env]!);
    extras[name] = sample instanceof Float32Array ? Float32Array.from(values as number[]) : (values as NdArray[]);
  }
  return {
    observations: pick((t, env) => rollout.steps[t]!.observations[env]!),
    actions: pick((t, env) => rollout.steps[t]!.actions[env]!),
    rewards: Float64Array.from(pick((t, env) => rollout.steps[t]!.rewards[env]!)),
    terminated: Uint8Array.from(pick((t, env) => rollout.steps[t]!.terminated[env]!)),
    truncated: Uint8Array.from(pick((t, env) => rollout.steps[t]!.truncated[env]!)),
    infos: pick((t, env) => rollout.steps[t]!.infos[env] ?? {}),
    extras,
    successors,
    spans,
  };
}

/**
 * How much of the variation of the critic's targets its values explain that the rollout was made with:
 * 1 − Var(targets − values) / Var(targets). 1 is a perfect critic, 0 one that says the same of every state, and below 0 it is
 * worse than that.
 * @returns no metric without a critic or targets, and none where the targets are all alike.
 */
export function explainedVariance(
  { extras: { value } }: Pick<Transitions<unknown, unknown>, 'extras'>,
  targets: Float32Array | undefined,
): Metrics {
  if (targets === undefined || !(value instanceof Float32Array)) return {};
  const { std } = meanAndStd(targets);
  if (!(std > 0)) return {};
  return { 'train/explainedVariance': 1 - (meanAndStd(targets.map((target, i) => target - value[i]!)).std / std) ** 2 };
}
