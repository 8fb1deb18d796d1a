import * as z from 'zod';
import type { Reward } from '../core/reward.js';
import { type OptionInfo, optionsOf } from '../core/schema.js';
import { httpRewardOptions } from './http/options.js';
import { vlmRewardOptions } from './vlm/options.js';

const http = httpRewardOptions.extend({
  kind: z.literal('http', 'must be http').describe('a server that computes a reward, asked over HTTP'),
});
const vlm = vlmRewardOptions.extend({
  kind: z.literal('vlm').describe('a vision-language model that judges pictures, asked over HTTP'),
});

/** A reward with options. Its kind says what computes it. */
export const rewardDefinition = z.discriminatedUnion('kind', [http, vlm]);

/** Rewards with options, by names that expressions may use. */
export const rewardDefinitions = z
  .record(
    z.string().regex(/^[A-Za-z]\w*(-\w+)*$/, 'must be letters, digits, _ and single -, a letter first'),
    rewardDefinition,
  )
  .default({});

/** The options of a reward, validated. */
export type RewardDefinition = z.output<typeof rewardDefinition>;

/** A kind of reward that is made from options. */
export interface RewardKind {
  readonly name: RewardDefinition['kind'];
  /** One line for people who choose. */
  readonly summary: string;
  /** What must be there for it. */
  readonly needs: string;
  readonly options: readonly OptionInfo[];
}

const needs: Readonly<Record<RewardDefinition['kind'], string>> = {
  http: 'a server of ours (`serve-reward`), Flow-Factory or UniRL',
  vlm: 'a server of the OpenAI protocol with a model that sees: vLLM, llama.cpp, SGLang, Ollama, hosted; `doctor --vlm URL` asks it',
};

/** The kinds of reward that a configuration can define under `rewards`. */
export function listRewardKinds(): RewardKind[] {
  return rewardDefinition.options.map((schema) => {
    const { kind } = schema.shape;
    const name = kind.value;
    const options = optionsOf(schema).filter(({ path }) => path !== 'kind');
    return { name, summary: kind.description ?? '', needs: needs[name], options };
  });
}

/**
 * Makes a reward from its options.
 * @param name what errors and logs call it.
 * @throws GymError E_CONFIG when options do not fit each other, E_FILE when what they name is not there or cannot be read.
 */
export async function makeDefined(name: string, definition: RewardDefinition): Promise<Reward> {
  switch (definition.kind) {
    case 'http': {
      const { kind: _, ...options } = definition;
      return (await import('./http/http.js')).httpReward(name, options);
    }
    case 'vlm': {
      const { kind: _, ...options } = definition;
      return await (await import('./vlm/vlm.js')).vlmReward(name, options);
    }
  }
}
