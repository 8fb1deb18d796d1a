import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type * as tf from '@tensorflow/tfjs';
import type { Lora } from './lora.js';
import { LORA_FILE } from './lora-file.js';
import type { UNet2DModel } from './unet-2d.js';
import type { UNet2DConditionModel } from './unet-2d-condition.js';

/** A UNet of which only a LoRA is trained and saved. It owns both. */
export class LoraUNet {
  readonly unet: UNet2DConditionModel | UNet2DModel;
  readonly lora: Lora;

  /** @param lora an adapter of this UNet */
  constructor(unet: UNet2DConditionModel | UNet2DModel, lora: Lora) {
    this.unet = unet;
    this.lora = lora;
  }

  /** The adapter's. */
  get parameters(): ReadonlyMap<string, tf.Variable> {
    return this.lora.parameters;
  }

  /** What the UNet with the adapter predicts; see `UNet2DConditionModel.apply`. */
  apply(sample: tf.Tensor4D, timesteps: tf.Tensor1D | number, encoderHiddenStates?: tf.Tensor3D): tf.Tensor4D {
    return this.unet.apply(sample, timesteps, encoderHiddenStates);
  }

  /** Writes the adapter into a folder, under the name that diffusers' `load_lora_weights` looks for. */
  async save(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true });
    await this.lora.save(join(folder, LORA_FILE));
  }

  /** Reads what {@link save} wrote. @throws GymError E_FILE where it is of another adapter */
  restore(folder: string): Promise<void> {
    return this.lora.restore(join(folder, LORA_FILE));
  }

  /** The UNet with its adapter off. It shares the weights, so there is nothing in it to free. */
  reference(): Pick<LoraUNet, 'apply'> & { dispose(): void } {
    return {
      apply: (sample, timesteps, text) => this.lora.without(() => this.unet.apply(sample, timesteps, text)),
      dispose: () => {},
    };
  }

  /** A UNet with variables of its own, in whose weights the adapter is merged. The caller disposes of it. */
  clone(): UNet2DConditionModel | UNet2DModel {
    const copy = this.unet.clone();
    this.lora.mergeInto(copy);
    return copy;
  }

  /** Frees the adapter and the UNet. */
  dispose(): void {
    this.lora.dispose();
    this.unet.dispose();
  }
}
