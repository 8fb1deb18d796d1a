import { GymError, unknownName } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import { shown } from '../../core/shown.js';
import type { Snapshot } from '../../core/snapshot.js';
import type { Info } from '../../core/types.js';
import { checkReset, otherSnapshot, snapshotNumbers, snapshotParts } from '../checks.js';
import type { Env, EnvSpec, ResetOptions, ResetResult, StepResult } from '../env.js';
import {
  type RandomKind,
  type RandomSource,
  type RandomSourceState,
  randomSource,
  restoreRandomSource,
} from '../random-source.js';
import type { Space } from '../spaces/space.js';
import type { Canvas } from './canvas.js';

export interface ClassicOptions {
  /**
   * Which random numbers a seed gives. With 'numpy' resets equal Gymnasium's for the same seed. Default 'seedrandom'.
   */
  random?: RandomKind | undefined;
  /** Whether `render()` returns a picture, uint8 [height, width, 3], or text. Default 'rgb' if there is a picture. */
  render?: 'rgb' | 'text' | undefined;
}

/**
 * A synchronous environment whose state is a short list of numbers. This class has what all of them share: seeding,
 * reset options, snapshots, and their checks. A subclass says what the numbers mean. `R` are the names of its reset
 * options, all of which are numbers.
 */
export abstract class ClassicEnv<O, A, R extends string = never> implements Env<O, A> {
  abstract readonly observationSpace: Space<O>;
  abstract readonly actionSpace: Space<A>;
  readonly spec?: EnvSpec;
  readonly #kind: RandomKind;
  readonly #render: 'rgb' | 'text';
  #random: RandomSource | undefined;

  constructor({ random = 'seedrandom', render = 'rgb' }: ClassicOptions = {}) {
    if (render !== 'rgb' && render !== 'text')
      throw new GymError(
        'E_CONFIG',
        `${new.target.name}: \`render\` must be 'rgb' or 'text', actual value ${shown(render)}.`,
      );
    this.#kind = random;
    this.#render = render;
    // So that an unknown kind is an error here, and not only at the first reset.
    if (random !== 'seedrandom') randomSource(0, random);
  }

  /** The environment's stream of random numbers. If it was never seeded it begins at random. */
  protected get random(): RandomSource {
    this.#random ??= randomSource(undefined, this.#kind);
    return this.#random;
  }

  /** The numbers that make up the state. */
  abstract get state(): number[];
  abstract set state(state: readonly number[]);

  /**
   * The options that `reset` takes, with their defaults. If `low` and `high` are among them, `low` must not be above
   * `high`.
   */
  protected abstract readonly resetOptions: Readonly<Record<R, number>>;

  /** Draws the first state of an episode. Every option is given, by the caller or by its default. */
  protected abstract start(options: Readonly<Record<R, number>>): void;
  /** The observation of the present state. */
  protected abstract observe(): O;

  /** The info of the present state. */
  protected info(): Info {
    return {};
  }

  /** Draws the present state. A subclass without this method is rendered as text. */
  protected draw?(): Canvas;

  abstract step(action: A): StepResult<O>;

  /**
   * Begins an episode.
   * @throws GymError E_NAME on an unknown option; E_VALUE on a seed that is no integer of at least 0, an option that is
   *   no number, or a `low` above `high`.
   */
  reset(reset: ResetOptions = {}): ResetResult<O> {
    checkReset(this.constructor.name, reset);
    const { seed, options } = reset;
    const numbers = options === undefined ? this.resetOptions : this.#numbers(options);
    if (seed !== undefined) this.#random = randomSource(seed, this.#kind);
    this.start(numbers);
    return { observation: this.observe(), info: this.info() };
  }

  /** The options of a reset, with the defaults of those that the caller did not give. */
  #numbers(options: Record<string, unknown>): Record<R, number> {
    const where = `${this.constructor.name}.reset`;
    const numbers: Record<string, number> = { ...this.resetOptions };
    for (const [name, value] of Object.entries(options)) {
      if (!Object.hasOwn(numbers, name)) throw unknownName(where, 'option', name, Object.keys(numbers));
      if (value === undefined) continue;
      if (typeof value !== 'number' || !Number.isFinite(Math.fround(value)))
        throw new GymError(
          'E_VALUE',
          `${where}: option \`${name}\` must be a number that is finite in float32, actual value ${shown(value)}.`,
        );
      numbers[name] = value;
    }
    const { low, high } = numbers;
    if (low !== undefined && high !== undefined && low > high)
      throw new GymError('E_VALUE', `${where}: option \`low\` is ${low}, above \`high\`, ${high}; swap them.`);
    return numbers;
  }

  /** A picture of the state, or, as text, the same picture in characters above the numbers of the state. */
  render(): NdArray<Uint8Array> | string {
    const canvas = this.draw?.();
    if (canvas !== undefined && this.#render === 'rgb') return canvas.picture();
    const numbers = this.state.map((x) => x.toFixed(3)).join(' ');
    return canvas === undefined ? numbers : `${canvas.text()}\n${numbers}`;
  }

  snapshot(): Snapshot {
    return {
      of: this.constructor.name,
      state: [...this.state],
      random: this.random.state() as unknown as Snapshot,
    };
  }

  /** @throws GymError E_STATE on a snapshot that was taken of another kind of environment. */
  restore(snapshot: Snapshot): ResetResult<O> {
    const { name } = this.constructor;
    const { of, state, random } = snapshotParts(name, snapshot, ['of', 'state', 'random']);
    if (of !== name) throw otherSnapshot(name, of, name);
    const numbers = snapshotNumbers(name, state, this.state.length);
    this.#random = restoreRandomSource(random as unknown as RandomSourceState);
    this.state = numbers;
    return { observation: this.observe(), info: this.info() };
  }

  toString(): string {
    return this.spec === undefined ? `<${this.constructor.name}>` : `<${this.constructor.name}<${this.spec.id}>>`;
  }
}

/** @throws GymError E_CONFIG unless an option is a finite number of at least `least`. */
export function checkNumber(env: string, option: string, value: unknown, least = Number.NEGATIVE_INFINITY): void {
  if (typeof value === 'number' && Number.isFinite(value) && value >= least) return;
  const need = least === Number.NEGATIVE_INFINITY ? 'a number' : `a number of at least ${least}`;
  throw new GymError('E_CONFIG', `${env}: \`${option}\` must be ${need}, actual value ${shown(value)}.`);
}

/** @throws GymError E_CONFIG unless an option is true or false. */
export function checkFlag(env: string, option: string, value: unknown): void {
  if (typeof value !== 'boolean')
    throw new GymError('E_CONFIG', `${env}: \`${option}\` must be true or false, actual value ${shown(value)}.`);
}

/** The error for a value that is no action of the space. */
export function invalidAction(env: string, action: unknown, space: Space<unknown>): GymError {
  return new GymError(
    'E_VALUE',
    `${env}.step: action must be of ${space}, actual value ${shown(action)} (${typeof action}).`,
  );
}

/**
 * The one number of a float32 [1] action, which may lie outside the bounds.
 * @throws GymError E_VALUE when there is not one number.
 */
export function scalarAction(env: string, action: NdArray, space: Space<unknown>): number {
  const value = action?.data?.length === 1 ? action.data[0]! : Number.NaN;
  if (Number.isNaN(value)) throw invalidAction(env, action, space);
  return value;
}

export function clip(value: number, low: number, high: number): number {
  return value < low ? low : value > high ? high : value;
}
