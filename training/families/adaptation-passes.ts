import type { Agent, Rollout } from '../../agents/agent.js';
import type { Info, Metrics } from '../../core/types.js';
import type { SourceFreeAdaptation } from '../../envs/adaptation/adaptation.js';
import { labelsOf } from '../../envs/adaptation/rules.js';
import type { AdaptationAction, AdaptationObservation } from '../../envs/adaptation/spaces.js';
import type { Callback } from '../train.js';

/** What an info has at the end of a pass that becomes a metric. */
const logged = [
  'accuracy',
  'neighbourAccuracy',
  'pseudoLabelAccuracy',
  'streamAccuracy',
  'weightRight',
  'weightWrong',
  'falseNegatives',
  'wrongExclusions',
  'excludedNegatives',
  'labelsChanged',
  'informationScore',
] as const;

/** The metrics of a pass, from the info of its last step. Accuracies are means over classes. */
export function metricsOf(info: Info): Metrics {
  const named: Info = {
    ...info,
    accuracy: info.perClassAccuracy,
    neighbourAccuracy: info.neighbourPerClassAccuracy,
  };
  const metrics: Metrics = {};
  for (const name of logged) {
    const value = named[name];
    if (typeof value === 'number') metrics[`adaptation/${name}`] = value;
  }
  return metrics;
}

/** What the agent last decided for a sample. */
export interface Decided {
  readonly label: number;
  readonly weight: number;
}

/**
 * A rule as a run takes it: a rollout is one pass over the target, after which its metrics are logged; an episode, the
 * whole adaptation, goes on from epoch to epoch of the run.
 */
export function byPasses(rule: Agent<unknown, unknown>, env: SourceFreeAdaptation) {
  /** By the sample's index. */
  let decided = new Map<number, Decided>();
  const agent: Agent<unknown, unknown> = {
    collect: { steps: env.stepsPerEpoch },
    act: (observations, options) => rule.act(observations, options),
    learn: async (rollout) => {
      await rule.learn();
      const { steps } = rollout as Rollout<AdaptationObservation, AdaptationAction>;
      decided = new Map();
      for (const { observations, actions } of steps) {
        const [observation, action] = [observations[0]!, actions[0]!];
        const labels = labelsOf(action.pseudoLabels);
        observation.index.data.forEach((index, i) => {
          decided.set(index, { label: labels[i]!, weight: action.weights.data[i]! });
        });
      }
      return metricsOf(steps.at(-1)!.infos[0]!);
    },
    save: (folder) => rule.save(folder),
    restore: (folder) => rule.restore(folder),
    dispose: () => rule.dispose(),
  };
  const callback: Callback<unknown, unknown> = { name: 'adaptation' };
  return { agent, callback, decided: () => decided };
}
