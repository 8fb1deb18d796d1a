import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { GymError } from '../../core/errors.js';
import { readJson, writeFileAtomic } from '../../core/files.js';
import type { NdArray } from '../../core/ndarray.js';
import { Random, type RandomState } from '../../core/random.js';
import { readSafetensors, writeSafetensors } from '../../core/safetensors.js';
import { proportions } from '../../envs/federated/averages.js';
import {
  answered,
  type FederatedAction,
  type FederatedDecision,
  type FederatedObservation,
  federatedAction,
} from '../../envs/federated/spaces.js';
import { Dict } from '../../envs/spaces/dict.js';
import type { ActOptions, Agent, Decision } from '../agent.js';
import { type AgentDefinition, type AgentDescription, defineAgent, type MetricDescription } from '../define.js';
import { count, fraction } from '../options.js';

/**
 * What a strategy remembers from round to round of an episode: vectors by name. It is saved with the agent, so vectors are
 * replaced and never written.
 */
export type Memory = Map<string, Float32Array>;

/**
 * A federated strategy in the two methods by which Flower's users know one. They are called in this order before every
 * round; what the strategy remembers within an episode it keeps in its {@link Memory}.
 */
export interface Strategy {
  /** Makes the next model of the clients' answers. Default: their mean, weighted as `weightedBy` says. */
  aggregateTrain?(observation: FederatedObservation): Pick<FederatedDecision, 'clientWeights' | 'parameters'>;
  /** Says how clients are to train next. Default: by the cross-entropy alone. */
  configureTrain?(observation: FederatedObservation): Pick<FederatedDecision, 'clusters' | 'unbiased' | 'local'>;
}

/** Options of every strategy, by Flower's names. */
const commonOptions = {
  fractionTrain: fraction.describe('the share of the available clients that train in a round, drawn anew each time'),
  minTrainNodes: count.describe('at least so many of them train, where as many are available'),
  weightedBy: z
    .enum(['num-examples', 'uniform'])
    .describe("what clients' models are weighted by in a mean: their numbers of examples, or all alike"),
};

/** What a run of a strategy logs of each round. */
const metrics: Readonly<Record<string, MetricDescription>> = {
  'federated/meanAccuracy': {
    title: 'Accuracy',
    unit: 'share of test pictures',
    about: 'The mean over domains, each counting once.',
    progress: { label: 'accuracy', share: true },
  },
  'federated/worstAccuracy': {
    title: 'Accuracy on the weakest domain',
    unit: 'share of test pictures',
    about: 'What the domain gets that the model serves worst.',
    progress: { label: 'weakest domain', share: true },
  },
  'federated/spread': {
    title: 'Spread over domains',
    unit: 'standard deviation of the accuracies',
    about: 'How unequally the model serves the domains.',
  },
  'federated/clusters': {
    title: 'Clusters of a class',
    unit: 'mean number',
    about: "Into how many clusters FINCH's coarsest partition puts the clients' prototypes of a class.",
  },
  'federated/seconds': {
    title: 'Virtual clock',
    unit: 'seconds',
    about: 'When the round would have ended on the clients that are simulated.',
  },
};

type CommonOptions = z.output<z.ZodObject<typeof commonOptions>>;

export interface StrategyDescription<Shape extends z.ZodRawShape> {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly summary: string;
  readonly paper?: string;
  /** Its own options, beside those of every strategy. */
  readonly options: Shape;
  readonly defaults: z.input<z.ZodObject<Shape>>;
  /** Makes the strategy of an episode, which begins with an empty memory. */
  make(options: z.output<z.ZodObject<Shape>> & CommonOptions, memory: Memory): Strategy;
}

/** Describes an agent that is a strategy: a rule, which learns nothing between episodes. */
export function defineStrategy<const Shape extends z.ZodRawShape>({
  options,
  defaults,
  make,
  ...description
}: StrategyDescription<Shape>): AgentDescription {
  type Options = Parameters<typeof make>[0];
  const schema = z.strictObject({ ...commonOptions, ...options });
  const common: CommonOptions = { fractionTrain: 1, minTrainNodes: 2, weightedBy: 'num-examples' };
  const definition: AgentDefinition<FederatedObservation, FederatedAction> = {
    ...description,
    options: schema,
    metrics,
    defaults: { network: { ...common, ...defaults } },
    make: ({ env, options, random }) => {
      if (!(env.actionSpace instanceof Dict && env.actionSpace.keys.includes('clusterPrototypes')))
        throw new GymError(
          'E_CONFIG',
          `agent ${description.name}: it is a federated strategy, and acts on clients' answers (FederatedPrototypes-v0, without knobs); its action space here is ${env.actionSpace}.`,
        );
      return new StrategyAgent(
        options as unknown as CommonOptions,
        (memory) => make(options as Options, memory),
        random,
      );
    },
  };
  return defineAgent(definition) as unknown as AgentDescription;
}

/** The agent around a strategy: its memory in each environment, and what all strategies have in common. */
class StrategyAgent implements Agent<FederatedObservation, FederatedAction> {
  readonly collect = 'nothing';
  readonly #options: CommonOptions;
  readonly #make: (memory: Memory) => Strategy;
  #random: Random;
  /** Of each environment of the run, and of each of an evaluation, which may fall into the run's episodes. */
  #memories: Memory[] = [];
  readonly #evaluated: Memory[] = [];
  /** Stream and memories as `learn` left them. */
  #learned: { readonly random: RandomState; readonly memories: readonly Memory[] };

  constructor(options: CommonOptions, make: (memory: Memory) => Strategy, random: Random) {
    this.#options = options;
    this.#make = make;
    this.#random = random;
    this.#learned = { random: random.state(), memories: [] };
  }

  act(observations: readonly FederatedObservation[], { starts, random }: ActOptions = {}): Decision<FederatedAction> {
    const memories = random === undefined ? this.#memories : this.#evaluated;
    return {
      actions: observations.map((observation, i) => {
        // Whoever does not say where episodes start can tell by their first observation.
        if (starts ? starts[i] : observation.round.data[0] === 0) memories[i] = new Map();
        memories[i] ??= new Map();
        const strategy = this.#make(memories[i]);
        return federatedAction(observation, {
          ...(strategy.aggregateTrain?.(observation) ?? this.#mean(observation)),
          ...strategy.configureTrain?.(observation),
          nextClients: this.#sampled(observation, random ?? this.#random),
        });
      }),
    };
  }

  #mean(observation: FederatedObservation): { clientWeights: ArrayLike<number> } {
    return { clientWeights: weightsOf(observation, this.#options) };
  }

  /** Flower's FedAvg.configure_train: the share, but at least the minimum, of those that are there. */
  #sampled({ available }: FederatedObservation, random: Random): Int8Array {
    const { fractionTrain, minTrainNodes } = this.#options;
    const there = [...available.data.keys()].filter((m) => available.data[m]);
    const number = Math.max(Math.floor(there.length * fractionTrain), minTrainNodes);
    if (number >= there.length) return available.data;
    const asked = new Int8Array(available.data.length);
    for (const i of random.permutation(there.length).subarray(0, number)) asked[there[i]!] = 1;
    return asked;
  }

  learn() {
    this.#learned = { random: this.#random.state(), memories: this.#memories.map((memory) => new Map(memory)) };
    return {};
  }

  async save(folder: string): Promise<void> {
    const { random, memories } = this.#learned;
    const vectors = memories.flatMap((memory, i) =>
      [...memory].map(([name, data]): [string, NdArray] => [`${i}.${name}`, { data, shape: [data.length] }]),
    );
    await mkdir(folder, { recursive: true });
    await writeSafetensors(join(folder, 'memory.safetensors'), new Map(vectors));
    await writeFileAtomic(join(folder, 'strategy.json'), `${JSON.stringify({ random })}\n`);
  }

  async restore(folder: string): Promise<void> {
    const { random } = (await readJson(join(folder, 'strategy.json'))) as { random: RandomState };
    const memories: Memory[] = [];
    for (const [key, { data }] of await readSafetensors(join(folder, 'memory.safetensors'))) {
      const [i, name] = key.split('.') as [string, string];
      memories[Number(i)] ??= new Map();
      memories[Number(i)]!.set(name, data as Float32Array);
    }
    this.#random = Random.restore(random);
    this.#memories = memories;
    this.#learned = { random, memories: memories.map((memory) => new Map(memory)) };
  }

  dispose(): void {}
}

/** [M] What the clients' models are weighted by: 0 where there is no answer, and a sum of 1 where there is any. */
export function weightsOf(
  observation: FederatedObservation,
  { weightedBy }: Pick<CommonOptions, 'weightedBy'>,
): Float64Array {
  if (weightedBy === 'num-examples') return proportions(observation.numExamples.data);
  const weights = new Float64Array(observation.numExamples.data.length);
  const ok = answered(observation);
  for (const m of ok) weights[m] = 1 / ok.length;
  return weights;
}
