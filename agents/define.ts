import type * as z from 'zod';
import { GymError } from '../core/errors.js';
import type { Random } from '../core/random.js';
import type { Awaitable } from '../core/types.js';
import type { VectorEnv } from '../envs/vector-env.js';
import type { CombineReward } from './advantages/per-term.js';
import type { Agent } from './agent.js';
import type { Policy, PolicyKind } from './policy.js';

/** A number that an agent logs, described for reports and progress lines. */
export interface MetricDescription {
  readonly title: string;
  /** What the vertical axis of its curve counts. */
  readonly unit: string;
  /** One line for the reader of a report: what it means, and which values are good. */
  readonly about: string;
  /** What the progress line calls it; without this it does not appear there. A `share` is shown in per cent. */
  readonly progress?: { readonly label: string; readonly share?: boolean };
}

/**
 * Options with which an agent learns one environment: those of the run by their names (`numEnvs`, `totalSteps`, `wrappers`),
 * the agent's own under `agent`. They take the place of defaults; what a user says stands over them.
 */
export interface Settings<Options = Readonly<Record<string, unknown>>> {
  readonly agent?: Partial<Options>;
  readonly [option: string]: unknown;
}

/** What an agent is made from. */
export interface AgentContext<O, A, Options> {
  /** The environments that it will act in, for their spaces, their number and, where there is one, their horizon. */
  readonly env: VectorEnv<O, A>;
  /**
   * A policy that suits the environment. It is made when it is first read, so an agent that never reads it, such as a
   * fixed rule, works where no policy fits the spaces. Whoever reads it owns it and disposes of it with the agent.
   */
  readonly policy: Policy<O, A>;
  /** Validated options: the agent's defaults with what was given over them. */
  readonly options: Options;
  /** The agent's own stream of random numbers. */
  readonly random: Random;
  /** The score of the run's reward from those of its terms, where it is an expression of several. */
  readonly combineReward?: CombineReward | undefined;
  /** Tells the person who started the run what looks wrong and what to do about it. */
  warn(message: string): void;
}

/** What an agent says of itself. Only `name` and `make` are required. */
export interface AgentDefinition<O = unknown, A = unknown, Schema extends z.ZodObject = z.ZodObject> {
  /** Letters, digits, `.`, `_` and `-`. */
  readonly name: string;
  /** What papers call it. */
  readonly aliases?: readonly string[];
  /** One line for people who choose. */
  readonly summary?: string;
  /** Where it comes from: title and link. */
  readonly paper?: string;
  /**
   * A strict object schema of its options. Each field's `.describe()` is what `--help` and `list` print. The fields have
   * no defaults of their own: those stand in `defaults`. Without a schema the agent has no options.
   */
  readonly options?: Schema;
  /** The values of the options that are not given, for each kind of policy. */
  readonly defaults?: Readonly<Partial<Record<PolicyKind, Partial<z.input<Schema>>>>>;
  /** Settings for single environments, by their ids. */
  readonly settings?: Readonly<Record<string, Settings<z.input<Schema>>>>;
  /** The metrics that it logs, by their key in `metrics.jsonl`. */
  readonly metrics?: Readonly<Record<string, MetricDescription>>;
  /** Makes the agent. May be asynchronous, so that what is heavy is imported only by who uses it. */
  make(context: AgentContext<O, A, z.output<Schema>>): Awaitable<Agent<O, A>>;
}

/** An agent as it is registered: types of observations, actions and options are erased. */
export type AgentDescription = AgentDefinition<unknown, unknown>;

/**
 * Describes an agent: its name, options, defaults, metrics and how it is made. Reading a description must load nothing
 * heavy; what needs TensorFlow.js is imported inside `make`.
 * @returns the definition, with the types of the options known to `make`.
 * @throws GymError E_CONFIG when the definition has no name or no `make`.
 */
export function defineAgent<O = unknown, A = unknown, Schema extends z.ZodObject = z.ZodObject>(
  definition: AgentDefinition<O, A, Schema>,
): AgentDefinition<O, A, Schema> {
  checkDefinition(definition, 'defineAgent');
  return definition;
}

/** Refuses what is no definition of an agent. @throws GymError E_CONFIG. */
export function checkDefinition(definition: unknown, where: string): asserts definition is AgentDescription {
  const { name, make, options } = (definition ?? {}) as Partial<AgentDescription>;
  if (typeof name !== 'string' || !/^\w[\w.-]*$/.test(name))
    throw new GymError(
      'E_CONFIG',
      `${where}: \`name\` must be letters, digits, dots, dashes and underscores, actual value ${JSON.stringify(name)}.`,
    );
  if (typeof make !== 'function')
    throw new GymError(
      'E_CONFIG',
      `${where}: agent \`${name}\` has no function \`make\`, actual value ${typeof make}; it is given { env, policy, options, random, warn } and returns an Agent.`,
    );
  if (options !== undefined && typeof (options as { safeParse?: unknown }).safeParse !== 'function')
    throw new GymError(
      'E_CONFIG',
      `${where}: \`options\` of agent \`${name}\` must be a zod object schema (z.strictObject({ ... })); \`z\` is exported by denoise-gym/agents.`,
    );
}
