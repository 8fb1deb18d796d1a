import { GymError } from '../core/errors.js';
import { type AgentCheckOptions, type AgentEnvMaker, type AgentMaker, agentChecks, agentSubject } from './agent.js';
import { type EnvCheckOptions, type EnvSource, type EnvSubject, envChecks } from './env.js';
import { subjectOf } from './env-checks/trial.js';
import { assertNoFindings, type Check, type CheckOptions, runCheck, selectChecks } from './findings.js';
import { type RewardCheckOptions, type RewardSource, rewardChecks, rewardSubject } from './reward.js';
import { type VectorEnvCheckOptions, type VectorEnvSource, vectorEnvChecks, vectorEnvSubject } from './vector-env.js';

/** What a suite needs of a test runner: vitest, jest and node:test all have it. */
export interface Runner {
  describe(name: string, body: () => void): unknown;
  it(name: string, body: () => Promise<void>): unknown;
}

/** Options of all suites. */
export interface SuiteOptions extends CheckOptions, Partial<Runner> {
  /** Whether warnings fail a test too. Default false. */
  readonly warnings?: boolean;
}

function runnerOf({ describe, it }: Partial<Runner>): Runner {
  const globals = globalThis as Partial<Runner>;
  const runner = { describe: describe ?? globals.describe, it: it ?? globals.it };
  if (typeof runner.describe !== 'function' || typeof runner.it !== 'function')
    throw new GymError(
      'E_CONFIG',
      'suite: `describe` and `it` are no globals here; import them from your test runner and hand them in as options, or (vitest) set `globals: true`.',
    );
  return runner as Runner;
}

/** Makes one test of each check, so that the name of a failing test says what is wrong. */
function suite<S>(name: string, checks: readonly Check<S>[], subject: S, options: SuiteOptions): void {
  const { describe, it } = runnerOf(options);
  describe(name, () => {
    for (const check of selectChecks(checks, options))
      it(`${check.name}: ${check.title}`, async () => {
        assertNoFindings(name, await runCheck(check, subject), options);
      });
  });
}

/**
 * A suite of tests of an environment: `describeEnv('MyEnv', () => new MyEnv(), { describe, it })`.
 * @throws GymError E_CONFIG without a test runner, E_NAME on an unknown name to skip.
 */
export function describeEnv<O, A>(
  name: string,
  make: EnvSource<O, A>,
  options: EnvCheckOptions<A> & SuiteOptions = {},
): void {
  suite(name, envChecks, subjectOf(make, options) as unknown as EnvSubject<unknown, unknown>, options);
}

/** A suite of tests of a vector environment. @throws as {@link describeEnv}. */
export function describeVectorEnv<O, A>(
  name: string,
  make: VectorEnvSource<O, A>,
  options: VectorEnvCheckOptions<O, A> & SuiteOptions = {},
): void {
  const subject = vectorEnvSubject(make, options) as unknown as ReturnType<typeof vectorEnvSubject>;
  suite(name, vectorEnvChecks, subject, options);
}

/** A suite of tests of a reward. @throws as {@link describeEnv}. */
export function describeReward(
  name: string,
  source: RewardSource,
  options: RewardCheckOptions & SuiteOptions = {},
): void {
  suite(name, rewardChecks, rewardSubject(source, options), options);
}

/** A suite of tests of an agent. @throws as {@link describeEnv}. */
export function describeAgent<O, A>(
  name: string,
  make: AgentMaker<O, A>,
  makeEnv: AgentEnvMaker<O, A>,
  options: AgentCheckOptions & SuiteOptions = {},
): void {
  const subject = agentSubject(make, makeEnv, options) as unknown as ReturnType<typeof agentSubject>;
  suite(name, agentChecks, subject, options);
}
