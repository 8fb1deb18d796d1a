import { SingleBar } from 'cli-progress';
import type { BackendName } from '../backend/index.js';
import { type PretrainOptions, pretrain } from '../training/pretrain.js';
import { duration, number } from '../training/progress.js';
import { startBackend } from './backend.js';
import { onInterrupt } from './interrupt.js';
import { refuseToReplace } from './overwrite.js';

export async function pretrainCommand({
  backend,
  overwrite,
  ...options
}: PretrainOptions & { backend?: BackendName; overwrite?: boolean }): Promise<void> {
  if (!options.resume) refuseToReplace('pretrain', options.out, overwrite);
  await startBackend(backend);
  const stream = process.stderr;
  const abort = new AbortController();
  const unwatch = onInterrupt(() => abort.abort());
  const bar = stream.isTTY
    ? new SingleBar({ stream, hideCursor: true, format: 'step {value}/{total} {bar} loss {loss} · {left} left' })
    : undefined;
  const started = performance.now();
  let first: number | undefined;
  let done = false;
  try {
    for await (const { step, steps, loss } of pretrain({ ...options, signal: abort.signal })) {
      if (first === undefined) bar?.start(steps, step, { loss: '–', left: '–' });
      first ??= step - 1;
      const left = ((performance.now() - started) / 1000 / (step - first)) * (steps - step);
      bar?.update(step, { loss: number(loss), left: duration(left) });
      if (!bar && step % Math.max(1, Math.round(steps / 50)) === 0)
        stream.write(`step ${step}/${steps} · loss ${number(loss)} · ${duration(left)} left\n`);
      done = step === steps;
    }
  } finally {
    bar?.stop();
    unwatch();
  }
  if (done) process.stdout.write(`${options.out}\n`);
  else {
    stream.write('stopped and saved; go on with the same command and --resume\n');
    process.exitCode = 130;
  }
}
