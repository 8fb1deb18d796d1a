import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BackendName, useBackend } from '../backend/index.js';
import { stack } from '../core/ndarray.js';
import { Random } from '../core/random.js';
import { scoreImages } from '../core/score.js';
import { makeReward, shapesPrompts } from '../rewards/index.js';
import { gridPng, sampleImages } from '../training/index.js';
import { print } from './print.js';

export interface ModelOptions {
  model: string;
  prompts: number;
  steps: number;
  guidance: number[];
  seed: number;
  out?: string;
  backend?: BackendName;
  json?: boolean;
}

/** The embedded model on prompts drawn afresh, scored by the exact scorers; `shape` is reported beside them. */
export async function model({
  model,
  prompts,
  steps,
  guidance,
  seed,
  out,
  backend,
  json,
}: ModelOptions): Promise<void> {
  const info = await useBackend(backend);
  const rows = [];
  for (const guidanceScale of guidance) {
    for (const kind of ['color', 'location', 'count', 'composition'] as const) {
      const random = new Random(seed).child(kind);
      const captions = shapesPrompts(kind);
      const asked = Array.from({ length: prompts }, () => random.choice(captions));
      const { images } = await sampleImages({
        model,
        prompts: asked,
        sampling: { steps, guidanceScale },
        seed: random.integer(2 ** 31),
        batch: 64,
      });
      const reward = await makeReward(`shapes-${kind}`);
      const { scores, details } = await scoreImages(reward, { images: stack(images), prompts: asked });
      const mean = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0) / values.length;
      rows.push({ guidance: guidanceScale, kind, right: mean(scores), shape: mean(details.shape ?? [Number.NaN]) });
      if (out) {
        await mkdir(out, { recursive: true });
        const { png } = await gridPng(images.slice(0, 64));
        await writeFile(join(out, `${kind}-guidance-${guidanceScale}.png`), png);
      }
    }
  }
  print('model', info, { model, prompts, steps, seed, eta: 0 }, rows, json);
}
