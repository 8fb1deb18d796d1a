import { unknownName } from '../core/errors.js';
import type { Random } from '../core/random.js';
import type { Policy, Prepared } from './policy.js';
import type { PolicyGradient } from './policy-gradient.js';
import { Ppo, type PpoOptions } from './ppo.js';
import { Reinforce } from './reinforce.js';

export interface AgentSpec {
  readonly name: string;
  /** Other names that papers use. */
  readonly aliases: readonly string[];
  readonly summary: string;
  readonly paper: string;
}

interface Entry extends AgentSpec {
  make<O, A, P extends Prepared>(policy: Policy<O, A, P>, options: PpoOptions, random: Random): PolicyGradient<O, A, P>;
}

const entries: readonly Entry[] = [
  {
    name: 'ppo',
    aliases: ['ddpo-is', 'ddpo'],
    summary: 'DDPO-IS: clipped importance ratios, several updates on a rollout (on denoising one ratio a step)',
    paper: 'arXiv 1707.06347; 2305.13301',
    make: (policy, options, random) => new Ppo(policy, options, random),
  },
  {
    name: 'reinforce',
    aliases: ['ddpo-sf'],
    summary: 'DDPO-SF: the score-function estimator, exactly one update on a rollout',
    paper: 'Williams 1992; arXiv 2305.13301',
    make: (policy, { clipRange: _, ...options }, random) => new Reinforce(policy, options, random),
  },
];

/** Every agent that works on a policy, with a line of what it is. */
export function agentNames(): AgentSpec[] {
  return entries.map(({ name, aliases, summary, paper }) => ({ name, aliases, summary, paper }));
}

/**
 * The agent of a name (or of a paper's name for it: `ddpo-is`).
 * @throws GymError E_NAME with the nearest name when it is unknown, E_VALUE or E_CONFIG on an option out of range.
 */
export function makeAgent<O, A, P extends Prepared>(
  name: string,
  policy: Policy<O, A, P>,
  options: PpoOptions,
  random: Random,
): PolicyGradient<O, A, P> {
  const entry = entries.find((e) => e.name === name || e.aliases.includes(name));
  if (!entry)
    throw unknownName(
      'makeAgent',
      'agent',
      name,
      entries.flatMap((e) => [e.name, ...e.aliases]),
    );
  return entry.make(policy, options, random);
}
