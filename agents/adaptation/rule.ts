import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { GymError } from '../../core/errors.js';
import { readJson, writeFileAtomic } from '../../core/files.js';
import type { NdArray } from '../../core/ndarray.js';
import { Random, type RandomState } from '../../core/random.js';
import type { Info } from '../../core/types.js';
import type { AdaptationAction, AdaptationObservation } from '../../envs/adaptation/spaces.js';
import type { VectorEnv } from '../../envs/vector-env.js';
import type { ActOptions, Agent, Decision } from '../agent.js';

/** Decides for one batch. */
export type Rule = (
  observation: AdaptationObservation,
  context: { readonly random: Random; readonly info: Info },
) => AdaptationAction;

/** A fixed rule of source-free adaptation: it learns nothing, and all that it keeps is its random stream. */
export class AdaptationRule implements Agent<AdaptationObservation, AdaptationAction> {
  readonly collect = 'nothing';
  readonly #rule: Rule;
  #random: Random;
  /** The stream as `learn` left it. */
  #learned: RandomState;

  /** @throws GymError E_CONFIG where the environment is another one. */
  constructor(name: string, env: VectorEnv<AdaptationObservation, AdaptationAction>, random: Random, rule: Rule) {
    const { spaces } = env.observationSpace as unknown as { spaces?: Record<string, unknown> };
    if (spaces?.featuresWeak === undefined || spaces.queueHistory === undefined)
      throw new GymError(
        'E_CONFIG',
        `agent ${name}: decides on observations of SourceFreeAdaptation-v0, and this environment gives ${env.observationSpace}; choose another agent.`,
      );
    this.#rule = rule;
    this.#random = random;
    this.#learned = random.state();
  }

  act(
    observations: readonly AdaptationObservation[],
    { infos, explore = true, random = this.#random }: ActOptions = {},
  ): Decision<AdaptationAction> {
    // A child is the same at each call: without exploration, the same observation is decided alike.
    const stream = explore ? random : random.child('mode');
    return {
      actions: observations.map((observation, i) =>
        this.#rule(observation, { random: stream, info: infos?.[i] ?? {} }),
      ),
    };
  }

  learn() {
    this.#learned = this.#random.state();
    return {};
  }

  async save(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true });
    await writeFileAtomic(join(folder, 'rule.json'), JSON.stringify(this.#learned));
  }

  async restore(folder: string): Promise<void> {
    this.#learned = (await readJson(join(folder, 'rule.json'))) as RandomState;
    this.#random = Random.restore(this.#learned);
  }

  dispose(): void {}
}

/** A weight of the same size for each sample. */
export function sameWeights(observation: AdaptationObservation, weight: number): NdArray<Float32Array> {
  const count = observation.index.data.length;
  return { data: new Float32Array(count).fill(weight), shape: [count] };
}

/** All of the queue as negatives. */
export function allNegatives({ index, queueIndex }: AdaptationObservation): NdArray<Uint8Array> {
  const shape = [index.data.length, queueIndex.data.length];
  return { data: new Uint8Array(shape[0]! * shape[1]!).fill(1), shape };
}
