import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import * as z from 'zod';
import { GymError } from '../core/errors.js';
import { readJson, writeFileAtomic } from '../core/files.js';
import type { NdArray } from '../core/ndarray.js';
import { Random, type RandomState } from '../core/random.js';
import { checkedFile } from '../core/schema.js';
import type { Awaitable, Metrics } from '../core/types.js';
import type { AdvantageEstimator } from './advantages/estimator.js';
import { makeAdvantageEstimator } from './advantages/index.js';
import { type CombineReward, perTermRewards } from './advantages/per-term.js';
import type { ActOptions, Agent, Decision, LearnOptions, Rollout } from './agent.js';
import {
  checkAlgorithm,
  type LossInput,
  type PolicyGradientAlgorithm,
  type PolicyGradientParts,
  scoreFunctionLoss,
} from './algorithm.js';
import { ArrayOptimizer } from './optimization/array-optimizer.js';
import { ArrayRows } from './optimization/array-rows.js';
import { RunTimeChecks } from './optimization/checks.js';
import { assignFlatWeights, flatWeights } from './optimization/flat-weights.js';
import { type LossOverRows, MinibatchOptimizer, type RowLoss, type Update } from './optimization/minibatches.js';
import { average, byName, concat, trainedRows } from './optimization/rows.js';
import { SharedWork } from './optimization/shared-work.js';
import { windowAt } from './optimization/window.js';
import type { HostGradient, UnitReplica, UnitWeights, WorkUnits } from './optimization/work-units.js';
import type { Policy, PolicyArrays, Prepared } from './policy.js';
import type { ReplayBuffer } from './replay-buffer.js';
import { gather, type Rows } from './rows.js';
import { explainedVariance, type Transitions, transitionsOf } from './transitions.js';

/** Transitions as the loss is computed on them. Plain arrays: it is sent to workers. */
interface Batch {
  /** How far the run is, 0 to 1. */
  readonly progress: number;
  readonly prepared: Prepared;
  readonly oldLogProb: Float32Array;
  readonly advantages: Float32Array;
  readonly targets?: Float32Array;
}

const stateSchema = z.strictObject({
  random: z.unknown(),
  progress: z.number().min(0).max(1),
  advantages: z.unknown().optional(),
  replay: z.unknown().optional(),
  /** Where a window of steps moves: how many rollouts were learned from. */
  rollouts: z.int().min(0).optional(),
});

/** What `agent.json` holds. */
type AgentState = z.output<typeof stateSchema>;

/**
 * What all policy-gradient agents share: rollout → transitions → advantages → minibatches → AdamW. What an algorithm is
 * made of stands in its own file ({@link PolicyGradientAlgorithm}), what depends on the kind of policy is the policy's.
 */
export class PolicyGradient<O, A> implements Agent<O, A>, UnitReplica {
  readonly collect: { steps: number } | { episodes: number };
  readonly policy: Policy<O, A>;
  readonly #algorithm: PolicyGradientAlgorithm;
  readonly #optimizer: MinibatchOptimizer | ArrayOptimizer;
  /** Where the policy learns on plain arrays. */
  readonly #arrays: PolicyArrays | undefined;
  readonly #estimator: AdvantageEstimator<O>;
  readonly #checks: RunTimeChecks;
  #random: Random;
  /** Of the random stream, as the last `learn` left it: what `save` writes. */
  #learned: RandomState;
  #progress = 0;
  readonly #work = new SharedWork(async () => ({
    // What a worker samples depends on the window too.
    window: this.policy.window,
    values: await flatWeights(this.policy.parameters.values()),
  }));
  /** In a worker: what rows are taken from. */
  #batch: Batch | undefined;
  readonly #combineReward: CombineReward | undefined;
  #rollouts = 0;

  /** @throws GymError E_CONFIG when options and policy do not fit each other. */
  constructor(algorithm: PolicyGradientAlgorithm, { policy, random, warn, combineReward }: PolicyGradientParts<O, A>) {
    const { options } = algorithm;
    checkAlgorithm(algorithm, policy, combineReward);
    this.collect = options.collect;
    this.policy = policy;
    this.#algorithm = algorithm;
    this.#estimator =
      algorithm.estimator === undefined
        ? makeAdvantageEstimator(algorithm.options, policy)
        : (algorithm.estimator as AdvantageEstimator<O>);
    this.#combineReward = options.rewardAggregation === 'per-term' ? combineReward : undefined;
    if (options.klCoefficient > 0) policy.keepReference!();
    if (algorithm.displacement) policy.keepMeans!();
    this.#moveWindow();
    // Arrays have no reference to measure a KL to.
    this.#arrays = options.klCoefficient > 0 ? undefined : policy.arrays;
    this.#optimizer = this.#arrays
      ? new ArrayOptimizer(this.#arrays, options)
      : new MinibatchOptimizer(policy.parameters, options);
    this.#checks = new RunTimeChecks(warn);
    this.#random = random;
    this.#learned = random.state();
  }

  setProgress(progress: number): void {
    this.#progress = progress;
  }

  act(observations: readonly O[], options: ActOptions = {}): Awaitable<Decision<A>> {
    const { explore = true, infos, random = this.#random } = options;
    const here = () => this.policy.sample(observations, { explore, random, infos });
    return this.policy.selfContained ? this.#work.decide(observations, explore, here) : here();
  }

  /** Has decisions and gradients computed by workers, when there are some. */
  computeWith(units: WorkUnits): void {
    this.#work.computeWith(units);
  }

  get lanes(): number {
    return this.policy.selfContained ? this.#work.lanes : 1;
  }

  async learn(rollout?: Rollout<O, A>, { signal }: LearnOptions = {}): Promise<Metrics> {
    const { transitions, replayed, batch, trainable, fitted } = await this.#prepare(rollout, true);
    const rows = trainedRows(transitions.spans, trainable, this.#algorithm.options.timestepFraction, this.#random);
    const metrics: Metrics = {
      envSteps: transitions.rewards.length - replayed,
      rewardQueries: transitions.spans.filter(({ complete, first }) => complete && first >= replayed).length,
      updates: this.#optimizer.updates,
      'train/learningRate': this.#optimizer.learningRate(this.#progress),
      'train/transitions': 0,
      ...explainedVariance(transitions, batch.targets),
      ...fitted,
    };
    const nothing = !rows.some((row) => batch.advantages[row] !== 0) && !batch.targets;
    this.#checks.raise(
      'variance',
      nothing,
      rows.length === 0
        ? 'no transition can be trained: no finished episode with a step of σ > 0; collect whole episodes, and sample with η > 0.'
        : 'the rewards of this rollout are all equal, so there is nothing to learn from it; no update was made. Check the reward on a few different images, or collect more episodes.',
    );
    try {
      if (!nothing) Object.assign(metrics, await this.#optimize(batch, this.#withPart(rows, batch), replayed, signal));
    } finally {
      this.#arrays?.store();
    }
    this.#rollouts++;
    this.#moveWindow();
    this.#learned = this.#random.state();
    return metrics;
  }

  /**
   * The loss of a whole rollout and its gradient at the present weights; nothing is stepped and no state changes.
   * For unit tests of algorithms and for looking into them.
   * @returns gradients by parameter name, in the parameter's own layout.
   */
  async lossAndGradients(rollout: Rollout<O, A>): Promise<{ loss: number; gradients: Map<string, NdArray> }> {
    const statistics = this.#estimator.state?.();
    const { transitions, batch, trainable } = await this.#prepare(rollout, false);
    if (statistics !== undefined) this.#estimator.restore!(statistics);
    const rows = this.#withPart(trainedRows(transitions.spans, trainable, 1, this.#random), batch);
    const { loss, gradient } = await this.#optimizer.hostGradient(rows, this.#lossOver(batch));
    return { loss, gradients: byName(gradient, this.policy.parameters) };
  }

  /** In a worker: takes over the weights of the agent that it computes for. */
  setWeights({ values, window }: UnitWeights): void {
    if (window) this.policy.window = window;
    assignFlatWeights(this.policy.parameters.values(), values);
  }

  /** In a worker: takes over the batch that rows will be taken from. */
  async setBatch(batch: unknown): Promise<void> {
    this.#batch = batch as Batch;
    this.#progress = this.#batch.progress;
    await this.policy.adopt?.(this.#batch.prepared);
  }

  /** In a worker: the decisions for a batch of observations. */
  sampleUnit(observations: readonly unknown[], explore: boolean): Awaitable<Decision<unknown>> {
    return this.policy.sample(observations as readonly O[], { explore, random: this.#random });
  }

  /** In a worker: the gradient of a micro-batch. */
  async gradientUnit(rows: Int32Array, share: number): Promise<HostGradient> {
    return await this.#optimizer.hostPass(rows, share, this.#lossOver(this.#batch!));
  }

  /** Writes the agent as its last `learn` left it: what `act` has drawn since then is drawn again after a restore. */
  async save(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true });
    await this.policy.save(join(folder, 'policy'));
    await this.#optimizer.save(join(folder, 'optimizer'));
    const state: AgentState = {
      random: this.#learned,
      progress: this.#progress,
      advantages: this.#estimator.state?.(),
      replay: this.#algorithm.replay?.state(),
      ...(this.#algorithm.window && { rollouts: this.#rollouts }),
    };
    await this.#estimator.save?.(join(folder, 'advantages'));
    await writeFileAtomic(join(folder, 'agent.json'), `${JSON.stringify(state)}\n`);
  }

  async restore(folder: string): Promise<void> {
    const file = join(folder, 'agent.json');
    const state = checkedFile(stateSchema, await readJson(file), file);
    const random = Random.restore(state.random as RandomState);
    if (state.advantages !== undefined) this.#estimator.restore?.(state.advantages);
    await this.#estimator.load?.(join(folder, 'advantages'));
    this.#algorithm.replay?.restore(state.replay);
    await this.#optimizer.restore(join(folder, 'optimizer'));
    await this.policy.restore(join(folder, 'policy'));
    this.#work.weightsChanged();
    this.#random = random;
    this.#learned = state.random as RandomState;
    this.#progress = state.progress;
    this.#rollouts = state.rollouts ?? 0;
    this.#moveWindow();
  }

  /** Frees the optimiser, the policy, and what the advantages needed. */
  dispose(): void {
    this.#estimator.dispose?.();
    this.#optimizer.dispose();
    this.policy.dispose();
  }

  /**
   * Transitions, their advantages, and which of them have a gradient and an advantage.
   * @param learns whether what the agent holds may change: earlier rollouts join, and the estimator learns.
   */
  async #prepare(rollout: Rollout<O, A> | undefined, learns: boolean) {
    if (!rollout || rollout.steps.length === 0)
      throw new GymError('E_STATE', 'learn: a policy-gradient agent learns from a rollout, and there is none.');
    if (this.#arrays?.isFresh === false) await this.#arrays.load();
    const sampled = transitionsOf(rollout);
    const combined = this.#combineReward ? perTermRewards(sampled, this.#combineReward) : sampled;
    if (!(combined.extras.logProb instanceof Float32Array))
      throw new GymError(
        'E_STATE',
        'learn: the rollout holds no `logProb`; collect it with this agent’s own decisions, extras included.',
      );
    const further = await this.#algorithm.annotate?.(combined as Transitions<never, never>);
    const made = { ...combined, extras: { ...combined.extras, ...further } };
    const replay = learns ? (this.#algorithm.replay as ReplayBuffer<O, A> | undefined) : undefined;
    const { transitions, replayed } = replay?.add(made) ?? { transitions: made, replayed: 0 };
    const prepared = await this.policy.prepare(transitions.observations, transitions.actions, transitions.extras);
    const fitted = learns ? await this.#estimator.learn?.(transitions, { prepared, replayed }) : undefined;
    const { advantages, targets } = await this.#estimator.estimate(transitions, { prepared, replayed });
    const trainable = this.policy.trainable(prepared).map((on, row) => (Number.isNaN(advantages[row]!) ? 0 : on));
    const clip = this.#algorithm.options.advantageClip;
    const batch: Batch = {
      progress: this.#progress,
      prepared,
      oldLogProb: transitions.extras.logProb as Float32Array,
      advantages: Float32Array.from(advantages, (a) => Math.min(clip, Math.max(-clip, a))),
      ...(targets && { targets }),
    };
    return { transitions, replayed, batch, trainable, fitted };
  }

  /** Those of some rows that the algorithm does not leave out. */
  #withPart(rows: Int32Array, { advantages }: Batch): Int32Array {
    return this.#algorithm.dropZeroAdvantages ? rows.filter((row) => advantages[row] !== 0) : rows;
  }

  /** The algorithm's loss as a function of rows. @param policyLoss instead of the algorithm's own term. */
  #lossOver(batch: Batch, policyLoss?: (input: LossInput) => Rows): LossOverRows {
    const { options } = this.#algorithm;
    const hasValues = batch.targets !== undefined && this.policy.value !== undefined;
    return (rows): RowLoss => {
      const take = (values: Float32Array): Rows => {
        const own = gather(values, 1, rows);
        return this.#arrays ? new ArrayRows(own) : tf.tensor1d(own);
      };
      const { logProb, entropy, kl, displacement, values } = this.#evaluate(batch, rows, hasValues);
      if (options.entropyCoefficient > 0 && entropy === undefined)
        throw new GymError(
          'E_CONFIG',
          `${this.#algorithm.name}.entropyCoefficient: the entropy of this policy does not depend on its parameters, so a bonus for it does nothing; use 0, actual value ${options.entropyCoefficient}.`,
        );
      const input: LossInput = {
        logProb,
        logRatio: logProb.sub(take(batch.oldLogProb)),
        advantages: take(batch.advantages),
        entropy,
        kl,
        displacement,
        rows,
        ...(hasValues && { values, targets: take(batch.targets!) }),
      };
      const own = policyLoss ? policyLoss(input) : this.#algorithm.policyLoss(input, this.#progress);
      const { loss, means, perRow } = this.#algorithm.loss(own, input, this.#progress);
      return { loss, means, perRow: { ...perRow, logRatio: input.logRatio } };
    };
  }

  /** What the policy says of rows, on arrays or tensors. */
  #evaluate(
    { prepared }: Batch,
    rows: Int32Array,
    values: boolean,
  ): Pick<LossInput, 'logProb' | 'entropy' | 'kl' | 'displacement' | 'values'> {
    if (this.#arrays) return this.#arrays.evaluate(prepared, rows, { values });
    const { options, kl = {}, displacement = false } = this.#algorithm;
    const reference = options.klCoefficient > 0 && kl;
    const evaluation = this.policy.evaluate(prepared, rows, { reference, displacement });
    return values ? { ...evaluation, values: this.policy.value!(prepared, rows) } : evaluation;
  }

  async #optimize(batch: Batch, rows: Int32Array, replayed: number, signal?: AbortSignal): Promise<Metrics> {
    const { innerEpochs, minibatches, ratioMetrics } = this.#algorithm;
    this.#work.batchChanged();
    const checks: Metrics = {};
    const done: Update[] = [];
    for (let epoch = 0; epoch < innerEpochs; epoch++) {
      const order = this.#random.permutation(rows.length);
      const shuffled = rows.map((_, i) => rows[order[i]!]!);
      const count = Math.min(minibatches, shuffled.length);
      for (let u = 0; u < count; u++) {
        const minibatch = shuffled.subarray(
          Math.floor((u * shuffled.length) / count),
          Math.floor(((u + 1) * shuffled.length) / count),
        );
        const untouched = epoch === 0 && u === 0;
        if (untouched && this.#optimizer.updates === 0 && replayed === 0 && this.#algorithm.importanceSampled)
          checks['check/gradientError'] = await this.#compareWithScoreFunction(batch, minibatch);
        const [optimizer, loss] = [this.#optimizer, this.#lossOver(batch)];
        const update =
          optimizer instanceof ArrayOptimizer
            ? await optimizer.update(minibatch, loss, this.#progress, signal)
            : await optimizer.update(
                minibatch,
                this.#work.source(optimizer, batch, minibatch.length, (own, share) => optimizer.pass(own, share, loss)),
                this.#progress,
                signal,
              );
        this.#work.weightsChanged();
        // Only with the weights that sampled it is a transition's ratio 1.
        const own = update.perRow.logRatio!.filter((_, i) => minibatch[i]! >= replayed);
        if (untouched && own.length > 0) checks['check/ratioError'] = this.#checks.ratio(own);
        this.#checks.finiteGradient(update.applied, update.gradNorm, update.loss);
        done.push(update);
      }
    }
    const logRatio = concat(done.map((update) => update.perRow.logRatio!));
    const ratios = ratioMetrics?.call(this.#algorithm, logRatio, this.#progress) ?? {};
    const applied = done.filter((update) => update.applied);
    const means = Object.keys(done[0]?.means ?? {}).map((name) => [
      `train/${name}`,
      average(done.map((update) => update.means[name]!)),
    ]);
    const metrics: Metrics = {
      updates: this.#optimizer.updates,
      'train/transitions': rows.length,
      'train/loss': average(applied.map((update) => update.loss)),
      'train/gradNorm': average(applied.map((update) => update.gradNorm)),
      'train/skippedUpdates': done.length - applied.length,
      ...Object.fromEntries(means),
      ...ratios,
      ...checks,
    };
    if (metrics['train/clipFraction'] !== undefined) this.#checks.clipFraction(metrics['train/clipFraction']);
    return metrics;
  }

  /** To where the policy's window stands after so many rollouts. */
  #moveWindow(): void {
    const { window } = this.#algorithm;
    if (window === undefined) return;
    this.policy.window = windowAt(window, this.#rollouts, this.policy.chainLength!);
    this.#work.weightsChanged();
  }

  /** At ratio 1 the importance-sampled gradient is the score-function gradient; looked at once, before the first update. */
  async #compareWithScoreFunction(batch: Batch, minibatch: Int32Array): Promise<number> {
    const rows = minibatch.slice(0, this.#algorithm.options.microBatch);
    const { gradient: own } = await this.#optimizer.hostPass(rows, 1, this.#lossOver(batch));
    const { gradient: score } = await this.#optimizer.hostPass(rows, 1, this.#lossOver(batch, scoreFunctionLoss));
    let [squares, distances] = [0, 0];
    score.forEach((value, i) => {
      squares += value ** 2;
      distances += (own[i]! - value) ** 2;
    });
    const error = Math.sqrt(distances) / (Math.sqrt(squares) + 1e-12);
    this.#checks.agreement(error);
    return error;
  }
}
