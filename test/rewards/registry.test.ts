import { describe, expect, it } from 'vitest';
import { ndarray } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { scoreImages } from '../../core/score.js';
import { httpRewardOptions } from '../../rewards/http/index.js';
import {
  caption,
  drawScene,
  kinds,
  listRewards,
  makeReward,
  randomScene,
  registerReward,
} from '../../rewards/index.js';
import { parseConfig } from '../../training/config/index.js';

describe('the registry of rewards', () => {
  it('names every reward with a line, and makes each', async () => {
    const names = listRewards().map(({ name }) => name);
    for (const name of ['jpeg-compressibility', 'jpeg-incompressibility', 'shapes', ...kinds.map((k) => `shapes-${k}`)])
      expect(names).toContain(name);
    for (const { name, summary } of listRewards()) {
      expect(summary).toMatch(/^\S[^\n]*$/);
      const reward = await makeReward(` ${name} `);
      expect(reward.name).toBe(name);
      reward.dispose?.();
    }
  });

  it('suggests the nearest name, and says that a file is missing', async () => {
    await expect(makeReward('jpeg-incompresibility')).rejects.toThrow(
      /makeReward: unknown reward `jpeg-incompresibility`. Did you mean `jpeg-incompressibility`\?/,
    );
    await expect(makeReward('shapes-coutn')).rejects.toThrow(/Did you mean `shapes-count`\?/);
    await expect(makeReward('./no-such-reward.ts')).rejects.toThrow(/no-such-reward\.ts: there is no such file/);
  });

  it('takes new rewards, made only when asked for', async () => {
    let made = 0;
    registerReward('test-green', 'The mean of the green channel.', async () => {
      made += 1;
      return {
        name: 'test-green',
        score: ({ images, prompts }) => {
          const size = images.data.length / prompts.length;
          return prompts.map((_, i) => images.data[i * size + 1]!);
        },
      };
    });
    expect(listRewards().at(-1)).toEqual({ name: 'test-green', summary: 'The mean of the green channel.' });
    expect(made).toBe(0);
    const batch = { images: ndarray(Uint8Array.from([1, 2, 3, 4, 5, 6]), [2, 1, 1, 3]), prompts: ['', ''] };
    expect((await scoreImages(await makeReward('2*test-green - 1'), batch)).scores).toEqual(Float64Array.of(3, 9));
    expect(made).toBe(1);
    for (const bad of ['test-green', 'max', '9lives', 'a b', 'a--b'])
      expect(() => registerReward(bad, '', () => ({ name: bad, score: () => [] })), bad).toThrow(
        /registerReward|already registered/,
      );
  });

  it('scores a batch of shapes with an expression', async () => {
    const random = new Random(0);
    const scenes = kinds.map((kind) => randomScene(kind, random));
    const images = ndarray(Uint8Array.from(scenes.flatMap((s) => [...drawScene(s).data])), [4, 16, 16, 3]);
    const reward = await makeReward('shapes + 0.5*shapes-shape - 0*jpeg-compressibility');
    const { scores, details } = await scoreImages(reward, { images, prompts: scenes.map(caption) });
    expect(scores).toEqual(Float64Array.of(1.5, 1.5, 1.5, 1.5));
    expect(Object.keys(details)).toEqual(['shapes', 'shapes/shape', 'shapes-shape', 'jpeg-compressibility']);
  });
});

describe('rewards with options', () => {
  const judge = { ...httpRewardOptions.parse({ url: 'http://127.0.0.1:1', retries: 0 }), kind: 'http' as const };

  it('are of a kind that there is', () => {
    expect(() => parseConfig({ rewards: { judge: { kind: 'imagereward' } } } as never)).toThrow(
      /rewards\.judge\.kind: must be one of http, vlm, clip-score,/,
    );
  });

  it('stand under their names, in expressions too', async () => {
    expect((await makeReward('judge', { judge })).name).toBe('judge');
    const sum = await makeReward('judge - 2*jpeg-incompressibility', { judge });
    const images = { data: new Uint8Array(48), shape: [1, 4, 4, 3] };
    await expect(scoreImages(sum, { images, prompts: ['a'] })).rejects.toThrow(
      /reward `judge`: .*http:\/\/127\.0\.0\.1:1/,
    );
    await expect(makeReward('judge')).rejects.toThrow(/unknown reward `judge`/);
  });

  it('take no name that means something already', async () => {
    for (const name of ['shapes', 'max'])
      await expect(makeReward('jpeg-compressibility', { [name]: judge })).rejects.toThrow(/means something already/);
  });

  it('are options of a run', () => {
    const parse = (rewards: object) => () => parseConfig({ env: 'Denoising-v0', rewards });
    expect(parse({ judge: { kind: 'http', url: 'ftp://x' } })).toThrow(/rewards\.judge\.url: must be an address/);
    expect(parse({ judge: { kind: 'http', url: 'http://x', batchsize: 1 } })).toThrow(
      /rewards\.judge\.batchsize: no such option/,
    );
    expect(parse({ 'a b': { kind: 'http', url: 'http://x' } })).toThrow(/rewards/);
    expect(parse({ judge: { kind: 'http', url: 'http://x' } })()).toMatchObject({
      rewards: { judge: { batchSize: 16 } },
    });
  });
});
