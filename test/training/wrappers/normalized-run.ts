// A run with normalisation in a process of its own, to be killed:
// node --import ./register.mjs test/training/wrappers/normalized-run.ts RUNS NAME EPOCHS COLLECT [resume]
import { normalized } from './normalized.js';

const [runs, name, epochs, collect, resume] = process.argv.slice(2);
await normalized(runs!, name!, Number(epochs), {
  collect: JSON.parse(collect!),
  resume: resume !== undefined,
  onEvent: ({ type, epoch }) => void process.stdout.write(`${type} ${epoch}\n`),
});
