import { describe, expect, it } from 'vitest';
import { type NdArray, ndarray } from '../../../core/ndarray.js';
import type { Env, ResetResult } from '../../../envs/env.js';
import { Box, Discrete } from '../../../envs/spaces/index.js';
import { delayObservation, frameStackObservation } from '../../../envs/wrappers/memory.js';
import type { Modification } from '../../../envs/wrappers/modifier.js';
import { wrap } from '../../../envs/wrappers/wrap.js';

type Vector = NdArray<Float32Array>;

/** An environment whose observations leave its space: it diverges. */
class Diverging implements Env<Vector, number> {
  readonly observationSpace = new Box(-1, 1, [2]);
  readonly actionSpace = new Discrete(2);
  #t = 0;

  #observed(): ResetResult<Vector> {
    const of = [-0, Number.POSITIVE_INFINITY, Number.NaN, 7][this.#t % 4]!;
    return { observation: ndarray(Float32Array.of(of, -of), [2]), info: {} };
  }

  reset() {
    this.#t = 0;
    return this.#observed();
  }

  step() {
    this.#t++;
    return { ...this.#observed(), reward: 0, terminated: false, truncated: false };
  }

  snapshot() {
    return this.#t;
  }

  restore(t: unknown) {
    this.#t = t as number;
    return this.#observed();
  }
}

describe('observations outside their space', () => {
  const modifications: Modification<Vector, number, Vector, number>[] = [frameStackObservation(5), delayObservation(2)];
  it.each(modifications.map((made) => [made.name, made] as const))('go on from a snapshot on disk: %s', (_, made) => {
    const make = () => wrap<Vector, number, Vector, number>(new Diverging(), made);
    const [env, other] = [make(), make()];
    env.reset();
    for (let t = 0; t < 4; t++) env.step(0);
    other.restore!(JSON.parse(JSON.stringify(env.snapshot!())));
    // toStrictEqual tells -0 from 0
    for (let t = 0; t < 4; t++) expect(other.step(0)).toStrictEqual(env.step(0));
  });
});
