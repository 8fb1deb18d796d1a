import type { BackendName } from '../backend/index.js';
import { GymError } from '../core/errors.js';
import { writeFileAtomic } from '../core/files.js';
import { sampleImages } from '../training/sample.js';
import { announceLine, startBackend } from './backend.js';

interface SampleCommandOptions {
  model?: string;
  lora?: string;
  run?: string;
  fromCheckpoint?: number;
  trust?: boolean;
  prompt: string[];
  count: number;
  steps?: number;
  guidance?: number;
  eta: number;
  seed: number;
  out: string;
  animation?: string;
  backend?: BackendName;
  json?: boolean;
}

export async function sampleCommand(options: SampleCommandOptions): Promise<void> {
  await startBackend(options.backend);
  const { model, lora, run, fromCheckpoint, trust, prompt: prompts, count, eta, seed, out, animation } = options;
  if (run === undefined && fromCheckpoint !== undefined)
    throw new GymError('E_CONFIG', `sample: --from-checkpoint ${fromCheckpoint} is a checkpoint of a run; add --run.`);
  const own = run === undefined ? { steps: 20, guidanceScale: 3 } : {};
  const { images, png, webp } = await sampleImages({
    ...(run === undefined ? { model: model ?? 'models/shapes' } : { run, model, fromCheckpoint }),
    lora,
    trust,
    warn: announceLine,
    prompts,
    count,
    eta,
    seed,
    sampling: {
      ...own,
      ...(options.steps !== undefined && { steps: options.steps }),
      ...(options.guidance !== undefined && { guidanceScale: options.guidance }),
    },
  });
  await writeFileAtomic(out, png);
  if (animation !== undefined) await writeFileAtomic(animation, webp);
  const result = { out, ...(animation !== undefined && { animation }), images: images.length, prompts, seed };
  process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : `${out}\n`);
}
