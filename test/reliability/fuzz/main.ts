// npm run fuzz -- [--minutes N] [--seed S] [--target NAME] [--inputs N]
import { parseArgs } from 'node:util';
import { fuzz } from './supervise.js';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string' },
    target: { type: 'string' },
    inputs: { type: 'string' },
  },
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new Error(`--minutes must be a number above 0, actual value ${values.minutes}`);
const until = Date.now() + minutes * 60_000;
let seed = Number(values.seed ?? Date.now() % 2 ** 31);
if (!Number.isInteger(seed)) throw new Error(`--seed must be a whole number, actual value ${values.seed}`);
const inputs = values.inputs === undefined ? undefined : Number(values.inputs);

let read = 0;
/** Failures by what they have in common: the target, and the error without its numbers. */
const kinds = new Map<string, number>();
do {
  console.log(`seed ${seed}`);
  const result = await fuzz({
    seed,
    target: values.target,
    inputs,
    until,
    onDone: (target, count) => console.log(`  ${target}: ${count} inputs`),
    onFailure: ({ target, seed: own, input, error }) => {
      const kind = `${target} ${error.split('\n')[0]!.slice(0, 100).replace(/\d+/g, 'N')}`;
      const before = kinds.get(kind) ?? 0;
      kinds.set(kind, before + 1);
      if (before > 0) return;
      const again = `npm run fuzz -- --target ${JSON.stringify(target)} --seed ${own} --inputs 1`;
      console.log(`\nFAILED ${target}\ninput: ${input}\n${error}\nagain: ${again}\n`);
    },
  });
  read += result.inputs;
  seed = (seed + 1_000_003) % 2 ** 31;
} while (Date.now() < until && inputs === undefined);
console.log(`${read} inputs were read`);
for (const [kind, times] of kinds) console.log(`${times} times: ${kind}`);
process.exitCode = kinds.size > 0 ? 1 : 0;
