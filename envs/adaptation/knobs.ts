import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import type { Snapshot } from '../../core/snapshot.js';
import type { Env, ResetOptions, ResetResult, StepResult } from '../env.js';
import { Box } from '../spaces/box.js';
import type { SourceFreeAdaptation } from './adaptation.js';
import { guidedAction } from './guided.js';
import { type AdaptationAction, type AdaptationObservation, statNames } from './spaces.js';

/** The knobs, in the order of the action. */
export interface Knobs {
  /** k, 1..40 on a logarithmic scale: how many neighbours vote. */
  readonly neighbours: number;
  /** α, 0..4, in the weight exp(−α Ĥ). */
  readonly sharpness: number;
  /** 0..0.95: labels that are less probable do not count. */
  readonly confidence: number;
  /** T, 1 to the environment's: in how many previous epochs labels are compared. */
  readonly history: number;
  /** 0..1: weight of the contrast. */
  readonly contrast: number;
  /** 0..2: weight of the diversity. */
  readonly diversity: number;
  /** 0..1: share of negative learning. */
  readonly negative: number;
}

const count = 7;

/** Knobs from an action: each number, −1..1, is a place between the knob's lowest and its highest value. */
export function knobsOf({ data }: NdArray, history: number): Knobs {
  const [k, alpha, theta, slots, contrast, diversity, negative] = Array.from(data, (x) => (x + 1) / 2);
  return {
    neighbours: Math.round(40 ** k!),
    sharpness: 4 * alpha!,
    confidence: 0.95 * theta!,
    history: 1 + Math.round((history - 1) * slots!),
    contrast: contrast!,
    diversity: 2 * diversity!,
    negative: negative!,
  };
}

/** The inverse of {@link knobsOf}, up to the rounding of whole numbers. */
export function actionOf(knobs: Knobs, history: number): NdArray<Float32Array> {
  const shares = [
    Math.log(knobs.neighbours) / Math.log(40),
    knobs.sharpness / 4,
    knobs.confidence / 0.95,
    history > 1 ? (knobs.history - 1) / (history - 1) : 0,
    knobs.contrast,
    knobs.diversity / 2,
    knobs.negative,
  ];
  return { data: Float32Array.from(shares, (x) => 2 * x - 1), shape: [count] };
}

/** A rule with knobs. */
export type KnobRule = (observation: AdaptationObservation, knobs: Knobs) => AdaptationAction;

/** Guided pseudo-labels as the knobs say. */
const guidedByKnobs: KnobRule = (observation, { contrast, diversity, negative, ...knobs }) =>
  guidedAction(observation, {
    ...knobs,
    neighbours: Math.min(knobs.neighbours, observation.bankProbs.shape[0]!),
    ...{ keepAll: false, releasedOrder: false },
    losses: { contrast, diversity, negative, learningRate: 1 },
  });

/** Statistics are cut to this, so that one large gradient does not drown the others. */
const largest = 10;

/**
 * Source-free adaptation as a small problem of continuous control: one step is one pass over the target, for which the
 * action sets the knobs of a rule; the observation is `stats`. So PPO and REINFORCE learn how to adapt.
 */
export class AdaptationKnobs implements Env<NdArray<Float32Array>, NdArray<Float32Array>> {
  readonly observationSpace = new Box(-largest, largest, [statNames.length]);
  readonly actionSpace = new Box(-1, 1, [count]);
  readonly #env: SourceFreeAdaptation;
  readonly #rule: KnobRule;
  #observation: AdaptationObservation | undefined;

  /** @param env is then this wrapper's, and closed with it. */
  constructor(env: SourceFreeAdaptation, rule: KnobRule = guidedByKnobs) {
    this.#env = env;
    this.#rule = rule;
  }

  #observe(observation: AdaptationObservation): NdArray<Float32Array> {
    this.#observation = observation;
    const { data, shape } = observation.stats;
    return { data: data.map((x) => Math.min(largest, Math.max(-largest, x))), shape };
  }

  async reset(options?: ResetOptions): Promise<ResetResult<NdArray<Float32Array>>> {
    const { observation, info } = await this.#env.reset(options);
    return { observation: this.#observe(observation), info };
  }

  /** One pass with these knobs. @throws GymError E_STATE before reset; E_VALUE on an action outside -1..1. */
  async step(action: NdArray<Float32Array>): Promise<StepResult<NdArray<Float32Array>>> {
    if (this.#observation === undefined)
      throw new GymError('E_STATE', 'AdaptationKnobs.step: no episode goes on; call reset() first.');
    if (!this.actionSpace.contains(action))
      throw new GymError('E_VALUE', `AdaptationKnobs.step: the action must be of ${this.actionSpace}.`);
    const knobs = knobsOf(action, this.#env.sizes.history);
    let reward = 0;
    for (;;) {
      const result = await this.#env.step(this.#rule(this.#observation, knobs));
      const observation = this.#observe(result.observation);
      reward += result.reward;
      if (result.terminated || result.info.epochEnd === true) return { ...result, observation, reward };
    }
  }

  snapshot(): Promise<Snapshot> {
    return this.#env.snapshot();
  }

  async restore(snapshot: Snapshot): Promise<ResetResult<NdArray<Float32Array>>> {
    const { observation, info } = await this.#env.restore(snapshot);
    return { observation: this.#observe(observation), info };
  }

  close(): void {
    this.#env.close();
  }
}
