import { describe, expect, it } from 'vitest';
import {
  type Autoreset,
  Denoising,
  type Env,
  type EnvSpec,
  frameStackObservation,
  listEnvironments,
  make,
  makeVec,
  recordEpisodeStatistics,
  spec,
  stickyAction,
  type VectorEnv,
  wrap,
} from '../../envs/index.js';
import { checkEnv, checkVectorEnv, type Finding } from '../../testing/index.js';

type AnyEnv = Env<unknown, unknown>;

const errors = (findings: readonly Finding[]) => findings.filter(({ severity }) => severity === 'error');
/** What a finding is about, and where, in short. */
const short = (findings: readonly Finding[]) => findings.map(({ check, where, what }) => `${check} ${where}: ${what}`);

/** The options under which an environment is checked; it has one behaviour an entry. */
function variants({ id }: EnvSpec): Record<string, unknown>[] {
  if (id.startsWith('Probe')) return [{}, { continuous: true }];
  if (id === 'Identity-v0') return ['discrete', 'multidiscrete', 'multibinary', 'box'].map((kind) => ({ kind }));
  if (id === 'Acrobot-v1') return [{}, { torqueNoise: 0.1 }];
  if (id === 'Bandit-v0') return [{}, { std: 1 }];
  return [{}];
}

/** What Gymnasium's checker says of its own: infinite bounds of CartPole, actions of Pendulum outside −1..1. */
const warned: Record<string, string[]> = {
  'CartPole-v1': ['spaces observationSpace: a bound is infinite'],
  'Pendulum-v1': [
    'spaces actionSpace: continuous actions are not in -1..1, which is what a Gaussian policy begins with',
  ],
};

// Those that learn, with networks and data, have a test of this kind of their own.
const single = listEnvironments()
  .filter(({ name }) => !/^(SourceFreeAdaptation|FederatedPrototypes)-v/.test(name))
  .map(({ name }) => spec(name))
  .filter((registration) => registration.create !== undefined);
const cases = single.flatMap((registration) =>
  variants(registration).map((options) => ({ registration, options, id: registration.id })),
);

describe('every environment of the project', () => {
  it.each(cases)('$id with $options passes, made and bare', async ({ registration, options, id }) => {
    for (const source of [() => make(id, options) as Promise<AnyEnv>, () => registration.create!(options)])
      expect(short(await checkEnv(source))).toEqual(warned[id] ?? []);
  });

  const modes: Autoreset[] = ['next-step', 'same-step', 'disabled'];
  it.each(cases)('$id with $options passes as a vector, in each mode', async ({ options, id }) => {
    for (const autoreset of modes) {
      const findings = await checkVectorEnv(
        () => makeVec(id, 3, options, { autoreset }) as Promise<VectorEnv<unknown, unknown>>,
        {
          single: () => make(id, options) as Promise<AnyEnv>,
          steps: 40,
        },
      );
      expect(short(findings)).toEqual(warned[id] ?? []);
    }
  });

  it('as numpy would seed it', async () => {
    expect(errors(await checkEnv(() => make('CartPole-v1', { random: 'numpy' })))).toEqual([]);
  });

  it('Denoising-v0', async () => {
    const source = () =>
      new Denoising({
        timesteps: [30, 20, 10],
        latentShape: [4, 4, 3],
        prompts: ['a red circle', 'a blue star'],
        // rewards that come late, as slow ones do
        reward: async ({ images, prompts }) => {
          await new Promise((resolve) => setTimeout(resolve, 1));
          return prompts.map((_, i) => images.data[i * 48]! / 255);
        },
        numEnvs: 3,
      });
    expect(short(await checkVectorEnv(source, { steps: 12 }))).toEqual([
      'spaces observationSpace.latents: a bound is infinite',
      'spaces actionSpace: a bound is infinite',
    ]);
  });

  it('wrapped', async () => {
    for (const modification of [
      recordEpisodeStatistics(),
      frameStackObservation(3),
      stickyAction(0.5, { duration: [1, 3] }),
    ]) {
      expect(errors(await checkEnv(async () => wrap(await make('CartPole-v1'), modification as never)))).toEqual([]);
      for (const autoreset of modes) {
        const source = async () => wrap(await makeVec('CartPole-v1', 2, {}, { autoreset }), modification as never);
        const one = async () => wrap(await make('CartPole-v1'), modification as never);
        expect(errors(await checkVectorEnv(source, { single: one }))).toEqual([]);
      }
    }
  });
});
