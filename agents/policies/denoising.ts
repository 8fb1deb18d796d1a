import type { Tensor, Tensor1D, Tensor2D, Tensor3D, Tensor4D, Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import { type NdArray, sizeOf, stack, unstack } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import type { GaussianSampler, GaussianStep } from '../../diffusion/schedulers/gaussian-sampler.js';
import { gaussianLogProb } from '../../diffusion/schedulers/log-prob.js';
import type { DenoisingObservation } from '../../envs/denoising/denoising.js';
import type { Decision, Extras } from '../agent.js';
import type {
  Displacement,
  Evaluation,
  KlOptions,
  Policy,
  Prepared,
  SampleOptions,
  StateFeatures,
  StepWindow,
} from '../policy.js';
import { PromptEmbeddings } from './prompt-embeddings.js';
import { noReference } from './reference.js';

/** What predicts noise, sample or velocity: `UNet2DConditionModel`, `UNet2DModel`, or anything of their form. */
export interface DenoisingNetwork {
  readonly parameters: ReadonlyMap<string, Variable>;
  /** [b, h, w, c] at one timestep a row (and [b, n, d] prompt embeddings) → [b, h, w, c]; differentiable. */
  apply(sample: Tensor4D, timesteps: Tensor1D, encoderHiddenStates?: Tensor3D): Tensor4D;
  save(folder: string): Promise<void>;
  /** Reads weights into the existing parameters. */
  restore(folder: string): Promise<void>;
  /** A network with the same weights in variables of its own, for a frozen reference. */
  clone(): DenoisingNetwork;
  /** The network as it was before training, where that takes no copy: with its LoRA off. */
  reference?(): FrozenNetwork;
  dispose(): void;
}

/** What a reference needs to be: it is asked, and not trained. */
export type FrozenNetwork = Pick<DenoisingNetwork, 'apply' | 'dispose'>;

export interface DenoisingPolicyParts {
  unet: DenoisingNetwork;
  /** With its timesteps set: it is the schedule of the environment too. Any scheduler of `diffusion/` is one. */
  sampler: GaussianSampler;
  /** Prompts → embeddings [b, n, d] (freed by the policy). Frozen: each prompt is embedded once. Absent for an unconditional network. */
  embed?: (prompts: readonly string[]) => Tensor3D;
}

export interface DenoisingPolicyOptions {
  /** Noise of DDIM's step: 0 is deterministic and can't be trained, 1 is ancestral sampling. Default 1. */
  eta?: number;
  /** w of classifier-free guidance, in sampling and in the log-probability; 1 is none. Default 1. */
  guidanceScale?: number;
  /** What guidance leads away from. Default ''. */
  negativePrompt?: string;
  /** Standard normals of a step, `size` of them (valid until the next call). Default: drawn from the observation's (`noiseSeed`, `step`). */
  noise?: (observation: DenoisingObservation, size: number) => Float32Array;
}

/** Transitions x_t → x_{t−1}, stacked. */
export interface PreparedDenoising extends Prepared {
  /** x_t, [n, h, w, c]. */
  readonly latents: NdArray<Float32Array>;
  /** x_{t−1}, [n, h, w, c]. */
  readonly actions: NdArray<Float32Array>;
  readonly steps: Int32Array;
  readonly prompts: readonly string[];
  /** μ that the actions were drawn around, [n, h, w, c], where the policy keeps them. */
  readonly means?: NdArray<Float32Array>;
}

type Shape4D = [number, number, number, number];

/**
 * p_θ(x_{t−1} | x_t, z) = N(μ_θ(x_t, t, z), σ_t² I), a denoising step as a policy (DDPO, arXiv 2305.13301 §4.2).
 *
 * Mean, σ and sample come from the scheduler, the noise from the observation's (`noiseSeed`, `step`) alone. The
 * log-probability is the mean over the latents' dimensions and is that of the *guided* Gaussian (App. E.1), so that
 * re-scoring a sample with unchanged weights gives ratio 1.
 */
export class DenoisingPolicy implements Policy<DenoisingObservation, NdArray, PreparedDenoising> {
  readonly kind = 'denoising';
  /** Noise comes from the observation. */
  readonly selfContained = true;
  readonly parameters: ReadonlyMap<string, Variable>;
  readonly unet: DenoisingNetwork;
  readonly sampler: GaussianSampler;
  readonly #embeddings: PromptEmbeddings | undefined;
  readonly #guidanceScale: number;
  readonly #negativePrompt: string;
  readonly #noise: NonNullable<DenoisingPolicyOptions['noise']>;
  /** Of each step of the chain, with the policy's η and with 0. */
  readonly #stochastic: readonly GaussianStep[];
  readonly #deterministic: readonly GaussianStep[];
  #reference: FrozenNetwork | undefined;
  #keepsMeans = false;
  /** The steps that are stochastic when exploring; undefined: all of them. */
  window: StepWindow | undefined;

  /** @throws GymError E_CONFIG when the scheduler has no timesteps or an option is out of range. */
  constructor({ unet, sampler, embed }: DenoisingPolicyParts, options: DenoisingPolicyOptions = {}) {
    const { eta = 1, guidanceScale = 1, negativePrompt = '', noise = seededNoise } = options;
    if (sampler.timesteps.length === 0)
      throw new GymError('E_CONFIG', 'DenoisingPolicy: the scheduler has no timesteps; call setTimesteps(n) first.');
    if (!(eta >= 0 && eta <= 1))
      throw new GymError('E_CONFIG', `DenoisingPolicy: eta must be in [0, 1], actual value ${eta}.`);
    if (!(guidanceScale >= 0))
      throw new GymError(
        'E_CONFIG',
        `DenoisingPolicy: guidanceScale must be at least 0, actual value ${guidanceScale}.`,
      );
    if (guidanceScale !== 1 && !embed)
      throw new GymError(
        'E_CONFIG',
        'DenoisingPolicy: guidance needs prompts, and this network is unconditional; use guidanceScale 1.',
      );
    this.unet = unet;
    this.parameters = unet.parameters;
    this.sampler = sampler;
    this.#embeddings = embed && new PromptEmbeddings(embed);
    this.#guidanceScale = guidanceScale;
    this.#negativePrompt = negativePrompt;
    this.#noise = noise;
    this.#stochastic = sampler.timesteps.map((t) => sampler.coefficients(t, { eta }));
    this.#deterministic = sampler.timesteps.map((t) => sampler.coefficients(t, { eta: 0 }));
  }

  async sample(
    observations: readonly DenoisingObservation[],
    { explore }: Pick<SampleOptions, 'explore'>,
  ): Promise<Decision<NdArray>> {
    for (const observation of observations) this.#checkStep(observation);
    const latents = stack(observations.map((o) => o.latents as NdArray<Float32Array>));
    const rows = observations.map(
      (o) => (explore && this.#inWindow(o.step) ? this.#stochastic : this.#deterministic)[o.step]!,
    );
    await this.ready(observations.map((o) => o.prompt));
    const mean = tf.tidy(() =>
      this.#mean(
        tf.tensor4d(latents.data, latents.shape as Shape4D),
        rows,
        observations.map((o) => o.prompt),
      ),
    );
    const actions = (await mean.data()) as Float32Array;
    mean.dispose();
    const means = this.#keepsMeans ? unstack({ data: actions.slice(), shape: latents.shape }) : undefined;
    const size = sizeOf(latents.shape.slice(1));
    const logProb = new Float32Array(rows.length);
    rows.forEach(({ sigma }, i) => {
      if (sigma === 0) return; // a Dirac: no density, masked out of training
      const noise = this.#noise(observations[i]!, size);
      let squares = 0;
      for (let k = 0, j = i * size; k < size; k++, j++) {
        const mu = actions[j]!;
        actions[j] = mu + sigma * noise[k]!;
        // of the action as it is stored, in float32: it is what will be scored again
        squares += (actions[j]! - mu) ** 2;
      }
      logProb[i] = -squares / size / (2 * sigma * sigma) - Math.log(sigma) - Math.log(2 * Math.PI) / 2;
    });
    return {
      actions: unstack({ data: actions, shape: latents.shape }),
      extras: { logProb, ...(means && { mean: means }) },
    };
  }

  async prepare(
    observations: readonly DenoisingObservation[],
    actions: readonly NdArray[],
    extras: Extras = {},
  ): Promise<PreparedDenoising> {
    for (const observation of observations) this.#checkStep(observation);
    const prompts = observations.map((o) => o.prompt);
    await this.ready(prompts);
    return {
      length: observations.length,
      latents: stack(observations.map((o) => o.latents as NdArray<Float32Array>)),
      actions: stack(actions as readonly NdArray<Float32Array>[]),
      steps: Int32Array.from(observations, (o) => o.step),
      prompts,
      // Who only asks for a KL, as the watch does, has none.
      ...(this.#keepsMeans && extras.mean && { means: stack(extras.mean as readonly NdArray<Float32Array>[]) }),
    };
  }

  async adopt(prepared: PreparedDenoising): Promise<void> {
    await this.ready(prepared.prompts);
  }

  trainable(prepared: PreparedDenoising): Uint8Array {
    return Uint8Array.from(prepared.steps, (step) =>
      this.#inWindow(step) && this.#stochastic[step]!.sigma > 0 ? 1 : 0,
    );
  }

  keepMeans(): void {
    this.#keepsMeans = true;
  }

  get chainLength(): number {
    return this.sampler.timesteps.length;
  }

  keepReference(): void {
    this.#reference?.dispose();
    this.#reference = this.unet.reference?.() ?? this.unet.clone();
  }

  /**
   * `kl` is a mean over the latents' dimensions, as the log-probability is, in one of two forms. `exact` is that of one step,
   * KL(p_θ(x_{t−1} | x_t, z) ‖ p_ref) = ‖μ_θ − μ_ref‖² / 2σ_t² (arXiv 2305.16381 eq. 9): κ_t ‖ε_θ − ε_ref‖² with
   * κ_t = (∂μ/∂ε)² / 2σ_t² (unless x̂_0 is clipped), which a cap can hold down: of a chain of 10 steps the last but one has
   * most of the sum. `prediction` is ‖ε_θ − ε_ref‖², as DPOK's released code has it. ε is what the network predicts, with
   * guidance, be it noise or a velocity.
   */
  evaluate(
    prepared: PreparedDenoising,
    rows: Int32Array,
    options: { reference?: boolean | KlOptions; displacement?: boolean } = {},
  ): Evaluation {
    const reference = options.reference ? this.#kept() : undefined;
    const form = typeof options.reference === 'object' ? options.reference : {};
    return tf.tidy(() => {
      const { steps, latents, prompts } = this.#inputs(prepared, rows);
      const output = this.#output(latents, steps, prompts);
      const { mean } = this.sampler.mean(output, latents, steps);
      const sigmas = steps.map(({ sigma }) => sigma);
      const logProb = gaussianLogProb(take(prepared.actions, rows), mean, sigmas);
      return {
        logProb,
        ...(reference && {
          kl: this.#kl({ mean, output }, this.#output(latents, steps, prompts, reference), latents, steps, form),
        }),
        ...(options.displacement && { displacement: displacementFrom(take(keptMeans(prepared), rows), mean, steps) }),
      };
    }) as Evaluation;
  }

  #kl(
    { mean, output }: { mean: Tensor4D; output: Tensor4D },
    reference: Tensor4D,
    latents: Tensor4D,
    steps: readonly GaussianStep[],
    { form, cap }: KlOptions,
  ): Tensor1D {
    if (form === 'prediction') return meanSquare(output.sub(reference));
    const distance = meanSquare(mean.sub(this.sampler.mean(reference, latents, steps).mean));
    return distance.mul(tf.tensor1d(steps.map((step) => klWeight(step, cap))));
  }

  /** ln p_θ(x_{t−1} | x_t, z) − ln p_ref(x_{t−1} | x_t, z) in nats: the sum over the latents' dimensions. */
  referenceLogRatio(prepared: PreparedDenoising, rows: Int32Array): Tensor1D {
    const reference = this.#kept();
    return tf.tidy(() => {
      const { steps, latents, prompts } = this.#inputs(prepared, rows);
      const sigmas = steps.map(({ sigma }) => sigma);
      const actions = take(prepared.actions, rows);
      const score = (unet: FrozenNetwork) =>
        gaussianLogProb(actions, this.#mean(latents, steps, prompts, unet), sigmas);
      return score(this.unet)
        .sub<Tensor1D>(score(reference))
        .mul<Tensor1D>(sizeOf(latents.shape.slice(1)));
    });
  }

  /** x_t, flat, and the mean of the prompt's embedding over its tokens. */
  stateFeatures(prepared: PreparedDenoising, rows: Int32Array): StateFeatures {
    const features = tf.tidy(() => {
      const latents = take(prepared.latents, rows).reshape<Tensor2D>([rows.length, -1]);
      if (!this.#embeddings) return latents;
      const prompts = Array.from(rows, (row) => prepared.prompts[row]!);
      return tf.concat<Tensor2D>([latents, this.#embeddings.of(prompts).mean<Tensor2D>(1)], 1);
    });
    const steps = rows.map((row) => prepared.steps[row]!);
    return { features, steps, chainLength: this.sampler.timesteps.length };
  }

  /** Embeds prompts that are not known yet, for {@link predict}. */
  async ready(prompts: readonly string[]): Promise<void> {
    await this.#embeddings?.ready(this.#guidanceScale === 1 ? prompts : [this.#negativePrompt, ...prompts]);
  }

  /**
   * What the network predicts of noisy latents [n, h, w, c], at a timestep each; differentiable, called inside a gradient.
   * @param prompts one a row, which {@link ready} was told of.
   * @param options `guided`: with the policy's guidance, else the conditional prediction alone; `reference`: by the kept copy.
   */
  predict(
    noisy: Tensor4D,
    timesteps: readonly number[],
    prompts: readonly string[],
    { guided, reference }: { guided: boolean; reference: boolean },
  ): Tensor4D {
    const unet = reference ? this.#kept() : this.unet;
    return this.#predict(unet, noisy, timesteps, prompts, guided ? this.#guidanceScale : 1);
  }

  /** Episodes are compared with others of the same prompt. */
  group(observation: DenoisingObservation): string {
    return observation.prompt;
  }

  save(folder: string): Promise<void> {
    return this.unet.save(folder);
  }

  restore(folder: string): Promise<void> {
    return this.unet.restore(folder);
  }

  /** Frees the network and its reference. */
  dispose(): void {
    this.unet.dispose();
    this.#reference?.dispose();
    this.#reference = undefined;
  }

  #kept(): FrozenNetwork {
    if (this.#reference === undefined) throw noReference('DenoisingPolicy');
    return this.#reference;
  }

  #inputs(prepared: PreparedDenoising, rows: Int32Array) {
    return {
      steps: Array.from(rows, (row) => this.#stochastic[prepared.steps[row]!]!),
      latents: take(prepared.latents, rows),
      prompts: Array.from(rows, (row) => prepared.prompts[row]!),
    };
  }

  /** μ_θ of some rows. */
  #mean(latents: Tensor4D, rows: readonly GaussianStep[], prompts: readonly string[], unet?: FrozenNetwork): Tensor4D {
    return this.sampler.mean(this.#output(latents, rows, prompts, unet), latents, rows).mean;
  }

  #output(
    latents: Tensor4D,
    rows: readonly GaussianStep[],
    prompts: readonly string[],
    unet: FrozenNetwork = this.unet,
  ): Tensor4D {
    const timesteps = rows.map(({ timestep }) => timestep);
    return this.#predict(unet, latents, timesteps, prompts, this.#guidanceScale);
  }

  /** ε̃ = ε_u + w(ε_c − ε_u) (arXiv 2207.12598), both halves in one forward pass; ε_c alone where w is 1. */
  #predict(
    unet: FrozenNetwork,
    latents: Tensor4D,
    timesteps: readonly number[],
    prompts: readonly string[],
    guidanceScale: number,
  ): Tensor4D {
    const at = tf.tensor1d([...timesteps], 'float32');
    if (!this.#embeddings) return unet.apply(latents, at);
    if (guidanceScale === 1) return unet.apply(latents, at, this.#embeddings.of(prompts));
    const negative = prompts.map(() => this.#negativePrompt);
    const both = unet.apply(
      tf.concat([latents, latents]),
      tf.concat([at, at]),
      this.#embeddings.of([...negative, ...prompts]),
    );
    const [unconditional, conditional] = tf.split(both, 2) as [Tensor4D, Tensor4D];
    return unconditional.add(conditional.sub(unconditional).mul(guidanceScale));
  }

  #inWindow(step: number): boolean {
    const { window } = this;
    return window === undefined || (step >= window.first && step < window.first + window.size);
  }

  #checkStep({ step, timestep }: DenoisingObservation): void {
    const expected = this.sampler.timesteps[step];
    // Environments observe integers, and the timesteps of flow matching are none.
    if (expected === undefined || Math.round(expected) !== timestep)
      throw new GymError(
        'E_STATE',
        `DenoisingPolicy: the observation is at step ${step}, timestep ${timestep}, but the schedule has ${expected ?? `only ${this.sampler.timesteps.length} steps`} there; build environment and policy from the same scheduler.`,
      );
  }
}

function seededNoise({ noiseSeed, step }: DenoisingObservation, size: number): Float32Array {
  return new Random(`${noiseSeed}/${step}`).normals(size);
}

/** What ‖μ_θ − μ_ref‖² weighs in the exact KL: 1 / 2σ², or less, so that κ = gain² / 2σ² stays at its cap. */
function klWeight({ sigma, gain, timestep }: GaussianStep, cap: number | undefined): number {
  const weight = 1 / (2 * sigma * sigma);
  if (cap === undefined) return weight;
  if (gain === undefined)
    throw new GymError(
      'E_CONFIG',
      `DenoisingPolicy: the sampler gives its step at timestep ${timestep} no \`gain\`, which a cap on the KL's weight is about; add it to coefficients(), or set no cap.`,
    );
  return Math.min(weight, cap / (gain * gain));
}

/** The mean of x² over all dimensions but the first. */
function meanSquare(x: Tensor): Tensor1D {
  return x.square().mean<Tensor1D>([1, 2, 3]);
}

/** @param old μ that the rows were sampled around. @param mean the present one. */
function displacementFrom(old: Tensor4D, mean: Tensor4D, steps: readonly GaussianStep[]) {
  const weights = tf.tensor1d(steps.map(({ sigma }) => 1 / (2 * sigma * sigma)));
  return {
    divergence: meanSquare(mean.sub(old)).mul(weights),
    sigma: tf.tensor1d(steps.map(({ sigma }) => sigma)),
    ...(steps.every(({ gain }) => gain !== undefined) && { gain: tf.tensor1d(steps.map(({ gain }) => gain!)) }),
  } satisfies Displacement;
}

function keptMeans({ means }: PreparedDenoising): NdArray<Float32Array> {
  if (means === undefined)
    throw new GymError(
      'E_STATE',
      'DenoisingPolicy: the transitions hold no means to measure the displacement from; call keepMeans() before they are sampled.',
    );
  return means;
}

/** Some rows of a stacked array, as a tensor. */
function take(array: NdArray<Float32Array>, rows: Int32Array): Tensor4D {
  const [, ...shape] = array.shape;
  const size = sizeOf(shape);
  const data = new Float32Array(rows.length * size);
  rows.forEach((row, i) => {
    data.set(array.data.subarray(row * size, (row + 1) * size), i * size);
  });
  return tf.tensor4d(data, [rows.length, ...shape] as Shape4D);
}
