import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NdArray } from '../../core/ndarray.js';
import { scoreImages } from '../../core/score.js';
import { type Env, listEnvironments, make, makeVec } from '../../envs/index.js';
import * as wrappers from '../../envs/wrappers/index.js';
import { listRewards, loadRewardFile } from '../../rewards/index.js';
import { agentChecks, checkEnv, checkReward, envChecks, rewardChecks, vectorEnvChecks } from '../../testing/index.js';
import { blocksOf, readPage } from './blocks.js';

// That the pages name all that there is, and that what they show to copy is right; docs.test.ts runs all of it.

const page = (name: string) => readFile(name, 'utf8');

describe('pages name all that there is', () => {
  it('docs/envs.md: environments and modifications', async () => {
    const text = await page('docs/envs.md');
    for (const { name } of listEnvironments()) expect(text).toContain(name);
    const inner = [
      'cubes',
      'findWrapper',
      'unwrapped',
      'PlainWrapper',
      'RunningMeanStd',
      'Wrapper',
      'actionModification',
      'observationModification',
      'stepModification',
    ];
    for (const name of Object.keys(wrappers).filter((name) => !inner.includes(name))) expect(text).toContain(name);
  });

  it('docs/rewards.md: rewards', async () => {
    const text = await page('docs/rewards.md');
    for (const { name } of listRewards()) expect(text).toContain(`\`${name}\``);
  });

  it('docs/testing.md: checks', async () => {
    const text = await page('docs/testing.md');
    for (const { name } of [...envChecks, ...vectorEnvChecks, ...rewardChecks, ...agentChecks])
      expect(text).toContain(`\`${name}\``);
  });

  it('README.md: the configuration of the quickstart, as it is', async () => {
    const [shown] = blocksOf('README.md', await page('README.md')).filter(({ language }) => language === 'yaml');
    const uncommented = (text: string) => text.replace(/^#.*\n/gm, '').trim();
    expect(uncommented(shown!.text)).toBe(uncommented(await page('examples/quickstart.yaml')));
  });
});

describe('what they show to copy is right', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await realpath(await mkdtemp(join(tmpdir(), 'pages-')));
    for (const name of ['docs/envs.md', 'docs/rewards.md'])
      for (const { file, source, named } of readPage(name).programs)
        if (named) await writeFile(join(folder, file), source);
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('my-env.ts keeps the contract, and can be solved', async () => {
    const id = `${join(folder, 'my-env.ts')}:Corridor-v0`;
    const errors = (await checkEnv(() => make(id))).filter(({ severity }) => severity === 'error');
    expect(errors).toEqual([]);
    const env = (await make(id, { length: 5 })) as Env<NdArray, number>;
    await env.reset({ seed: 1 });
    let steps = 1;
    while (!(await env.step(1)).terminated) steps++;
    expect(steps).toBeLessThanOrEqual(5);
    expect(await env.render!()).toBe('.....o');
    expect((await makeVec('Corridor-v0', 2)).numEnvs).toBe(2);
    await expect(make('Corridor-v0', { lenght: 3 })).rejects.toThrow(/Did you mean `length`/);
  });

  it('my-reward.ts and contrast.ts are rewards, and say what the page says', async () => {
    // One red picture, one white.
    const red = Array.from({ length: 256 }, () => [255, 0, 0]).flat();
    const images = { data: Uint8Array.from([...red, ...red.map(() => 255)]), shape: [2, 16, 16, 3] };
    const redness = await loadRewardFile(join(folder, 'my-reward.ts'));
    const contrast = await loadRewardFile(join(folder, 'contrast.ts'));
    for (const reward of [redness, contrast]) expect(await checkReward(reward)).toEqual([]);
    expect(redness.name).toBe('my-reward');
    expect((await scoreImages(redness, { images, prompts: ['p', 'q'] })).scores).toEqual(Float64Array.of(1, 0));
    expect(contrast.name).toBe('contrast');
    const { scores, details } = await scoreImages(contrast, { images, prompts: ['p', 'q'] });
    expect(scores[0]).toBeCloseTo(Math.sqrt(2) / 3, 10);
    expect(details.brightness![0]).toBeCloseTo(1 / 3, 10);
  });
});
