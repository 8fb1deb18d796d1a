import type { BenchmarkProgress } from '../training/benchmark/runner.js';
import { number } from '../training/progress.js';

/** Milliseconds between two lines about runs that go on. */
const pause = 10_000;

/** Tells on stderr which runs have ended, and now and then how far one is. */
export function sayProgress(): (progress: BenchmarkProgress) => void {
  const started = performance.now();
  let told = 0;
  const say = (line: string) => process.stderr.write(`${line}\n`);
  return ({ run, state, epoch, epochs, reward, message, done, total }) => {
    const place = `[${done}/${total}]`;
    const now = performance.now();
    if (state === 'failed') say(`${place} ${run} failed: ${message}`);
    else if (state === 'finished') say(`${place} ${run} finished, ${((now - started) / 1000).toFixed(0)} s`);
    else if (now - told > pause) {
      told = now;
      say(`${place} ${run} epoch ${epoch}/${epochs} · reward ${number(reward)}`);
    }
  };
}
