import { join } from 'node:path';
import type { BackendName } from '../backend/index.js';
import { GymError } from '../core/errors.js';
import { convertLora, mergeLora } from '../training/export.js';
import { compose } from '../training/families/index.js';
import { openCheckpoint } from '../training/trained.js';
import { announceLine, startBackend } from './backend.js';
import { refuseToReplace } from './overwrite.js';

/** The name that diffusers' `load_lora_weights` looks for in a folder. */
const LORA_FILE = 'pytorch_lora_weights.safetensors';

interface ExportOptions {
  lora?: string;
  adapter?: boolean;
  backend?: BackendName;
  overwrite?: boolean;
  fromCheckpoint?: number;
  best?: boolean;
  trust?: boolean;
}

export async function exportCommand(source: string, out: string, options: ExportOptions): Promise<void> {
  refuseToReplace('export', out, options.overwrite);
  const python =
    options.lora === undefined
      ? await exportRun(source, out, options)
      : await exportModel(source, options.lora, out, options);
  if (python !== undefined) announceLine(`in Python:\n${python.replace(/^/gm, '  ')}`);
  process.stdout.write(`${options.adapter ? join(out, LORA_FILE) : out}\n`);
}

/** @returns what a model needs in Python; undefined for a LoRA. */
async function exportRun(run: string, out: string, options: ExportOptions): Promise<string | undefined> {
  const { adapter, fromCheckpoint: from, best, trust } = options;
  const { path, config } = await openCheckpoint(run, { from, best, trust, warn: announceLine });
  await startBackend(options.backend);
  const parts = await compose(config);
  try {
    if (!parts.saveModel)
      throw new GymError(
        'E_CONFIG',
        `export ${run}: the agent ${config.agent.name} trains neither a diffusion model nor the policy of a small network on ${config.env}.`,
      );
    if (adapter && !parts.saveAdapter)
      throw new GymError(
        'E_CONFIG',
        `export ${run}: --adapter, but the run trains the whole network and no LoRA; leave it out, or train with adapter.rank.`,
      );
    await parts.agent.restore(path);
    if (!adapter) return await parts.saveModel(out);
    await parts.saveAdapter!(join(out, LORA_FILE));
    return undefined;
  } finally {
    await parts.close();
  }
}

/** A model with a LoRA merged into it, or that LoRA in the format of diffusers. */
async function exportModel(
  model: string,
  lora: string,
  out: string,
  options: ExportOptions,
): Promise<string | undefined> {
  const ofRuns = [
    ...(options.fromCheckpoint === undefined ? [] : ['--from-checkpoint']),
    ...(options.best ? ['--best'] : []),
    ...(options.trust ? ['--trust'] : []),
  ];
  if (ofRuns.length > 0)
    throw new GymError(
      'E_CONFIG',
      `export: --lora goes with a model's folder, which has no checkpoints; leave out ${ofRuns.join(' and ')}.`,
    );
  await startBackend(options.backend);
  if (!options.adapter) return await mergeLora(model, lora, out);
  await convertLora(model, lora, join(out, LORA_FILE));
  return undefined;
}
