export {
  type AgentCheckOptions,
  type AgentEnvMaker,
  type AgentMaker,
  agentChecks,
  assertAgent,
  checkAgent,
} from './agent.js';
export type { ActionChoice } from './driver.js';
export { assertEnv, checkEnv, type EnvCheckOptions, type EnvSource, envChecks } from './env.js';
export { assertNoFindings, type Check, type CheckOptions, describeFindings, type Finding } from './findings.js';
export { assertReward, checkReward, type RewardCheckOptions, type RewardSource, rewardChecks } from './reward.js';
export {
  describeAgent,
  describeEnv,
  describeReward,
  describeVectorEnv,
  type Runner,
  type SuiteOptions,
} from './suites.js';
export {
  assertVectorEnv,
  checkVectorEnv,
  type VectorEnvCheckOptions,
  type VectorEnvSource,
  vectorEnvChecks,
} from './vector-env.js';
