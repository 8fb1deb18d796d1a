import { join } from 'node:path';
import { GymError, messageOf } from '../../core/errors.js';
import { writeFileAtomic } from '../../core/files.js';
import { isNdArray, type NdArray } from '../../core/ndarray.js';
import type { Awaitable } from '../../core/types.js';
import type { Env, ResetOptions, ResetResult, StepResult } from '../env.js';
import { Box } from '../spaces/box.js';
import { Dict } from '../spaces/dict.js';
import type { Space } from '../spaces/space.js';
import { after, PlainWrapper, Wrapper } from './wrapper.js';

/** A picture of the environment. @throws GymError E_CONFIG when it draws none, or text. */
function pictureOf(name: string, env: Env<unknown, unknown>): Awaitable<NdArray> {
  if (env.render === undefined)
    throw new GymError('E_CONFIG', `${name}: ${env} has no render(); wrap one that draws pictures.`);
  return after(env.render(), (picture) => {
    if (!isNdArray(picture) || picture.shape.length !== 3 || picture.shape[2] !== 3)
      throw new GymError(
        'E_CONFIG',
        `${name}: render() of ${env} gives ${isNdArray(picture) ? `[${picture.shape.join(', ')}]` : 'text'}, not a picture [height, width, 3]; make it with { render: 'rgb' }.`,
      );
    return picture;
  });
}

/** Episodes 0, 1, 8, 27, ... and from 1000 on each thousandth: dense at first, when most happens. */
export function cubes(episode: number): boolean {
  return episode < 1000 ? Math.round(Math.cbrt(episode)) ** 3 === episode : episode % 1000 === 0;
}

export interface RecordVideoOptions {
  /** Which episodes are recorded. Default: {@link cubes}, unless `step` is given. */
  episode?: (episode: number) => boolean;
  /** At which steps, counted over all episodes, a recording begins. */
  step?: (step: number) => boolean;
  /** Frames of a recording, over the ends of episodes; default 0: to the end of the episode. */
  length?: number;
  /** Files are NAME-episode-N.webp (or NAME-step-N.webp). Default 'rl-video'. */
  name?: string;
  format?: 'webp' | 'gif';
  /** Frames a second. Default 30. */
  fps?: number;
  /** Pictures are shrunk by this integer factor, so that long episodes fit into memory. Default 2. */
  shrink?: number;
}

/** A video in the making. */
interface Recording {
  readonly label: string;
  readonly frames: Uint8Array[];
  width: number;
  height: number;
}

/**
 * Writes episodes as animated WebP or GIF files. Encoding goes on beside the episodes that follow: await `close()`,
 * which also ends a recording that still runs and throws what went wrong.
 */
export class RecordVideo<O, A> extends PlainWrapper<O, A> {
  readonly folder: string;
  /** The files that were written so far. */
  readonly files: string[] = [];
  readonly #options: Required<Omit<RecordVideoOptions, 'step'>> & Pick<RecordVideoOptions, 'step'>;
  #episode = -1;
  #steps = 0;
  #recording: Recording | undefined;
  readonly #writing: Promise<void>[] = [];
  readonly #failures: unknown[] = [];

  /** @throws GymError E_CONFIG on an option that is none, or an environment that draws nothing. */
  constructor(env: Env<O, A>, folder: string, options: RecordVideoOptions = {}) {
    super(env);
    const never = () => false;
    const { step, length = 0, name = 'rl-video', format = 'webp', fps = 30, shrink = 2 } = options;
    const { episode = step === undefined ? cubes : never } = options;
    if (env.render === undefined)
      throw new GymError('E_CONFIG', `RecordVideo: ${env} has no render(); wrap one that draws pictures.`);
    if (!(Number.isInteger(shrink) && shrink >= 1 && fps > 0 && length >= 0) || !['webp', 'gif'].includes(format))
      throw new GymError(
        'E_CONFIG',
        `RecordVideo: needs shrink an integer of at least 1, fps above 0, length of at least 0, format 'webp' or 'gif'; actual values ${shrink}, ${fps}, ${length}, ${format}.`,
      );
    this.folder = folder;
    this.#options = { episode, step, length, name, format, fps, shrink };
  }

  override reset(options?: ResetOptions): Awaitable<ResetResult<O>> {
    return after(this.env.reset(options), (result) => {
      this.#episode++;
      if (this.#options.length === 0) this.#finish();
      if (this.#recording === undefined && this.#options.episode(this.#episode))
        this.#begin(`episode-${this.#episode}`);
      return this.#capture(result);
    });
  }

  override step(action: A): Awaitable<StepResult<O>> {
    return after(this.env.step(action), (result) => {
      this.#steps++;
      if (this.#recording === undefined && this.#options.step?.(this.#steps)) this.#begin(`step-${this.#steps}`);
      return after(this.#capture(result), (same) => {
        if (this.#options.length === 0 && (same.terminated || same.truncated)) this.#finish();
        return same;
      });
    });
  }

  #begin(label: string): void {
    this.#recording = { label, frames: [], width: 0, height: 0 };
  }

  /** Adds a frame to the recording that runs, and hands the result through. */
  #capture<R>(result: R): Awaitable<R> {
    const recording = this.#recording;
    if (recording === undefined) return result;
    return after(pictureOf('RecordVideo', this.env as Env<unknown, unknown>), (picture) => {
      const small = shrunk(picture, this.#options.shrink);
      recording.frames.push(small.data);
      [recording.height, recording.width] = [small.shape[0]!, small.shape[1]!];
      if (recording.frames.length === this.#options.length) this.#finish();
      return result;
    });
  }

  #finish(): void {
    const recording = this.#recording;
    this.#recording = undefined;
    if (recording === undefined || recording.frames.length === 0) return;
    const writing = this.#write(recording).catch((error: unknown) => {
      this.#failures.push(error);
    });
    this.#writing.push(writing);
  }

  async #write({ label, frames, width, height }: Recording): Promise<void> {
    const { name, format, fps } = this.#options;
    const { default: sharp } = await import('sharp');
    const raw = { width, height: height * frames.length, channels: 3 as const, pageHeight: height };
    const picture = sharp(Buffer.concat(frames), { raw });
    const delay = frames.map(() => Math.round(1000 / fps));
    const encoded = format === 'webp' ? picture.webp({ loop: 0, delay, quality: 80 }) : picture.gif({ loop: 0, delay });
    const path = join(this.folder, `${name}-${label}.${format}`);
    await writeFileAtomic(path, await encoded.toBuffer());
    this.files.push(path);
  }

  /** Ends the recording that runs, waits for all files, and closes the environment. @throws GymError E_FILE. */
  override async close(): Promise<void> {
    this.#finish();
    await Promise.all(this.#writing);
    await this.env.close?.();
    const failure = this.#failures.shift();
    if (failure !== undefined)
      throw GymError.is(failure)
        ? failure
        : new GymError('E_FILE', `RecordVideo: cannot write a video: ${messageOf(failure)}`, { cause: failure });
  }
}

/** The mean of each square of pixels; what is left over at the right and below is cut. */
function shrunk({ data, shape }: NdArray, factor: number): { data: Uint8Array; shape: readonly number[] } {
  const [height = 0, width = 0] = shape;
  const [rows, columns] = [Math.floor(height / factor), Math.floor(width / factor)];
  const out = new Uint8Array(rows * columns * 3);
  for (let y = 0; y < rows; y++)
    for (let x = 0; x < columns; x++)
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let dy = 0; dy < factor; dy++)
          for (let dx = 0; dx < factor; dx++) sum += data[((y * factor + dy) * width + x * factor + dx) * 3 + c]!;
        out[(y * columns + x) * 3 + c] = Math.round(sum / factor ** 2);
      }
  return { data: out, shape: [rows, columns, 3] };
}

export interface RenderObservationOptions {
  /** The picture alone (default), or beside the observation in a Dict. */
  renderOnly?: boolean;
  /** Keys of that Dict. Defaults 'pixels' and 'state'. */
  renderKey?: string;
  stateKey?: string;
}

class RenderObservation<A> extends Wrapper<unknown, A> {
  readonly observationSpace: Space<unknown>;
  readonly actionSpace: Space<A>;
  readonly #options: Required<RenderObservationOptions>;

  constructor(env: Env<unknown, A>, shape: readonly number[], options: Required<RenderObservationOptions>) {
    super(env);
    const pixels = new Box(0, 255, shape, 'uint8');
    this.observationSpace = options.renderOnly
      ? pixels
      : env.observationSpace instanceof Dict
        ? new Dict({ ...env.observationSpace.spaces, [options.renderKey]: pixels })
        : new Dict({ [options.renderKey]: pixels, [options.stateKey]: env.observationSpace });
    this.actionSpace = env.actionSpace;
    this.#options = options;
  }

  #seen<R extends { observation: unknown }>(result: R): Awaitable<R> {
    const { renderOnly, renderKey, stateKey } = this.#options;
    return after(pictureOf('AddRenderObservation', this.env as Env<unknown, unknown>), (picture) => {
      if (renderOnly) return { ...result, observation: picture };
      const state =
        this.env.observationSpace instanceof Dict ? (result.observation as object) : { [stateKey]: result.observation };
      return { ...result, observation: { ...state, [renderKey]: picture } };
    });
  }

  reset(options?: ResetOptions): Awaitable<ResetResult<unknown>> {
    return after(this.env.reset(options), (result) => this.#seen(result));
  }

  step(action: A): Awaitable<StepResult<unknown>> {
    return after(this.env.step(action), (result) => this.#seen(result));
  }

  protected restored(result: ResetResult<unknown>): Awaitable<ResetResult<unknown>> {
    return this.#seen(result);
  }
}

/**
 * The environment observed by its picture, alone or beside its own observation. Resets it once, to learn the size.
 * @throws GymError E_CONFIG when it draws none, or has the key already.
 */
export async function addRenderObservation<O, A>(
  env: Env<O, A>,
  { renderOnly = true, renderKey = 'pixels', stateKey = 'state' }: RenderObservationOptions = {},
): Promise<Env<unknown, A>> {
  const { observationSpace } = env;
  if (!renderOnly && observationSpace instanceof Dict && observationSpace.keys.includes(renderKey))
    throw new GymError('E_CONFIG', `AddRenderObservation: the observation has a key \`${renderKey}\`; choose another.`);
  await env.reset();
  const { shape } = await pictureOf('AddRenderObservation', env as Env<unknown, unknown>);
  return new RenderObservation(env as Env<unknown, A>, shape, { renderOnly, renderKey, stateKey });
}
