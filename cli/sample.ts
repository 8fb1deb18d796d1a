import type { BackendName } from '../backend/index.js';
import { writeFileAtomic } from '../core/files.js';
import { promptsTakenBy, sampleImages } from '../training/sample.js';
import { announceLine, startBackend } from './backend.js';
import { type RunAgentOptions, refuseWithoutRun } from './run-agent.js';

interface SampleCommandOptions extends RunAgentOptions {
  model?: string;
  lora?: string;
  trust?: boolean;
  prompt?: string[];
  negativePrompt?: string;
  truncate?: boolean;
  spacing?: string;
  size?: number;
  tile?: number;
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
  refuseWithoutRun('sample', options);
  await startBackend(options.backend);
  const { model, lora, run, fromCheckpoint, best, trust, prompt: prompts, count, eta, seed, out, animation } = options;
  // Of what it takes to look well with a model of text; a run has its own.
  const own =
    run === undefined
      ? { steps: 20, ...((await promptsTakenBy(model ?? 'models/shapes')) === 'text' && { guidanceScale: 3 }) }
      : {};
  const { images, png, webp } = await sampleImages({
    ...(run === undefined ? { model: model ?? 'models/shapes' } : { run, model, fromCheckpoint, best }),
    lora,
    trust,
    warn: (message) => announceLine(`warning: ${message}`),
    prompts,
    truncation: options.truncate,
    count,
    eta,
    seed,
    animation: animation !== undefined,
    sampling: {
      ...own,
      ...(options.steps !== undefined && { steps: options.steps }),
      ...(options.guidance !== undefined && { guidanceScale: options.guidance }),
      ...(options.negativePrompt !== undefined && { negativePrompt: options.negativePrompt }),
      ...(options.spacing !== undefined && { spacing: options.spacing }),
      ...(options.size !== undefined && { size: options.size }),
      ...(options.tile !== undefined && { tile: options.tile }),
    },
  });
  await writeFileAtomic(out, png);
  if (animation !== undefined) await writeFileAtomic(animation, webp!);
  const result = {
    out,
    ...(animation !== undefined && { animation }),
    images: images.length,
    ...(prompts && { prompts }),
    seed,
  };
  process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : `${out}\n`);
}
