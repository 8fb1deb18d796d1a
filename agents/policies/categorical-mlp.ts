import type { Tensor1D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import type { Random } from '../../core/random.js';
import { Discrete } from '../../envs/spaces/discrete.js';
import type { Space } from '../../envs/spaces/space.js';
import type { Decision } from '../agent.js';
import type { Evaluation, SampleOptions } from '../policy.js';
import { ActorCritic, type PreparedVectors } from './actor-critic.js';
import type { MlpOptions } from './mlp.js';

/** A softmax over the actions of a `Discrete` space, with a critic; its mode is the likeliest action. */
export class CategoricalMlp<O> extends ActorCritic<O, number> {
  readonly #n: number;
  readonly #start: number;

  /** @throws GymError E_SPACE unless the actions are Discrete and the observations flatten. */
  constructor(observationSpace: Space<O>, actionSpace: Space<number>, options: MlpOptions, random: Random) {
    if (!(actionSpace instanceof Discrete))
      throw new GymError('E_SPACE', `CategoricalMlp: needs a Discrete action space, actual value ${actionSpace}.`);
    super('CategoricalMlp', observationSpace, 1, actionSpace.n, options, random);
    this.#n = actionSpace.n;
    this.#start = actionSpace.start;
  }

  async sample(observations: readonly O[], { explore, random }: SampleOptions): Promise<Decision<number>> {
    const { outputs, value } = await this.forward(observations);
    const logProb = new Float32Array(observations.length);
    const actions = observations.map((_, i) => {
      const logits = outputs.subarray(i * this.#n, (i + 1) * this.#n);
      const top = logits.reduce((a, b) => Math.max(a, b));
      const weights = Array.from(logits, (l) => Math.exp(l - top));
      const total = weights.reduce((a, b) => a + b, 0);
      let action = logits.indexOf(top);
      if (explore) {
        // inverse of the cumulative distribution; the last action takes what rounding leaves
        let left = random.next() * total - weights[0]!;
        for (action = 0; left >= 0 && action < this.#n - 1; action++) left -= weights[action + 1]!;
      }
      logProb[i] = Math.log(weights[action]! / total);
      return action + this.#start;
    });
    return { actions, extras: { logProb, value } };
  }

  evaluate(prepared: PreparedVectors, rows: Int32Array, options?: { reference?: boolean }): Evaluation {
    const reference = this.kept(options);
    return tf.tidy(() => {
      const observations = this.observationRows(prepared, rows);
      const logProbs = this.actor.apply(observations).logSoftmax();
      const taken = this.actionRows(prepared, rows).squeeze<Tensor1D>([1]).toInt();
      const logProb = logProbs.mul(this.#oneHot(taken)).sum(1) as Tensor1D;
      const probs = logProbs.exp();
      return {
        logProb,
        entropy: probs.mul(logProbs).sum(1).neg() as Tensor1D,
        // KL(π ‖ π_ref) = Σ_a π(a) (ln π(a) − ln π_ref(a))
        ...(reference && {
          kl: probs.mul(logProbs.sub(reference.apply(observations).logSoftmax())).sum(1) as Tensor1D,
        }),
      };
    }) as unknown as Evaluation;
  }

  /** `tf.oneHot` wants at least two classes; the one action of `Discrete(1)` is the first of two. */
  #oneHot(taken: Tensor1D): tf.Tensor {
    return this.#n > 1 ? tf.oneHot(taken, this.#n) : tf.oneHot(taken, 2).slice([0, 0], [-1, 1]);
  }

  protected encode(actions: readonly number[]): Float32Array {
    return Float32Array.from(actions, (action) => action - this.#start);
  }
}
