export {
  type AgentCheckOptions,
  type AgentEnvMaker,
  type AgentMaker,
  type AgentSubject,
  agentChecks,
  assertAgent,
  checkAgent,
} from './agent.js';
export { assertEnv, checkEnv, type EnvCheckOptions, type EnvSource, type EnvSubject, envChecks } from './env.js';
export type { ActionChoice } from './env-checks/driver.js';
export { assertNoFindings, type Check, type CheckOptions, describeFindings, type Finding } from './findings.js';
export {
  assertReward,
  checkReward,
  type RewardCheckOptions,
  type RewardSource,
  type RewardSubject,
  rewardChecks,
} from './reward.js';
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
  type VectorEnvSubject,
  vectorEnvChecks,
} from './vector-env.js';
