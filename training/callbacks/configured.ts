import { GymError } from '../../core/errors.js';
import { shownName } from '../../core/shown.js';
import type { RunConfig } from '../config/run-config.js';
import type { Callback } from '../train.js';
import { keepBest } from './keep-best.js';
import { stopAtReward, stopWithoutImprovement } from './stop.js';

type AnyCallback = Callback<unknown, unknown>;

/**
 * The callbacks of a run in their order: those that its configuration asks for, its evaluation, and what a program brings
 * along. What looks at rewards of training stands before the evaluation, so that this knows when the run is about to end;
 * what looks at the evaluation stands after it.
 * @param rewardThreshold what `stopAtReward: auto` stands for.
 * @throws GymError E_CONFIG when the environment says of itself no threshold, and `auto` was asked for; or when two callbacks
 *   that have a state have the same name.
 */
export function withConfiguredCallbacks(
  config: RunConfig,
  {
    evaluation,
    watch,
    callbacks,
    rewardThreshold,
  }: {
    readonly evaluation: AnyCallback;
    /** Before the evaluation, which may then be that of an agent that was set back. */
    readonly watch?: AnyCallback | undefined;
    readonly callbacks: readonly AnyCallback[];
    readonly rewardThreshold: number | undefined;
  },
): readonly AnyCallback[] {
  const { samples, every } = config.evaluation;
  const metric = samples > 0 && every > 0 ? 'eval/mean' : 'reward/rolling';
  const configured: [metric: string, callback: AnyCallback][] = [];
  if (config.keepBest !== 'none') configured.push([config.keepBest, keepBest({ metric: config.keepBest })]);
  if (config.stopAtReward !== undefined) {
    const threshold = config.stopAtReward === 'auto' ? rewardThreshold : config.stopAtReward;
    if (threshold === undefined)
      throw new GymError(
        'E_CONFIG',
        `stopAtReward: \`auto\` is the threshold at which the environment counts as solved, and ${config.env} says none; give a number.`,
      );
    configured.push([metric, stopAtReward(threshold, { metric })]);
  }
  if (config.patience > 0) configured.push(['eval/mean', stopWithoutImprovement(config.patience)]);
  const isEvaluated = ([watched]: (typeof configured)[number]) => watched === 'eval/mean';
  const all = [
    ...configured.filter((entry) => !isEvaluated(entry)),
    ...(watch === undefined ? [] : ([['', watch]] as const)),
    ...(samples > 0 ? ([['', evaluation]] as const) : []),
    ...configured.filter(isEvaluated),
  ]
    .map(([, callback]) => callback)
    .concat(callbacks);
  const withState = all.filter(({ state }) => state !== undefined).map(({ name }) => name);
  const twice = withState.find((name, i) => withState.indexOf(name) !== i);
  if (twice !== undefined)
    throw new GymError(
      'E_CONFIG',
      `callbacks: two are called ${JSON.stringify(shownName(twice))}, and a checkpoint keeps one state of each name; give them names that differ.`,
    );
  return all;
}
