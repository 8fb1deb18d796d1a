import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import * as z from 'zod';
import { GymError } from '../core/errors.js';
import { readJson, writeFileAtomic } from '../core/files.js';
import type { NdArray } from '../core/ndarray.js';
import { Random, type RandomState } from '../core/random.js';
import { checkedFile } from '../core/schema.js';
import { meanAndStd } from '../core/statistics.js';
import type { Awaitable, Metrics } from '../core/types.js';
import type { AdvantageEstimator } from './advantages/estimator.js';
import { makeAdvantageEstimator } from './advantages/index.js';
import type { ActOptions, Agent, Decision, LearnOptions, Rollout } from './agent.js';
import { ArrayOptimizer } from './optimization/array-optimizer.js';
import { ArrayRows } from './optimization/array-rows.js';
import { RunTimeChecks } from './optimization/checks.js';
import {
  type Gradient,
  type GradientSource,
  type LossOverRows,
  MinibatchOptimizer,
  type RowLoss,
  type Update,
} from './optimization/minibatches.js';
import type { HostGradient, UnitReplica, UnitState, WorkUnits } from './optimization/work-units.js';
import type { PolicyGradientOptions } from './options.js';
import type { Policy, PolicyArrays, Prepared } from './policy.js';
import { gather, type Rows } from './rows.js';
import { explainedVariance, type Span, type Transitions, transitionsOf } from './transitions.js';

/** What an algorithm's loss sees of some transitions. They have one entry a row; those of the policy are differentiable. */
export interface LossInput {
  /** ln π(a|s) by the present weights. */
  readonly logProb: Rows;
  /** ln π(a|s) − ln π_old(a|s): 0 with the weights that sampled the rollout. */
  readonly logRatio: Rows;
  readonly advantages: Rows;
  /** Where the policy has an entropy that depends on its parameters. */
  readonly entropy?: Rows | undefined;
  /** KL to the reference, where `klCoefficient` is above 0. */
  readonly kl?: Rows | undefined;
  /** V(s), where the policy has a critic and the advantages give it targets. */
  readonly values?: Rows | undefined;
  readonly targets?: Rows | undefined;
  /** The rows of the rollout that these are. */
  readonly rows: Int32Array;
}

/** What tells one policy-gradient algorithm from another. */
export interface PolicyGradientAlgorithm {
  /** The agent's name, for messages. */
  readonly name: string;
  readonly options: PolicyGradientOptions;
  /** Passes over a rollout. */
  readonly innerEpochs: number;
  /** Updates a pass. */
  readonly minibatches: number;
  /** True for a surrogate on ratios, which serves several updates: its gradient at ratio 1 is then checked once. */
  readonly importanceSampled: boolean;
  /** The policy's own term, to be made small: minus the surrogate objective. */
  policyLoss(input: LossInput, progress: number): Rows;
  /** The whole loss: the policy's term with those of values, entropy and KL. Its `means` are logged as `train/<name>`. */
  loss(policyLoss: Rows, input: LossInput): RowLoss;
  /** What the algorithm wants logged of a rollout's log-ratios. `train/clipFraction` is watched over. */
  ratioMetrics?(logRatio: Float32Array, progress: number): Metrics;
  /** Instead of the estimator that `options.advantage` names. */
  readonly estimator?: AdvantageEstimator<never>;
}

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
});

/** What `agent.json` holds. */
type AgentState = z.output<typeof stateSchema>;

/** −mean(A · ln π): the score-function estimator, exact only where the data are on-policy. */
function scoreFunctionLoss({ logProb, advantages }: LossInput): Rows {
  return advantages.mul(logProb).mean().neg();
}

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
  #units: WorkUnits | undefined;
  /** Changes with the weights, and with the batch that rows are taken from: workers are sent what they do not have. */
  #weightsVersion = 0;
  #batchVersion = 0;
  /** In a worker: what rows are taken from. */
  #batch: Batch | undefined;

  /** @throws GymError E_CONFIG when options and policy do not fit each other. */
  constructor(
    algorithm: PolicyGradientAlgorithm,
    { policy, random, warn }: { policy: Policy<O, A>; random: Random; warn(message: string): void },
  ) {
    const { options, name } = algorithm;
    this.collect = options.collect;
    this.policy = policy;
    this.#algorithm = algorithm;
    this.#estimator = (algorithm.estimator as AdvantageEstimator<O>) ?? makeAdvantageEstimator(options, policy);
    if (options.klCoefficient > 0) {
      if (policy.keepReference === undefined)
        throw new GymError(
          'E_CONFIG',
          `${name}.klCoefficient: this policy cannot keep a reference to measure the KL to; use 0, actual value ${options.klCoefficient}.`,
        );
      policy.keepReference();
    }
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
    const units = this.policy.selfContained ? this.#units : undefined;
    if (units === undefined) return this.policy.sample(observations, { explore, random, infos });
    if (units.lanes > 0)
      return units.sample(observations, explore, this.#unitState()) as Promise<Decision<unknown>> as Promise<
        Decision<A>
      >;
    return timed(units, async () => this.policy.sample(observations, { explore, random, infos }));
  }

  /** Has decisions and gradients computed by workers, when there are some. */
  computeWith(units: WorkUnits): void {
    this.#units = units;
  }

  get lanes(): number {
    return this.policy.selfContained ? Math.max(1, this.#units?.lanes ?? 1) : 1;
  }

  async learn(rollout?: Rollout<O, A>, { signal }: LearnOptions = {}): Promise<Metrics> {
    const { transitions, batch, trainable } = await this.#prepare(rollout);
    const rows = this.#trainedRows(transitions.spans, trainable, this.#algorithm.options.timestepFraction);
    const metrics: Metrics = {
      envSteps: transitions.rewards.length,
      rewardQueries: transitions.spans.filter((span) => span.complete).length,
      updates: this.#optimizer.updates,
      'train/learningRate': this.#optimizer.learningRate(this.#progress),
      'train/transitions': 0,
      ...explainedVariance(transitions, batch.targets),
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
      if (!nothing) Object.assign(metrics, await this.#optimize(batch, rows, signal));
    } finally {
      this.#arrays?.store();
    }
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
    const { transitions, batch, trainable } = await this.#prepare(rollout);
    if (statistics !== undefined) this.#estimator.restore!(statistics);
    const rows = this.#trainedRows(transitions.spans, trainable, 1);
    const { loss, gradient } = await this.#optimizer.hostGradient(rows, this.#lossOver(batch));
    const gradients = new Map<string, NdArray>();
    let offset = 0;
    for (const [name, { size, shape }] of this.policy.parameters) {
      gradients.set(name, { data: gradient.subarray(offset, offset + size), shape });
      offset += size;
    }
    return { loss, gradients };
  }

  /** In a worker: takes over the weights of the agent that it computes for. */
  setWeights(weights: readonly NdArray[]): void {
    const variables = [...this.policy.parameters.values()];
    tf.tidy(() => {
      variables.forEach((variable, i) => {
        variable.assign(tf.tensor(weights[i]!.data as Float32Array, variable.shape));
      });
    });
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
    };
    await writeFileAtomic(join(folder, 'agent.json'), `${JSON.stringify(state)}\n`);
  }

  async restore(folder: string): Promise<void> {
    const file = join(folder, 'agent.json');
    const state = checkedFile(stateSchema, await readJson(file), file);
    const random = Random.restore(state.random as RandomState);
    if (state.advantages !== undefined) this.#estimator.restore?.(state.advantages);
    await this.#optimizer.restore(join(folder, 'optimizer'));
    await this.policy.restore(join(folder, 'policy'));
    this.#weightsVersion++;
    this.#random = random;
    this.#learned = state.random as RandomState;
    this.#progress = state.progress;
  }

  /** Frees the optimiser and the policy. */
  dispose(): void {
    this.#optimizer.dispose();
    this.policy.dispose();
  }

  /** Transitions, their advantages, and which of them have a gradient and an advantage. */
  async #prepare(
    rollout: Rollout<O, A> | undefined,
  ): Promise<{ transitions: Transitions<O, A>; batch: Batch; trainable: Uint8Array }> {
    if (!rollout || rollout.steps.length === 0)
      throw new GymError('E_STATE', 'learn: a policy-gradient agent learns from a rollout, and there is none.');
    if (this.#arrays?.isFresh === false) await this.#arrays.load();
    const transitions = transitionsOf(rollout);
    const oldLogProb = transitions.extras.logProb;
    if (!(oldLogProb instanceof Float32Array))
      throw new GymError(
        'E_STATE',
        'learn: the rollout holds no `logProb`; collect it with this agent’s own decisions, extras included.',
      );
    const prepared = await this.policy.prepare(transitions.observations, transitions.actions, transitions.extras);
    const { advantages, targets } = await this.#estimator.estimate(transitions);
    const trainable = this.policy.trainable(prepared).map((on, row) => (Number.isNaN(advantages[row]!) ? 0 : on));
    const clip = this.#algorithm.options.advantageClip;
    const batch: Batch = {
      progress: this.#progress,
      prepared,
      oldLogProb,
      advantages: Float32Array.from(advantages, (a) => Math.min(clip, Math.max(-clip, a))),
      ...(targets && { targets }),
    };
    return { transitions, batch, trainable };
  }

  /** Of each episode a share of its trainable rows, drawn for each anew (ddpo-pytorch permutes each sample's timesteps). */
  #trainedRows(spans: readonly Span[], trainable: Uint8Array, share: number): Int32Array {
    const rows: number[] = [];
    for (const { first, end } of spans) {
      const own: number[] = [];
      for (let row = first; row < end; row++) if (trainable[row]) own.push(row);
      if (share === 1 || own.length === 0) {
        for (const row of own) rows.push(row);
        continue;
      }
      const count = Math.max(1, Math.floor(own.length * share));
      const drawn = this.#random.permutation(own.length).slice(0, count).sort();
      for (const k of drawn) rows.push(own[k]!);
    }
    return Int32Array.from(rows);
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
      const { logProb, entropy, kl, values } = this.#evaluate(batch, rows, hasValues);
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
        rows,
        ...(hasValues && { values, targets: take(batch.targets!) }),
      };
      const own = policyLoss ? policyLoss(input) : this.#algorithm.policyLoss(input, this.#progress);
      const { loss, means, perRow } = this.#algorithm.loss(own, input);
      return { loss, means, perRow: { ...perRow, logRatio: input.logRatio } };
    };
  }

  /** What the policy says of rows, on arrays or tensors. */
  #evaluate(
    { prepared }: Batch,
    rows: Int32Array,
    values: boolean,
  ): Pick<LossInput, 'logProb' | 'entropy' | 'kl' | 'values'> {
    if (this.#arrays) return this.#arrays.evaluate(prepared, rows, { values });
    const evaluation = this.policy.evaluate(prepared, rows, { reference: this.#algorithm.options.klCoefficient > 0 });
    return values ? { ...evaluation, values: this.policy.value!(prepared, rows) } : evaluation;
  }

  async #optimize(batch: Batch, rows: Int32Array, signal: AbortSignal | undefined): Promise<Metrics> {
    const { innerEpochs, minibatches, ratioMetrics } = this.#algorithm;
    this.#batchVersion++;
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
        if (untouched && this.#optimizer.updates === 0 && this.#algorithm.importanceSampled)
          checks['check/gradientError'] = await this.#compareWithScoreFunction(batch, minibatch);
        const update =
          this.#optimizer instanceof ArrayOptimizer
            ? await this.#optimizer.update(minibatch, this.#lossOver(batch), this.#progress, signal)
            : await this.#optimizer.update(minibatch, this.#source(this.#optimizer, batch), this.#progress, signal);
        this.#weightsVersion++;
        if (untouched) checks['check/ratioError'] = this.#checks.ratio(update.perRow.logRatio!);
        this.#checks.finiteGradient(update.applied, update.gradNorm, update.loss);
        done.push(update);
      }
    }
    const logRatio = concat(done.map((update) => update.perRow.logRatio!));
    const ratios = ratioMetrics?.call(this.#algorithm, logRatio, this.#progress) ?? {};
    if (ratios['train/clipFraction'] !== undefined) this.#checks.clipFraction(ratios['train/clipFraction']);
    const applied = done.filter((update) => update.applied);
    const means = Object.keys(done[0]?.means ?? {}).map((name) => [
      `train/${name}`,
      average(done.map((update) => update.means[name]!)),
    ]);
    return {
      updates: this.#optimizer.updates,
      'train/transitions': rows.length,
      'train/loss': average(applied.map((update) => update.loss)),
      'train/gradNorm': average(applied.map((update) => update.gradNorm)),
      'train/skippedUpdates': done.length - applied.length,
      ...Object.fromEntries(means),
      ...ratios,
      ...checks,
    };
  }

  /** Where gradients of this batch come from: workers, where there are some by now. */
  #source(optimizer: MinibatchOptimizer, batch: Batch): GradientSource {
    const units = this.#units;
    const loss = this.#lossOver(batch);
    if (units === undefined || units.lanes === 0)
      return {
        lanes: 1,
        pass: (rows, share) => timed(units, () => optimizer.pass(rows, share, loss)),
      };
    const state = this.#unitState(batch);
    return {
      lanes: units.lanes,
      pass: async (rows, share): Promise<Gradient> => {
        const { gradient, ...rest } = await units.gradient(rows, share, state);
        return { gradient: tf.tensor1d(gradient), ...rest };
      },
    };
  }

  #unitState(batch?: Batch): UnitState {
    const read = async (): Promise<NdArray[]> => {
      const weights: NdArray[] = [];
      for (const variable of this.policy.parameters.values())
        weights.push({ data: (await variable.data()) as Float32Array, shape: variable.shape });
      return weights;
    };
    return {
      weights: { version: this.#weightsVersion, read },
      ...(batch && { batch: { version: this.#batchVersion, read: () => batch } }),
    };
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

/** Tells workers that are to come how long a unit takes here. */
async function timed<T>(units: WorkUnits | undefined, work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await work();
  units?.took(performance.now() - started);
  return result;
}

function average(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : meanAndStd(values).mean;
}

function concat(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}
