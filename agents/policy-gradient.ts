import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Scalar, Tensor1D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { GymError } from '../core/errors.js';
import { readJson, writeFileAtomic } from '../core/files.js';
import type { NdArray } from '../core/ndarray.js';
import { Random, type RandomState } from '../core/random.js';
import { readSafetensors, writeSafetensors } from '../core/safetensors.js';
import type { Awaitable, Metrics } from '../core/types.js';
import { AdamW } from './adamw.js';
import { generalizedAdvantages, meanAndStd, type PerPromptState, PerPromptStats, standardize } from './advantage.js';
import type { ActOptions, Agent, Decision, Rollout } from './agent.js';
import type { Critic, Policy, Prepared } from './policy.js';
import { checkSchedule, type Schedule, scheduled } from './schedule.js';
import { type SurrogateInput, scoreFunctionLoss } from './surrogates.js';
import { type Span, type Transitions, transitionsOf } from './transitions.js';

/** How good an action was, compared with what. */
export type AdvantageKind =
  /** The episode's return, standardised over the rollout (DDPO without a tracker). */
  | 'batch'
  /** The episode's return, standardised with running statistics of its prompt (DDPO §5). */
  | 'per-prompt'
  /** Generalized advantage estimation; needs a policy with a critic. */
  | 'gae'
  /** Discounted reward-to-go, standardised over the rollout; without a critic. */
  | 'reward-to-go'
  /** The episode's return as it is. */
  | 'none';

/** Options of every gradient algorithm; defaults are sound for a small diffusion model. */
export interface PolicyGradientOptions {
  /** How much makes a rollout. Default 64 episodes. */
  collect?: { steps: number } | { episodes: number };
  /** AdamW's step size. Default 1e-4. */
  learningRate?: Schedule;
  beta1?: number;
  beta2?: number;
  epsilon?: number;
  /** Default 1e-4. */
  weightDecay?: number;
  /** Gradients are scaled down to this global norm. Default 1. */
  maxGradNorm?: number;
  /** Default 'batch'. */
  advantage?: AdvantageKind;
  /** Advantages are clamped to ± this. Default 5. */
  advantageClip?: number;
  /** Rewards remembered of each prompt ('per-prompt'). Default 16. */
  perPromptBuffer?: number;
  /** From how many rewards on a prompt has its own statistics ('per-prompt'). Default 16. */
  perPromptMinCount?: number;
  /** Passes over a rollout. Default 1. */
  innerEpochs?: number;
  /** Optimiser steps a pass: the rollout's transitions are shuffled and split into so many minibatches. Default 4. */
  updates?: number;
  /** Transitions in one forward and backward pass; gradients are accumulated over a minibatch, so this changes speed and memory only. Default 64. */
  microBatch?: number;
  /** Share of each episode's trainable steps that is trained, drawn anew for each episode. Default 1. */
  timestepFraction?: number;
  /** Discount of 'gae' and 'reward-to-go'. Default 1. */
  gamma?: number;
  /** λ of 'gae'. Default 0.95. */
  gaeLambda?: number;
  /** Weight of the critic's squared error. Default 0.5. */
  valueCoefficient?: number;
  /** Weight of the entropy bonus, for policies that have an entropy. Default 0. */
  entropyCoefficient?: number;
  /** Told, once each time it begins, what looks wrong and what to do about it. Default: console.warn. */
  warn?: (message: string) => void;
}

export type ResolvedOptions = Required<PolicyGradientOptions>;

const defaults: ResolvedOptions = {
  collect: { episodes: 64 },
  learningRate: 1e-4,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 1e-4,
  maxGradNorm: 1,
  advantage: 'batch',
  advantageClip: 5,
  perPromptBuffer: 16,
  perPromptMinCount: 16,
  innerEpochs: 1,
  updates: 4,
  microBatch: 64,
  timestepFraction: 1,
  gamma: 1,
  gaeLambda: 0.95,
  valueCoefficient: 0.5,
  entropyCoefficient: 0,
  warn: (message) => console.warn(message),
};

/** Largest |ρ − 1| of re-scored transitions under unchanged weights that is rounding and not a bug. */
const RATIO_TOLERANCE = 1e-5;
const GRADIENT_TOLERANCE = 1e-3;
const CLIP_FRACTION_LIMIT = 0.9;

function check(name: string, value: number, ok: (value: number) => boolean, must: string): void {
  if (!ok(value)) throw new GymError('E_VALUE', `${name}: must be ${must}, actual value ${value}.`);
}

/** A row's place in the loss. */
interface Batch<P> {
  prepared: P;
  oldLogProb: Float32Array;
  advantages: Float32Array;
  /** What the critic should say, where there is one. */
  targets?: Float32Array;
}

interface Pass {
  /** Gradient of the micro-batch's share of the minibatch's mean loss. */
  gradient: Tensor1D;
  loss: number;
  logRatio: Float32Array;
  entropy?: number;
}

/**
 * The one engine behind every policy-gradient algorithm: rollout → transitions → advantages → minibatches → AdamW.
 * An algorithm says what its surrogate loss is; everything that depends on the kind of policy is the policy's.
 */
export abstract class PolicyGradient<O, A, P extends Prepared> implements Agent<O, A> {
  readonly collect: { steps: number } | { episodes: number };
  readonly options: Readonly<ResolvedOptions>;
  readonly policy: Policy<O, A, P>;
  protected progress = 0;
  readonly #optimizer: AdamW;
  readonly #critic: Critic<O, P> | undefined;
  readonly #perPrompt: PerPromptStats | undefined;
  readonly #raised = new Set<string>();
  #random: Random;
  #updates = 0;

  constructor(name: string, policy: Policy<O, A, P>, options: PolicyGradientOptions, random: Random) {
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
    const o: ResolvedOptions = { ...defaults, ...given };
    checkSchedule(`${name}.learningRate`, o.learningRate);
    const positive: (keyof ResolvedOptions)[] = ['maxGradNorm', 'advantageClip', 'epsilon'];
    for (const key of positive) check(`${name}.${key}`, o[key] as number, (v) => v > 0, 'above 0');
    for (const key of ['innerEpochs', 'updates', 'microBatch'] as const)
      check(`${name}.${key}`, o[key], (v) => Number.isInteger(v) && v >= 1, 'an integer of at least 1');
    for (const key of ['weightDecay', 'valueCoefficient', 'entropyCoefficient'] as const)
      check(`${name}.${key}`, o[key], (v) => Number.isFinite(v) && v >= 0, 'at least 0');
    for (const key of ['beta1', 'beta2'] as const) check(`${name}.${key}`, o[key], (v) => v >= 0 && v < 1, 'in [0, 1)');
    for (const key of ['gamma', 'gaeLambda'] as const)
      check(`${name}.${key}`, o[key], (v) => v >= 0 && v <= 1, 'in [0, 1]');
    check(`${name}.timestepFraction`, o.timestepFraction, (v) => v > 0 && v <= 1, 'in (0, 1]');
    const count = 'steps' in o.collect ? o.collect.steps : o.collect.episodes;
    check(`${name}.collect`, count, (v) => Number.isInteger(v) && v >= 1, 'an integer of at least 1');
    this.#critic = 'value' in policy && 'values' in policy ? (policy as unknown as Critic<O, P>) : undefined;
    if (o.advantage === 'gae' && !this.#critic)
      throw new GymError(
        'E_CONFIG',
        `${name}.advantage: 'gae' needs a policy with a critic, and this one has none; choose 'batch', 'per-prompt' or 'reward-to-go'.`,
      );
    if (o.advantage === 'per-prompt') this.#perPrompt = new PerPromptStats(o.perPromptBuffer, o.perPromptMinCount);
    this.options = o;
    this.collect = o.collect;
    this.policy = policy;
    this.#random = random;
    this.#optimizer = new AdamW(policy.parameters, o);
  }

  /** The loss of some transitions, to be made small; differentiable. */
  protected abstract surrogate(input: SurrogateInput): Scalar;

  /** Whether stepping again on the same data is sound: an importance-sampled surrogate. */
  protected abstract readonly importanceSampled: boolean;

  /** What the algorithm itself wants logged of a rollout's ratios. */
  protected ratioMetrics(_logRatio: Float32Array): Metrics {
    return {};
  }

  setProgress(progress: number): void {
    this.progress = progress;
  }

  act(observations: readonly O[], options: ActOptions = {}): Awaitable<Decision<A>> {
    const { explore = true, infos, random = this.#random } = options;
    return this.policy.sample(observations, { explore, random, infos });
  }

  async learn(rollout?: Rollout<O, A>): Promise<Metrics> {
    const { transitions, batch, trainable } = await this.#prepare(rollout);
    const rows = this.#trainedRows(transitions.spans, trainable, this.options.timestepFraction);
    const counts = {
      envSteps: transitions.rewards.length,
      rewardQueries: transitions.spans.filter((span) => span.complete).length,
    };
    const learningRate = scheduled(this.options.learningRate, this.progress);
    if (!rows.some((row) => batch.advantages[row] !== 0) && !batch.targets) {
      this.#raise(
        'variance',
        true,
        rows.length === 0
          ? 'no transition can be trained: no finished episode with a step of σ > 0; collect whole episodes, and sample with η > 0.'
          : 'the rewards of this rollout are all equal, so there is nothing to learn from it; no update was made. Check the reward on a few different images, or collect more episodes.',
      );
      return { ...counts, updates: this.#updates, 'train/transitions': 0, 'train/learningRate': learningRate };
    }
    this.#raise('variance', false);
    return { ...counts, ...(await this.#optimize(batch, rows, learningRate)) };
  }

  /**
   * The loss of a whole rollout and its gradient at the present weights; nothing is stepped and no state changes.
   * For unit tests of algorithms and for looking into them.
   * @returns gradients by parameter name, in the parameter's own layout.
   */
  async lossAndGradients(rollout: Rollout<O, A>): Promise<{ loss: number; gradients: Map<string, NdArray> }> {
    const statistics = this.#perPrompt?.state();
    const { transitions, batch, trainable } = await this.#prepare(rollout);
    if (statistics) this.#perPrompt?.restore(statistics);
    const { loss, gradient } = await this.#accumulate(batch, this.#trainedRows(transitions.spans, trainable, 1));
    const flat = (await gradient.data()) as Float32Array;
    gradient.dispose();
    const gradients = new Map<string, NdArray>();
    let offset = 0;
    for (const [name, { size, shape }] of this.policy.parameters) {
      gradients.set(name, { data: flat.subarray(offset, offset + size), shape });
      offset += size;
    }
    return { loss, gradients };
  }

  /** Transitions, their advantages, and which of them have a gradient and an advantage. */
  async #prepare(
    rollout: Rollout<O, A> | undefined,
  ): Promise<{ transitions: Transitions<O, A>; batch: Batch<P>; trainable: Uint8Array }> {
    if (!rollout || rollout.steps.length === 0)
      throw new GymError('E_STATE', 'learn: a policy-gradient agent learns from a rollout, and there is none.');
    const transitions = transitionsOf(rollout);
    const oldLogProb = transitions.extras.logProb;
    if (!(oldLogProb instanceof Float32Array))
      throw new GymError(
        'E_STATE',
        'learn: the rollout holds no `logProb`; collect it with this agent’s own decisions, extras included.',
      );
    const prepared = await this.policy.prepare(transitions.observations, transitions.actions, transitions.extras);
    const credit = await this.#credit(transitions);
    const trainable = this.policy
      .trainable(prepared)
      .map((on, row) => (Number.isNaN(credit.advantages[row]!) ? 0 : on));
    const clip = this.options.advantageClip;
    const batch: Batch<P> = {
      prepared,
      oldLogProb,
      advantages: Float32Array.from(credit.advantages, (a) => Math.min(clip, Math.max(-clip, a))),
      targets: credit.targets,
    };
    return { transitions, batch, trainable };
  }

  async save(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true });
    await this.policy.save(join(folder, 'policy'));
    await writeSafetensors(join(folder, 'optimizer.safetensors'), await this.#optimizer.state());
    const state: AgentState = {
      random: this.#random.state(),
      updates: this.#updates,
      progress: this.progress,
      perPrompt: this.#perPrompt?.state(),
    };
    await writeFileAtomic(join(folder, 'agent.json'), `${JSON.stringify(state)}\n`);
  }

  async restore(folder: string): Promise<void> {
    const state = (await readJson(join(folder, 'agent.json'))) as AgentState;
    const optimizer = await readSafetensors(join(folder, 'optimizer.safetensors'));
    await this.policy.restore(join(folder, 'policy'));
    this.#optimizer.restore(optimizer);
    this.#random = Random.restore(state.random);
    this.#updates = state.updates;
    this.progress = state.progress;
    if (state.perPrompt) this.#perPrompt?.restore(state.perPrompt);
  }

  /** Frees the optimiser and the policy. */
  dispose(): void {
    this.#optimizer.dispose();
    this.policy.dispose();
  }

  /** An advantage for every transition (NaN where it has none, in an episode that the rollout holds only a part of). */
  async #credit(t: Transitions<O, A>): Promise<{ advantages: Float64Array; targets?: Float32Array }> {
    const { advantage, gamma } = this.options;
    if (advantage === 'gae') return this.#gae(t);
    const advantages = new Float64Array(t.rewards.length).fill(Number.NaN);
    const episodes = t.spans.filter((span) => span.complete);
    if (episodes.length === 0) return { advantages };
    if (advantage === 'reward-to-go') {
      const zeros = new Float64Array(t.rewards.length);
      const all: number[] = [];
      for (const { first, end } of episodes) {
        const values = zeros.subarray(first, end);
        const rewards = t.rewards.subarray(first, end);
        const toGo = generalizedAdvantages({ rewards, values, nextValues: values, ends: values }, gamma, 1);
        advantages.set(toGo, first);
        all.push(...toGo);
      }
      const { mean, std } = meanAndStd(all);
      return { advantages: advantages.map((a) => (a - mean) / (std + 1e-8)) };
    }
    const returns = episodes.map(({ first, end }) => t.rewards.subarray(first, end).reduce((a, b) => a + b, 0));
    let credits: ArrayLike<number> = returns;
    if (advantage === 'batch') credits = standardize(returns);
    else if (advantage === 'per-prompt') {
      const group = this.policy.group?.bind(this.policy) ?? (() => '');
      credits = this.#perPrompt!.update(
        episodes.map(({ first }) => group(t.observations[first]!)),
        returns,
      );
    }
    // all steps of an episode share its terminal reward (DDPO §4.2: undiscounted)
    episodes.forEach(({ first, end }, i) => {
      advantages.fill(credits[i]!, first, end);
    });
    return { advantages };
  }

  async #gae(t: Transitions<O, A>): Promise<{ advantages: Float64Array; targets: Float32Array }> {
    const values = t.extras.value;
    if (!(values instanceof Float32Array))
      throw new GymError('E_STATE', 'learn: the rollout holds no `value`, which generalized advantages need.');
    const cut = t.successors.flatMap((observation, i) => (observation === undefined ? [] : [{ observation, i }]));
    const bootstrap = cut.length === 0 ? [] : await this.#critic!.values(cut.map(({ observation }) => observation));
    const successorValue = new Float64Array(t.spans.length);
    cut.forEach(({ i }, k) => {
      successorValue[i] = bootstrap[k]!;
    });
    const advantages = new Float64Array(t.rewards.length);
    const targets = new Float32Array(t.rewards.length);
    t.spans.forEach(({ first, end }, i) => {
      const own = values.subarray(first, end);
      const nextValues = Float64Array.from(own, (_, k) => (k + 1 < own.length ? own[k + 1]! : successorValue[i]!));
      const rewards = t.rewards.subarray(first, end);
      const ends = new Uint8Array(own.length);
      ends[own.length - 1] = 1;
      const { gamma, gaeLambda } = this.options;
      const result = generalizedAdvantages({ rewards, values: own, nextValues, ends }, gamma, gaeLambda);
      advantages.set(result, first);
      result.forEach((a, k) => {
        targets[first + k] = a + own[k]!;
      });
    });
    return { advantages: standardize(advantages), targets };
  }

  /** Of each episode a share of its trainable rows, drawn for each anew (ddpo-pytorch permutes each sample's timesteps). */
  #trainedRows(spans: readonly Span[], trainable: Uint8Array, fraction: number): Int32Array {
    const rows: number[] = [];
    for (const { first, end } of spans) {
      const own: number[] = [];
      for (let row = first; row < end; row++) if (trainable[row]) own.push(row);
      if (fraction === 1 || own.length === 0) {
        rows.push(...own);
        continue;
      }
      const count = Math.max(1, Math.floor(own.length * fraction));
      const drawn = this.#random.permutation(own.length).slice(0, count).sort();
      for (const k of drawn) rows.push(own[k]!);
    }
    return Int32Array.from(rows);
  }

  async #optimize(batch: Batch<P>, rows: Int32Array, learningRate: number): Promise<Metrics> {
    const { innerEpochs, updates, maxGradNorm } = this.options;
    const metrics: Metrics = {};
    const losses: number[] = [];
    const gradNorms: number[] = [];
    const entropies: number[] = [];
    const ratios: Float32Array[] = [];
    let skipped = 0;
    for (let epoch = 0; epoch < innerEpochs; epoch++) {
      const order = this.#random.permutation(rows.length);
      const shuffled = rows.map((_, i) => rows[order[i]!]!);
      const count = Math.min(updates, shuffled.length);
      for (let u = 0; u < count; u++) {
        const minibatch = shuffled.subarray(
          Math.floor((u * shuffled.length) / count),
          Math.floor(((u + 1) * shuffled.length) / count),
        );
        const untouched = epoch === 0 && u === 0;
        if (untouched && this.#updates === 0)
          Object.assign(metrics, await this.#compareWithScoreFunction(batch, minibatch));
        const { gradient, loss, logRatio, entropy } = await this.#accumulate(batch, minibatch);
        if (untouched) metrics['check/ratioError'] = this.#checkRatio(logRatio);
        const norm = tf.tidy(() => gradient.norm());
        const gradNorm = (await norm.data())[0]!;
        norm.dispose();
        const finite = Number.isFinite(gradNorm) && Number.isFinite(loss);
        if (finite) {
          this.#optimizer.step(gradient, gradNorm, learningRate, maxGradNorm);
          this.#updates++;
          losses.push(loss);
          gradNorms.push(gradNorm);
        } else skipped++;
        gradient.dispose();
        this.#raise(
          'gradient',
          !finite,
          `the gradient is not finite (norm ${gradNorm}, loss ${loss}); this update was skipped and the weights are as before. Lower the learning rate, or look for a σ near 0 in the schedule.`,
        );
        ratios.push(logRatio);
        if (entropy !== undefined) entropies.push(entropy);
      }
    }
    const mean = (values: number[]) => (values.length === 0 ? Number.NaN : meanAndStd(values).mean);
    const logRatio = Float32Array.from(ratios.flatMap((r) => [...r]));
    const own = this.ratioMetrics(logRatio);
    this.#raise(
      'clip',
      (own['train/clipFraction'] ?? 0) > CLIP_FRACTION_LIMIT,
      `${(100 * (own['train/clipFraction'] ?? 0)).toFixed(0)} % of the ratios lie outside the clip range, so almost nothing is learnt from them. Lower the learning rate, make fewer updates on a rollout, or widen clipRange (small latents need a wider one).`,
    );
    return {
      updates: this.#updates,
      'train/loss': mean(losses),
      'train/gradNorm': mean(gradNorms),
      'train/learningRate': learningRate,
      'train/transitions': rows.length,
      'train/skippedUpdates': skipped,
      ...(entropies.length > 0 ? { 'train/entropy': mean(entropies) } : {}),
      ...own,
      ...metrics,
    };
  }

  /** One forward and backward pass over some rows; the loss is weighted so that the passes of a minibatch add up to its mean. */
  async #pass(
    batch: Batch<P>,
    rows: Int32Array,
    share: number,
    surrogate: (input: SurrogateInput) => Scalar,
  ): Promise<Pass> {
    let kept: Tensor1D | undefined;
    let entropyKept: Scalar | undefined;
    const { valueCoefficient, entropyCoefficient } = this.options;
    const take = (values: Float32Array) => tf.tensor1d(Float32Array.from(rows, (row) => values[row]!));
    const { value, grads } = tf.variableGrads(() => {
      const evaluation = this.policy.evaluate(batch.prepared, rows);
      const { logProb } = evaluation;
      const shift = evaluation.ratioShift;
      const difference = logProb.sub(take(batch.oldLogProb)) as Tensor1D;
      const logRatio = shift ? (difference.add(shift) as Tensor1D) : difference;
      kept = tf.keep(logRatio.clone());
      let loss = surrogate({ logProb, logRatio, advantages: take(batch.advantages) });
      if (evaluation.entropy) {
        const entropy = evaluation.entropy.mean<Scalar>();
        entropyKept = tf.keep(entropy.clone());
        if (entropyCoefficient > 0) loss = loss.sub(entropy.mul(entropyCoefficient));
      }
      if (batch.targets && this.#critic) {
        const error = this.#critic.value(batch.prepared, rows).sub(take(batch.targets)).square().mean<Scalar>();
        loss = loss.add(error.mul(valueCoefficient));
      }
      return loss.mul<Scalar>(share);
    }, [...this.#optimizer.variables]);
    const gradient = this.#optimizer.flatten(grads);
    tf.dispose(grads);
    const loss = (await value.data())[0]!;
    value.dispose();
    const logRatio = (await kept!.data()) as Float32Array;
    kept!.dispose();
    const entropy = entropyKept ? (await entropyKept.data())[0]! * share : undefined;
    entropyKept?.dispose();
    return { gradient, loss, logRatio, entropy };
  }

  async #accumulate(batch: Batch<P>, minibatch: Int32Array): Promise<Pass> {
    const { microBatch } = this.options;
    const surrogate = (input: SurrogateInput) => this.surrogate(input);
    let total: Pass | undefined;
    const logRatio = new Float32Array(minibatch.length);
    for (let first = 0; first < minibatch.length; first += microBatch) {
      const rows = minibatch.slice(first, first + microBatch);
      const pass = await this.#pass(batch, rows, rows.length / minibatch.length, surrogate);
      logRatio.set(pass.logRatio, first);
      if (!total) total = pass;
      else {
        const sum: Tensor1D = total.gradient.add(pass.gradient);
        total.gradient.dispose();
        pass.gradient.dispose();
        total = {
          gradient: sum,
          loss: total.loss + pass.loss,
          logRatio,
          entropy: total.entropy === undefined ? undefined : total.entropy + (pass.entropy ?? 0),
        };
      }
    }
    return { ...total!, logRatio };
  }

  /** With the weights that sampled the rollout every ratio is 1, or sampling and scoring do not agree on what the policy is. */
  #checkRatio(logRatio: Float32Array): number {
    let error = 0;
    for (const value of logRatio) error = Math.max(error, Math.abs(Math.expm1(value)));
    this.#raise(
      'ratio',
      !(error <= RATIO_TOLERANCE),
      `re-scoring the rollout with the weights that made it gives ratios up to ${error.toExponential(1)} away from 1 (rounding explains ${RATIO_TOLERANCE}): sampling and scoring disagree. Check that guidance, schedule, prompts and precision are the same in both.`,
    );
    return error;
  }

  /** At ratio 1 the importance-sampled gradient is the score-function gradient; looked at once, before the first update. */
  async #compareWithScoreFunction(batch: Batch<P>, minibatch: Int32Array): Promise<Metrics> {
    if (!this.importanceSampled) return {};
    const rows = minibatch.slice(0, this.options.microBatch);
    const own = await this.#pass(batch, rows, 1, (input) => this.surrogate(input));
    const score = await this.#pass(batch, rows, 1, scoreFunctionLoss);
    const distance = tf.tidy(() => own.gradient.sub(score.gradient).norm().div(score.gradient.norm().add(1e-12)));
    const error = (await distance.data())[0]!;
    tf.dispose([distance, own.gradient, score.gradient]);
    this.#raise(
      'agreement',
      !(error <= GRADIENT_TOLERANCE),
      `before the first update the importance-sampled gradient differs from the score-function gradient by ${(100 * error).toPrecision(2)} %: the ratios of the rollout are not 1. See the ratio check.`,
    );
    return { 'check/gradientError': error };
  }

  /** Warns when a condition begins, and again only after it has ended in between. */
  #raise(kind: string, on: boolean, message = ''): void {
    if (!on) this.#raised.delete(kind);
    else if (!this.#raised.has(kind)) {
      this.#raised.add(kind);
      this.options.warn(message);
    }
  }
}

interface AgentState {
  random: RandomState;
  updates: number;
  progress: number;
  perPrompt?: PerPromptState;
}
