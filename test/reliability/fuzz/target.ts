import type * as fc from 'fast-check';

/** What a target is given to work in: two folders that exist only for one run of the fuzzer. */
export interface Place {
  /** Where an input's own files may be written. The working directory is another folder, which must stay as it is. */
  readonly files: string;
}

/** A part of the package that reads what others wrote, and inputs to read. */
export interface Target<Input = unknown> {
  readonly name: string;
  /** How many inputs the normal run has. */
  readonly inputs: number;
  readonly input: fc.Arbitrary<Input>;
  /**
   * Reads one input. It must end in a result that is right, which this checks, or in a `GymError`.
   * @throws GymError where the input is refused, anything else where the package is wrong.
   */
  check(input: Input, place: Place): Promise<void> | void;
  /** Loads what the first input would have to wait for, and writes files that inputs are made from. */
  prepare?(place: Place): Promise<void>;
}

/** Describes a target, with the type of its inputs known to `check`. */
export function target<Input>(description: Target<Input>): Target {
  return description as Target;
}
