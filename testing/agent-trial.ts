import type { Agent, Decision, Rollout } from '../agents/agent.js';
import type { Awaitable, Metrics } from '../core/types.js';
import type { Env } from '../envs/env.js';
import { SyncVectorEnv } from '../envs/sync-vector-env.js';
import type { VectorEnv } from '../envs/vector-env.js';
import { closeQuietly } from './env-checks/trial.js';
import { type Check, needsOf, type Report } from './findings.js';
import { collectRollout } from './rollout.js';
import { isPlainObject, show } from './values.js';

/** Makes an agent for an environment, with the same seeds each time, so that two agents are alike. */
export type AgentMaker<O, A> = (env: VectorEnv<O, A>) => Awaitable<Agent<O, A>>;

/**
 * Makes the environment that the agent is tried in; a single environment is made twice, and both are stepped together.
 */
export type AgentEnvMaker<O, A> = () => Awaitable<Env<O, A> | VectorEnv<O, A>>;

/** What the checks of an agent are about. */
export interface AgentSubject<O, A> {
  readonly make: AgentMaker<O, A>;
  readonly makeEnv: AgentEnvMaker<O, A>;
  readonly rollouts: number;
}

/** What a check of an agent works with: an environment and agents made for it, which are freed at the check's end. */
export class AgentTrial<O, A> {
  readonly env: VectorEnv<O, A>;
  readonly report: Report;
  readonly rollouts: number;
  readonly subject: AgentSubject<O, A>;
  readonly #agents = new Set<Agent<O, A>>();

  constructor(env: VectorEnv<O, A>, report: Report, subject: AgentSubject<O, A>) {
    this.env = env;
    this.report = report;
    this.rollouts = subject.rollouts;
    this.subject = subject;
  }

  async agent(): Promise<Agent<O, A>> {
    const agent = await this.report.attempt('make', () => this.subject.make(this.env));
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

type Use = (trial: AgentTrial<unknown, unknown>, report: Report) => Promise<void>;

/** A check that is given a trial of the agent, in environments of its own. */
export function agentCheck(name: string, title: string, use: Use): Check<AgentSubject<unknown, unknown>> {
  return {
    name,
    title,
    needs: needsOf(['interface', 'act', 'learn'], name),
    run: async (subject, report) => {
      const makeEnv = () => report.attempt('makeEnv', subject.makeEnv);
      const env = await makeEnv();
      const isVector = 'numEnvs' in env;
      const vector = isVector ? env : new SyncVectorEnv([env, (await makeEnv()) as typeof env]);
      const trial = new AgentTrial(vector, report, subject);
      try {
        await use(trial, report);
      } finally {
        await trial.close();
      }
    },
  };
}
