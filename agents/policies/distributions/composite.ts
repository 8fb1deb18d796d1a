import type { Tensor1D, Tensor2D, Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { Random } from '../../../core/random.js';
import { splitColumns } from './categorical.js';
import type { ActionDistribution, Draw, Place, Scores, Slopes } from './distribution.js';

/** Independent distributions of the parts of a `Dict` or a `Tuple`. */
export class Composite<A> implements ActionDistribution<A> {
  readonly inputs: number;
  readonly width: number;
  readonly parameters: ReadonlyMap<string, Variable>;
  readonly hasEntropy: boolean;
  readonly #parts: readonly ActionDistribution<unknown>[];
  readonly #take: (action: A) => readonly unknown[];
  readonly #join: (parts: unknown[]) => A;

  /** @param parts whose parameters have names of their own. @param take the parts of an action. @param join the inverse. */
  constructor(
    parts: readonly ActionDistribution<unknown>[],
    take: (action: A) => readonly unknown[],
    join: (parts: unknown[]) => A,
  ) {
    this.#parts = parts;
    this.#take = take;
    this.#join = join;
    this.inputs = parts.reduce((sum, part) => sum + part.inputs, 0);
    this.width = parts.reduce((sum, part) => sum + part.width, 0);
    this.hasEntropy = parts.every((part) => part.hasEntropy);
    this.parameters = new Map(parts.flatMap((part) => [...part.parameters]));
  }

  sample(
    outputs: Float32Array,
    own: ReadonlyMap<string, Float32Array>,
    explore: boolean,
    random: Random,
    into: Float32Array,
  ): Draw<A> {
    let logProb = 0;
    let input = 0;
    let place = 0;
    const actions = this.#parts.map((part) => {
      const theirs = new Map([...part.parameters.keys()].map((name) => [name, own.get(name)!]));
      const draw = part.sample(
        outputs.subarray(input, input + part.inputs),
        theirs,
        explore,
        random,
        into.subarray(place, place + part.width),
      );
      logProb += draw.logProb;
      input += part.inputs;
      place += part.width;
      return draw.action;
    });
    return { action: this.#join(actions), logProb };
  }

  encode(action: A, into: Float32Array): void {
    let place = 0;
    const actions = this.#take(action);
    this.#parts.forEach((part, i) => {
      part.encode(actions[i], into.subarray(place, place + part.width));
      place += part.width;
    });
  }

  evaluate(outputs: Tensor2D, draws: Tensor2D): { logProb: Tensor1D; entropy?: Tensor1D } {
    const drawn: Tensor2D[] = tf.split(
      draws,
      this.#parts.map((part) => part.width),
      1,
    );
    const scores = this.#split(outputs).map((own, i) => this.#parts[i]!.evaluate(own, drawn[i]!));
    return {
      logProb: tf.addN(scores.map(({ logProb }) => logProb)),
      ...(this.hasEntropy && { entropy: tf.addN(scores.map(({ entropy }) => entropy!)) }),
    };
  }

  score(place: Place, scores: Scores): void {
    for (const [part, own] of this.#places(place)) part.score(own, scores);
  }

  scoreGradient(place: Place, by: Readonly<Scores>, slopes: Slopes): void {
    for (const [part, own] of this.#places(place)) part.scoreGradient(own, by, slopes);
  }

  /** Each part with the place where its numbers begin. */
  *#places(place: Place): Generator<[ActionDistribution<unknown>, Place]> {
    let { output, draw } = place;
    for (const part of this.#parts) {
      yield [part, { ...place, output, draw }];
      output += part.inputs;
      draw += part.width;
    }
  }

  keepReference(): void {
    for (const part of this.#parts) part.keepReference();
  }

  kl(outputs: Tensor2D, reference: Tensor2D): Tensor1D {
    const references = this.#split(reference);
    return tf.addN(this.#split(outputs).map((own, i) => this.#parts[i]!.kl(own, references[i]!)));
  }

  dispose(): void {
    for (const part of this.#parts) part.dispose();
  }

  #split(outputs: Tensor2D): Tensor2D[] {
    return splitColumns(
      outputs,
      this.#parts.map((part) => part.inputs),
    );
  }
}
