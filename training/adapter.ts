import * as z from 'zod';
import { GymError } from '../core/errors.js';
import { Random } from '../core/random.js';
import type { Denoiser, LoraUNet } from '../diffusion/index.js';
import type { Composition } from './families/family.js';

const text = z.string().min(1).max(4096);

/** The options of runs that fine-tune a denoiser which say what of its network is trained. */
export const adapterOptions = {
  lora: text
    .optional()
    .describe("a LoRA that the model starts with: a file or folder of diffusers', peft's or kohya's formats"),
  adapter: z
    .strictObject({
      rank: z
        .int()
        .min(0)
        .max(4096)
        .default(0)
        .describe('train a LoRA of this rank, and not the network itself; 0: all weights of the network are trained'),
      alpha: z.number().positive().optional().describe('the LoRA is scaled by alpha / rank; default: the rank'),
      targets: z
        .array(text)
        .min(1)
        .max(4096)
        .optional()
        .describe(
          'the linear layers that get one, by the ends of their names; default: the attention projections [to_q, to_k, to_v, to_out.0]',
        ),
    })
    .prefault({})
    .describe('what is trained'),
};

/** These options, validated. */
export type AdapterConfig = z.output<z.ZodObject<typeof adapterOptions>>;

/** A line for each option that has no effect. */
export function adapterProblems({ lora, adapter: { rank, ...given } }: AdapterConfig): string[] {
  const why =
    rank === 0
      ? 'given, but no LoRA is trained; say adapter.rank'
      : lora !== undefined
        ? `given, but the LoRA that is trained is that of ${lora}, which says it; leave it out`
        : undefined;
  if (why === undefined) return [];
  return Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : `adapter.${name}: ${why}.`));
}

/** The files that a LoRA is read from. @throws GymError E_FILE when it is not there. */
export async function loraFiles(lora: string): Promise<string[]> {
  const { loraSources } = await import('../diffusion/index.js');
  return loraSources(lora);
}

/**
 * What of a denoiser is trained: its UNet, into which a given LoRA is merged; or, with a rank, a LoRA on it: a given one, or
 * a new one that changes nothing yet.
 * @throws GymError E_FILE for a LoRA that cannot be read or is of another model, E_CONFIG for one of another rank, and for
 *   targets that no layer answers to.
 */
export async function adaptedUnet(
  { unet }: Denoiser,
  { seed, lora: path, adapter }: AdapterConfig & { readonly seed: number },
): Promise<Denoiser['unet'] | LoraUNet> {
  if (path === undefined && adapter.rank === 0) return unet;
  const { Lora, LoraUNet } = await import('../diffusion/index.js');
  const lora =
    path === undefined ? Lora.create(unet, adapter, new Random(seed).child('lora')) : await Lora.load(unet, path);
  if (adapter.rank === 0) {
    lora.mergeInto(unet);
    lora.dispose();
    return unet;
  }
  const { ranks } = lora;
  if (ranks.some((rank) => rank !== adapter.rank)) {
    lora.dispose();
    throw new GymError(
      'E_CONFIG',
      `adapter.rank: the LoRA ${path} is of rank ${ranks.join(', ')}${ranks.length === 1 ? '; train it with that' : ', and only one of equal ranks can be trained'}, actual value ${adapter.rank}.`,
    );
  }
  return new LoraUNet(unet, lora);
}

/** How what is trained of a denoiser is written: a LoRA merged into the model, or alone. */
export async function modelWriters(
  denoiser: Denoiser,
  unet: Denoiser['unet'] | LoraUNet,
): Promise<Pick<Composition, 'saveModel' | 'saveAdapter'>> {
  const { LoraUNet, pythonUse, saveDenoiser } = await import('../diffusion/index.js');
  const save = async (folder: string, model: Denoiser) => {
    await saveDenoiser(folder, model);
    return pythonUse(folder, model);
  };
  if (!(unet instanceof LoraUNet)) return { saveModel: (folder) => save(folder, denoiser) };
  return {
    saveModel: async (folder) => {
      const merged = unet.clone();
      try {
        return await save(folder, { ...denoiser, unet: merged });
      } finally {
        merged.dispose();
      }
    },
    saveAdapter: (path) => unet.lora.save(path, { baked: true }),
  };
}
