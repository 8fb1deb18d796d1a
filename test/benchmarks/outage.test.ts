import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import type { Captioner } from '../../benchmarks/captioner/captioner.js';
import { type CaptionServer, serveCaptioner } from '../../benchmarks/captioner/server.js';
import { trainCaptioner } from '../../benchmarks/captioner/train.js';
import type { Metrics } from '../../core/types.js';
import { shapesPrompts } from '../../rewards/shapes/world.js';
import { parseConfig } from '../../training/config/index.js';
import { type RunOptions, runTraining } from '../../training/run.js';
import { RunFolder } from '../../training/run-folder/index.js';

// DDPO-IS on the embedded model with a captioner behind HTTP that describes its pictures, and BERTScore: what happens to the
// judge or to the run in the middle changes no bit of it.

/** How long the judge is down, in seconds. (Longer by hand: OUTAGE=20.) */
const outage = Number(process.env.OUTAGE ?? 2);
const epochs = 4;

let temporary: string;
let captioner: Captioner;
let server: CaptionServer;
let undisturbed: Metrics[];
beforeAll(async () => {
  await useBackend('wasm');
  temporary = await mkdtemp(join(tmpdir(), 'outage-'));
  captioner = await trainCaptioner({ steps: 150, batch: 16 });
  server = await serveCaptioner(captioner);
  undisturbed = await start('undisturbed');
});
afterAll(async () => {
  await server.close();
  captioner.dispose();
  await rm(temporary, { recursive: true });
});

function inputOf(name: string) {
  return {
    ...{ name, runs: temporary, backend: 'wasm', workers: 0, epochs, numEnvs: 8, samplesPerEpoch: 16 },
    reward: 'judge',
    rewards: {
      judge: {
        ...{ kind: 'vlm', url: server.url, model: server.model, task: 'caption' },
        ...{ encoder: 'test/fixtures/rewards/bert', layer: 1, cache: join(temporary, `answers-${name}`) },
        // 8 retries with pauses that double: 25 s in all.
        ...{ retries: 8, retryPause: 0.1 },
      },
    },
    prompts: { kind: 'list', list: shapesPrompts('composition').slice(0, 4) },
    sampling: { steps: 4 },
    evaluation: { samples: 8, every: 2 },
  };
}

/** What a run has logged, but for its times. */
async function numbersOf(name: string): Promise<Metrics[]> {
  const lines = await RunFolder.open(join(temporary, name)).metrics();
  return lines.map((line) => Object.fromEntries(Object.entries(line).filter(([key]) => !key.startsWith('time/'))));
}

async function start(name: string, options: RunOptions = {}): Promise<Metrics[]> {
  await runTraining(parseConfig(inputOf(name)), { warn: () => {}, ...options });
  return await numbersOf(name);
}

/** The command line in a process of its own. */
function train(...args: string[]) {
  return spawn(process.execPath, ['--no-warnings', '--import', './register.mjs', 'cli/main.ts', 'train', ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
const ended = (child: ReturnType<typeof train>) =>
  new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));

describe('a run whose judge is a captioner behind HTTP', () => {
  it('describes pictures in more ways than one, so that the rewards say something', () => {
    expect(undisturbed).toHaveLength(epochs);
    expect(undisturbed.some((line) => line['reward/std']! > 0)).toBe(true);
  });

  it(`goes on by itself, and to the same bits, when the judge was down for ${outage} s`, async () => {
    let back: Promise<void> | undefined;
    const numbers = await start('down', {
      onEvent: ({ type, epoch }) => {
        if (type !== 'epoch' || epoch !== 2) return;
        back = (async () => {
          const { port } = server;
          await server.close();
          await pause(1000 * outage);
          server = await serveCaptioner(captioner, port);
        })();
      },
    });
    await back;
    expect(back).toBeDefined();
    expect(numbers).toEqual(undisturbed);
  });

  it('goes on to the same bits when it was killed in the middle, with the judge at another address', async () => {
    const config = join(temporary, 'killed.yaml');
    await writeFile(config, JSON.stringify(inputOf('killed')));
    const metrics = join(temporary, 'killed', 'metrics.jsonl');
    const child = train(config);
    const end = ended(child);
    const lines = async () => (await readFile(metrics, 'utf8').catch(() => '')).split('\n').length - 1;
    while (child.exitCode === null && (await lines()) < 2) await pause(20);
    child.kill('SIGKILL');
    await end;
    expect(await lines()).toBeGreaterThanOrEqual(2);
    expect(await lines()).toBeLessThan(epochs);

    const { url, port } = server;
    await server.close();
    server = await serveCaptioner(captioner);
    expect(server.url === url && server.port === port).toBe(false);
    expect(await ended(train(config, '--resume', '--rewards.judge.url', server.url))).toBe(0);
    expect(await numbersOf('killed')).toEqual(undisturbed);
  });
});
