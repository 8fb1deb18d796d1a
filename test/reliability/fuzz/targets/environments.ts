import * as fc from 'fast-check';
import { listEnvironments, make, makeVec } from '../../../../envs/registry.js';
import { hasForm } from '../../../../envs/spaces/composite.js';
import { oddNames, oddNumbers, oddValue } from '../arbitraries.js';
import { expectThat } from '../judge.js';
import { target } from '../target.js';

const listed = listEnvironments().filter(
  ({ name }) => !/^((OneStep)?Denoising|SourceFreeAdaptation|FederatedPrototypes)-v/.test(name),
);

const ids = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...listed.map(({ name }) => name)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'CartPole',
      'CartPole-v9',
      'cartpole-v1',
      'a/b-v1',
      ':',
      'x:',
      './no.ts:X-v0',
      'data:a,b:X',
      'x'.repeat(1e6),
      ...oddNames,
    ),
  },
);

const value = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom<unknown>(...oddNumbers, 1, 2, 3, 10) },
  { weight: 1, arbitrary: oddValue },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>('rgb', 'text', 'numpy', 'box', 'multidiscrete', 'policy', [0.1, 0.9], true),
  },
);

const options = (names: fc.Arbitrary<string>) => fc.dictionary(names, value, { maxKeys: 3, noNullPrototype: true });

interface Made {
  readonly id: string;
  readonly options: Record<string, unknown>;
  readonly reset: Record<string, unknown>;
  readonly seed: unknown;
  readonly numEnvs: unknown;
  readonly limit: unknown;
}

function made(id: fc.Arbitrary<string>, names: readonly string[]): fc.Arbitrary<Made> {
  return fc.record({
    id,
    options: names.length === 0 ? fc.constant({}) : options(fc.constantFrom(...names)),
    reset: options(fc.constantFrom('low', 'high', 'x_init', 'y_init', ...oddNames.slice(0, 3))),
    seed: fc.oneof({ weight: 9, arbitrary: fc.nat() }, { weight: 1, arbitrary: oddValue }),
    numEnvs: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(1, 2) }, { weight: 1, arbitrary: value }),
    limit: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(undefined, 2, null) }, { weight: 1, arbitrary: value }),
  });
}

/** Environments by name and options: they can be reset and stepped, or they are refused. */
export const registered = target<Made>({
  name: 'environments by name and options',
  inputs: 250,
  input: fc.oneof(
    // One of the package's, with options of its own.
    {
      weight: 9,
      arbitrary: fc
        .constantFrom(...listed)
        .chain(({ name, options: own }) => made(fc.constant(name), Object.keys(own))),
    },
    { weight: 1, arbitrary: made(ids, oddNames) },
  ),
  async check({ id, options: given, reset, seed, numEnvs, limit }) {
    const env = await make(id, given, { maxEpisodeSteps: limit as number });
    const { observation } = await env.reset({
      seed: seed as number,
      options: Object.keys(reset).length > 0 ? reset : undefined,
    });
    expectThat(hasForm(env.observationSpace, observation), 'no observation of the space');
    const numbers = (value: unknown) =>
      typeof value === 'object' ? [...(value as { data: Float32Array }).data] : [value];
    expectThat(!numbers(observation).includes(Number.NaN), 'the observation is not a number');
    env.actionSpace.seed(1);
    for (let t = 0; t < 5; t++) {
      const { reward, terminated, truncated } = await env.step(env.actionSpace.sample());
      expectThat(typeof reward === 'number' && !Number.isNaN(reward), 'a reward is no number');
      await env.render?.();
      if (terminated || truncated) await env.reset();
    }
    const vector = await makeVec(id, Number(numEnvs), given);
    await vector.reset({ seed: seed as number });
    await vector.close?.();
  },
});
