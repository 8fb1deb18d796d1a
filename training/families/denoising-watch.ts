import type { DenoisingPolicy } from '../../agents/policies/denoising.js';
import { stack } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import type { Reward, RewardLike } from '../../core/reward.js';
import { scoreImages } from '../../core/score.js';
import type { Denoising, DenoisingOptions } from '../../envs/denoising/denoising.js';
import { type PromptSource, promptList } from '../../envs/denoising/prompts.js';
import { shapesPrompts, type VisionNet } from '../../rewards/index.js';
import { guardTerm, klToReference, type WatchParts } from '../watch/index.js';
import type { DenoisingConfig } from './denoising-options.js';

/** Makes an environment of the run, with other prompts, another reward or groups where they are given. */
export type MakeDenoising = (
  numEnvs: number,
  other?: Partial<Pick<DenoisingOptions, 'prompts' | 'reward' | 'seed' | 'groupSize' | 'sharedNoise'>>,
) => Denoising;

/** What looks at pictures beside the reward, where there is such. */
export interface Judges {
  /** A reward that is not trained on. */
  readonly guard: Reward | undefined;
  /** Gives the features by which pictures are compared. */
  readonly net: VisionNet | undefined;
}

/** Scores pictures by the run's reward, and by the guard as one of its terms. */
function withGuard(trained: RewardLike, guard: Reward): Reward {
  return {
    name: 'watch',
    score: async (batch) => {
      const [{ scores, details, notes }, { scores: guards }] = await Promise.all([
        scoreImages(trained, batch),
        scoreImages(guard, batch),
      ]);
      return { scores, details: { ...details, [guardTerm]: guards }, notes };
    },
  };
}

/**
 * The prompts of a watch: as many different ones as it has room for, each of them several times in a row.
 * @param trained the captions that training may draw.
 */
function watchedPrompts({ watch, prompts }: DenoisingConfig, training: PromptSource, trained: ReadonlySet<string>) {
  const { samples, perPrompt } = watch;
  const wanted = samples / perPrompt;
  const random = new Random('watch/prompts');
  const some = (list: readonly string[]) => Array.from(random.permutation(list.length), (i) => list[i]!);
  const heldOut = (): readonly string[] => {
    const all = prompts.kind === 'shapes' ? prompts.kinds.flatMap((kind) => [...shapesPrompts(kind)]) : [];
    const left = all.filter((prompt) => !trained.has(prompt));
    if (left.length > 0) return some(left);
    return Array.from({ length: wanted }, (_, i) => training.at(i, random.child(String(i))).prompt);
  };
  const chosen = (watch.prompts ?? heldOut()).slice(0, wanted);
  const list = Array.from({ length: samples }, (_, i) => chosen[Math.floor(i / perPrompt) % chosen.length]!);
  return promptList(list, { order: 'sequential' });
}

/** Puts a watch over the fine-tuning of a diffusion model together. */
export async function watchParts(
  config: DenoisingConfig,
  policy: DenoisingPolicy,
  {
    make,
    prompts,
    reward,
    guard,
    net,
    trained,
  }: {
    make: MakeDenoising;
    prompts: PromptSource;
    reward: RewardLike;
    trained: ReadonlySet<string>;
  } & Judges,
): Promise<WatchParts<unknown, unknown>> {
  const { samples, every, rule, tolerance } = config.watch;
  const scored = guard === undefined ? reward : withGuard(reward, guard);
  // All samples in whole batches, and none beside them.
  let numEnvs = Math.min(samples, config.numEnvs);
  while (samples % numEnvs !== 0) numEnvs--;
  const env = make(numEnvs, { prompts: watchedPrompts(config, prompts, trained), reward: scored, seed: 0 });
  policy.keepReference();
  return {
    envs: [env] as unknown as WatchParts<unknown, unknown>['envs'],
    samples,
    every,
    rule,
    tolerance,
    features: net && (async (images) => (await net.look(stack(images))).features),
    kl: (observations, actions) => klToReference(policy as never, observations, actions),
  };
}
