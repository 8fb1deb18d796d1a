import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';
import type { NdArray } from '../../core/ndarray.js';
import { type Env, listEnvironments, make, makeVec } from '../../envs/index.js';

const page = await readFile('docs/envs.md', 'utf8');
const blocks = [...page.matchAll(/```ts\n(.*?)```/gs)].map((match) => match[1]!);

/** Runs a block of the page as a module. */
async function run(code: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'docs-'));
  const file = join(folder, 'block.ts');
  const local = code
    .replaceAll("'denoise-gym/envs'", JSON.stringify(resolve('envs/index.ts')))
    .replaceAll("'denoise-gym'", JSON.stringify(resolve('index.ts')));
  await writeFile(file, local);
  try {
    await import(file);
  } finally {
    await rm(folder, { recursive: true });
  }
}

it("the page's loop runs", async () => {
  await run(blocks.find((block) => block.includes("make('CartPole-v1')"))!);
});

it("the page's own environment is registered, keeps its contract, and can be solved", async () => {
  await run(blocks.find((block) => block.startsWith('// my-env.ts'))!);
  const env = (await make('Corridor-v0', { length: 5 })) as Env<NdArray, number>;
  let { observation } = await env.reset({ seed: 1 });
  expect(await env.reset({ seed: 1 })).toMatchObject({ observation });
  let steps = 0;
  for (let over = false; !over; steps++) {
    expect(env.observationSpace.contains(observation)).toBe(true);
    const result = await env.step(1);
    observation = result.observation;
    over = result.terminated;
  }
  expect(steps).toBeLessThanOrEqual(5);
  expect(await env.render!()).toBe('.....o');
  expect((await makeVec('Corridor-v0', 2)).numEnvs).toBe(2);
  await expect(make('Corridor-v0', { lenght: 3 })).rejects.toThrow(/Did you mean `length`/);
});

it('the page names every environment and every modification', async () => {
  const wrappers = await import('../../envs/wrappers/index.js');
  const inner = new Set([
    'cubes',
    'findWrapper',
    'unwrapped',
    'PlainWrapper',
    'Wrapper',
    'actionModification',
    'observationModification',
    'stepModification',
  ]);
  for (const name of Object.keys(wrappers).filter((n) => !inner.has(n))) expect(page, name).toContain(name);
  for (const { name } of listEnvironments().filter((env) => env.name !== 'Corridor-v0'))
    expect(page, name).toContain(name);
});
