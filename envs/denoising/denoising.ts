import { GymError } from '../../core/errors.js';
import { isNdArray, type NdArray, ndarray, sameShape, sizeOf, stack, unstack } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import type { RewardLike } from '../../core/reward.js';
import { longestTimeoutMs, scoreImages, termsOf } from '../../core/score.js';
import { shown, shownJson } from '../../core/shown.js';
import type { Snapshot } from '../../core/snapshot.js';
import { type Awaitable, type Info, isPromiseLike } from '../../core/types.js';
import { checkVectorReset, mostEnvs, otherSnapshot, snapshotCount, snapshotParts, wrongActions } from '../checks.js';
import type { EnvSpec } from '../env.js';
import { Box } from '../spaces/box.js';
import { Dict } from '../spaces/dict.js';
import { Discrete } from '../spaces/discrete.js';
import { Text } from '../spaces/text.js';
import type { VectorEnv, VectorResetOptions, VectorResetResult, VectorStepResult } from '../vector-env.js';
import { type Decode, identityDecode } from './decode.js';
import { maxPromptLength, type Prompt, type PromptSource, promptList } from './prompts.js';

export { type Decode, identityDecode } from './decode.js';

/** What an agent observes before it takes a denoising step. */
export interface DenoisingObservation {
  /** The latents x_t, float32 [height, width, channels]. */
  readonly latents: NdArray<Float32Array>;
  /**
   * The scheduler's timestep t, at which the network is to be asked, to the nearest integer (those of flow matching are
   * none); 0 when the episode is over.
   */
  readonly timestep: number;
  /** The number of steps that were taken: 0 .. horizon. */
  readonly step: number;
  /** The prompt z. */
  readonly prompt: string;
  /** An integer 0 .. 2^31 − 1 that, together with the step, fixes the noise of this episode. */
  readonly noiseSeed: number;
}

/** The latents x_{t−1}, float32 in the shape of the observed ones. */
export type DenoisingAction = NdArray<Float32Array>;

export interface DenoisingOptions {
  /** The scheduler's timesteps, one for each step, in the order in which they are taken. */
  timesteps: readonly number[];
  /** The shape of the latents of a sample: [height, width, channels]. */
  latentShape: readonly [number, number, number];
  /** The standard deviation of the first latents x_T: the scheduler's `initNoiseSigma`. Default 1. */
  initNoiseSigma?: number | undefined;
  /** Default: latents of 3 channels, or of 1 for grey, are the image itself, in −1..1. Whoever hands in a decoder frees what it holds. */
  decode?: Decode | undefined;
  /** Where the prompts of episodes come from. From a list they are drawn at random. */
  prompts: PromptSource | readonly (string | Prompt)[];
  /** The reward r(x_0, z) of finished images. It is asked once for each batch. */
  reward: RewardLike;
  /** The number of samples of a batch. */
  numEnvs: number;
  /** Fixes the prompts, first latents and noise seeds of all episodes. Default 0. */
  seed?: number | undefined;
  /**
   * So many consecutive episodes form a group and have one prompt, so that an agent can compare them with each other
   * (GRPO). Infos then hold the group's number as `group`. Default 1: no groups.
   */
  groupSize?: number | undefined;
  /** Whether the episodes of a group start from the same latents x_T (DanceGRPO) or from their own. Default: their own. */
  sharedNoise?: boolean | undefined;
  /** The milliseconds after which a pending reward counts as failed. Default: it may take as long as it needs. */
  rewardTimeoutMs?: number | undefined;
}

/** What an episode begins with. It depends on the seed and the episode's number alone. */
interface Episode extends Prompt {
  readonly episode: number;
  readonly group: number;
  readonly noiseSeed: number;
}

const noiseSeeds = 2 ** 31;

/**
 * The sampling of a diffusion model as a Markov decision process (Black et al. 2024, "Training Diffusion Models with
 * Reinforcement Learning", §4.3). The state is (x_t, t, z): latents, timestep and prompt. The action is the next
 * latents x_{t−1}, which become the next state as they are; so the network belongs to the agent. The reward is 0 until
 * the last step, and r(x_0, z) in that one.
 *
 * All episodes of a batch take their steps together, and end (`terminated`) after as many steps as there are timesteps.
 * `step` returns plain values, except in the last step of a batch. That one returns a promise of the result, which
 * resolves when the rewards are there. While it is pending the next batch may be begun.
 *
 * Batches are numbered through a whole training. `reset({ options: { batch } })` begins the one of this number,
 * `reset()` the one after the last. The episode of sample i has the number batch · numEnvs + i, which together with the
 * seed fixes its prompt, first latents and noise seed, whichever environment or process computes it.
 *
 * Infos hold `episodeNumber` at each reset. At the last step they hold `image` (uint8 [H, W, 3]), `prompt`,
 * `episodeNumber`, `rewardTerms` and, if the prompt has some, `metadata`. (The key `episode` is that of
 * `recordEpisodeStatistics`.) Where episodes form groups, both have `group` too.
 */
export class Denoising implements VectorEnv<DenoisingObservation, DenoisingAction> {
  readonly observationSpace;
  readonly actionSpace: Box<'float32'>;
  readonly numEnvs: number;
  readonly autoreset = 'disabled';
  readonly horizon: number;
  readonly spec?: EnvSpec;

  readonly #timesteps: readonly number[];
  readonly #shape: readonly [number, number, number];
  readonly #sigma: number;
  readonly #decode: Decode;
  readonly #prompts: PromptSource;
  readonly #reward: RewardLike;
  readonly #timeoutMs: number | undefined;
  readonly #groupSize: number;
  readonly #sharedNoise: boolean;
  readonly #stop = new AbortController();
  #seed: number;
  /** The number of the batch that runs, or −1 before the first reset. */
  #batch = -1;
  #step = 0;
  #episodes: readonly Episode[] = [];
  #latents: readonly NdArray<Float32Array>[] = [];
  #closed = false;

  /** @throws GymError E_CONFIG that names an option that is wrong. */
  constructor(options: DenoisingOptions) {
    const { timesteps, latentShape, numEnvs, initNoiseSigma = 1, seed = 0, rewardTimeoutMs } = options;
    const { groupSize = 1, sharedNoise = false } = options;
    const wrong = (option: string, need: string, value: unknown) =>
      new GymError('E_CONFIG', `Denoising: \`${option}\` must be ${need}, actual value ${shownJson(value)}.`);
    if (!(timesteps?.length > 0) || !timesteps.every((t) => Number.isFinite(t) && t >= 0))
      throw wrong('timesteps', 'a list of numbers of at least 0 (a scheduler has them)', timesteps);
    if (latentShape?.length !== 3 || !latentShape.every((n) => Number.isInteger(n) && n > 0))
      throw wrong('latentShape', '[height, width, channels]', latentShape);
    if (!(Number.isInteger(numEnvs) && numEnvs > 0 && numEnvs <= mostEnvs))
      throw wrong('numEnvs', `an integer of 1 to ${mostEnvs}`, numEnvs);
    if (!(Number.isFinite(initNoiseSigma) && initNoiseSigma > 0))
      throw wrong('initNoiseSigma', 'a number above 0', initNoiseSigma);
    if (rewardTimeoutMs !== undefined && !(rewardTimeoutMs > 0 && rewardTimeoutMs <= longestTimeoutMs))
      throw wrong(
        'rewardTimeoutMs',
        `above 0 and at most ${longestTimeoutMs} (leave it out for no limit)`,
        rewardTimeoutMs,
      );
    if (!(Number.isInteger(groupSize) && groupSize >= 1))
      throw wrong('groupSize', 'an integer of at least 1', groupSize);
    if (sharedNoise && groupSize === 1)
      throw wrong('sharedNoise', 'false without groups (groupSize 2 or more)', sharedNoise);
    const { reward, prompts, decode } = options;
    if (typeof reward !== 'function' && typeof reward?.score !== 'function')
      throw wrong('reward', 'a function or an object with `score`', reward);
    if (!Array.isArray(prompts) && typeof (prompts as PromptSource | undefined)?.at !== 'function')
      throw wrong(
        'prompts',
        'a list of prompts or a source of them (promptList, promptFile, promptGenerator)',
        prompts,
      );
    if (decode === undefined && latentShape[2] !== 3 && latentShape[2] !== 1)
      throw new GymError(
        'E_CONFIG',
        `Denoising: latents of ${latentShape[2]} channels are no RGB or grey images; hand in \`decode\`, which turns them into uint8 [n, H, W, 3].`,
      );
    this.#timesteps = timesteps.map(Math.round);
    this.#shape = [...latentShape];
    this.#sigma = initNoiseSigma;
    this.#decode = decode ?? identityDecode;
    this.#prompts = Array.isArray(prompts) ? promptList(prompts) : (prompts as PromptSource);
    this.#reward = reward;
    this.#timeoutMs = rewardTimeoutMs;
    this.#groupSize = groupSize;
    this.#sharedNoise = sharedNoise;
    this.#seed = this.#checkSeed(seed);
    this.numEnvs = numEnvs;
    this.horizon = timesteps.length;
    const { POSITIVE_INFINITY: inf, NEGATIVE_INFINITY: minusInf } = Number;
    this.actionSpace = new Box(minusInf, inf, latentShape);
    this.observationSpace = new Dict({
      latents: new Box(minusInf, inf, latentShape),
      timestep: new Discrete(this.#timesteps.reduce((most, t) => Math.max(most, t), 0) + 1),
      step: new Discrete(timesteps.length + 1),
      prompt: new Text(maxPromptLength, { minLength: 0, charset: 'any' }),
      noiseSeed: new Discrete(noiseSeeds),
    });
  }

  #checkSeed(seed: unknown): number {
    if (!Number.isSafeInteger(seed) || (seed as number) < 0)
      throw new GymError(
        'E_VALUE',
        `Denoising: the seed must be an integer of at least 0, actual value ${shown(seed)}.`,
      );
    return seed as number;
  }

  #needOpen(): void {
    if (this.#closed) throw new GymError('E_STATE', 'Denoising: it is closed; make another one.');
  }

  /**
   * Begins a batch. It is the one whose number is `options.batch`; without that, the batch after the last one, and
   * batch 0 at the first reset and with a seed.
   * @param reset.seed one number, which fixes all episodes from now on.
   * @throws GymError E_VALUE on another option, a list of seeds, or a mask that leaves samples out.
   */
  reset(reset: VectorResetOptions = {}): VectorResetResult<DenoisingObservation> {
    this.#needOpen();
    checkVectorReset('Denoising', this.numEnvs, reset, true);
    const { seed, options = {}, mask } = reset;
    for (const key of Object.keys(options))
      if (key !== 'batch')
        throw new GymError('E_VALUE', `Denoising.reset: unknown option \`${key}\`; the one there is: batch.`);
    if (mask?.some((one) => one !== 1))
      throw new GymError(
        'E_VALUE',
        `Denoising.reset: samples run in lockstep, so the mask must be ${this.numEnvs} ones; actual value [${mask.join(', ')}].`,
      );
    const batch = options.batch ?? (seed === undefined ? this.#batch + 1 : 0);
    if (!Number.isSafeInteger(batch) || (batch as number) < 0)
      throw new GymError(
        'E_VALUE',
        `Denoising.reset: batch must be an integer of at least 0, actual value ${String(batch)}.`,
      );
    if (typeof seed === 'object')
      throw new GymError('E_VALUE', 'Denoising.reset: takes one seed, which fixes all episodes; got a list.');
    if (seed !== undefined) this.#seed = this.#checkSeed(seed);
    this.#start(batch as number);
    const data = new Float32Array(this.numEnvs * sizeOf(this.#shape));
    const noises = unstack(ndarray(data, [this.numEnvs, ...this.#shape]));
    noises.forEach((noise, i) => {
      const { episode, group } = this.#episodes[i]!;
      const own = this.#sharedNoise ? group * this.#groupSize : episode;
      this.#random(own).child('latents').normals(noise.data.length, noise.data);
    });
    if (this.#sigma !== 1) for (let i = 0; i < data.length; i++) data[i] = data[i]! * this.#sigma;
    this.#latents = noises;
    this.#step = 0;
    return this.#resetResult();
  }

  #random(episode: number): Random {
    return new Random(this.#seed).child('denoising').child(episode);
  }

  /** Sets the prompts and noise seeds of a batch. */
  #start(batch: number): void {
    this.#episodes = Array.from({ length: this.numEnvs }, (_, i) => {
      const episode = batch * this.numEnvs + i;
      const group = Math.floor(episode / this.#groupSize);
      // What a group has in common is drawn from the stream of its first episode.
      const first = this.#random(group * this.#groupSize);
      const { prompt, metadata } = this.#prompts.at(group, first.child('prompt'));
      return { episode, group, prompt, metadata, noiseSeed: this.#random(episode).child('noise').integer(noiseSeeds) };
    });
    this.#batch = batch;
  }

  #resetResult(): VectorResetResult<DenoisingObservation> {
    return {
      observations: this.#observations(),
      infos: this.#episodes.map(({ episode, group, metadata }) => ({
        episodeNumber: episode,
        ...(this.#groupSize > 1 && { group }),
        ...(metadata === undefined ? {} : { metadata }),
      })),
    };
  }

  #observations(): DenoisingObservation[] {
    const step = this.#step;
    const timestep = this.#timesteps[step] ?? 0;
    return this.#latents.map((latents, i) => {
      const { prompt, noiseSeed } = this.#episodes[i]!;
      return { latents, timestep, step, prompt, noiseSeed };
    });
  }

  /**
   * Takes the next latents of every sample as its next state, without copying them.
   * @returns the result; in the last step of a batch a promise of it, which resolves when the rewards are there.
   * @throws GymError E_STATE before a reset or after the end; E_VALUE on a wrong action, naming the sample and the
   *   step. The last step's promise rejects with E_REWARD when the reward fails, and with E_SHAPE when `decode` returns
   *   no images.
   */
  step(actions: readonly DenoisingAction[]): Awaitable<VectorStepResult<DenoisingObservation>> {
    this.#needOpen();
    if (this.#batch < 0) throw new GymError('E_STATE', 'Denoising.step: no batch has begun; call reset() first.');
    if (this.#step === this.horizon)
      throw new GymError(
        'E_STATE',
        `Denoising.step: batch ${this.#batch} ended after ${this.horizon} steps; call reset() to begin the next one.`,
      );
    this.#checkActions(actions);
    this.#latents = [...actions];
    this.#step++;
    const last = this.#step === this.horizon;
    const result: VectorStepResult<DenoisingObservation> = {
      observations: this.#observations(),
      rewards: new Float64Array(this.numEnvs),
      terminated: new Uint8Array(this.numEnvs).fill(last ? 1 : 0),
      truncated: new Uint8Array(this.numEnvs),
      infos: Array.from({ length: this.numEnvs }, () => ({})),
    };
    return last ? this.#score(result, this.#episodes) : result;
  }

  #checkActions(actions: readonly DenoisingAction[]): void {
    if (actions?.length !== this.numEnvs) throw wrongActions('Denoising', this.numEnvs, actions);
    actions.forEach((action, i) => {
      const where = `Denoising.step: action of sample ${i} at step ${this.#step}`;
      if (!isNdArray(action) || !(action.data instanceof Float32Array) || !sameShape(action.shape, this.#shape))
        throw new GymError(
          'E_VALUE',
          `${where} must be float32 [${this.#shape.join(', ')}], actual value ${
            isNdArray(action) ? `${action.data.constructor.name} [${action.shape.join(', ')}]` : String(action)
          }.`,
        );
      const { data } = action;
      let sum = 0; // 0 · x is NaN for each x that is not finite, and then the sum is NaN too.
      for (let k = 0; k < data.length; k++) sum += 0 * data[k]!;
      if (data.length !== sizeOf(this.#shape) || sum !== 0) {
        const k = data.findIndex((x) => !Number.isFinite(x));
        throw new GymError(
          'E_VALUE',
          k < 0
            ? `${where} has ${data.length} elements, its shape needs ${sizeOf(this.#shape)}.`
            : `${where} has ${data[k]} at element ${k}; latents must be finite (a too large learning rate or guidance makes them so).`,
        );
      }
    });
  }

  /**
   * Adds the rewards to the result of the last step. It uses its arguments alone, since the next batch may begin
   * meanwhile.
   */
  async #score(
    result: VectorStepResult<DenoisingObservation>,
    episodes: readonly Episode[],
  ): Promise<VectorStepResult<DenoisingObservation>> {
    const images = await this.#images(result.observations.map((observation) => observation.latents));
    const metadata = episodes.map((episode) => episode.metadata);
    const scored = await scoreImages(
      this.#reward,
      {
        images,
        prompts: episodes.map((episode) => episode.prompt),
        ...(metadata.some((m) => m !== undefined) ? { metadata } : {}),
        signal: this.#stop.signal,
      },
      { timeoutMs: this.#timeoutMs },
    );
    const infos = unstack(images).map((image, i): Info => {
      const { prompt, episode, group } = episodes[i]!;
      return {
        image,
        prompt,
        episodeNumber: episode,
        ...(this.#groupSize > 1 && { group }),
        ...termsOf(scored, i),
        ...(metadata[i] === undefined ? {} : { metadata: metadata[i] }),
      };
    });
    return { ...result, rewards: scored.scores, infos };
  }

  #images(latents: readonly NdArray<Float32Array>[]): Awaitable<NdArray> {
    const decoded = this.#decode(stack(latents));
    return isPromiseLike(decoded) ? decoded.then((images) => this.#checkImages(images)) : this.#checkImages(decoded);
  }

  #checkImages(images: NdArray): NdArray {
    const valid =
      isNdArray(images) &&
      images.data instanceof Uint8Array &&
      images.shape.length === 4 &&
      images.shape[0] === this.numEnvs &&
      images.shape[3] === 3 &&
      images.data.length === sizeOf(images.shape);
    if (!valid)
      throw new GymError(
        'E_SHAPE',
        `Denoising: \`decode\` must return uint8 [${this.numEnvs}, H, W, 3], actual value ${
          isNdArray(images) ? `${images.data.constructor.name} [${images.shape.join(', ')}]` : String(images)
        }.`,
      );
    return images;
  }

  /** The present latents of each sample, decoded: uint8 [H, W, 3]. @throws GymError E_STATE before a reset. */
  render(): Awaitable<NdArray[]> {
    this.#needOpen();
    if (this.#batch < 0) throw new GymError('E_STATE', 'Denoising.render: no batch has begun; call reset() first.');
    const images = this.#images(this.#latents);
    return isPromiseLike(images) ? images.then((decoded) => unstack(decoded)) : unstack(images);
  }

  /** The seed, the numbers of batch and step, and the latents. Prompts and noise seeds follow from these. */
  snapshot(): Snapshot {
    return {
      seed: this.#seed,
      timesteps: [...this.#timesteps],
      batch: this.#batch,
      step: this.#step,
      latents: this.#batch < 0 ? null : stack(this.#latents),
    };
  }

  /**
   * @throws GymError E_STATE when the snapshot was taken with another number or shape of samples, or other timesteps.
   */
  restore(snapshot: Snapshot): VectorResetResult<DenoisingObservation> {
    this.#needOpen();
    const parts = snapshotParts('Denoising', snapshot, ['seed', 'timesteps', 'batch', 'step', 'latents']);
    const timesteps = String(this.#timesteps);
    if (String(parts.timesteps) !== timesteps)
      throw otherSnapshot('Denoising', `timesteps ${parts.timesteps}`, `timesteps ${timesteps}`);
    const { latents } = parts;
    const seed = this.#checkSeed(parts.seed);
    if (latents === null) {
      this.#seed = seed;
      this.#batch = -1;
      this.#step = 0;
      this.#episodes = [];
      this.#latents = [];
      return this.#resetResult();
    }
    const batch = snapshotCount('Denoising', parts.batch);
    const step = snapshotCount('Denoising', parts.step);
    const shape = [this.numEnvs, ...this.#shape];
    const fits =
      isNdArray(latents) &&
      latents.data instanceof Float32Array &&
      latents.data.length === sizeOf(shape) &&
      sameShape(latents.shape, shape);
    if (!fits || step > this.horizon)
      throw new GymError(
        'E_STATE',
        `Denoising.restore: the snapshot has latents ${isNdArray(latents) ? `[${latents.shape.join(', ')}]` : shown(latents)} at step ${step}; this environment has float32 [${shape.join(', ')}] and ${this.horizon} steps. Make it with the options it was saved with.`,
      );
    this.#seed = seed;
    this.#start(batch);
    this.#step = step;
    this.#latents = unstack(latents as NdArray<Float32Array>);
    return this.#resetResult();
  }

  /** Aborts rewards that are pending, whose promises then reject. Closing again does nothing. */
  close(): void {
    this.#closed = true;
    this.#stop.abort();
  }
}
