// A run in a process of its own, to be killed: node --import ./register.mjs test/training/toy-run.ts FOLDER KIND EPOCHS [resume]
import { RunFolder } from '../../training/run-folder/index.js';
import { train } from '../../training/train.js';
import { Lockstep, SavedWalk, ToyAgent } from './toys.js';

const [path, kind, epochs, resume] = process.argv.slice(2);
const opened = resume
  ? await RunFolder.resume(path!)
  : { folder: await RunFolder.create(path!, { kind }), checkpoint: undefined };
const lockstep = kind === 'lockstep';
const abort = new AbortController();
process.on('SIGINT', () => abort.abort());
for await (const event of train<number, number>({
  agent: new ToyAgent(lockstep ? { episodes: 9 } : { steps: 7 }, 5),
  envs: lockstep ? [new Lockstep({ delay: () => 4 }), new Lockstep({ delay: () => 4 })] : [new SavedWalk()],
  epochs: Number(epochs),
  seed: 3,
  folder: opened.folder,
  checkpoint: opened.checkpoint,
  checkpointEvery: 2,
  signal: abort.signal,
})) {
  if (event.type === 'start') process.stdout.write(`start ${event.epoch}\n`);
  if (event.type === 'end') process.stdout.write(`${event.reason} ${event.epoch}\n`);
  await new Promise((resolve) => setTimeout(resolve, 5));
}
