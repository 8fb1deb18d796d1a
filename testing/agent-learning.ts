import type { Agent, Rollout } from '../agents/agent.js';
import type { Policy, Prepared } from '../agents/policy.js';
import { isNdArray } from '../core/ndarray.js';
import { Random } from '../core/random.js';
import { Box } from '../envs/spaces/box.js';
import { Discrete } from '../envs/spaces/discrete.js';
import type { Space } from '../envs/spaces/space.js';
import { SyncVectorEnv } from '../envs/sync-vector-env.js';
import { Groups } from '../envs/wrappers/groups.js';
import { type AgentSubject, AgentTrial, agentCheck } from './agent-trial.js';
import type { Check, Report } from './findings.js';
import { copied } from './values.js';

type AnyAgent = Agent<unknown, unknown>;
type AnyTrial = AgentTrial<unknown, unknown>;

/** Re-scored log-probabilities that differ by no more are rounding. */
const ratioTolerance = 1e-4;
/** So many rollouts are learned from before an agent must have moved towards what is rewarded. */
const steps = 10;
/** So many rollouts, at most, a probe environment is learned from. */
const mostRollouts = 300;
/** How often actions are drawn for each observation, to see how likely they are. */
const draws = 50;

/** The policy of an agent that has one in the form of the package's. */
function policyOf(agent: AnyAgent): Policy<unknown, unknown, Prepared> | undefined {
  const { policy } = agent as { policy?: Partial<Policy<unknown, unknown, Prepared>> };
  const whole = typeof policy?.prepare === 'function' && typeof policy.evaluate === 'function';
  return whole ? (policy as Policy<unknown, unknown, Prepared>) : undefined;
}

/** The numbers of an action of any space, in a fixed order. */
function numbersOf(action: unknown): number[] {
  if (typeof action === 'number') return [action];
  if (isNdArray(action)) return Array.from(action.data as ArrayLike<number>, Number);
  return typeof action === 'object' && action !== null ? Object.values(action).flatMap(numbersOf) : [];
}

/** What an action is worth in a task that rewards one choice: a number that any action has. */
type Worth = (action: unknown) => number;

/**
 * A task that an agent is not perfect in yet: of choices the rarest of those it makes is rewarded, of continuous actions
 * the size of their numbers, or its opposite if they are large already.
 * @returns undefined where it has no choice.
 */
function taskFor(actions: readonly unknown[], space: Space<unknown>): Worth | undefined {
  const all = actions.map(numbersOf);
  if (all.every((numbers) => numbers.every(Number.isInteger))) {
    const counts = new Map<number, number>();
    for (const [first] of all) counts.set(first!, (counts.get(first!) ?? 0) + 1);
    if (counts.size < 2) return undefined;
    const [rarest] = [...counts].sort((a, b) => a[1] - b[1])[0]!;
    return (action) => Number(numbersOf(action)[0] === rarest);
  }
  const mean = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0) / numbers.length;
  const [low, high] = space instanceof Box ? [space.low[0]!, space.high[0]!] : [-1, 1];
  const middle = Number.isFinite(low) && Number.isFinite(high) ? (low + high) / 2 : 0;
  const sign = mean(all.map(mean)) > middle ? -1 : 1;
  return (action) => sign * mean(numbersOf(action));
}

/** Actions that an agent draws for some observations, each with the same streams whenever it is asked. */
async function drawn(trial: AnyTrial, agent: AnyAgent, observations: readonly unknown[]): Promise<unknown[]> {
  const actions: unknown[] = [];
  for (let k = 0; k < draws; k++)
    actions.push(...copied((await trial.act(agent, observations, { random: new Random(k) })).actions));
  return actions;
}

/**
 * A rollout with other rewards: what each action is worth. Each step is made an episode of its own, so that no reward is
 * credited to another action; except where episodes are chains of one length, which an agent may rely on.
 */
function rewarded(rollout: Rollout<unknown, unknown>, worth: Worth, isChain: boolean): Rollout<unknown, unknown> {
  const withWorth = (step: (typeof rollout.steps)[number]) => ({
    ...step,
    rewards: Float64Array.from(step.actions, (action, i) => step.valid[i]! * worth(action)),
    ...(!isChain && {
      terminated: Uint8Array.from(step.valid),
      truncated: new Uint8Array(step.valid.length),
      starts: Uint8Array.from(step.valid),
      finalObservations: step.observations,
    }),
  });
  return { ...rollout, steps: rollout.steps.map(withWorth) };
}

/** The checks that ask whether an agent learns, and whether its numbers are those of what it does. */
export const learningChecks: readonly Check<AgentSubject<unknown, unknown>>[] = [
  agentCheck('order', 'does the same for an observation wherever it stands among others', async (trial, report) => {
    const agent = await trial.agent();
    const { steps: some } = await trial.rollout(agent, 1);
    // A few steps apart, so that the observations differ.
    const observations = some.filter((_, t) => t % 3 === 0).flatMap((step) => step.observations);
    /** Of each observation the numbers of its action, and of what is said of it. */
    const modes = async (list: readonly unknown[]) => {
      const { actions, extras = {} } = await trial.act(agent, list, { explore: false });
      return list.map((_, i) => [actions[i], ...Object.values(extras).map((values) => values[i])].flatMap(numbersOf));
    };
    const together = await modes(observations);
    const reversed = (await modes([...observations].reverse())).reverse();
    together.forEach((a, i) => {
      const b = reversed[i]!;
      if (report.findings.length === 0 && !a.every((x, k) => Math.abs(x - b[k]!) <= 1e-4 * (1 + Math.abs(x))))
        report.error(
          `act({ explore: false }): decision ${i}`,
          'it is another one where the observations come in reverse order',
          `${a.slice(0, 3).join(', ')} and ${b.slice(0, 3).join(', ')}`,
          'let each action and its extras depend on their own observation; look for rows that are mixed up, or statistics of the batch',
        );
    });
  }),

  agentCheck(
    'ratio',
    'scores what it sampled as it was sampled: ratio 1 on unchanged weights',
    async (trial, report) => {
      const agent = await trial.agent();
      const policy = policyOf(agent);
      if (policy === undefined || policy.unscored) return;
      const { steps: some } = await trial.rollout(agent, 1);
      const observations = some.flatMap((step) => step.observations);
      const actions = some.flatMap((step) => step.actions);
      const extras = Object.fromEntries(
        Object.entries(some[0]!.extras).map(([name, first]) => [
          name,
          first instanceof Float32Array
            ? Float32Array.from(some.flatMap((step) => [...(step.extras[name] as Float32Array)]))
            : some.flatMap((step) => step.extras[name] as never[]),
        ]),
      );
      const logProb = extras.logProb as Float32Array | undefined;
      if (logProb === undefined) {
        report.error('act(): extras.logProb', 'it must be there', 'nothing', 'return ln π(a|s) of each action');
        return;
      }
      const prepared = await report.attempt('policy.prepare()', () => policy.prepare(observations, actions, extras));
      const rows: number[] = [];
      policy.trainable(prepared).forEach((on, row) => {
        if (on) rows.push(row);
      });
      const tf = await import('@tensorflow/tfjs');
      const scored = tf.tidy(() => policy.evaluate(prepared, Int32Array.from(rows)).logProb.clone());
      const again = await scored.data();
      scored.dispose();
      let error = 0;
      rows.forEach((row, i) => {
        error = Math.max(error, Math.abs(Math.expm1(again[i]! - logProb[row]!)));
      });
      if (!(error <= ratioTolerance))
        report.error(
          'policy.evaluate(): logProb',
          `ratios of the rollout are up to ${error.toPrecision(2)} away from 1 with the weights that made it`,
          `${again[0]} where extras.logProb is ${logProb[rows[0]!]}`,
          'make sampling and scoring the same: same distribution, noise, guidance, clipping and precision',
        );
    },
  ),

  agentCheck('reward', 'becomes likelier to do what is rewarded', async (trial, report) => {
    const agent = await trial.agent();
    if (agent.collect === 'nothing') return;
    const first = await trial.rollout(agent, 1);
    const observations = copied(first.steps.flatMap((step) => step.observations).slice(0, 16));
    const before = await drawn(trial, agent, observations);
    const worth = taskFor(before, trial.env.actionSpace);
    if (worth === undefined) return;
    const value = (actions: readonly unknown[]) =>
      actions.reduce<number>((sum, a) => sum + worth(a), 0) / actions.length;
    for (let k = 0; k < steps; k++) {
      const rollout = await trial.rollout(agent, k);
      await trial.learn(agent, rewarded(rollout, worth, trial.env.horizon !== undefined));
    }
    const after = await drawn(trial, agent, observations);
    if (!(value(after) > value(before)))
      report.error(
        'learn()',
        `after ${steps} rollouts that reward one kind of action, such actions are no likelier`,
        `their mean worth was ${value(before).toPrecision(4)} and is ${value(after).toPrecision(4)}`,
        'look at the sign of the loss, at the advantages, and at what the optimiser steps; or raise the learning rate',
      );
  }),

  agentCheck('probes', 'learns the probe environments that its spaces allow', async (trial, report) => {
    const { observationSpace, actionSpace } = trial.env;
    const discrete = actionSpace instanceof Discrete;
    const continuous = actionSpace instanceof Box && actionSpace.shape.length === 1;
    // A maker that takes no environment makes agents for one environment alone.
    if (!(observationSpace instanceof Box) || !(discrete || continuous) || trial.subject.make.length === 0) return;
    for (const kind of ['constant', 'observation', 'discount', 'action', 'policy'] as const) {
      await onProbe(trial, report, kind, continuous);
      if (report.findings.length > 0) return;
    }
  }),
];

type ProbeKind = 'constant' | 'observation' | 'discount' | 'action' | 'policy';

/** What to look at where a probe is not learned. */
const suspects: Readonly<Record<ProbeKind, string>> = {
  constant: "look at the value function's loss and its optimiser",
  observation: 'the value function does not see its observation, or its rows are mixed up',
  discount: 'look at discounting, and at how rewards are credited to earlier steps',
  action: "look at the advantages, and at the policy's loss and its optimiser",
  policy: 'the policy does not see its observation, or rows of a batch are mixed up',
};

async function onProbe(trial: AnyTrial, report: Report, kind: ProbeKind, continuous: boolean): Promise<void> {
  const { Probe } = await import('../envs/classic/probe.js');
  const probes = Array.from({ length: trial.env.numEnvs }, () => new Probe({ kind, continuous }));
  const env =
    trial.env instanceof Groups
      ? new Groups(probes, trial.env.groupSize)
      : new SyncVectorEnv(probes, { autoreset: trial.env.autoreset });
  const own = new AgentTrial<unknown, unknown>(env as unknown as AnyTrial['env'], report, trial.subject);
  try {
    const agent = await own.agent();
    if (agent.collect === 'nothing') return;
    let last: string | undefined = 'nothing was learned';
    for (let r = 0; r < mostRollouts && last !== undefined; r++) {
      const metrics = await own.learn(agent, await own.rollout(agent, r));
      if (r % 10 === 9) last = await missing(own, agent, kind, metrics['train/valueLoss'] !== undefined);
    }
    if (last !== undefined)
      report.error(
        `the probe environment \`${kind}\``,
        `it is not learned within ${mostRollouts} rollouts`,
        last,
        `${suspects[kind]}; or give the maker a higher learning rate`,
      );
  } finally {
    await own.close();
  }
}

/** What an agent lacks of having learned a probe; undefined where it lacks nothing. */
async function missing(
  trial: AnyTrial,
  agent: AnyAgent,
  kind: ProbeKind,
  learnsValues: boolean,
): Promise<string | undefined> {
  const seen = { constant: [0], observation: [-1, 1], discount: [0, 1], action: [0], policy: [-1, 1] }[kind];
  const observations = seen.map((x) => ({ data: Float32Array.of(x), shape: [1] }));
  const { actions, extras } = await trial.act(agent, observations, { explore: false });
  if (kind === 'action' || kind === 'policy') {
    const taken = actions.map((action) => numbersOf(action)[0]!);
    const wanted = kind === 'action' ? [1] : [-1, 1];
    const right = trial.env.actionSpace instanceof Discrete ? wanted.map((x) => (x > 0 ? 1 : 0)) : wanted;
    const good = taken.every((action, i) => Math.abs(action - right[i]!) <= 0.3);
    return good ? undefined : `of observations ${seen.join(', ')} it makes actions ${taken.join(', ')}`;
  }
  // An agent without a value function, or one that leaves its policy's untrained, has nothing to show here.
  if (!learnsValues || !(extras?.value instanceof Float32Array)) return undefined;
  const values = [...extras.value];
  const wrong = {
    constant: () => Math.abs(values[0]! - 1) > 0.2,
    observation: () => values.some((value, i) => Math.abs(value - seen[i]!) > 0.3),
    // V(0) = γ, which only the agent knows: it must be seen that the reward comes after it too.
    discount: () => Math.abs(values[1]! - 1) > 0.2 || !(values[0]! > 0.3 && values[0]! < 1.2),
  }[kind]();
  return wrong
    ? `of observations ${seen.join(', ')} it predicts ${values.map((v) => v.toFixed(2)).join(', ')}`
    : undefined;
}
