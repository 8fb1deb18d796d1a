import type { RunConfig } from '../config/run-config.js';

/**
 * How many episodes begin alike: the option `groupSize` of the run's agent. An agent that has this option is given
 * environments that form groups and write `info.group`; another one is not.
 */
export function groupSizeOf({ agent }: RunConfig): number | undefined {
  const { groupSize } = agent as { groupSize?: unknown };
  return typeof groupSize === 'number' ? groupSize : undefined;
}

/** What stands against whole groups in each rollout: a line for each problem. */
export function groupProblems(config: RunConfig, { sharedNoise = false } = {}): string[] {
  const groupSize = groupSizeOf(config);
  if (sharedNoise && groupSize === undefined)
    return [
      `sampling.sharedNoise: has no effect, because the agent \`${config.agent.name}\` compares no groups; leave it out.`,
    ];
  const { collect } = config.agent as { collect?: { episodes?: number } };
  if (groupSize === undefined || collect === undefined) return [];
  const { episodes } = collect;
  if (episodes === undefined)
    return ['agent.collect: must be {episodes: n}, because the episodes of a group are compared as wholes.'];
  return episodes % groupSize === 0
    ? []
    : [
        `agent.collect: must be a multiple of agent.groupSize (${groupSize}) episodes, so that a rollout holds whole groups, actual value ${episodes}.`,
      ];
}
