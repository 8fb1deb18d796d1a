import { unknownName } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import { shown } from '../../core/shown.js';
import type { StepResult } from '../env.js';
import { Box } from '../spaces/box.js';
import { Discrete } from '../spaces/discrete.js';
import type { Space } from '../spaces/space.js';
import { ClassicEnv, type ClassicOptions, checkFlag, invalidAction } from './classic-env.js';

/**
 * Tasks that ask an agent for one ability each (Jones 2021, "Debugging RL, Without the Agonizing Pain"). An agent that
 * learns the earlier ones and fails at one has a fault in the part that is named here.
 * - `constant`: one step with reward 1. The fault is in the loss of the value function or its optimiser.
 * - `observation`: one step, whose reward is the observation, 1 or −1 at random. The value function does not see its
 *   input.
 * - `discount`: two steps with the observations 0 and 1, and reward 1 at the end, so that V(0) = γ. The fault is in
 *   discounting or in how rewards are credited to earlier steps.
 * - `action`: one step with a reward for the right one of two actions. The fault is in the advantages, or in the loss
 *   of the policy or its optimiser.
 * - `policy`: one step, in which the right action is the sign of the observation. Batches mix up their rows.
 */
export type ProbeKind = 'constant' | 'observation' | 'discount' | 'action' | 'policy';

export const probeKinds: readonly ProbeKind[] = ['constant', 'observation', 'discount', 'action', 'policy'];

export interface ProbeOptions extends ClassicOptions {
  kind: ProbeKind;
  /** Whether actions are float32 [1] in −1..1 instead of indices. Default false. */
  continuous?: boolean | undefined;
}

/** An action of a probe: an index, or float32 [1]. */
export type ProbeAction = number | NdArray<Float32Array>;

/**
 * Environments that are so small that a failure to learn one of them tells which part of an agent is broken: see
 * {@link ProbeKind}.
 *
 * - Observation: float32 [1] in −1..1.
 * - Discrete actions: 1 means +1, 0 means −1. The reward is 1 for the right one and −1 for the other. Kinds without a
 *   choice have one action.
 * - Continuous actions: the reward of action a, which is clipped into −1..1, is 1 − (a − right)².
 */
export class Probe extends ClassicEnv<NdArray<Float32Array>, ProbeAction> {
  readonly observationSpace = new Box(-1, 1, [1]);
  readonly actionSpace: Space<ProbeAction>;
  protected readonly resetOptions = {};
  readonly #kind: ProbeKind;
  #seen = 0;

  /** @throws GymError E_NAME on an unknown kind. */
  constructor({ kind, continuous = false, ...options }: ProbeOptions) {
    super(options);
    if (!probeKinds.includes(kind))
      throw unknownName('Probe', 'kind', typeof kind === 'string' ? kind : shown(kind), probeKinds);
    checkFlag('Probe', 'continuous', continuous);
    this.#kind = kind;
    const choices = kind === 'action' || kind === 'policy' ? 2 : 1;
    this.actionSpace = (continuous ? new Box(-1, 1, [1]) : new Discrete(choices)) as Space<ProbeAction>;
  }

  get state(): number[] {
    return [this.#seen];
  }

  set state([seen = 0]: readonly number[]) {
    this.#seen = seen;
  }

  protected start(): void {
    const sign = this.#kind === 'observation' || this.#kind === 'policy';
    this.#seen = sign ? 2 * this.random.integer(2) - 1 : 0;
  }

  protected observe(): NdArray<Float32Array> {
    return { data: Float32Array.of(this.#seen), shape: [1] };
  }

  /**
   * Takes an action.
   * @throws GymError E_VALUE on an action of another kind, and on a discrete one outside the space.
   */
  step(action: ProbeAction): StepResult<NdArray<Float32Array>> {
    const discrete = this.actionSpace instanceof Discrete;
    const a = typeof action === 'number' ? action : action?.data?.length === 1 ? action.data[0] : undefined;
    if (
      discrete ? !this.actionSpace.contains(action) : typeof action === 'number' || a === undefined || Number.isNaN(a)
    )
      throw invalidAction('Probe', action, this.actionSpace);
    const done = (reward: number) => ({
      observation: this.observe(),
      reward,
      terminated: true,
      truncated: false,
      info: {},
    });
    const choice = (right: number) => {
      if (discrete) return (a === 1) === (right === 1) ? 1 : -1;
      return 1 - (Math.min(1, Math.max(-1, a!)) - right) ** 2;
    };
    if (this.#kind === 'constant') return done(1);
    if (this.#kind === 'observation') return done(this.#seen);
    if (this.#kind === 'action') return done(choice(1));
    if (this.#kind === 'policy') return done(choice(this.#seen));
    if (this.#seen === 1) return done(1);
    this.#seen = 1;
    return { ...done(0), terminated: false };
  }
}
