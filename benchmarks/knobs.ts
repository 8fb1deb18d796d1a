import type { Agent } from '../agents/agent.js';
import { networkPolicy } from '../agents/policies/index.js';
import { makeAgent } from '../agents/registry.js';
import { useBackend } from '../backend/index.js';
import type { NdArray } from '../core/ndarray.js';
import { Random } from '../core/random.js';
import { mean } from '../core/statistics.js';
import { AdaptationKnobs, actionOf, type Knobs } from '../envs/adaptation/knobs.js';
import { makeAdaptation } from '../envs/adaptation/make.js';
import type { AdaptationOptions } from '../envs/adaptation/options.js';
import { SyncVectorEnv } from '../envs/sync-vector-env.js';
import type { VectorEnv } from '../envs/vector-env.js';
import { train } from '../training/index.js';
import { print } from './print.js';

export interface KnobsOptions {
  readonly seeds: readonly number[];
  /** Episodes that PPO learns from. */
  readonly episodes: number;
  readonly json?: boolean;
}

type Action = NdArray<Float32Array>;

/** Small adaptations of a second or two, so that a learning agent sees many. */
const small: AdaptationOptions = {
  ...{ sourceSize: 400, targetSize: 256, probeSize: 200, batchSize: 64, epochs: 4, queueSize: 192 },
  ...{ reward: 'label-free', learningRate: 0.02 },
};

/** PPO learns on the first pair, and is measured on the second, which it has not seen. */
const pairs = {
  learned: { source: 'clean', target: 'texture' },
  heldOut: { source: 'texture', target: 'street' },
} as const;

/** The knobs that the guided labels have by default. */
const defaults: Knobs = {
  ...{ neighbours: 5, sharpness: 1, confidence: 0, history: 5 },
  ...{ contrast: 0.2, diversity: 1, negative: 0 },
};

const rolloutEpisodes = 8;
/** Adaptations of the held-out pair that are measured, each with other orders and views. */
const measuredEpisodes = 3;

/** The label-free return, and the accuracy that it came to, of a way to set the knobs; means over episodes. */
async function measure(env: AdaptationKnobs, decide: (observation: Action) => Promise<Action> | Action) {
  const returns: number[] = [];
  const accuracies: number[] = [];
  for (let episode = 0; episode < measuredEpisodes; episode++) {
    let { observation } = await env.reset({ seed: 1000 + episode });
    let sum = 0;
    for (;;) {
      const step = await env.step(await decide(observation));
      observation = step.observation;
      sum += step.reward;
      if (!step.terminated) continue;
      accuracies.push(step.info.perClassAccuracy as number);
      break;
    }
    returns.push(sum);
  }
  return { return: mean(returns), accuracy: mean(accuracies) };
}

/**
 * Whether PPO finds, on one pair of domains and from rewards that need no label, knobs of the guided labels that bring more
 * label-free return on another pair than the default knobs do.
 */
export async function knobs({ seeds, episodes, json }: KnobsOptions): Promise<void> {
  const backend = await useBackend();
  const rows: Record<string, string | number>[] = [];
  for (const seed of seeds) {
    const random = new Random(seed);
    const learned = new AdaptationKnobs(await makeAdaptation({ ...small, ...pairs.learned, seed }));
    const vector = new SyncVectorEnv([learned], { autoreset: 'disabled' }) as VectorEnv<Action, Action>;
    const agent = (await makeAgent('ppo', {
      env: vector as VectorEnv<unknown, unknown>,
      policy: () => networkPolicy(vector as VectorEnv<unknown, unknown>, { hidden: [32, 32] }, random.child('policy')),
      kind: 'network',
      options: { collect: { episodes: rolloutEpisodes }, learningRate: 1e-3, minibatches: 2, innerEpochs: 8 },
      random: random.child('agent'),
    })) as Agent<Action, Action>;
    const curve: number[] = [];
    const epochs = Math.ceil(episodes / rolloutEpisodes);
    for await (const event of train({ agent, envs: [vector], epochs, seed }))
      if (event.type === 'epoch') curve.push(event.metrics['reward/mean']!);
    learned.close();
    const heldOut = new AdaptationKnobs(await makeAdaptation({ ...small, ...pairs.heldOut, seed }));
    const own = await measure(heldOut, async (observation) => {
      const { actions } = await agent.act([observation], { explore: false, random: random.child('mode') });
      return actions[0]!;
    });
    const byDefault = await measure(heldOut, () => actionOf(defaults, 5));
    heldOut.close();
    agent.dispose();
    rows.push({
      ...{ seed, firstReturn: curve[0]!, lastReturn: curve.at(-1)! },
      ...{ heldOutReturn: own.return, defaultReturn: byDefault.return },
      ...{ heldOutAccuracy: own.accuracy, defaultAccuracy: byDefault.accuracy },
    });
  }
  print('knobs', backend, { ...small, ...pairs, episodes, measuredEpisodes }, rows, json);
}
