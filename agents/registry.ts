import * as z from 'zod';
import { GymError } from '../core/errors.js';
import type { Random } from '../core/random.js';
import { NameRegistry } from '../core/registry.js';
import { configError, type OptionInfo, optionsOf, parseSchema } from '../core/schema.js';
import { importUserModule, isModulePath } from '../core/user-module.js';
import type { VectorEnv } from '../envs/vector-env.js';
import { a2c } from './a2c.js';
import { adaptationAgents } from './adaptation/index.js';
import type { CombineReward } from './advantages/per-term.js';
import type { Agent } from './agent.js';
import { type AgentDefinition, type AgentDescription, checkDefinition } from './define.js';
import { dpok } from './dpok.js';
import { strategies } from './federated/index.js';
import { grpo } from './grpo.js';
import { klD } from './kl-d.js';
import { klO } from './kl-o.js';
import type { Policy, PolicyKind } from './policy.js';
import { ppo } from './ppo.js';
import { reinforce } from './reinforce.js';
import { rwr } from './rwr.js';
import { rwrSparse } from './rwr-sparse.js';
import { sft } from './sft.js';

/** The agents of this package, a line each. Types of observations, actions and options are erased. */
const registry = new NameRegistry<AgentDescription>('agent', [
  ppo,
  reinforce,
  a2c,
  grpo,
  dpok,
  rwr,
  rwrSparse,
  sft,
  klD,
  klO,
  ...strategies,
  ...adaptationAgents,
] as readonly AgentDescription[]);

/** Agents that a user's file defines, by the path as it was given. */
const files = new Map<string, AgentDescription>();

/**
 * Makes an agent known by its name and aliases: to {@link makeAgent}, to configurations and to the command line.
 * @param definition what {@link defineAgent} takes; only `name` and `make` are required.
 * @throws GymError E_NAME when a name is taken, E_CONFIG when it is no definition.
 */
export function registerAgent<O, A, Schema extends z.ZodObject>(definition: AgentDefinition<O, A, Schema>): void {
  checkDefinition(definition, 'registerAgent');
  registry.add(definition as unknown as AgentDescription);
}

/** Every registered agent, in order of registration. */
export function listAgents(): AgentDescription[] {
  return registry.list();
}

/**
 * Loads the agent that a file defines: its default export is what {@link defineAgent} takes. Afterwards the path is a name
 * for it. A registered name is left as it is.
 * @throws GymError E_FILE when there is no such file or it exports no agent, E_NAME when a name is unknown.
 */
export async function loadAgent(name: string): Promise<AgentDescription> {
  if (isModulePath(name) && !files.has(name)) {
    const { default: definition } = await importUserModule(name, 'agent');
    if (definition === undefined)
      throw new GymError(
        'E_FILE',
        `agent ${name}: it has no default export; write \`export default defineAgent({ name, make })\`.`,
      );
    checkDefinition(definition, `agent ${name}`);
    files.set(name, definition);
  }
  return agentNamed(name);
}

/**
 * What an agent says of itself.
 * @param name its name, an alias, or the path of a file that {@link loadAgent} has loaded.
 * @throws GymError E_NAME with the nearest name when it is unknown.
 */
export function agentNamed(name: string, where = 'agent'): AgentDescription {
  return files.get(name) ?? registry.get(name, where);
}

/** What an agent of this name says of itself, if there is one. */
export function findAgent(name: string): AgentDescription | undefined {
  return files.get(name) ?? registry.find(name);
}

/** The options of an agent with the defaults that it has on one kind of policy. */
export function agentOptions(agent: AgentDescription, kind: PolicyKind): OptionInfo[] {
  return agent.options === undefined ? [] : optionsOf(agent.options, agent.defaults?.[kind]);
}

/**
 * The complete, validated options of an agent.
 * @param given what is to stand over its defaults; a value of undefined counts as not given.
 * @returns options, or one line for each problem.
 */
export function resolveAgentOptions(
  agent: AgentDescription,
  kind: PolicyKind,
  given: Readonly<Record<string, unknown>>,
): { readonly value: Record<string, unknown>; readonly problems: [] } | { readonly problems: string[] } {
  const { name, defaults, options: schema = z.strictObject({}) } = agent;
  if (defaults !== undefined && defaults[kind] === undefined)
    return {
      problems: [
        `agent: \`${name}\` is not made for ${kind === 'denoising' ? 'denoising policies' : 'small networks'}: it states no defaults for them. Choose another agent: ${registry
          .list()
          .filter((other) => other.defaults?.[kind] !== undefined)
          .map((other) => other.name)
          .join(', ')}.`,
      ],
    };
  const input: Record<string, unknown> = { ...defaults?.[kind] };
  for (const [key, value] of Object.entries(given)) if (value !== undefined) input[key] = value;
  const known = Object.keys(schema.shape);
  const unknownKey = known.length === 0 ? () => 'It has none.' : undefined;
  const { value, problems } = parseSchema(schema, input, {
    prefix: 'agent',
    owner: `of the agent \`${name}\``,
    ...(unknownKey && { unknownKey }),
  });
  return problems.length > 0 ? { problems } : { value: value as Record<string, unknown>, problems: [] };
}

/** What {@link makeAgent} makes an agent from. */
export interface MakeAgentParts<O, A> {
  /** The environments that it will act in. An agent that looks at them needs it. */
  readonly env?: VectorEnv<O, A>;
  /** A policy, or a function that makes it when the agent asks for one. A fixed rule needs none. */
  readonly policy?: Policy<O, A> | (() => Policy<O, A>);
  /** Which defaults are taken where `policy` is a function or absent. Default 'network'. */
  readonly kind?: PolicyKind;
  /** Over the agent's defaults. */
  readonly options?: Readonly<Record<string, unknown>>;
  readonly random: Random;
  /** The score of the reward from those of its terms, where it is an expression of several. */
  readonly combineReward?: CombineReward | undefined;
  /** Default: console.warn. */
  readonly warn?: (message: string) => void;
}

/**
 * Makes an agent by its name, by a paper's name for it (`ddpo-is`), or from its definition.
 * @throws GymError E_NAME with the nearest name when it is unknown; E_CONFIG on an option that it does not have or that
 * is out of range, or when it asks for a policy or an environment and there is none.
 */
export async function makeAgent<O, A>(
  agent: string | AgentDefinition<O, A>,
  {
    env,
    policy,
    kind,
    options = {},
    random,
    combineReward,
    warn = (message) => console.warn(message),
  }: MakeAgentParts<O, A>,
): Promise<Agent<O, A>> {
  const description = (typeof agent === 'string' ? await loadAgent(agent) : agent) as AgentDescription;
  const { name } = description;
  const policyKind = kind ?? (typeof policy === 'object' ? policy.kind : 'network');
  const resolved = resolveAgentOptions(description, policyKind, options);
  if (!('value' in resolved)) throw configError(`makeAgent ${name}`, resolved.problems);
  const missing = (part: string) =>
    new GymError('E_CONFIG', `makeAgent ${name}: the agent asks for \`${part}\`, and there is none; hand it in.`);
  let made: Policy<O, A> | undefined;
  const context = {
    options: resolved.value,
    random,
    combineReward,
    warn,
    get env(): VectorEnv<O, A> {
      if (env === undefined) throw missing('env');
      return env;
    },
    get policy(): Policy<O, A> {
      made ??= typeof policy === 'function' ? policy() : policy;
      if (made === undefined) throw missing('policy');
      return made;
    },
  };
  let result: Agent<O, A>;
  try {
    result = (await description.make(context as never)) as Agent<O, A>;
  } catch (error) {
    // Nobody else can free a policy that was made for an agent that could not be.
    if (typeof policy === 'function') made?.dispose();
    throw error;
  }
  checkAgentObject(result, name);
  return result;
}

function checkAgentObject(agent: unknown, name: string): void {
  const methods = ['act', 'learn', 'save', 'restore', 'dispose'];
  const missing = methods.filter((method) => typeof (agent as Record<string, unknown> | null)?.[method] !== 'function');
  const { collect } = (agent ?? {}) as Partial<Agent<unknown, unknown>>;
  if (collect === undefined) missing.unshift('collect');
  if (missing.length > 0)
    throw new GymError(
      'E_CONFIG',
      `agent \`${name}\`: what its \`make\` returned is no Agent, it lacks ${missing.map((m) => `\`${m}\``).join(', ')}; see the interface Agent of denoise-gym/agents.`,
    );
}
