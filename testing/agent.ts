import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Agent, Decision, Rollout } from '../agents/agent.js';
import { Random } from '../core/random.js';
import type { Awaitable, Metrics } from '../core/types.js';
import type { Env } from '../envs/env.js';
import { SyncVectorEnv } from '../envs/sync-vector-env.js';
import type { VectorEnv } from '../envs/vector-env.js';
import { closeQuietly } from './env-checks/trial.js';
import {
  assertNoFindings,
  type Check,
  type CheckOptions,
  type Finding,
  needsOf,
  type Report,
  runChecks,
  selectChecks,
} from './findings.js';
import { collectRollout } from './rollout.js';
import { reportMisfits } from './spaces.js';
import { copied, difference, isPlainObject, show } from './values.js';

/** Makes an agent for an environment; with the same seeds each time, so that two of them are alike. */
export type AgentMaker<O, A> = (env: VectorEnv<O, A>) => Awaitable<Agent<O, A>>;

/** Makes what the agent is tried in: a vector environment, or a single one, of which it then makes two. */
export type AgentEnvMaker<O, A> = () => Awaitable<Env<O, A> | VectorEnv<O, A>>;

/** Options of {@link checkAgent}. */
export interface AgentCheckOptions extends CheckOptions {
  /** Rollouts that the checks of learning take. Default 2. */
  readonly rollouts?: number;
}

/** What the checks of an agent are about. */
export interface AgentSubject<O, A> {
  readonly make: AgentMaker<O, A>;
  readonly makeEnv: AgentEnvMaker<O, A>;
  readonly rollouts: number;
}

export function agentSubject<O, A>(
  make: AgentMaker<O, A>,
  makeEnv: AgentEnvMaker<O, A>,
  { rollouts = 2 }: AgentCheckOptions,
): AgentSubject<O, A> {
  return { make, makeEnv, rollouts };
}

/** An environment, agents made for it, and what they do, for one check; frees them at its end. */
class Trial<O, A> {
  readonly env: VectorEnv<O, A>;
  readonly report: Report;
  readonly rollouts: number;
  readonly #make: AgentMaker<O, A>;
  readonly #agents = new Set<Agent<O, A>>();

  constructor(env: VectorEnv<O, A>, report: Report, { make, rollouts }: AgentSubject<O, A>) {
    this.env = env;
    this.report = report;
    this.rollouts = rollouts;
    this.#make = make;
  }

  async agent(): Promise<Agent<O, A>> {
    const agent = await this.report.attempt('make', () => this.#make(this.env));
    const methods = ['act', 'learn', 'save', 'restore', 'dispose'] as const;
    for (const name of methods)
      if (typeof (agent as unknown as Record<string, unknown> | undefined)?.[name] !== 'function')
        this.report.fail(name, 'it must be a method', show(agent?.[name]), `implement ${name}()`);
    const { collect } = agent;
    const count = typeof collect === 'object' && collect !== null ? Object.values(collect)[0] : undefined;
    if (collect !== 'nothing' && !(Number.isInteger(count) && count! >= 1 && /steps|episodes/.test(show(collect))))
      this.report.fail(
        'collect',
        "it must be { steps: n }, { episodes: n } or 'nothing'",
        show(collect),
        'say how much makes a rollout',
      );
    this.#agents.add(agent);
    return agent;
  }

  async observations(): Promise<O[]> {
    return (await this.report.attempt('env.reset()', () => this.env.reset({ seed: 1 }))).observations;
  }

  async act(agent: Agent<O, A>, observations: readonly O[], options: Parameters<Agent<O, A>['act']>[1] = {}) {
    const starts = new Uint8Array(observations.length).fill(1);
    const decision = await this.report.attempt('act()', () => agent.act(observations, { starts, ...options }));
    const actions: unknown = isPlainObject(decision) ? decision.actions : undefined;
    if (!Array.isArray(actions) || actions.length !== observations.length)
      this.report.fail(
        'act(): actions',
        `it must be a list of ${observations.length}, one an observation`,
        show(actions),
        'return { actions, extras }',
      );
    return decision as Decision<A>;
  }

  rollout(agent: Agent<O, A>, seed: number): Promise<Rollout<O, A>> {
    return this.report.attempt('a rollout', () => collectRollout(agent, this.env, seed));
  }

  /** Learns a rollout to its end, as training does. */
  async learn(agent: Agent<O, A>, rollout: Rollout<O, A>): Promise<Metrics> {
    agent.setProgress?.(0);
    const given = agent.collect === 'nothing' ? undefined : rollout;
    let metrics = await this.report.attempt('learn()', () => agent.learn(given));
    for (let again = 0; agent.needsRollout?.() === false; again++) {
      if (again === 1000)
        this.report.fail('needsRollout()', 'it is false after 1000 calls of learn()', 'false', 'return true at last');
      metrics = await this.report.attempt('learn() without a rollout', () => agent.learn());
    }
    if (!isPlainObject(metrics))
      this.report.fail('learn()', 'it must return metrics', show(metrics), 'return {} where there is nothing to say');
    return metrics;
  }

  dispose(agent: Agent<O, A>): void {
    this.#agents.delete(agent);
    agent.dispose();
  }

  async close(): Promise<void> {
    for (const agent of this.#agents) await this.report.attempt('dispose()', () => agent.dispose());
    await closeQuietly(this.env);
  }
}

type Use = (trial: Trial<unknown, unknown>, report: Report) => Promise<void>;

function check(name: string, title: string, use: Use): Check<AgentSubject<unknown, unknown>> {
  return {
    name,
    title,
    needs: needsOf(['interface', 'act', 'learn'], name),
    run: async (subject, report) => {
      const makeEnv = () => report.attempt('makeEnv', subject.makeEnv);
      const env = await makeEnv();
      const isVector = 'numEnvs' in env;
      const vector = isVector ? env : new SyncVectorEnv([env, (await makeEnv()) as typeof env]);
      const trial = new Trial(vector, report, subject);
      try {
        await use(trial, report);
      } finally {
        await trial.close();
      }
    },
  };
}

/** Metrics but those of the clock. */
function timeless(metrics: Metrics): Metrics {
  return Object.fromEntries(Object.entries(metrics).filter(([key]) => !/(^|\/)time/.test(key)));
}

/** The checks of an agent, in order; those after the first ones rely on them. */
export const agentChecks: readonly Check<AgentSubject<unknown, unknown>>[] = [
  check('interface', 'has collect, act, learn, save, restore and dispose', async (trial) => {
    await trial.agent();
  }),

  check('act', 'gives one action of the space for each observation', async (trial, report) => {
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

  check('learn', 'learns with finite metrics, and leaves the rollout as it was', async (trial, report) => {
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

  check('inputs', 'leaves observations as they were', async (trial, report) => {
    const agent = await trial.agent();
    const observations = await trial.observations();
    const before = copied(observations);
    await trial.act(agent, observations);
    const changed = difference(before, observations, 'observations');
    if (changed)
      report.error(`act(): ${changed.path}`, 'the call changes it', changed.actual, 'copy it before you change it');
  }),

  check('mode', 'does the same for the same observations where it does not explore', async (trial, report) => {
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

  check('evaluation', 'draws from a stream that is handed in, and not from its own', async (trial, report) => {
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

  check('reproducible', 'does and learns the same when it is made again', async (trial, report) => {
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

  check('save', 'goes on after save and restore as if nothing had been', async (trial, report) => {
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

  check('memory', 'holds as many tensors after each rollout, and none when it is disposed', async (trial, report) => {
    const tf = await import('@tensorflow/tfjs');
    const round = async (agent: Agent<unknown, unknown>, seed: number) => {
      const rollout = await trial.rollout(agent, seed);
      await trial.learn(agent, rollout);
      return tf.memory().numTensors;
    };
    // the first agent may make what all of them share
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
  }),
];

/**
 * Checks an agent against the contract: actions of the space, reproducible and restorable to the last number, metrics
 * finite, no tensor left behind. It does not ask whether the agent learns: for that there are the probe environments.
 *
 * @param make makes the agent; with fixed seeds, so that agents made by it are alike.
 * @param makeEnv makes what it is tried in; a small one, since each check makes a few rollouts.
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
