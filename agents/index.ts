export { z } from 'zod';
export { a2c } from './a2c.js';
export { type Baseline, BaselinedReturns, type BaselinedReturnsOptions } from './advantages/baseline.js';
export { BatchAdvantages, EpisodeReturns, standardize } from './advantages/batch.js';
export {
  type AdvantageEstimator,
  type Advantages,
  episodeReturns,
} from './advantages/estimator.js';
export {
  GeneralizedAdvantages,
  type GeneralizedOptions,
  generalizedAdvantages,
  type Sequence,
} from './advantages/generalized.js';
export { GroupAdvantages, type GroupStd } from './advantages/group.js';
export { makeAdvantageEstimator } from './advantages/index.js';
export { PerPromptAdvantages, type PerPromptState, PerPromptStats } from './advantages/per-prompt.js';
export { type CombineReward, perTermRewards } from './advantages/per-term.js';
export { PromptBaseline } from './advantages/prompt-baseline.js';
export { RewardToGo } from './advantages/reward-to-go.js';
export { ValueBaseline, type ValueBaselineOptions } from './advantages/value-baseline.js';
export { ValueFunction } from './advantages/value-function.js';
export type { ActOptions, Agent, Decision, Extras, LearnOptions, Rollout, RolloutStep } from './agent.js';
export type { LossInput, PolicyGradientAlgorithm, PolicyGradientParts } from './algorithm.js';
export {
  type AgentContext,
  type AgentDefinition,
  type AgentDescription,
  defineAgent,
  type MetricDescription,
  type Settings,
} from './define.js';
export { dpok } from './dpok.js';
export { defineStrategy, type Memory, type Strategy, type StrategyDescription } from './federated/strategy.js';
export { grpo } from './grpo.js';
export { klD } from './kl-d.js';
export { klO } from './kl-o.js';
export { policyGradientMetrics, ratioMetrics } from './metrics.js';
export { AdamW, type AdamWOptions } from './optimization/adamw.js';
export { ArrayRows } from './optimization/array-rows.js';
export { RunTimeChecks } from './optimization/checks.js';
export {
  type Gradient,
  type LossOverRows,
  MinibatchOptimizer,
  type RowLoss,
  type Update,
} from './optimization/minibatches.js';
export { type Schedule, scheduled } from './optimization/schedule.js';
export { type WeightedTerm, weightedLoss } from './optimization/weighted-loss.js';
export { type SlidingWindow, windowAt } from './optimization/window.js';
export {
  type AdvantageOptions,
  advantageOptions,
  collectOptions,
  customaryDefaults,
  minibatchOptions,
  type OptimizerOptions,
  optimizerOptions,
  type PolicyGradientOptions,
  policyGradientOptions,
} from './options.js';
export type { PreparedVectors } from './policies/array-network.js';
export {
  type DenoisingNetwork,
  DenoisingPolicy,
  type DenoisingPolicyOptions,
  type DenoisingPolicyParts,
  type PreparedDenoising,
} from './policies/denoising.js';
export type { ActionDistribution, Draw, Place, Scores, Slopes } from './policies/distributions/distribution.js';
export type { Bounds } from './policies/distributions/gaussian.js';
export { distributionOf } from './policies/distributions/index.js';
export { networkPolicy } from './policies/index.js';
export { Mlp, type MlpOptions } from './policies/mlp.js';
export { type NetworkOptions, NetworkPolicy } from './policies/network-policy.js';
export { OneStepDenoisingPolicy } from './policies/one-step.js';
export type {
  ArrayEvaluation,
  Displacement,
  Evaluation,
  Policy,
  PolicyArrays,
  PolicyKind,
  Prepared,
  SampleOptions,
  StepWindow,
} from './policy.js';
export { PolicyGradient } from './policy-gradient.js';
export { ppo } from './ppo.js';
export {
  agentNamed,
  agentOptions,
  listAgents,
  loadAgent,
  type MakeAgentParts,
  makeAgent,
  registerAgent,
  resolveAgentOptions,
} from './registry.js';
export { reinforce } from './reinforce.js';
export { ReplayBuffer, type Replayed } from './replay-buffer.js';
export type { Rows } from './rows.js';
export { rwr } from './rwr.js';
export { rwrSparse } from './rwr-sparse.js';
export {
  type Noising,
  type SampleAlgorithm,
  type SampleLossInput,
  SampleTuning,
} from './sample-tuning.js';
export { sft } from './sft.js';
export {
  clipSurrogate,
  divergenceSurrogate,
  guardSurrogate,
  makeSurrogate,
  type Surrogate,
} from './surrogates/index.js';
export { type Span, type Transitions, transitionsOf } from './transitions.js';
