import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { ActOptions, Agent, Decision } from '../agents/agent.js';
import type { NetworkPolicy } from '../agents/policies/network-policy.js';
import { GymError, messageOf } from '../core/errors.js';
import { readJson, writeFileAtomic } from '../core/files.js';
import { Random } from '../core/random.js';
import { checkedFile } from '../core/schema.js';
import type { Awaitable, Metrics } from '../core/types.js';
import { type Space, spaceFromJson, spaceToJson } from '../envs/spaces/index.js';
import { RunningMeanStd } from '../envs/wrappers/index.js';
import type { RunConfig } from './config/run-config.js';
import { policyOption } from './families/policy-option.js';
import {
  type AnyVectorEnv,
  type FrozenStatistics,
  type NamedNormalization,
  parseWrappers,
  readStatistics,
  statisticsOf,
  WrapperStack,
  type WrapperStep,
  wrapperFiles,
  wrappersOption,
  writeStatistics,
} from './wrappers/index.js';

// The policy of a small network outside of its run: weights, the spaces that it was made for, and the wrappers that its
// environments had, with the statistics of the normalisations.

const policyFile = 'policy.json';

const schema = z.strictObject({
  env: z.string(),
  observationSpace: z.looseObject({ kind: z.string() }),
  actionSpace: z.looseObject({ kind: z.string() }),
  wrappers: wrappersOption,
  policy: policyOption,
});

/** What {@link exportPolicy} writes. */
export interface ExportedParts {
  readonly policy: NetworkPolicy<unknown, unknown>;
  readonly config: Pick<RunConfig, 'env'> & Pick<z.output<typeof schema>, 'wrappers' | 'policy'>;
  /** The environment that the policy acts in, wrappers included. */
  readonly env: AnyVectorEnv;
  readonly normalizations: Iterable<NamedNormalization>;
}

/** Writes a policy into a folder, as {@link loadPolicy} reads it. */
export async function exportPolicy(
  folder: string,
  { policy, config, env, normalizations }: ExportedParts,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await policy.save(folder);
  await writeStatistics(folder, statisticsOf(normalizations));
  const description = {
    env: config.env,
    observationSpace: spaceToJson(env.observationSpace) as z.input<typeof schema>['observationSpace'],
    actionSpace: spaceToJson(env.actionSpace) as z.input<typeof schema>['actionSpace'],
    wrappers: config.wrappers,
    policy: config.policy,
  } satisfies z.input<typeof schema>;
  await writeFileAtomic(join(folder, policyFile), `${JSON.stringify(description, null, 1)}\n`);
}

export interface LoadPolicyOptions {
  /** True: {@link LoadedPolicy.around} may execute the files of wrappers that the folder names. Default false. */
  readonly trust?: boolean | undefined;
}

/** A trained policy as a rule, which learns no more: whatever takes an agent takes it. */
export class LoadedPolicy implements Agent<unknown, unknown> {
  readonly collect = 'nothing';
  /** The id of the environment that it was trained in. */
  readonly env: string;
  /** What it observes: the observations of that environment with its wrappers. */
  readonly observationSpace: Space<unknown>;
  readonly actionSpace: Space<unknown>;
  readonly #policy: NetworkPolicy<unknown, unknown>;
  readonly #wrappers: () => Promise<WrapperStack>;
  readonly #random = new Random(0);

  constructor(
    env: string,
    spaces: { observationSpace: Space<unknown>; actionSpace: Space<unknown> },
    policy: NetworkPolicy<unknown, unknown>,
    wrappers: () => Promise<WrapperStack>,
  ) {
    this.env = env;
    this.observationSpace = spaces.observationSpace;
    this.actionSpace = spaces.actionSpace;
    this.#policy = policy;
    this.#wrappers = wrappers;
  }

  /**
   * Puts the wrappers of the training around an environment, as an evaluation has them: with the statistics of the
   * training, which stay as they are, and with rewards that are not normalised.
   * @throws GymError E_TRUST where a wrapper is a file and `trust` was not given; E_CONFIG, E_SPACE as the wrappers say.
   */
  async around(env: AnyVectorEnv): Promise<AnyVectorEnv> {
    return (await this.#wrappers()).around(env);
  }

  /** Decides: the mode of its distributions unless `explore` is true. */
  act(
    observations: readonly unknown[],
    { explore = false, random = this.#random }: ActOptions = {},
  ): Awaitable<Decision<unknown>> {
    return this.#policy.sample(observations, { explore, random });
  }

  learn(): Metrics {
    return {};
  }

  save(folder: string): Promise<void> {
    return this.#policy.save(folder);
  }

  restore(folder: string): Promise<void> {
    return this.#policy.restore(folder);
  }

  dispose(): void {
    this.#policy.dispose();
  }
}

/**
 * Reads a policy that `export` has written. The backend must be ready.
 * @throws GymError E_FILE or E_STATE where the folder holds none, or one that is damaged.
 */
export async function loadPolicy(folder: string, { trust = false }: LoadPolicyOptions = {}): Promise<LoadedPolicy> {
  const file = join(folder, policyFile);
  const { env, wrappers, policy: options, ...json } = checkedFile(schema, await readJson(file), file);
  const parsed = parseWrappers(wrappers);
  if (!('steps' in parsed)) throw new GymError('E_STATE', `${file}: ${parsed.problems.join(' ')}`);
  const normalizations = await frozenStatistics(folder, parsed.steps);
  const spaces = {
    observationSpace: spaceFromJson(json.observationSpace),
    actionSpace: spaceFromJson(json.actionSpace),
  };
  const { networkPolicy } = await import('../agents/policies/index.js');
  const policy = networkPolicy(spaces, options, new Random(0));
  try {
    await policy.restore(folder);
  } catch (error) {
    policy.dispose();
    throw error;
  }
  return new LoadedPolicy(env, spaces, policy, async () => {
    const files = wrapperFiles(wrappers);
    if (files.length > 0 && !trust)
      throw new GymError(
        'E_TRUST',
        `loadPolicy ${folder}: its wrappers ${files.join(', ')} are code, which would be executed; read it, and hand in { trust: true }.`,
      );
    return await WrapperStack.of(parsed.steps, { normalizations });
  });
}

/** The saved statistics by the number of the step that normalises by them. */
async function frozenStatistics(folder: string, steps: readonly WrapperStep[]): Promise<FrozenStatistics> {
  const saved = await readStatistics(folder);
  const numbers = steps.flatMap((step, i) =>
    'wrapper' in step && step.wrapper.maker.kind === 'normalization' ? [[i, step.wrapper.name] as const] : [],
  );
  const names = numbers.map(([, name]) => name).join(', ');
  if (saved.map(({ wrapper }) => wrapper).join(', ') !== names)
    throw new GymError('E_STATE', `${folder}: its statistics are not those of its wrappers (${names || 'none'}).`);
  return new Map(
    numbers.map(([i, name], k) => {
      const { wrapper: _, ...state } = saved[k]!;
      const statistics = new RunningMeanStd(state.mean.length);
      try {
        statistics.restore(name, state);
      } catch (error) {
        throw new GymError('E_STATE', `${folder}: ${messageOf(error)}`, { cause: error });
      }
      return [i, { normalization: { statistics } }];
    }),
  );
}
