import * as tf from '@tensorflow/tfjs';
import { GymError } from '../core/errors.js';
import type { NdArray } from '../core/ndarray.js';
import type { Random } from '../core/random.js';
import { shownName, shownShape } from '../core/shown.js';
import { type LoraLayer, readLora, writeLora } from './lora-file.js';
import { type Adaptations, disposeParameters } from './weights.js';

/** What a {@link Lora} needs of a network: its weights and its linear layers, by diffusers' names. */
export interface AdaptableNetwork {
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  readonly adaptations: Adaptations;
}

/** The attention projections, which all implementations of DDPO adapt. */
export const ATTENTION_PROJECTIONS = ['to_q', 'to_k', 'to_v', 'to_out.0'] as const;

export interface LoraOptions {
  /** r of the two factors. Default 4. */
  readonly rank?: number | undefined;
  /** The change of a weight is scaled by alpha / rank. Default: the rank, and so no scale. */
  readonly alpha?: number | undefined;
  /**
   * Which linear layers: names, or the ends of names after a dot, as peft's `target_modules`. Default: the attention
   * projections.
   */
  readonly targets?: readonly string[] | undefined;
}

/** The adapter of one layer, in TensorFlow's layout. */
interface Adapter {
  /** [in, r] */
  readonly down: tf.Variable<tf.Rank.R2>;
  /** [r, out] */
  readonly up: tf.Variable<tf.Rank.R2>;
  readonly scale: number;
}

/**
 * A low-rank adapter (Hu et al. 2022, arXiv:2106.09685): layers of a network get the weight W + s·B·A, in which A (`down`,
 * r × in) and B (`up`, out × r) are trained and W is not. From its making on the network computes with it.
 *
 * The sum is made anew in each forward pass, on the tape: a product of r columns is small beside that of the layer with
 * its input, and the layer itself stays one fused kernel.
 */
export class Lora {
  /** The factors, in TensorFlow's layout: `<layer>.lora.down.weight` [in, r] and `<layer>.lora.up.weight` [r, out]. */
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  readonly #network: AdaptableNetwork;
  readonly #adapters: ReadonlyMap<string, Adapter>;

  private constructor(network: AdaptableNetwork, adapters: ReadonlyMap<string, Adapter>) {
    this.#network = network;
    this.#adapters = adapters;
    this.parameters = new Map(
      [...adapters].flatMap(([layer, { down, up }]): [string, tf.Variable][] => [
        [`${layer}.lora.down.weight`, down],
        [`${layer}.lora.up.weight`, up],
      ]),
    );
    this.#attach();
  }

  /**
   * A new adapter, which changes nothing yet: A is normal with standard deviation 1 / rank and B is 0, as in
   * ddpo-pytorch and peft's `init_lora_weights="gaussian"`.
   * @throws GymError E_CONFIG for a rank or alpha that is none, and for a target that no linear layer answers to
   */
  static create(network: AdaptableNetwork, options: LoraOptions, random: Random): Lora {
    const { rank = 4, alpha = rank, targets = ATTENTION_PROJECTIONS } = options;
    if (!(Number.isInteger(rank) && rank >= 1))
      throw new GymError('E_CONFIG', `LoRA: the rank must be a positive integer, actual value ${rank}.`);
    if (!(Number.isFinite(alpha) && alpha > 0))
      throw new GymError('E_CONFIG', `LoRA: alpha must be a number above 0, actual value ${alpha}.`);
    const layers = targetLayers(network, targets);
    const adapters = new Map(
      layers.map((layer): [string, Adapter] => {
        const [inputs, outputs] = sizeOf(network, layer);
        const down = random.child(layer).normals(inputs * rank);
        return [
          layer,
          adapter(
            down.map((x) => x / rank),
            new Float32Array(rank * outputs),
            rank,
            alpha / rank,
          ),
        ];
      }),
    );
    return new Lora(network, adapters);
  }

  /**
   * Reads an adapter in any of the formats that {@link readLora} knows.
   * @throws GymError E_FILE for a file that is missing, broken, or of another network
   */
  static async load(network: AdaptableNetwork, path: string): Promise<Lora> {
    const stored = await readLora(path, [...network.adaptations.keys()]);
    for (const [layer, { down, up }] of stored) {
      const [inputs, outputs] = sizeOf(network, layer);
      if (down.shape[1] !== inputs || up.shape[0] !== outputs)
        throw new GymError(
          'E_FILE',
          `${path}: the factors of \`${layer}\` have shapes ${shownShape(down.shape)} and ${shownShape(up.shape)}, but the layer has ${inputs} inputs and ${outputs} outputs; check that the LoRA was trained on this model.`,
        );
    }
    return new Lora(
      network,
      new Map(
        [...stored].map(([layer, { down, up, scale }]) => [
          layer,
          adapter(transposed(down).data, transposed(up).data, down.shape[0]!, scale),
        ]),
      ),
    );
  }

  /** The ranks of the layers, each once. */
  get ranks(): readonly number[] {
    return [...new Set([...this.#adapters.values()].map(({ down }) => down.shape[1]))];
  }

  /** What `compute` gives when the network computes without the adapter. `compute` must not be a promise. */
  without<T>(compute: () => T): T {
    this.#detach();
    try {
      return compute();
    } finally {
      this.#attach();
    }
  }

  /** Adds the adapter to the weights of a network of the same configuration, for good. */
  mergeInto({ parameters }: Pick<AdaptableNetwork, 'parameters'>): void {
    for (const [layer, own] of this.#adapters) {
      const weight = parameters.get(`${layer}.weight`)!;
      tf.tidy(() => weight.assign(adapted(weight, own)));
    }
  }

  /**
   * Writes the adapter as diffusers' `load_lora_weights` reads it.
   * @param options.baked the scale is multiplied into B, for readers that know of none; else the file says it as alpha
   * @throws GymError E_FILE when it cannot be written
   */
  async save(path: string, { baked = false } = {}): Promise<void> {
    const layers = new Map<string, LoraLayer>();
    for (const [layer, { down, up, scale }] of this.#adapters) {
      const values = async (variable: tf.Variable): Promise<NdArray<Float32Array>> =>
        transposed({ data: (await variable.data()) as Float32Array, shape: variable.shape });
      const { data, shape } = await values(up);
      layers.set(layer, {
        down: await values(down),
        up: { data: baked ? data.map((x) => x * scale) : data, shape },
        scale: baked ? 1 : scale,
      });
    }
    await writeLora(path, layers);
  }

  /**
   * Reads what {@link save} wrote into the variables that are there.
   * @throws GymError E_FILE where it is of another adapter
   */
  async restore(path: string): Promise<void> {
    const stored = await readLora(path, [...this.#network.adaptations.keys()]);
    for (const [layer, { down, up, scale }] of this.#adapters) {
      const own = stored.get(layer);
      if (
        !own ||
        own.down.shape[0] !== down.shape[1] ||
        Math.abs(own.scale / scale - 1) > 1e-6 ||
        stored.size !== this.#adapters.size
      )
        throw new GymError(
          'E_FILE',
          `${path}: it is another LoRA than the one that is trained (layer \`${layer}\` of rank ${down.shape[1]} and scale ${scale}, ${this.#adapters.size} layers); restore it with the options it was made with.`,
        );
      tf.tidy(() => {
        down.assign(tf.tensor2d(transposed(own.down).data, down.shape));
        up.assign(tf.tensor2d(transposed(own.up).data, up.shape));
      });
    }
  }

  /** Frees the factors; the network computes without them from now on. */
  dispose(): void {
    this.#detach();
    disposeParameters(this.parameters);
  }

  #attach(): void {
    for (const [layer, own] of this.#adapters) this.#network.adaptations.set(layer, (weight) => adapted(weight, own));
  }

  #detach(): void {
    for (const layer of this.#adapters.keys()) this.#network.adaptations.set(layer, undefined);
  }
}

/** W + s·(B·A)ᵀ: in TensorFlow's layout the factors stand in the other order. */
function adapted(weight: tf.Tensor, { down, up, scale }: Adapter): tf.Tensor {
  return tf.tidy(() => {
    const product = tf.matMul(scale === 1 ? down : down.mul<tf.Tensor2D>(scale), up);
    return weight.add(weight.rank === 2 ? product : product.reshape(weight.shape));
  });
}

function adapter(down: Float32Array, up: Float32Array, rank: number, scale: number): Adapter {
  const variable = (data: Float32Array, shape: [number, number]) =>
    tf.tidy(() => tf.variable(tf.tensor2d(data, shape)) as tf.Variable<tf.Rank.R2>);
  return { down: variable(down, [down.length / rank, rank]), up: variable(up, [rank, up.length / rank]), scale };
}

/** Inputs and outputs of a linear layer, whose weight is [in, out] or [1, 1, in, out]. */
function sizeOf({ parameters }: AdaptableNetwork, layer: string): [number, number] {
  return parameters.get(`${layer}.weight`)!.shape.slice(-2) as [number, number];
}

/** The linear layers that answer to the targets, in the network's order. @throws GymError E_CONFIG */
function targetLayers({ adaptations }: AdaptableNetwork, targets: readonly string[]): string[] {
  const all = [...adaptations.keys()];
  const answers = (layer: string, target: string) => layer === target || layer.endsWith(`.${target}`);
  const idle = targets.find((target) => !all.some((layer) => answers(layer, target)));
  if (idle !== undefined || targets.length === 0) {
    const ends = new Set(all.map((layer) => /[A-Za-z]\w*(\.\d+)?$/.exec(layer)![0]));
    throw new GymError(
      'E_CONFIG',
      `LoRA: ${idle === undefined ? 'there is no target' : `no linear layer is called ${shownName(idle)}`}; the names end in ${[...ends].join(', ')}.`,
    );
  }
  return all.filter((layer) => targets.some((target) => answers(layer, target)));
}

function transposed({ data, shape }: NdArray): NdArray<Float32Array> {
  const [rows, columns] = shape as [number, number];
  const turned = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) turned[j * rows + i] = data[i * columns + j]!;
  return { data: turned, shape: [columns, rows] };
}
