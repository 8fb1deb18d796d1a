import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Agent, Rollout } from '../agents/agent.js';
import { Random } from '../core/random.js';
import type { Metrics } from '../core/types.js';
import { learningChecks } from './agent-learning.js';
import { type AgentEnvMaker, type AgentMaker, type AgentSubject, agentCheck } from './agent-trial.js';
import { assertNoFindings, type Check, type CheckOptions, type Finding, runChecks, selectChecks } from './findings.js';
import { reportMisfits } from './spaces.js';
import { copied, difference, show } from './values.js';

export type { AgentEnvMaker, AgentMaker, AgentSubject };

/** Options of {@link checkAgent}. */
export interface AgentCheckOptions extends CheckOptions {
  /** Rollouts that the checks of learning take. Default 2. */
  readonly rollouts?: number;
}

export function agentSubject<O, A>(
  make: AgentMaker<O, A>,
  makeEnv: AgentEnvMaker<O, A>,
  { rollouts = 2 }: AgentCheckOptions,
): AgentSubject<O, A> {
  return { make, makeEnv, rollouts };
}

/** All metrics except those that measure time, which no two runs have in common. */
function timeless(metrics: Metrics): Metrics {
  return Object.fromEntries(Object.entries(metrics).filter(([key]) => !/(^|\/)time/.test(key)));
}

/** The checks of an agent, in order; those after the first ones rely on them. */
export const agentChecks: readonly Check<AgentSubject<unknown, unknown>>[] = [
  agentCheck('interface', 'has collect, act, learn, save, restore and dispose', async (trial) => {
    await trial.agent();
  }),

  agentCheck('act', 'gives one action of the space for each observation', async (trial, report) => {
    const agent = await trial.agent();
    const all = await trial.observations();
    for (const observations of [all, all.slice(0, 1)])
      for (const explore of [true, false]) {
        const { actions, extras } = await trial.act(agent, observations, { explore });
        const where = `act({ explore: ${explore} }): `;
        for (const [i, action] of actions.entries())
          reportMisfits(
            report,
            `${where}actions[${i}]`,
            trial.env.actionSpace,
            action,
            'choose actions of actionSpace',
          );
        for (const [name, values] of Object.entries(extras ?? {}))
          if (values.length !== observations.length)
            report.error(
              `${where}extras.${name}`,
              `it must have ${observations.length} entries, one an observation`,
              String(values.length),
              'return one entry an observation',
            );
        if (report.findings.length > 0) return;
      }
  }),

  agentCheck('learn', 'learns with finite metrics, and leaves the rollout as it was', async (trial, report) => {
    const agent = await trial.agent();
    for (let r = 0; r < trial.rollouts; r++) {
      const rollout = await trial.rollout(agent, r);
      const before = copied(rollout);
      const metrics = await trial.learn(agent, rollout);
      const changed = difference(before, rollout, 'rollout');
      if (changed)
        report.error(`learn(): ${changed.path}`, 'the call changes it', changed.actual, 'copy it before you change it');
      for (const [name, value] of Object.entries(metrics))
        if (typeof value !== 'number' || !Number.isFinite(value))
          report.error(
            `learn(): ${name}`,
            'it must be a finite number',
            `${show(value)} (${typeof value})`,
            'leave a metric out where it does not apply; a loss that is not finite has spoilt the weights',
          );
      if (report.findings.length > 0) return;
    }
  }),

  agentCheck('inputs', 'leaves observations as they were', async (trial, report) => {
    const agent = await trial.agent();
    const observations = await trial.observations();
    const before = copied(observations);
    await trial.act(agent, observations);
    const changed = difference(before, observations, 'observations');
    if (changed)
      report.error(`act(): ${changed.path}`, 'the call changes it', changed.actual, 'copy it before you change it');
  }),

  agentCheck('mode', 'does the same for the same observations where it does not explore', async (trial, report) => {
    const agent = await trial.agent();
    const observations = await trial.observations();
    const first = copied((await trial.act(agent, observations, { explore: false })).actions);
    const second = (await trial.act(agent, observations, { explore: false })).actions;
    const found = difference(first, second, 'actions');
    if (found)
      report.error(
        `act({ explore: false }): ${found.path}`,
        'the second call gives another action',
        found.actual,
        "return the policy's mode, and change nothing but memory within an episode",
      );
  }),

  agentCheck('evaluation', 'draws from a stream that is handed in, and not from its own', async (trial, report) => {
    const [agent, twin] = [await trial.agent(), await trial.agent()];
    const observations = await trial.observations();
    const act = async () => copied((await trial.act(agent, observations, { random: new Random(3) })).actions);
    const found = difference(await act(), await act(), 'actions');
    if (found)
      report.fail(
        `act({ random }): ${found.path}`,
        'the same stream gives another action',
        found.actual,
        'draw from `random` alone where it is given',
      );
    const after = (await trial.act(agent, observations)).actions;
    const without = (await trial.act(twin, observations)).actions;
    const moved = difference(without, after, 'actions');
    if (moved)
      report.error(
        `act(): ${moved.path}`,
        'acting with a stream that was handed in changes what comes after',
        moved.actual,
        'draw from `random` alone where it is given; statistics change in learn()',
      );
  }),

  agentCheck('reproducible', 'does and learns the same when it is made again', async (trial, report) => {
    const plays: { rollout: Rollout<unknown, unknown>; metrics: Metrics }[][] = [];
    for (let twin = 0; twin < 2; twin++) {
      const agent = await trial.agent();
      const play: (typeof plays)[number] = [];
      for (let r = 0; r < trial.rollouts; r++) {
        const rollout = copied(await trial.rollout(agent, r));
        play.push({ rollout, metrics: timeless(await trial.learn(agent, rollout)) });
      }
      plays.push(play);
    }
    for (let r = 0; r < trial.rollouts; r++) {
      const [one, other] = [plays[0]![r]!, plays[1]![r]!];
      const actions = (rollout: Rollout<unknown, unknown>) => rollout.steps.map((step) => step.actions);
      const found =
        difference(actions(one.rollout), actions(other.rollout), 'actions') ??
        difference(one.metrics, other.metrics, 'metrics');
      if (found)
        report.fail(
          `rollout ${r + 1}: ${found.path}`,
          'a second agent of the same maker does otherwise',
          found.actual,
          'draw all randomness from a Random that the maker seeds; never from Math.random or the clock',
        );
    }
  }),

  agentCheck('save', 'goes on after save and restore as if nothing had been', async (trial, report) => {
    const agent = await trial.agent();
    await trial.learn(agent, await trial.rollout(agent, 1));
    const folder = await mkdtemp(join(tmpdir(), 'check-agent-'));
    try {
      await report.attempt('save()', () => agent.save(folder));
      const other = await trial.agent();
      await report.attempt('restore()', () => other.restore(folder));
      const observations = await trial.observations();
      const compare = (where: string, a: unknown, b: unknown, todo: string) => {
        const found = difference(a, b);
        if (found) report.fail(`${where}: ${found.path}`, 'the restored agent does otherwise', found.actual, todo);
      };
      const modes = async (one: typeof agent) => (await trial.act(one, observations, { explore: false })).actions;
      compare('act({ explore: false })', await modes(agent), await modes(other), 'save all weights and statistics');
      const rollout = await trial.rollout(agent, 2);
      const again = await trial.rollout(other, 2);
      const actions = ({ steps }: typeof rollout) => steps.map((step) => step.actions);
      compare('a rollout', actions(rollout), actions(again), 'save the random stream too');
      const metrics = timeless(await trial.learn(agent, rollout));
      compare('learn()', metrics, timeless(await trial.learn(other, again)), 'save counters and statistics too');
      compare(
        'act({ explore: false }) after learn()',
        await modes(agent),
        await modes(other),
        'save the optimiser (moments, step count) too',
      );
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }),

  agentCheck(
    'memory',
    'holds as many tensors after each rollout, and none when it is disposed',
    async (trial, report) => {
      const tf = await import('@tensorflow/tfjs');
      const round = async (agent: Agent<unknown, unknown>, seed: number) => {
        const rollout = await trial.rollout(agent, seed);
        await trial.learn(agent, rollout);
        return tf.memory().numTensors;
      };
      // The first agent may make what all agents share and what therefore stays.
      const first = await trial.agent();
      await round(first, 0);
      trial.dispose(first);
      const before = tf.memory().numTensors;
      const agent = await trial.agent();
      const counts: number[] = [];
      for (let r = 0; r < trial.rollouts + 1; r++) counts.push(await round(agent, r));
      if (counts.at(-1)! > counts[0]!)
        report.error(
          'learn()',
          'the number of tensors grows with each rollout',
          counts.join(', '),
          'put calculations under tf.tidy, and dispose of what outlives it',
        );
      trial.dispose(agent);
      const left = tf.memory().numTensors - before;
      if (left > 0)
        report.error('dispose()', 'tensors are left', String(left), 'dispose of all variables and of the optimiser');
    },
  ),

  ...learningChecks,
];

/**
 * Checks an agent against the contract: its actions are of the space, what it does and learns can be reproduced and
 * restored to the last number, its metrics are finite, and it leaves no tensor behind; that it scores its actions as it
 * sampled them, moves towards what is rewarded, and learns the probe environments that its spaces allow, where `make` takes
 * the environment.
 *
 * @param make makes the agent, with fixed seeds, so that all agents it makes are alike.
 * @param makeEnv makes the environment that the agent is tried in, best a small one, since each check collects a few
 *   rollouts.
 * @throws GymError E_NAME on an unknown name to skip.
 */
export function checkAgent<O, A>(
  make: AgentMaker<O, A>,
  makeEnv: AgentEnvMaker<O, A>,
  options: AgentCheckOptions = {},
): Promise<Finding[]> {
  const subject = agentSubject(make, makeEnv, options) as unknown as AgentSubject<unknown, unknown>;
  return runChecks(selectChecks(agentChecks, options), subject);
}

/**
 * {@link checkAgent} for tests without a suite.
 * @throws GymError E_CHECK with everything that was found, when there is an error among it.
 */
export async function assertAgent<O, A>(
  make: AgentMaker<O, A>,
  makeEnv: AgentEnvMaker<O, A>,
  options: AgentCheckOptions = {},
): Promise<void> {
  assertNoFindings('checkAgent', await checkAgent(make, makeEnv, options));
}
