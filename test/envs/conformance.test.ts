import { describe, expect, it } from 'vitest';
import {
  type Autoreset,
  frameStackObservation,
  type KnownVectorEnvs,
  listEnvironments,
  make,
  makeVec,
  spec,
  stickyAction,
  type VectorEnv,
  wrap,
} from '../../envs/index.js';
import { checkEnv } from '../../testing/env.js';
import { checkVectorEnv } from '../../testing/vector-env.js';

type Options = Record<string, unknown>;
const errors = (findings: readonly { severity: string }[]) => findings.filter(({ severity }) => severity === 'error');

/** Options beside the defaults under which an environment is another one. */
const variants: Record<string, Options[]> = {
  'Identity-v0': [{ kind: 'multidiscrete' }, { kind: 'multibinary' }, { kind: 'box', size: 3 }],
  'ProbePolicy-v0': [{ continuous: true }],
  'CartPole-v1': [{ random: 'numpy', render: 'text' }],
};

describe('every registered environment keeps the contract', () => {
  // Those that learn, with networks and data, have a test of this kind of their own.
  const learning = /^(SourceFreeAdaptation|FederatedPrototypes)-v/;
  const single = listEnvironments().filter(({ name }) => spec(name).create !== undefined && !learning.test(name));
  const cases = single.flatMap(({ name }) =>
    [{}, ...(variants[name] ?? [])].map((options): [string, Options] => [name, options]),
  );
  it.each(cases)('%s %o', async (id, options) => {
    expect(errors(await checkEnv(() => make(id, options)))).toEqual([]);
  });
});

const denoising: KnownVectorEnvs['Denoising-v0']['options'] = {
  timesteps: [5, 3, 1],
  latentShape: [2, 3, 3],
  prompts: ['a', 'b'],
  reward: ({ images }) => Array.from({ length: images.shape[0]! }, (_, i) => images.data[i * 18]!),
};

describe('vector environments keep theirs', () => {
  const modes: Autoreset[] = ['next-step', 'same-step', 'disabled'];
  const cases: [string, () => Promise<VectorEnv<unknown, unknown>>][] = [
    ['Denoising-v0', async () => (await makeVec('Denoising-v0', 3, denoising)) as VectorEnv<unknown, unknown>],
    [
      'Denoising-v0 with stacked frames',
      async () =>
        wrap(await makeVec('Denoising-v0', 3, denoising), frameStackObservation(2)) as VectorEnv<unknown, unknown>,
    ],
    ...modes.flatMap((autoreset): typeof cases => [
      [
        `CartPole-v1, ${autoreset}`,
        async () => (await makeVec('CartPole-v1', 3, {}, { autoreset })) as VectorEnv<unknown, unknown>,
      ],
      [
        `CartPole-v1 with sticky actions and stacked frames, ${autoreset}`,
        async () =>
          wrap(
            wrap(await makeVec('CartPole-v1', 3, {}, { autoreset }), stickyAction(0.3)),
            frameStackObservation(3),
          ) as VectorEnv<unknown, unknown>,
      ],
    ]),
  ];
  it.each(cases)('%s', async (_, create) => {
    expect(errors(await checkVectorEnv(create))).toEqual([]);
  });
});
