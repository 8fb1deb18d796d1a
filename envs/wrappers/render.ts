import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { GymError, messageOf, unknownName } from '../../core/errors.js';
import { writeFileAtomic } from '../../core/files.js';
import { isNdArray, type NdArray } from '../../core/ndarray.js';
import { shown } from '../../core/shown.js';
import type { Snapshot } from '../../core/snapshot.js';
import type { Awaitable } from '../../core/types.js';
import { snapshotCount, snapshotParts } from '../checks.js';
import type { Env, ResetOptions, ResetResult, StepResult } from '../env.js';
import { Box } from '../spaces/box.js';
import { Dict } from '../spaces/dict.js';
import type { Space } from '../spaces/space.js';
import { after, PlainWrapper, Wrapper } from './wrapper.js';

/** A picture of the environment. @throws GymError E_CONFIG when it has no render(), or one that gives no picture. */
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

/** Chooses episodes 0, 1, 8, 27, ... and from 1000 on every thousandth: many at first, when most changes. */
export function cubes(episode: number): boolean {
  return episode < 1000 ? Math.round(Math.cbrt(episode)) ** 3 === episode : episode % 1000 === 0;
}

/** Which recordings {@link RecordVideo} makes, and how. While one runs no other begins. */
export interface RecordVideoOptions {
  /** Which episodes, counted from 0, are recorded. Default: {@link cubes}, unless `step` is given. */
  episode?: ((episode: number) => boolean) | undefined;
  /** At which steps, counted from 0 over all episodes, a recording begins: with the picture after that step. */
  step?: ((step: number) => boolean) | undefined;
  /**
   * The number of frames of a recording, which goes on over the ends of episodes. Default 0: to the end of the episode.
   */
  length?: number | undefined;
  /** Files are NAME-episode-N.webp (or NAME-step-N.webp). Default 'rl-video'. */
  name?: string | undefined;
  /** Default 'webp'. */
  format?: 'webp' | 'gif' | undefined;
  /** Frames a second. Default 30. */
  fps?: number | undefined;
  /** Pictures are shrunk by this integer factor, so that long episodes fit into memory. Default 2. */
  shrink?: number | undefined;
}

const optionNames: readonly (keyof RecordVideoOptions)[] = [
  'episode',
  'step',
  'length',
  'name',
  'format',
  'fps',
  'shrink',
];

/** A recording that runs. */
interface Recording {
  readonly label: string;
  readonly frames: Uint8Array[];
  width: number;
  height: number;
}

/**
 * Writes episodes as animated WebP or GIF files. Encoding goes on beside the episodes that follow: await `close()`,
 * which also ends a recording that still runs and throws what went wrong.
 *
 * A file that is there already, of an earlier run or of another environment that records into the same folder, is never
 * replaced: the new one is written as NAME-episode-N-2.webp (-3, ...), with a warning. `files` says which were written.
 *
 * A snapshot holds the numbers of the episode and the step, so that they go on after a restore. A recording that runs
 * is ended by a restore, since its frames are not those of the episode that goes on.
 */
export class RecordVideo<O, A> extends PlainWrapper<O, A> {
  readonly folder: string;
  /** The files that were written so far. */
  readonly files: string[] = [];
  readonly #options: {
    readonly [K in Exclude<keyof RecordVideoOptions, 'step'>]-?: NonNullable<RecordVideoOptions[K]>;
  } & Pick<RecordVideoOptions, 'step'>;
  /** The present episode and the next step, both counted from 0. */
  #episode = -1;
  #step = 0;
  #recording: Recording | undefined;
  readonly #writing: Promise<void>[] = [];
  readonly #failures: unknown[] = [];

  /**
   * @param folder where the files are written; it is made where it is not there.
   * @throws GymError E_NAME on an unknown option; E_CONFIG on one whose value is none, or an environment without
   *   render().
   */
  constructor(env: Env<O, A>, folder: string, options: RecordVideoOptions = {}) {
    super(env);
    for (const option of Object.keys(options))
      if (!optionNames.includes(option as keyof RecordVideoOptions))
        throw unknownName('RecordVideo', 'option', option, optionNames);
    const never = () => false;
    const { step, length = 0, name = 'rl-video', format = 'webp', fps = 30, shrink = 2 } = options;
    const { episode = step === undefined ? cubes : never } = options;
    if (env.render === undefined)
      throw new GymError('E_CONFIG', `RecordVideo: ${env} has no render(); wrap one that draws pictures.`);
    for (const [trigger, value] of Object.entries({ episode, step }))
      if (value !== undefined && typeof value !== 'function')
        throw new GymError(
          'E_CONFIG',
          `RecordVideo: \`${trigger}\` must be a function of a number, actual value ${shown(value)}.`,
        );
    const whole = Number.isInteger(length) || length === Number.POSITIVE_INFINITY;
    if (
      !(Number.isInteger(shrink) && shrink >= 1 && fps > 0 && whole && length >= 0) ||
      !['webp', 'gif'].includes(format)
    )
      throw new GymError(
        'E_CONFIG',
        `RecordVideo: needs shrink an integer of at least 1, fps above 0, length an integer of at least 0, format 'webp' or 'gif'; actual values ${shrink}, ${fps}, ${length}, ${format}.`,
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
      const step = this.#step++;
      if (this.#recording === undefined && this.#options.step?.(step)) this.#begin(`step-${step}`);
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
    const data = await encoded.toBuffer();
    const path = await reserved(this.folder, `${name}-${label}`, format);
    try {
      await writeFileAtomic(path, data);
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
    this.files.push(path);
  }

  protected override ownState(): Snapshot {
    return { episodes: this.#episode + 1, steps: this.#step };
  }

  protected override restoreOwn(state: Snapshot): void {
    const { episodes, steps } = snapshotParts('RecordVideo', state, ['episodes', 'steps']);
    this.#finish();
    this.#episode = snapshotCount('RecordVideo', episodes) - 1;
    this.#step = snapshotCount('RecordVideo', steps);
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

/**
 * Makes an empty file of a name that none has yet, so that nobody else takes it.
 * @returns its path: NAME.FORMAT, or where that is there NAME-2.FORMAT, NAME-3.FORMAT, ...
 */
async function reserved(folder: string, name: string, format: string): Promise<string> {
  const wanted = join(folder, `${name}.${format}`);
  await mkdir(folder, { recursive: true });
  for (let k = 1; ; k++) {
    const path = k === 1 ? wanted : join(folder, `${name}-${k}.${format}`);
    try {
      await (await open(path, 'wx')).close();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
      throw error;
    }
    if (k > 1) process.emitWarning(`RecordVideo: ${wanted} is there already; writing ${path} instead.`, 'GymWarning');
    return path;
  }
}

/**
 * A picture in which each pixel is the mean of a square of pixels. What is left over at the right and below is cut off.
 */
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
  /** Whether the picture alone is observed (default), or beside the observation in a Dict. */
  renderOnly?: boolean | undefined;
  /** The key of the picture in that Dict. Default 'pixels'. */
  renderKey?: string | undefined;
  /** The key of the observation in it, where that is no Dict itself. Default 'state'. */
  stateKey?: string | undefined;
}

type RenderSettings = { readonly [K in keyof RenderObservationOptions]-?: NonNullable<RenderObservationOptions[K]> };

class RenderObservation<A> extends Wrapper<unknown, A> {
  readonly observationSpace: Space<unknown>;
  readonly actionSpace: Space<A>;
  readonly #options: RenderSettings;

  constructor(env: Env<unknown, A>, shape: readonly number[], options: RenderSettings) {
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
 * Observes the environment's picture, alone or beside its own observation. The environment is reset once to learn the
 * size of its picture.
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
