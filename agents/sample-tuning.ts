import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Tensor1D, Tensor4D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import * as z from 'zod';
import { GymError } from '../core/errors.js';
import { readJson, writeFileAtomic } from '../core/files.js';
import { type NdArray, sizeOf, stack } from '../core/ndarray.js';
import { Random, type RandomState } from '../core/random.js';
import { readSafetensors, writeSafetensors } from '../core/safetensors.js';
import { checkedFile } from '../core/schema.js';
import { mean } from '../core/statistics.js';
import type { Metrics } from '../core/types.js';
import type { ForwardProcess } from '../diffusion/schedulers/gaussian-sampler.js';
import type { DenoisingObservation } from '../envs/denoising/denoising.js';
import type { ActOptions, Agent, Decision, LearnOptions, Rollout } from './agent.js';
import { RunTimeChecks } from './optimization/checks.js';
import { assignFlatWeights, flatWeights } from './optimization/flat-weights.js';
import { type LossOverRows, MinibatchOptimizer, type RowLoss, type Update } from './optimization/minibatches.js';
import { byName } from './optimization/rows.js';
import { SharedWork } from './optimization/shared-work.js';
import type { HostGradient, UnitReplica, UnitWeights, WorkUnits } from './optimization/work-units.js';
import type { SampleTuningOptions } from './options.js';
import { DenoisingPolicy } from './policies/denoising.js';
import type { Policy } from './policy.js';
import { transitionsOf } from './transitions.js';

/** What a loss on finished samples sees of some of them, each with a timestep and noise of its own; one entry a row. */
export interface SampleLossInput {
  /** ‖target − prediction‖², a mean over dimensions: the denoising loss that the model was pretrained with. Differentiable. */
  readonly error: Tensor1D;
  /** ‖reference's prediction − prediction‖², likewise, where the algorithm keeps a reference. Differentiable. */
  readonly distance?: Tensor1D | undefined;
  /** What the sample weighs. */
  readonly weights: Tensor1D;
}

/** What tells one algorithm on finished samples from another. */
export interface SampleAlgorithm {
  /** The agent's name, for messages. */
  readonly name: string;
  readonly options: SampleTuningOptions;
  /** Whether new samples are made after every `passes` passes, by the model as it then is; else one set is made once. */
  readonly renews: boolean;
  /** Whether the loss looks at {@link SampleLossInput.distance}. */
  readonly reference: boolean;
  /** What each sample of a set weighs; those of weight 0 are left out where `drops` says so. */
  weigh(rewards: Float64Array, prompts: readonly string[]): Float64Array;
  /** Whether samples of weight 0 have no part in the loss at all. */
  readonly drops: boolean;
  /** The whole loss. Its `means` are logged as `train/<name>`. */
  loss(input: SampleLossInput): RowLoss;
}

/** Finished samples, their prompts, and what they weigh. */
interface SampleSet {
  /** x_0, [n, h, w, c]. */
  readonly latents: NdArray<Float32Array>;
  readonly prompts: readonly string[];
  readonly weights: Float64Array;
}

/** Where on the way to noise each sample of a set is looked at. */
export interface Noising {
  readonly timesteps: ArrayLike<number>;
  /** Standard normals, in the order of the latents. */
  readonly noise: Float32Array;
}

/** What rows are taken from: plain arrays, which are sent to workers. */
interface Batch {
  readonly set: SampleSet;
  readonly noising: Noising;
}

const stateSchema = z.strictObject({
  random: z.unknown(),
  progress: z.number().min(0).max(1),
  passes: z.int().min(0),
  updates: z.int().min(0),
  prompts: z.array(z.string()),
  weights: z.array(z.number()),
});

type Observation = DenoisingObservation;

/**
 * What all agents share that fine-tune a diffusion model on finished samples, by the loss that it was pretrained with: the
 * set of samples, passes over it with timesteps and noise drawn anew, AdamW. What an algorithm is made of stands in its own
 * file ({@link SampleAlgorithm}).
 *
 * The first `learn` takes the samples of a rollout; while passes over them are left, `needsRollout` is false.
 */
export class SampleTuning implements Agent<Observation, NdArray>, UnitReplica {
  readonly collect: { steps: number } | { episodes: number };
  readonly policy: DenoisingPolicy;
  readonly #algorithm: SampleAlgorithm;
  readonly #process: ForwardProcess;
  readonly #checks: RunTimeChecks;
  #optimizer: MinibatchOptimizer;
  #random: Random;
  #progress = 0;
  #set: SampleSet | undefined;
  /** Passes over the present set. */
  #passes = 0;
  /** Updates by optimisers before the present one. */
  #earlierUpdates = 0;
  readonly #work = new SharedWork(async () => ({ values: await flatWeights(this.policy.parameters.values()) }));
  /** In a worker: what rows are taken from. */
  #batch: Batch | undefined;

  /** @throws GymError E_CONFIG where the policy is no diffusion model whose way to noise is known. */
  constructor(
    algorithm: SampleAlgorithm,
    { policy, random, warn }: { policy: Policy<unknown, unknown>; random: Random; warn(message: string): void },
  ) {
    const { name, options } = algorithm;
    if (!(policy instanceof DenoisingPolicy) || !('addNoise' in policy.sampler))
      throw new GymError(
        'E_CONFIG',
        `${name}: it trains a diffusion model by its denoising loss, and this policy (${policy.kind}) has none; use it on Denoising-v0 with a scheduler of diffusion/, or choose another agent.`,
      );
    this.collect = options.collect;
    this.policy = policy;
    this.#process = policy.sampler as unknown as ForwardProcess;
    this.#algorithm = algorithm;
    this.#checks = new RunTimeChecks(warn);
    this.#random = random;
    if (algorithm.reference) policy.keepReference();
    this.#optimizer = this.#newOptimizer();
  }

  act(observations: readonly Observation[], { explore = true }: ActOptions = {}): Promise<Decision<NdArray>> {
    const here = () => this.policy.sample(observations, { explore });
    return Promise.resolve(this.#work.decide(observations, explore, here));
  }

  /** Has samples and gradients computed by workers, when there are some. */
  computeWith(units: WorkUnits): void {
    this.#work.computeWith(units);
  }

  get lanes(): number {
    return this.#work.lanes;
  }

  /** In a worker: takes over the weights of the agent that it computes for. */
  setWeights({ values }: UnitWeights): void {
    assignFlatWeights(this.policy.parameters.values(), values);
  }

  /** In a worker: takes over the batch that rows will be taken from. */
  async setBatch(batch: unknown): Promise<void> {
    this.#batch = batch as Batch;
    await this.policy.ready(this.#batch.set.prompts);
  }

  /** In a worker: the samples' next states for a batch of observations. */
  sampleUnit(observations: readonly unknown[], explore: boolean): Promise<Decision<unknown>> {
    return this.policy.sample(observations as readonly Observation[], { explore });
  }

  /** In a worker: the gradient of a micro-batch. */
  async gradientUnit(rows: Int32Array, share: number): Promise<HostGradient> {
    const { set, noising } = this.#batch!;
    return await this.#optimizer.hostPass(rows, share, this.#lossOver(set, noising));
  }

  setProgress(progress: number): void {
    this.#progress = progress;
  }

  needsRollout(): boolean {
    return this.#set === undefined || this.#passes >= this.#algorithm.options.passes;
  }

  async learn(rollout?: Rollout<Observation, NdArray>, { signal }: LearnOptions = {}): Promise<Metrics> {
    const taken = rollout === undefined ? {} : await this.#take(rollout);
    if (this.#set === undefined)
      throw new GymError('E_STATE', `learn: ${this.#algorithm.name} holds no samples yet, and was given no rollout.`);
    const learned = this.#passes < this.#algorithm.options.passes ? await this.#pass(this.#set, signal) : {};
    return { updates: this.#earlierUpdates + this.#optimizer.updates, ...taken, ...learned };
  }

  /**
   * The loss of a rollout's samples and its gradient at the present weights; nothing is stepped and no state changes.
   * @param noising timesteps and noise, one a sample.
   */
  async lossAndGradients(
    rollout: Rollout<Observation, NdArray>,
    noising: Noising,
  ): Promise<{ loss: number; gradients: Map<string, NdArray> }> {
    const { set } = this.#samplesOf(rollout);
    await this.policy.ready(set.prompts);
    const rows = Int32Array.from(set.prompts.keys());
    const { loss, gradient } = await this.#optimizer.hostGradient(rows, this.#lossOver(set, noising));
    return { loss, gradients: byName(gradient, this.policy.parameters) };
  }

  async save(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true });
    await this.policy.save(join(folder, 'policy'));
    await this.#optimizer.save(join(folder, 'optimizer'));
    const { latents, prompts = [], weights = [] } = this.#set ?? {};
    if (latents) await writeSafetensors(join(folder, 'samples.safetensors'), new Map([['latents', latents]]));
    const state: z.input<typeof stateSchema> = {
      random: this.#random.state(),
      progress: this.#progress,
      passes: this.#passes,
      updates: this.#earlierUpdates,
      prompts: [...prompts],
      weights: [...weights],
    };
    await writeFileAtomic(join(folder, 'agent.json'), `${JSON.stringify(state)}\n`);
  }

  async restore(folder: string): Promise<void> {
    const file = join(folder, 'agent.json');
    const { random, progress, passes, updates, prompts, weights } = checkedFile(
      stateSchema,
      await readJson(file),
      file,
    );
    let set: SampleSet | undefined;
    if (prompts.length > 0) {
      const samples = join(folder, 'samples.safetensors');
      const latents = (await readSafetensors(samples, ['latents'])).get('latents') as NdArray<Float32Array>;
      if (latents.shape[0] !== prompts.length || weights.length !== prompts.length)
        throw new GymError(
          'E_FILE',
          `${samples}: holds ${latents.shape[0]} samples, and agent.json has ${prompts.length} prompts and ${weights.length} weights; restore the checkpoint from its source.`,
        );
      set = { latents, prompts, weights: Float64Array.from(weights) };
    }
    const stream = Random.restore(random as RandomState);
    await this.#optimizer.restore(join(folder, 'optimizer'));
    await this.policy.restore(join(folder, 'policy'));
    this.#work.weightsChanged();
    this.#set = set;
    this.#random = stream;
    this.#progress = progress;
    this.#passes = passes;
    this.#earlierUpdates = updates;
  }

  /** Frees the optimiser and the policy. */
  dispose(): void {
    this.#optimizer.dispose();
    this.policy.dispose();
  }

  #newOptimizer(): MinibatchOptimizer {
    return new MinibatchOptimizer(this.policy.parameters, this.#algorithm.options);
  }

  /** Takes over a rollout's samples, unless there is one set for good. */
  async #take(rollout: Rollout<Observation, NdArray>): Promise<Metrics> {
    const { name, renews } = this.#algorithm;
    const { set, steps, rewards, made } = this.#samplesOf(rollout);
    const counts = { envSteps: steps, rewardQueries: rewards.length };
    const isOver = this.#set !== undefined && !renews;
    this.#checks.raise(
      'over',
      isOver,
      `${name} has made its ${this.#passes} passes over its samples, and learns no more: the rest of the run only samples. Give fewer epochs, or more passes.`,
    );
    if (isOver) return counts;
    if (set.prompts.length === 0)
      throw new GymError(
        'E_STATE',
        `learn: ${name} found no finished sample in its rollout (${steps} steps); collect whole episodes.`,
      );
    if (renews && this.#set !== undefined) {
      // Each round starts from the model of the last one with an optimiser that remembers nothing of other samples.
      this.#earlierUpdates += this.#optimizer.updates;
      this.#optimizer.dispose();
      this.#optimizer = this.#newOptimizer();
    }
    this.#set = set;
    this.#passes = 0;
    const { total, carriers } = spreadOf(made);
    this.#checks.raise(
      'weights',
      total === 0,
      `${name}: no sample weighs more than 0, so nothing is learned from the rewards. Look at them, or change what makes them weights.`,
    );
    this.#checks.raise(
      'negative',
      made.some((weight) => weight < 0),
      `${name}: some samples weigh less than 0, which pushes the model away from them without end. Use negativeWeights: clamp or shift.`,
    );
    return {
      ...counts,
      'train/samples': set.prompts.length,
      'train/samplesOf90': carriers,
      'train/reward': mean(rewards),
      ...(total > 0 && {
        'train/weightedReward': rewards.reduce((sum, reward, i) => sum + reward * made[i]!, 0) / total,
      }),
    };
  }

  /** The finished samples of a rollout: each episode's last latents. */
  #samplesOf(rollout: Rollout<Observation, NdArray>) {
    const { drops } = this.#algorithm;
    const { spans, actions, observations, rewards: all } = transitionsOf(rollout);
    const episodes = spans.filter((span) => span.complete);
    const prompts = episodes.map(({ first }) => observations[first]!.prompt);
    const rewards = Float64Array.from(episodes, ({ first, end }) =>
      all.subarray(first, end).reduce((a, b) => a + b, 0),
    );
    const made = this.#algorithm.weigh(rewards, prompts);
    const kept = [...episodes.keys()].filter((i) => !drops || made[i] !== 0);
    const set: SampleSet = {
      latents: stack(kept.map((i) => actions[episodes[i]!.end - 1] as NdArray<Float32Array>)),
      prompts: kept.map((i) => prompts[i]!),
      weights: Float64Array.from(kept, (i) => made[i]!),
    };
    return { set, steps: all.length, rewards, made };
  }

  /** One pass over the set, in minibatches. */
  async #pass(set: SampleSet, signal: AbortSignal | undefined): Promise<Metrics> {
    await this.policy.ready(set.prompts);
    const { batch } = this.#algorithm.options;
    const { trainTimesteps } = this.#process;
    const size = set.prompts.length;
    const order = this.#random.permutation(size);
    const noising: Noising = {
      timesteps: Array.from(order, () => trainTimesteps[this.#random.integer(trainTimesteps.length)]!),
      noise: this.#random.normals(set.latents.data.length),
    };
    const [optimizer, loss] = [this.#optimizer, this.#lossOver(set, noising)];
    this.#work.batchChanged();
    const done: Update[] = [];
    for (let first = 0; first < size; first += batch) {
      const rows = order.slice(first, first + batch);
      const source = this.#work.source(optimizer, { set, noising } satisfies Batch, rows.length, (own, share) =>
        optimizer.pass(own, share, loss),
      );
      const update = await optimizer.update(rows, source, this.#progress, signal);
      this.#work.weightsChanged();
      this.#checks.finiteGradient(update.applied, update.gradNorm, update.loss);
      done.push(update);
    }
    this.#passes++;
    const applied = done.filter((update) => update.applied);
    const average = (value: (update: Update) => number) => mean(applied.map(value));
    return {
      'train/pass': this.#passes,
      'train/learningRate': this.#optimizer.learningRate(this.#progress),
      'train/skippedUpdates': done.length - applied.length,
      ...(applied.length > 0 && {
        'train/loss': average((update) => update.loss),
        'train/gradNorm': average((update) => update.gradNorm),
        ...Object.fromEntries(
          Object.keys(applied[0]!.means).map((name) => [`train/${name}`, average((update) => update.means[name]!)]),
        ),
      }),
    };
  }

  /** The algorithm's loss as a function of rows of a set. */
  #lossOver({ latents, prompts, weights }: SampleSet, { timesteps, noise }: Noising): LossOverRows {
    const { options, reference, loss } = this.#algorithm;
    const [, ...shape] = latents.shape;
    const size = sizeOf(shape);
    return (rows) => {
      const take = (from: Float32Array): Tensor4D => {
        const data = new Float32Array(rows.length * size);
        rows.forEach((row, i) => {
          data.set(from.subarray(row * size, (row + 1) * size), i * size);
        });
        return tf.tensor4d(data, [rows.length, ...shape] as [number, number, number, number]);
      };
      const clean = take(latents.data);
      const epsilon = take(noise);
      const at = Array.from(rows, (row) => timesteps[row]!);
      const texts = Array.from(rows, (row) => prompts[row]!);
      const noisy = this.#process.addNoise(clean, epsilon, at);
      const target = this.#process.target(clean, epsilon, at);
      const predict = (ofReference: boolean) =>
        this.policy.predict(noisy, at, texts, { guided: options.guided, reference: ofReference });
      const prediction = predict(false);
      const distanceTo = (other: Tensor4D) => other.sub(prediction).square().mean<Tensor1D>([1, 2, 3]);
      return loss({
        error: distanceTo(target),
        distance: reference ? distanceTo(predict(true)) : undefined,
        weights: tf.tensor1d(Float32Array.from(rows, (row) => weights[row]!)),
      });
    };
  }
}

/** The sum of weights, and how many of the heaviest carry 90 % of it: near 1 a handful of samples is all that is learned from. */
function spreadOf(weights: Float64Array): { total: number; carriers: number } {
  const sorted = Float64Array.from(weights, (weight) => Math.max(0, weight))
    .sort()
    .reverse();
  const total = sorted.reduce((a, b) => a + b, 0);
  let carriers = 0;
  for (let sum = 0; carriers < sorted.length && sum < 0.9 * total; carriers++) sum += sorted[carriers]!;
  return { total, carriers };
}
