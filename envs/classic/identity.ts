import { GymError, unknownName } from '../../core/errors.js';
import { isNdArray, type NdArray } from '../../core/ndarray.js';
import { shown } from '../../core/shown.js';
import type { StepResult } from '../env.js';
import { bits } from '../random-source.js';
import { checkSize } from '../spaces/arguments.js';
import { Box } from '../spaces/box.js';
import { Discrete } from '../spaces/discrete.js';
import { MultiBinary } from '../spaces/multi-binary.js';
import { MultiDiscrete } from '../spaces/multi-discrete.js';
import type { Space } from '../spaces/space.js';
import { ClassicEnv, type ClassicOptions, checkNumber, invalidAction } from './classic-env.js';

export type IdentityKind = 'discrete' | 'multidiscrete' | 'multibinary' | 'box';

const kinds: readonly IdentityKind[] = ['discrete', 'multidiscrete', 'multibinary', 'box'];

export interface IdentityOptions extends ClassicOptions {
  /** The kind of both spaces. Default 'discrete'. */
  kind?: IdentityKind | undefined;
  /** The number of values of a Discrete, or of numbers of an array. Default 2. */
  size?: number | undefined;
  /** How near each number of a Box action must be to the observation. Default 0.5. */
  tolerance?: number | undefined;
}

/**
 * The task is to repeat what is observed. Both spaces are equal; the reward is 1 if the action is the observation, else
 * 0; and a new random observation follows. It is the smallest test that an agent can handle a kind of action space, as
 * in stable-baselines3.
 */
export class Identity extends ClassicEnv<number | NdArray, number | NdArray> {
  readonly observationSpace: Space<number | NdArray>;
  readonly actionSpace: Space<number | NdArray>;
  protected readonly resetOptions = {};
  readonly #kind: IdentityKind;
  readonly #size: number;
  readonly #tolerance: number;
  #seen: number[];

  /** @throws GymError E_NAME on an unknown kind, E_CONFIG on a size that is no integer of at least 1. */
  constructor({ kind = 'discrete', size = 2, tolerance = 0.5, ...options }: IdentityOptions = {}) {
    super(options);
    if (!kinds.includes(kind))
      throw unknownName('Identity', 'kind', typeof kind === 'string' ? kind : shown(kind), kinds);
    if (!Number.isInteger(size) || size < 1)
      throw new GymError(
        'E_CONFIG',
        `Identity: \`size\` must be an integer of at least 1, actual value ${shown(size)}.`,
      );
    if (kind !== 'discrete') checkSize('Identity: an observation', size);
    checkNumber('Identity', 'tolerance', tolerance, 0);
    this.#kind = kind;
    this.#size = size;
    this.#tolerance = tolerance;
    this.#seen = new Array<number>(kind === 'discrete' ? 1 : size).fill(0);
    this.observationSpace = this.#space();
    this.actionSpace = this.#space();
  }

  #space(): Space<number | NdArray> {
    const size = this.#size;
    const space: Space<unknown> = {
      discrete: () => new Discrete(size),
      multidiscrete: () => new MultiDiscrete(new Array<number>(size).fill(3)),
      multibinary: () => new MultiBinary(size),
      box: () => new Box(-1, 1, [size]),
    }[this.#kind]();
    return space as Space<number | NdArray>;
  }

  get state(): number[] {
    return [...this.#seen];
  }

  set state(state: readonly number[]) {
    this.#seen = [...state];
  }

  protected start(): void {
    const { random } = this;
    this.#seen = {
      discrete: () => [random.integer(this.#size)],
      multidiscrete: () => this.#seen.map(() => random.integer(3)),
      multibinary: () => [...bits(random, this.#size)],
      box: () => this.#seen.map(() => Math.fround(random.uniform(-1, 1))),
    }[this.#kind]();
  }

  protected observe(): number | NdArray {
    if (this.#kind === 'discrete') return this.#seen[0]!;
    const type = { multidiscrete: Int32Array, multibinary: Int8Array, box: Float32Array }[this.#kind];
    return { data: type.from(this.#seen), shape: [this.#size] };
  }

  /** Compares an action with the observation. @throws GymError E_VALUE on an action of another form. */
  step(action: number | NdArray): StepResult<number | NdArray> {
    const values = isNdArray(action) ? [...action.data] : [action];
    const valid =
      this.#kind === 'box' ? isNdArray(action) && !values.includes(Number.NaN) : this.actionSpace.contains(action);
    if (!valid || values.length !== this.#seen.length) throw invalidAction('Identity', action, this.actionSpace);
    const tolerance = this.#kind === 'box' ? this.#tolerance : 0;
    const reward = values.every((value, i) => Math.abs(value - this.#seen[i]!) <= tolerance) ? 1 : 0;
    this.start();
    return { observation: this.observe(), reward, terminated: false, truncated: false, info: {} };
  }
}
