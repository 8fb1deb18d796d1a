import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { NdArray } from '../../../core/ndarray.js';
import { ndarray } from '../../../core/ndarray.js';
import {
  addRenderObservation,
  CartPole,
  cubes,
  Dict,
  type Env,
  RecordVideo,
  type RecordVideoOptions,
  type StepResult,
  transformObservation,
  wrap,
} from '../../../envs/index.js';
import { Counter } from '../counter.js';

/** Draws its step as brightness: 6 x 4 pixels. */
class Bright extends Counter {
  override render() {
    return ndarray(new Uint8Array(6 * 4 * 3).fill(40 * this.t), [4, 6, 3]) as never;
  }
}
/** The same, with promises. */
class SlowBright extends Bright {
  override render() {
    return Promise.resolve(super.render()) as never;
  }
}

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'video-'));
  onTestFinished(() => rm(made, { recursive: true }));
  return made;
}
async function record(env: Env<unknown, number>, episodes: number, options: RecordVideoOptions = {}) {
  const into = await folder();
  const video = new RecordVideo(env, into, options);
  for (let episode = 0; episode < episodes; episode++) {
    await video.reset();
    for (;;) {
      const { terminated, truncated } = await video.step(0);
      if (terminated || truncated) break;
    }
  }
  await video.close();
  expect(video.files.map((file) => basename(file)).sort()).toEqual((await readdir(into)).sort());
  return video.files;
}

describe('RecordVideo', () => {
  it('writes cubic episodes by default, a frame for the reset and each step', async () => {
    const files = await record(new Bright(3), 9);
    expect(files.map((file) => basename(file)).sort()).toEqual([
      'rl-video-episode-0.webp',
      'rl-video-episode-1.webp',
      'rl-video-episode-8.webp',
    ]);
    const { pages, width, pageHeight, delay } = await sharp(await readFile(files[0]!), { animated: true }).metadata();
    expect([pages, width, pageHeight, delay?.[0]]).toEqual([4, 3, 2, 33]);
    expect(Array.from({ length: 30 }, (_, i) => i).filter(cubes)).toEqual([0, 1, 8, 27]);
    expect([999, 1000, 1001, 2000].map(cubes)).toEqual([false, true, false, true]);
  });

  it('writes GIFs of some steps, over the ends of episodes, whatever the environment returns', async () => {
    const files = await record(new SlowBright(3), 3, {
      step: (step) => step === 1,
      length: 4,
      format: 'gif',
      fps: 10,
      shrink: 1,
      name: 'x',
    });
    expect(files.map((file) => basename(file))).toEqual(['x-step-1.gif']);
    const image = sharp(await readFile(files[0]!), { animated: true });
    const { pages, width, format } = await image.metadata();
    expect([pages, width, format]).toEqual([4, 6, 'gif']);
    const { data, info } = await image.removeAlpha().raw().toBuffer({ resolveWithObject: true });
    const frame = data.length / 4;
    const levels = [0, 1, 2, 3].map((k) => data[k * frame + info.channels]!);
    // the pictures after two and three steps, that of the reset, and after one step of the next episode
    [80, 120, 0, 40].forEach((level, k) => {
      expect(Math.abs(levels[k]! - level)).toBeLessThan(8);
    });
  });

  it('ends a recording that runs when it is closed, and tells then what went wrong', async () => {
    const into = await folder();
    const env = new RecordVideo(new Bright(9), into);
    env.reset();
    env.step(0);
    await env.close();
    expect(await readdir(into)).toEqual(['rl-video-episode-0.webp']);
    const file = join(into, 'no-folder');
    await writeFile(file, '');
    const failing = new RecordVideo(new Bright(1), file);
    failing.reset();
    failing.step(0);
    await expect(failing.close()).rejects.toMatchObject({ code: 'E_FILE' });
  });

  it('counts steps and episodes from 0, as Gymnasium does', async () => {
    const seen: number[] = [];
    const step = (k: number) => {
      seen.push(k);
      return k === 0;
    };
    const files = await record(new Bright(2), 2, { step, length: 10, format: 'gif', shrink: 1 });
    expect(seen).toEqual([0]); // while a recording runs nothing is asked
    expect(files.map((file) => basename(file))).toEqual(['rl-video-step-0.gif']);
    expect((await sharp(await readFile(files[0]!), { animated: true }).metadata()).pages).toBe(5);
    const first = await record(new Bright(2), 2, { episode: (episode) => episode === 0 });
    expect(first.map((file) => basename(file))).toEqual(['rl-video-episode-0.webp']);
  });

  it('replaces no video that is there, of an earlier run or of another environment, and says so', async () => {
    const warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const into = await folder();
    await writeFile(join(into, 'rl-video-episode-0.webp'), 'mine');
    const envs = [1, 2, 3].map(() => new RecordVideo(new Bright(3), into));
    for (const env of envs) {
      env.reset();
      env.step(0);
    }
    await Promise.all(envs.map((env) => env.close()));
    const names = [2, 3, 4].map((k) => `rl-video-episode-0-${k}.webp`);
    expect(envs.flatMap((env) => env.files.map((file) => basename(file))).sort()).toEqual(names);
    expect((await readdir(into)).sort()).toEqual([...names, 'rl-video-episode-0.webp'].sort());
    expect(await readFile(join(into, 'rl-video-episode-0.webp'), 'utf8')).toBe('mine');
    expect(warnings).toHaveBeenCalledTimes(3);
    expect(warnings.mock.calls[0]![0]).toMatch(/rl-video-episode-0.webp is there already; writing .*-\d.webp instead/);
    warnings.mockRestore();
  });

  it('goes on counting from a snapshot, and ends the recording that runs', async () => {
    const into = await folder();
    const options: RecordVideoOptions = { episode: (episode) => episode >= 1, step: (step) => step === 3 };
    const [env, other] = [new RecordVideo(new Bright(3), into, options), new RecordVideo(new Bright(3), into, options)];
    env.reset();
    env.step(0);
    env.step(0);
    env.step(0);
    const saved = JSON.parse(JSON.stringify(env.snapshot!()));
    await other.restore!(saved);
    other.step(0); // the fourth step
    await other.restore!(saved);
    other.reset();
    other.step(0);
    await other.close();
    await env.close();
    expect(other.files.map((file) => basename(file)).sort()).toEqual([
      'rl-video-episode-1.webp',
      'rl-video-step-3.webp',
    ]);
  });

  it('pays for no promise between recordings', () => {
    const env = new RecordVideo(new Bright(3), 'nowhere', { episode: () => false });
    expect(env.reset()).toMatchObject({ observation: { shape: [1] } });
    expect(env.step(0)).toMatchObject({ reward: 1 });
  });

  it('needs pictures', async () => {
    expect(() => new RecordVideo(new Counter(1), 'x').reset()).toThrow(/gives text/);
    const none = Object.assign(new Counter(1), { render: undefined as never });
    expect(() => new RecordVideo(none, 'x')).toThrow(/no render/);
    for (const options of [{ fps: 0 }, { shrink: 0.5 }, { length: -1 }, { length: 2.5 }, { format: 'mp4' as 'gif' }])
      expect(() => new RecordVideo(new Bright(1), 'x', options)).toThrow(/RecordVideo: needs/);
    const unknown = { episodes: () => true } as RecordVideoOptions;
    expect(() => new RecordVideo(new Bright(1), 'x', unknown)).toThrow(
      /unknown option `episodes`. Did you mean `episode`/,
    );
    const number = { step: 5 } as never;
    expect(() => new RecordVideo(new Bright(1), 'x', number)).toThrow(
      /`step` must be a function of a number, actual value 5/,
    );
  });
});

describe('addRenderObservation', () => {
  it('shows the picture instead of the observation, or beside it', async () => {
    const alone = await addRenderObservation(new CartPole());
    const first = (await alone.reset({ seed: 0 })).observation;
    expect(alone.observationSpace.contains(first)).toBe(true);
    expect((first as NdArray).shape).toEqual([400, 600, 3]);
    const both = await addRenderObservation(new Bright(3), { renderOnly: false });
    await both.reset();
    const { observation } = (await both.step(0)) as StepResult<{ pixels: NdArray; state: NdArray }>;
    expect(both.observationSpace.contains(observation)).toBe(true);
    expect([observation.pixels.data[0], observation.state.data[0]]).toEqual([40, 1]);
    const saved = await both.snapshot!();
    await both.step(0);
    expect((await both.restore!(saved)).observation).toEqual(observation);
  });

  it('joins a Dict, and refuses a key that it has', async () => {
    const dict = () =>
      wrap(
        new SlowBright(3) as Env<NdArray, number>,
        transformObservation(
          (o: NdArray) => ({ place: o }),
          new Dict({ place: new Counter(1).observationSpace }),
        ) as never,
      ) as Env<unknown, number>;
    const env = await addRenderObservation(dict(), { renderOnly: false });
    expect(Object.keys((await env.reset()).observation as object).sort()).toEqual(['pixels', 'place']);
    await expect(addRenderObservation(dict(), { renderOnly: false, renderKey: 'place' })).rejects.toThrow(
      /key `place`/,
    );
    await expect(addRenderObservation(new Counter(1))).rejects.toThrow(/text/);
  });
});
