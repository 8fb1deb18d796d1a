// A run with normalisation in a process of its own, which kills itself in the middle of its third rollout:
// node --import ./register.mjs test/training/wrappers/normalized-run.ts RUNS NAME EPOCHS COLLECT
import { normalized } from './normalized.js';

const [runs, name, epochs, collect] = process.argv.slice(2);
await normalized(runs!, name!, Number(epochs), {
  collect: JSON.parse(collect!),
  onProgress: ({ epoch, phase, done, total }) => {
    if (epoch === 3 && phase === 'sampling' && done >= total / 2) process.kill(process.pid, 'SIGKILL');
  },
});
