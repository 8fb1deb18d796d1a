import type { Awaitable } from '../../core/types.js';
import type { Decision } from '../agent.js';
import type { StepWindow } from '../policy.js';

// Two pieces of an agent's work are fixed by their inputs and the weights, whoever computes them: the decisions for a batch
// of observations, and the gradient of a micro-batch. They are plain messages of arrays, in and out, so that threads,
// processes and other machines can compute them. Their results are taken in the order of their numbers: the bits of a run
// do not depend on who computed what.

/** The gradient of a micro-batch's share of a minibatch's mean loss, on the host. */
export interface HostGradient {
  /** In the order of the parameters, flat. */
  readonly gradient: Float32Array;
  readonly loss: number;
  readonly means: Readonly<Record<string, number>>;
  readonly perRow: Readonly<Record<string, Float32Array>>;
}

/** Something that units depend on. The same version is the same value. */
export interface Versioned<T> {
  readonly version: number;
  /** The value; asked for only where a worker does not have this version. */
  read(): Awaitable<T>;
}

/** What a policy computes with. */
export interface UnitWeights {
  /** The values of all parameters in their order, as one array. */
  readonly values: Float32Array;
  /** What is sampled depends on it too, where the policy has one. */
  readonly window?: StepWindow | undefined;
}

/** What a worker must have before it computes a unit. */
export interface UnitState {
  readonly weights: Versioned<UnitWeights>;
  /** The prepared rollout that rows are taken from. */
  readonly batch?: Versioned<unknown>;
}

/** Workers, as the agent sees them that has units for them. */
export interface WorkUnits {
  /** How many units can be computed at once; 0 while there is no worker: the agent then computes them itself. */
  readonly lanes: number;
  /** Told how long a unit took that the agent computed itself, so that workers can be started when they pay. */
  took(milliseconds: number): void;
  /** The decisions for a batch of observations. */
  sample(observations: readonly unknown[], explore: boolean, state: UnitState): Promise<Decision<unknown>>;
  /**
   * The gradient of a micro-batch; `share` is its part of the minibatch.
   * @param take is given the result while no worker writes to its arrays, which may be shared: it copies what it keeps.
   */
  gradient<T>(rows: Int32Array, share: number, state: UnitState, take: (result: HostGradient) => T): Promise<T>;
}

/** An agent as a worker sees it: a copy that computes units and nothing else. */
export interface UnitReplica {
  /** Takes over weights, of whose arrays it keeps none. */
  setWeights(weights: UnitWeights): Awaitable<void>;
  setBatch(batch: unknown): Awaitable<void>;
  sampleUnit(observations: readonly unknown[], explore: boolean): Awaitable<Decision<unknown>>;
  gradientUnit(rows: Int32Array, share: number): Promise<HostGradient>;
}

/** Whether an agent has units that workers can compute. */
export function hasUnits(agent: unknown): agent is UnitReplica & { computeWith(units: WorkUnits): void } {
  return typeof agent === 'object' && agent !== null && 'computeWith' in agent && 'gradientUnit' in agent;
}

/** Tells workers that are to come how long a unit takes here. */
export async function timed<T>(units: WorkUnits | undefined, work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await work();
  units?.took(performance.now() - started);
  return result;
}
