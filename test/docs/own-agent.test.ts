import { spawn } from 'node:child_process';
import { mkdtemp, readFile, realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readPage } from './blocks.js';
import { Homes, shell } from './homes.js';

// An agent and an environment of a user's own, each in one file: trained, killed and resumed, evaluated, reported and
// checked, from a clone and from the installed package.

vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

let homes: Homes;
beforeAll(async () => {
  homes = new Homes(await realpath(await mkdtemp(join(tmpdir(), 'own-'))));
});
afterAll(() => homes.remove());

const environment = `// my-env.ts
import { type NdArray, Random } from 'denoise-gym';
import { Box, Discrete, type Env, register } from 'denoise-gym/envs';

type Observation = NdArray<Float32Array>;

/** Wind blows a boat about; keep it near the middle of the river by steering left or right. */
export class Boat implements Env<Observation, number> {
  readonly observationSpace = new Box(-10, 10, [3]);
  readonly actionSpace = new Discrete(2);
  #random = new Random(0);
  #place = 0;
  #speed = 0;
  #steps = 0;

  reset({ seed }: { seed?: number } = {}) {
    if (seed !== undefined) this.#random = new Random(seed);
    this.#place = this.#random.uniform(-0.5, 0.5);
    this.#speed = 0;
    this.#steps = 0;
    return { observation: this.#observe(), info: {} };
  }

  step(action: number) {
    this.#steps++;
    this.#speed += (action === 1 ? 0.1 : -0.1) + 0.02 * this.#random.normal();
    this.#place += this.#speed;
    const terminated = Math.abs(this.#place) > 2 || this.#steps === 60;
    return { observation: this.#observe(), reward: 1, terminated, truncated: false, info: {} };
  }

  #observe(): Observation {
    const clamp = (x: number) => Math.min(10, Math.max(-10, x));
    return { data: Float32Array.of(clamp(this.#place), clamp(this.#speed), 1), shape: [3] };
  }
}

register({ id: 'Boat-v0', description: 'keep a boat in the middle', create: () => new Boat() });
`;

const checks = (to: string) => `
import { describe, it } from 'vitest';
import { Random } from 'denoise-gym';
import { makeAgent } from 'denoise-gym/agents';
import { describeAgent, describeEnv } from 'denoise-gym/testing';
import crossEntropy from '${to}my-agent.js';
import { Boat } from '${to}my-env.js';

describeEnv('Boat', () => new Boat(), { describe, it });
const options = { episodes: 4, elite: 0.5 };
// Its rules are for two actions: it is made for this environment alone.
describeAgent('cross-entropy', () => makeAgent(crossEntropy, { env: new Boat() as never, options, random: new Random(1) }), () => new Boat(), { describe, it });
`;

const metricsOf = async (folder: string, run: string) =>
  (await readFile(join(folder, 'runs', run, 'metrics.jsonl'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) =>
      Object.fromEntries(
        Object.entries(JSON.parse(line) as Record<string, number>).filter(([key]) => !key.startsWith('time/')),
      ),
    );

describe.each([
  ['clone', ['--import', './register.mjs', 'cli/main.ts'], 'test/own/'],
  ['installed', ['../node_modules/denoise-gym/dist/cli/main.js'], ''],
] as const)('%s', (way, program, tests) => {
  it('trains, is killed, resumes with the same numbers, is evaluated, reported and checked', async () => {
    const page = readPage('docs/agents.md');
    const agent = page.programs.find(({ file }) => file === 'my-agent.ts')!.source;
    const { folder, cli } = await homes.home(way, `own-agent-${way}`, {
      'my-agent.ts': agent,
      'my-env.ts': environment,
      [`${tests}own.test.ts`]: checks(tests === '' ? './' : '../../'),
    });
    const train = 'train --env ./my-env.ts:Boat-v0 --agent ./my-agent.ts --agent.noise 0.1 --epochs 40 --seed 3';
    await shell(`${cli} ${train} --name whole`, folder);
    const whole = await metricsOf(folder, 'whole');
    expect(whole).toHaveLength(40);
    expect(whole.at(-1)!['eval/mean']).toBeGreaterThan(whole[0]!['reward/mean']!);

    const child = spawn(process.execPath, [...program, ...train.split(' '), '--name', 'cut'], {
      cwd: folder,
      env: { ...process.env, DENOISE_GYM_BACKEND: 'wasm' },
    });
    const ended = new Promise<string | null>((resolve) => child.once('exit', (_, signal) => resolve(signal)));
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += chunk;
      if (said.includes('epoch 12/40')) child.kill('SIGKILL');
    });
    expect(await ended, said).toBe('SIGKILL');
    expect((await metricsOf(folder, 'cut')).length).toBeLessThan(40);
    await shell(`${cli} train runs/cut --resume`, folder);
    expect(await metricsOf(folder, 'cut')).toEqual(whole);

    const { results } = JSON.parse(await shell(`${cli} evaluate --run runs/cut --samples 20 --json`, folder));
    expect(results.map(({ name }: { name: string }) => name)).toEqual(['before', 'epoch-40']);
    expect(results[1].mean).toBe(whole.at(-1)!['eval/mean']);

    await shell(`${cli} report runs/cut`, folder);
    const report = await readFile(join(folder, 'runs/cut/report.html'), 'utf8');
    for (const text of ['cross-entropy', 'Boat-v0', 'Spread', 'How different the rules of a rollout are.'])
      expect(report).toContain(text);
    expect(report).not.toMatch(/prompts|noises/);

    const checked = await shell(`npx vitest run ${tests}own.test.ts`, folder);
    expect(checked).toMatch(/passed/);
  });
});
