import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { Agent } from '../../agents/agent.js';
import { readJson } from '../../core/files.js';
import { isNdArray, type NdArray, stack, unstack } from '../../core/ndarray.js';
import { checkedFile } from '../../core/schema.js';
import type { Awaitable } from '../../core/types.js';
import type { VectorEnv } from '../../envs/vector-env.js';
import { animationWebp, type GridLayout, gridPng } from '../images.js';
import { type EvaluateOptions, type Evaluation, evaluate } from './evaluate.js';

/** One sample of an evaluation. */
export interface SampleRecord {
  readonly prompt?: string | undefined;
  readonly reward: number;
  readonly terms?: Readonly<Record<string, number>> | undefined;
  /** What the reward said of it in words, such as a judge's answer. */
  readonly notes?: Readonly<Record<string, string>> | undefined;
}

/** What `samples/epoch-NNNNNN.json` holds; the PNG of that name has the pictures of the first samples. */
export interface EvaluationRecord {
  readonly epoch: number;
  readonly explore: boolean;
  readonly mean: number;
  readonly std: number;
  readonly se: number;
  readonly min: number;
  readonly max: number;
  readonly terms: Readonly<Record<string, number>>;
  readonly samples: readonly SampleRecord[];
  readonly grid?: GridLayout | undefined;
  /** Whether `samples/denoising-NNNNNN.webp` shows the way of the first samples from noise to picture. */
  readonly animation: boolean;
}

/** JSON has null in the place of a number that is not finite: the standard error of a single episode, for one. */
const number = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);
const terms = z.record(z.string(), number);
const size = z.int().min(1).max(65_536);

const schema = z.object({
  epoch: z.int().min(0),
  explore: z.boolean(),
  mean: number,
  std: number,
  se: number,
  min: number,
  max: number,
  terms,
  samples: z
    .array(
      z.object({
        prompt: z.string().optional(),
        reward: number,
        terms: terms.optional(),
        notes: z.record(z.string(), z.string()).optional(),
      }),
    )
    .min(1),
  grid: z
    .object({ count: size, columns: size, width: size, height: size, scale: size, gap: z.int().min(0).max(1024) })
    .optional(),
  animation: z.boolean(),
});

const animated = 8;

function numbered(epoch: number): string {
  return String(epoch).padStart(6, '0');
}

/** Files of an evaluation in a run's folder. */
export function evaluationFiles(folder: string, epoch: number): { json: string; png: string; webp: string } {
  const samples = join(folder, 'samples');
  return {
    json: join(samples, `epoch-${numbered(epoch)}.json`),
    png: join(samples, `epoch-${numbered(epoch)}.png`),
    webp: join(samples, `denoising-${numbered(epoch)}.webp`),
  };
}

/**
 * The evaluations of a run, oldest first.
 * @throws GymError E_FILE that names the one that is damaged.
 */
export async function readEvaluations(folder: string): Promise<EvaluationRecord[]> {
  const names = await readdir(join(folder, 'samples')).catch(() => []);
  const records: EvaluationRecord[] = [];
  for (const name of names.sort()) {
    if (!/^epoch-\d+\.json$/.test(name)) continue;
    const path = join(folder, 'samples', name);
    records.push(checkedFile(schema, await readJson(path), path));
  }
  return records;
}

/** Latents float32 [n, h, w, c] to images uint8 [n, H, W, 3]. */
type Decode = (latents: NdArray<Float32Array>) => Awaitable<NdArray>;

export interface PictureOptions<O, A>
  extends Pick<EvaluateOptions, 'explore' | 'random' | 'maxSteps' | 'warn' | 'signal' | 'onProgress'> {
  /** Environments for this alone. */
  readonly envs: readonly VectorEnv<O, A>[];
  readonly samples: number;
  /** How many are kept as pictures, where episodes end in one (`info.image`). */
  readonly pictures: number;
  /** Shows an observation on the way (`observation.latents`); without it there is no animation. */
  readonly decode?: Decode | undefined;
}

/**
 * Evaluates an agent on fixed prompts and noises and, where episodes end in pictures, draws them.
 * @returns the numbers, and the files' contents by kind.
 */
export async function evaluateWithPictures<O, A>(
  agent: Agent<O, A>,
  epoch: number,
  { envs, samples, pictures, decode, ...options }: PictureOptions<O, A>,
): Promise<{ record: EvaluationRecord; evaluation: Evaluation; png?: Buffer; webp?: Buffer }> {
  const track = decode !== undefined && pictures > 0 ? Math.min(animated, samples, envs[0]!.numEnvs) : 0;
  const latents: NdArray<Float32Array>[][] = [];
  let shown: number | undefined;
  const evaluation = await evaluate(agent, envs, {
    ...options,
    episodes: samples,
    onAct: (observations) => {
      if (track === 0) return;
      // Batches may be decided at the same time; those of the first one are shown.
      const first = observations[0] as { noiseSeed: number };
      shown ??= first.noiseSeed;
      if (first.noiseSeed === shown)
        latents.push(observations.slice(0, track).map((o) => (o as { latents: NdArray<Float32Array> }).latents));
    },
  });
  const images = evaluation.episodes.flatMap(({ info }) => (isNdArray(info.image) ? [info.image] : []));
  const grid = images.length > 0 && pictures > 0 ? await gridPng(images.slice(0, pictures)) : undefined;
  let webp: Buffer | undefined;
  if (track > 0 && images.length >= track) {
    const frames: NdArray[][] = [];
    for (const step of latents) frames.push(unstack(await decode!(stack(step))));
    webp = await animationWebp([...frames, images.slice(0, track)], { columns: track });
  }
  const { episodes, ...numbers } = evaluation;
  const record: EvaluationRecord = {
    epoch,
    explore: options.explore ?? false,
    ...numbers,
    samples: episodes.map(({ reward, info }) => ({
      ...(typeof info.prompt === 'string' && { prompt: info.prompt }),
      reward,
      ...(typeof info.rewardTerms === 'object' && { terms: info.rewardTerms as Record<string, number> }),
      ...(typeof info.rewardNotes === 'object' && { notes: info.rewardNotes as Record<string, string> }),
    })),
    ...(grid && { grid: grid.layout }),
    animation: webp !== undefined,
  };
  return { record, evaluation, png: grid?.png, webp };
}
