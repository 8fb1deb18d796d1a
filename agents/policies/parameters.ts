import { join } from 'node:path';
import type { Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import { readSafetensors, writeSafetensors } from '../../core/safetensors.js';

const WEIGHTS = 'weights.safetensors';

/** Writes parameters as one safetensors file. */
export async function saveParameters(folder: string, parameters: ReadonlyMap<string, Variable>): Promise<void> {
  const values = new Map<string, NdArray>();
  for (const [name, variable] of parameters)
    values.set(name, { data: (await variable.data()) as Float32Array, shape: variable.shape });
  await writeSafetensors(join(folder, WEIGHTS), values);
}

/** Reads them back. @throws GymError E_STATE when one is missing or of another shape. */
export async function restoreParameters(folder: string, parameters: ReadonlyMap<string, Variable>): Promise<void> {
  const path = join(folder, WEIGHTS);
  const values = await readSafetensors(path);
  for (const [name, variable] of parameters) {
    const value = values.get(name);
    if (!value || value.data.length !== variable.size)
      throw new GymError(
        'E_STATE',
        `${path}: \`${name}\` should have shape [${variable.shape}], actual ${value ? `[${value.shape}]` : 'missing'}; restore into the network that was saved.`,
      );
    tf.tidy(() => variable.assign(tf.tensor(value.data as Float32Array, variable.shape)));
  }
}
