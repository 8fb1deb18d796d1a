// Takes the lock of a folder again and again, at the same moments as other processes, and prints when it had it, in
// milliseconds: node --import ./register.mjs test/training/run-folder/lock-program.ts FOLDER ROUNDS STALE
// Each round begins at a moment that stands on stdin, once the process has said that it is ready.
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { RunLock } from '../../../training/run-folder/lock.js';

const [folder, rounds, stale] = process.argv.slice(2) as [string, string, string];
const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
process.stdout.write('ready\n');
const [start] = (await once(process.stdin, 'data')) as [Buffer];
const had: [number, number][] = [];
for (let round = 0; round < Number(rounds); round++) {
  const moment = Number(start) + round * 100;
  while (Date.now() < moment) await wait(moment - Date.now() > 30 ? 10 : 0);
  try {
    const lock = RunLock.take(folder);
    const from = Date.now();
    await wait(40);
    lock.check();
    had.push([from, Date.now()]);
    lock.release();
    // Of every second round a lock is left behind, by a process that is gone.
    if (round % 2 === 0) await writeFile(`${folder}/lock`, stale, { flag: 'wx' }).catch(() => {});
  } catch (error) {
    if (!(error as Error).message.includes('is running it now') && !(error as Error).message.includes('just opening'))
      throw error;
  }
}
process.stdout.write(JSON.stringify(had));
process.stdin.destroy();
