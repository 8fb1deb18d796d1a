// The process that reads the inputs: node --import ./register.mjs test/reliability/fuzz/child.ts '{"files": ..., "cwd": ...}'
// It may hang, crash or run out of memory; `supervise.ts` watches it, and is told of each input before it is read.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { judgeError } from './judge.js';
import type { Assignment, Message } from './supervise.js';
import type { Target } from './target.js';
import { targets } from './targets/index.js';

const assignment = JSON.parse(process.argv[2]!) as Assignment;

/** An input that takes longer is a failure. Of waiting and computing the shorter counts: a busy machine is no fault. */
const mostSeconds = 2;
/** No input may make the process larger than this, in MiB. */
const mostMemory = 1500;

function tell(message: Message): void {
  process.send!(message);
}

/** A text that is another one after any change in a folder. */
function stateOf(folder: string): string {
  const hash = createHash('sha256');
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name);
    hash.update(`${path}\n`);
    if (entry.isFile()) hash.update(readFileSync(path));
  }
  return hash.digest('hex');
}

/** An input as it is printed. */
function shown(input: unknown): string {
  const text = fc.stringify(input);
  return text.length > 1500 ? `${text.slice(0, 1500)}... (${text.length} characters)` : text;
}

/** Reads one input. @throws what is wrong with how it was read. */
async function read(target: Target, input: unknown, files: string): Promise<void> {
  const cpu = process.cpuUsage();
  const begun = performance.now();
  try {
    await target.check(input, { files });
  } catch (error) {
    judgeError(error);
  }
  const { user, system } = process.cpuUsage(cpu);
  const seconds = Math.min((performance.now() - begun) / 1000, (user + system) / 1e6);
  if (seconds > mostSeconds) throw new Error(`it took ${seconds.toFixed(1)} s; at most ${mostSeconds} s are allowed`);
  const memory = process.resourceUsage().maxRSS / 1024;
  if (memory > mostMemory)
    throw new Error(`the process grew to ${memory.toFixed(0)} MiB; at most ${mostMemory} MiB are allowed`);
}

async function run(target: Target): Promise<void> {
  const { files, cwd, seed, inputs, show, until } = assignment;
  await target.prepare?.({ files });
  const before = stateOf(cwd);
  const count = inputs ?? target.inputs;
  let i = 0;
  for (; i < count && Date.now() < (until ?? Number.POSITIVE_INFINITY); i++) {
    const own = (seed + i) | 0;
    const property = fc.asyncProperty(target.input, async (input) => {
      tell({ kind: 'input', target: target.name, seed: own });
      if (show) tell({ kind: 'shown', input: shown(input) });
      else await read(target, input, files);
    });
    const result = await fc.check(property, { seed: own, numRuns: 1, interruptAfterTimeLimit: 30_000 });
    if (result.failed) {
      const error = result.errorInstance;
      tell({
        kind: 'failure',
        target: target.name,
        seed: own,
        input: shown(result.counterexample?.[0]),
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
    }
  }
  if (stateOf(cwd) !== before)
    tell({ kind: 'failure', target: target.name, seed, input: '', error: 'the working directory was written to' });
  tell({ kind: 'done', target: target.name, inputs: i });
}

// Everything is relative to this folder from now on, as it is to the folder in which a user works.
process.chdir(assignment.cwd);
const names = targets.map(({ name }) => name);
const { target: only, after } = assignment;
if (only !== undefined && !names.includes(only))
  throw new Error(`no target is called ${only}; there are ${names.join(', ')}`);
for (const target of targets.slice(after === undefined ? 0 : names.indexOf(after) + 1))
  if ((only ?? target.name) === target.name) await run(target);
process.disconnect();
