export { AdamW, type AdamWOptions } from './adamw.js';
export {
  generalizedAdvantages,
  type PerPromptState,
  PerPromptStats,
  type Sequence,
  standardize,
} from './advantage.js';
export type { ActOptions, Agent, Decision, Extras, Rollout, RolloutStep } from './agent.js';
export { ActorCritic, type PreparedVectors } from './policies/actor-critic.js';
export { CategoricalMlp } from './policies/categorical-mlp.js';
export {
  type DenoisingNetwork,
  DenoisingPolicy,
  type DenoisingPolicyOptions,
  type DenoisingPolicyParts,
  type PreparedDenoising,
} from './policies/denoising.js';
export { GaussianMlp } from './policies/gaussian-mlp.js';
export { Mlp, type MlpOptions } from './policies/mlp.js';
export type { Critic, Evaluation, Policy, Prepared, SampleOptions } from './policy.js';
export { type AdvantageKind, PolicyGradient, type PolicyGradientOptions } from './policy-gradient.js';
export { Ppo, type PpoOptions } from './ppo.js';
export { type AgentSpec, agentNames, makeAgent } from './registry.js';
export { Reinforce, type ReinforceOptions } from './reinforce.js';
export { type Schedule, scheduled } from './schedule.js';
export { clippedRatioLoss, type SurrogateInput, scoreFunctionLoss } from './surrogates.js';
export { type Span, type Transitions, transitionsOf } from './transitions.js';
