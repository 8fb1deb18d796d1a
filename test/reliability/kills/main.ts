// npm run kills -- [--minutes N] [--seed S] [--scenario NAME]
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { useBackend } from '../../../backend/index.js';
import { Random } from '../../../core/random.js';
import { saveTinyDenoiser } from '../../training/tiny-denoiser.js';
import { build } from '../build.js';
import { type Aim, hunt, scenarios, undisturbed } from './hunt.js';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string' },
    scenario: { type: 'string' },
  },
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new Error(`--minutes must be a number above 0, actual value ${values.minutes}`);
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
if (!Number.isInteger(seed)) throw new Error(`--seed must be a whole number, actual value ${values.seed}`);

const until = Date.now() + minutes * 60_000;
const folder = await mkdtemp(join(tmpdir(), 'kills-'));
console.log(`seed ${seed}, in ${folder}`);
await useBackend('wasm');
const model = join(folder, 'model');
await saveTinyDenoiser(model);
const known = scenarios(model);
const chosen = known.filter(({ name }) => values.scenario === undefined || name === values.scenario);
if (chosen.length === 0)
  throw new Error(`--scenario ${values.scenario}: there is none of this name, only ${known.map(({ name }) => name)}`);
const program = await build(join(folder, 'built'));
const options = { program, folder: join(folder, 'runs') };
const references = [];
for (const scenario of chosen) references.push(await undisturbed(scenario, options));

const hits = new Map<Aim, number>();
const failures: string[] = [];
const random = new Random(seed);
for (let round = 0; Date.now() < until; round++)
  for (const reference of references) {
    if (Date.now() >= until) break;
    const name = `${reference.scenario.name}-${round}`;
    const own = random.child(name);
    try {
      const hit = await hunt(reference, { ...options, name, random: own, kills: 2 + own.integer(8), log: console.log });
      for (const [aim, count] of hit) hits.set(aim, (hits.get(aim) ?? 0) + count);
      await rm(join(options.folder, name), { recursive: true });
    } catch (error) {
      failures.push(name);
      console.log(`FAILED: ${(error as Error).message}`);
    }
  }
console.log(`kills that met a process: ${[...hits].map(([aim, count]) => `${count} ${aim}`).join(', ')}`);
if (failures.length === 0) await rm(folder, { recursive: true });
else console.log(`${failures.length} runs failed, and are kept in ${options.folder}: ${failures.join(', ')}`);
process.exit(failures.length > 0 ? 1 : 0);
