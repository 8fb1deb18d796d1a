import * as tf from '@tensorflow/tfjs';
import { GymError } from '../core/errors.js';
import { type NdArray, sameShape } from '../core/ndarray.js';
import type { Random } from '../core/random.js';
import { shownName, shownShape } from '../core/shown.js';

/**
 * The permutation of axes that takes a parameter from PyTorch's layout to TensorFlow's; undefined where the layouts
 * agree, as they do for norms, biases and embeddings.
 */
function axesFromTorch(name: string, rank: number): number[] | undefined {
  if (!name.endsWith('.weight') || /(^|\.)(word|token|token_type|position|rel|class)_embeddings?\.weight$/.test(name))
    return undefined;
  if (rank === 4) return [2, 3, 1, 0]; // convolution: [out, in, height, width] to [height, width, in, out]
  if (rank === 2) return [1, 0]; // linear: [out, in] to [in, out]
  return undefined;
}

/**
 * Takes a parameter, or its gradient, from PyTorch's layout, in which files store it, to TensorFlow's.
 * @param name its key in the state dict, which tells the weight of a linear layer from that of an embedding
 */
export function fromTorch(name: string, value: NdArray): NdArray {
  const axes = axesFromTorch(name, value.shape.length);
  return axes ? transpose(value, axes) : value;
}

/** The shape in PyTorch's layout of a parameter that has this one in TensorFlow's. */
export function torchShape(name: string, shape: readonly number[]): number[] {
  const axes = axesFromTorch(name, shape.length);
  return axes ? shape.map((_, i) => shape[axes.indexOf(i)]!) : [...shape];
}

/** The inverse of {@link fromTorch}. */
export function toTorch(name: string, value: NdArray): NdArray {
  const axes = axesFromTorch(name, value.shape.length);
  if (!axes) return value;
  const inverse = axes.map((_, i) => axes.indexOf(i));
  return transpose(value, inverse);
}

function transpose({ data, shape }: NdArray, axes: readonly number[]): NdArray {
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
  const outShape = axes.map((axis) => shape[axis]!);
  const outStrides = axes.map((axis) => strides[axis]!);
  const out = data.slice();
  const index = new Array<number>(axes.length).fill(0);
  let from = 0;
  for (let to = 0; to < out.length; to++) {
    out[to] = data[from]!;
    for (let d = axes.length - 1; d >= 0; d--) {
      from += outStrides[d]!;
      if (++index[d]! < outShape[d]!) break;
      from -= outStrides[d]! * outShape[d]!;
      index[d] = 0;
    }
  }
  return { data: out, shape: outShape };
}

/**
 * The initial values of a new parameter: uniform within 1/√fanIn, as in PyTorch's layers; normal with mean 0 and the
 * given standard deviation; or constant.
 */
export type Initial = { readonly fanIn: number } | { readonly normal: number } | 0 | 1;

/** Where the values of a network's parameters come from. */
export interface ParameterSource {
  /** Gives the value of one parameter, in TensorFlow's layout. The caller frees it. */
  tensor(name: string, shape: readonly number[], initial: Initial): tf.Tensor;
  /** Is called when the network has taken all of its parameters. */
  finish?(): void;
}

/**
 * New parameters, each as its layer asks for it. Each parameter draws from a random stream of its own, which is made
 * from its name, so that an additional layer changes the initial values of no other. The uniform distribution within
 * 1/√fanIn is what `torch.nn.Conv2d` and `torch.nn.Linear` use for weight and bias (Kaiming uniform with a = √5).
 */
export function randomParameters(random: Random): ParameterSource {
  return {
    tensor(name, shape, initial) {
      if (initial === 0) return tf.zeros([...shape]);
      if (initial === 1) return tf.ones([...shape]);
      const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
      const stream = random.child(name);
      if ('normal' in initial) for (let i = 0; i < data.length; i++) data[i] = initial.normal * stream.normal();
      else {
        const bound = 1 / Math.sqrt(initial.fanIn);
        for (let i = 0; i < data.length; i++) data[i] = stream.uniform(-bound, bound);
      }
      return tf.tensor(data, [...shape]);
    },
  };
}

/** Tensors by name, in PyTorch's layout: a map of them, or files from which each is read when it is asked for. */
export interface StoredTensors {
  keys(): Iterable<string>;
  get(name: string): NdArray | undefined;
}

/**
 * Parameters from a state dict in PyTorch's layout, each of which is asked for once.
 * @param where the path of the file, which errors name
 * @param rename takes an older key to the present one, and the key of a tensor that is no parameter to undefined
 * @throws GymError E_FILE, while the network is built, for a tensor that is missing, has another shape or is left over
 */
export function storedParameters(
  where: string,
  state: StoredTensors,
  rename: (name: string) => string | undefined = (name) => name,
): ParameterSource {
  /** What is stored and not yet taken: by the present key, the one in the file. */
  const left = new Map<string, string>();
  for (const name of state.keys()) {
    const current = rename(name);
    if (current !== undefined) left.set(current, name);
  }
  return {
    tensor(name, shape) {
      const key = left.get(name);
      const stored = key === undefined ? undefined : state.get(key);
      if (!stored)
        throw new GymError(
          'E_FILE',
          `${where}: has no tensor \`${name}\` (${shownShape(shape)} in TensorFlow's layout), which the configuration asks for; check that config.json belongs to these weights.`,
        );
      left.delete(name);
      const value = fromTorch(name, stored);
      if (!sameShape(value.shape, shape))
        throw new GymError(
          'E_FILE',
          `${where}: tensor \`${name}\` has shape ${shownShape(value.shape)} in TensorFlow's layout, but the configuration gives ${shownShape(shape)}; check that config.json belongs to these weights.`,
        );
      return taken(value.data instanceof Float32Array ? value.data : Float32Array.from(value.data), shape);
    },
    finish() {
      if (left.size === 0) return;
      const names = [...left.keys()];
      throw new GymError(
        'E_FILE',
        `${where}: ${left.size} tensors have no place in the configured network (${names.slice(0, 5).map(shownName).join(', ')}${left.size > 5 ? ', ...' : ''}); check that config.json belongs to these weights.`,
      );
    },
  };
}

/**
 * A tensor that the backend has taken over. The native backend copies an array only when the first kernel asks for the tensor, and
 * a network whose arrays wait for that has each of its weights twice when it is first computed.
 */
function taken(data: Float32Array, shape: readonly number[]): tf.Tensor {
  const tensor = tf.tensor(data, [...shape]);
  if (tf.getBackend() !== 'tensorflow') return tensor;
  const copy = tf.mul(tensor, 1);
  tensor.dispose();
  return copy;
}

/** Copies of the parameters of another network, so that training one of the two leaves the other as it is. */
export function copiedParameters(parameters: ReadonlyMap<string, tf.Variable>): ParameterSource {
  return {
    tensor(name) {
      const variable = parameters.get(name);
      if (!variable) throw new GymError('E_STATE', `internal: no parameter \`${name}\` to copy.`);
      return tf.mul(variable, 1);
    },
  };
}

/** What changes the weight of a layer where the layer is computed; differentiable. */
export type Adaptation = (weight: tf.Tensor) => tf.Tensor;

/** By the name of each linear layer of a network, what changes its weight; undefined where nothing does. */
export type Adaptations = Map<string, Adaptation | undefined>;

/** The named parts of a network. */
interface Parts {
  readonly parameters: Map<string, tf.Variable>;
  /** What is not trained. */
  readonly buffers: Map<string, tf.Variable>;
  readonly adaptations: Adaptations;
}

/** A place in the tree of a network's named parameters, from which a layer takes its variables. */
export class Scope {
  readonly #source: ParameterSource;
  readonly #parts: Parts;
  readonly #prefix: string;

  constructor(source: ParameterSource, parts: Parts, prefix = '') {
    this.#source = source;
    this.#parts = parts;
    this.#prefix = prefix;
  }

  /** The place of that name below this one: `scope.at('resnets', 0)` is the place `resnets.0`. */
  at(...path: readonly (string | number)[]): Scope {
    return new Scope(this.#source, this.#parts, `${this.#prefix}${path.join('.')}.`);
  }

  /** Makes the variable of one parameter, in TensorFlow's layout. */
  variable<R extends tf.Rank>(name: string, shape: readonly number[], initial: Initial): tf.Variable<R> {
    return this.#make(name, shape, initial, this.#parts.parameters, true);
  }

  /** Makes the variable of a value that belongs to the network but is not trained, such as tracked statistics. */
  buffer<R extends tf.Rank>(name: string, shape: readonly number[], initial: Initial): tf.Variable<R> {
    return this.#make(name, shape, initial, this.#parts.buffers, false);
  }

  /**
   * Makes the parameter `weight` of a linear layer.
   * @returns the weight as the layer is to use it at the moment: the variable, or what an adapter makes of it
   */
  adaptableWeight<R extends tf.Rank>(shape: readonly number[], initial: Initial): () => tf.Tensor<R> {
    const weight = this.variable<R>('weight', shape, initial);
    const { adaptations } = this.#parts;
    const layer = this.#prefix.slice(0, -1);
    adaptations.set(layer, undefined);
    return () => (adaptations.get(layer)?.(weight) ?? weight) as tf.Tensor<R>;
  }

  #make<R extends tf.Rank>(
    name: string,
    shape: readonly number[],
    initial: Initial,
    into: Map<string, tf.Variable>,
    trainable: boolean,
  ): tf.Variable<R> {
    const key = this.#prefix + name;
    const value = this.#source.tensor(key, shape, initial);
    const variable = tf.variable(value, trainable);
    value.dispose();
    into.set(key, variable);
    return variable as tf.Variable<R>;
  }
}

/**
 * Builds a network from a source of parameters. If that fails, the variables that were made are freed.
 * @returns the network, its parameters by name, what of it is not trained, and its linear layers, which may be adapted
 */
export function build<T>(
  source: ParameterSource,
  make: (scope: Scope) => T,
): {
  network: T;
  parameters: ReadonlyMap<string, tf.Variable>;
  buffers: ReadonlyMap<string, tf.Variable>;
  adaptations: Adaptations;
} {
  const parts: Parts = { parameters: new Map(), buffers: new Map(), adaptations: new Map() };
  try {
    const network = make(new Scope(source, parts));
    source.finish?.();
    return { network, ...parts };
  } catch (error) {
    disposeParameters(parts.parameters);
    disposeParameters(parts.buffers);
    throw error;
  }
}

/**
 * Gives the parameters of a network other values. The variables stay the same, so that an optimiser can go on with
 * them.
 */
export function overwrite(parameters: ReadonlyMap<string, tf.Variable>, source: ParameterSource): void {
  for (const [name, variable] of parameters) {
    const value = source.tensor(name, variable.shape, 0);
    variable.assign(value);
    value.dispose();
  }
  source.finish?.();
}

/** Frees all parameters of a network. */
export function disposeParameters(parameters: ReadonlyMap<string, tf.Variable>): void {
  for (const variable of parameters.values()) variable.dispose();
}

/** Reads the values of the parameters, in PyTorch's layout, in which files store them. */
export async function stateDict(parameters: ReadonlyMap<string, tf.Variable>): Promise<Map<string, NdArray>> {
  const state = new Map<string, NdArray>();
  for (const [name, variable] of parameters) {
    const data = (await variable.data()) as Float32Array;
    state.set(name, toTorch(name, { data, shape: variable.shape }));
  }
  return state;
}
