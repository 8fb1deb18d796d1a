import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What the process that reads inputs is to do. */
export interface Assignment {
  /** Where inputs are written. */
  readonly files: string;
  /** The working directory, which must stay as it is. */
  readonly cwd: string;
  /** One target alone. */
  readonly target?: string | undefined;
  /** Begins behind this target. */
  readonly after?: string | undefined;
  /** Input i of each target is made from this seed plus i. */
  readonly seed: number;
  /** How many inputs of each target. Default: as many as the target's normal run has. */
  readonly inputs?: number | undefined;
  /** Only says what the inputs are. */
  readonly show?: boolean | undefined;
  /** When to end, as Date.now counts. */
  readonly until?: number | undefined;
}

/** What that process says. */
export type Message =
  | { readonly kind: 'input'; readonly target: string; readonly seed: number }
  | { readonly kind: 'shown'; readonly input: string }
  | ({ readonly kind: 'failure' } & Failure)
  | { readonly kind: 'done'; readonly target: string; readonly inputs: number };

/** An input that was read in a wrong way. `npm run fuzz -- --target TARGET --seed SEED --inputs 1` reads it again. */
export interface Failure {
  readonly target: string;
  readonly seed: number;
  readonly input: string;
  readonly error: string;
}

export interface FuzzOptions extends Pick<Assignment, 'target' | 'seed' | 'inputs' | 'until'> {
  /** Told of every failure as it is found. */
  readonly onFailure?: (failure: Failure) => void;
  readonly onDone?: (target: string, inputs: number) => void;
}

export interface FuzzResult {
  readonly inputs: number;
  readonly failures: readonly Failure[];
}

const root = fileURLToPath(new URL('../../../', import.meta.url));
/** So long may the process be silent: several times as long as an input may take, since the machine may be busy. */
const longestSilenceMs = 60_000;
const mostHeapMiB = 800;

function start(assignment: Assignment): ChildProcess {
  const { cwd } = assignment;
  const flags = ['--no-warnings', `--max-old-space-size=${mostHeapMiB}`, '--import', './register.mjs'];
  return spawn(process.execPath, [...flags, 'test/reliability/fuzz/child.ts', JSON.stringify(assignment)], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    // ts-node would look for the settings from the working directory, which is another one by then.
    env: { ...process.env, TS_NODE_PROJECT: join(root, 'tsconfig.json'), HOME: cwd, XDG_STATE_HOME: cwd },
  });
}

/** Runs the process until it ends, or is silent for too long and is killed. @returns how it ended, if badly. */
async function watch(assignment: Assignment, onMessage: (message: Message) => void): Promise<string | undefined> {
  const child = start(assignment);
  let printed = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    printed = `${printed}${text}`.slice(-4000);
  });
  let silent = false;
  const kill = () => {
    silent = true;
    child.kill('SIGKILL');
  };
  let timer = setTimeout(kill, longestSilenceMs);
  child.on('message', (message: Message) => {
    clearTimeout(timer);
    timer = setTimeout(kill, longestSilenceMs);
    onMessage(message);
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.on('error', reject).on('close', (...end) => resolve(end));
  });
  clearTimeout(timer);
  if (silent) return `no end within ${longestSilenceMs / 1000} s`;
  return code === 0 ? undefined : `the process ended by ${signal ?? `exit status ${code}`}:\n${printed}`;
}

/** Reads generated inputs in a process of its own. After one that ends the process, the rest of its target is left out. */
export async function fuzz({ onFailure, onDone, ...options }: FuzzOptions): Promise<FuzzResult> {
  const failures: Failure[] = [];
  let inputs = 0;
  const fail = (failure: Failure) => {
    failures.push(failure);
    onFailure?.(failure);
  };
  const place = await mkdtemp(join(tmpdir(), 'fuzz-'));
  try {
    const [files, cwd] = [join(place, 'files'), join(place, 'cwd')];
    await mkdir(files);
    await mkdir(join(cwd, 'runs'), { recursive: true });
    await writeFile(join(cwd, 'package.json'), '{"private": true}\n');
    let after: string | undefined;
    for (;;) {
      let last: { target: string; seed: number } | undefined;
      const assignment: Assignment = { ...options, files, cwd, after };
      const end = await watch(assignment, (message) => {
        if (message.kind === 'input') {
          last = message;
          inputs++;
        } else if (message.kind === 'failure') fail(message);
        else if (message.kind === 'done') onDone?.(message.target, message.inputs);
      });
      if (end === undefined) break;
      if (last === undefined) throw new Error(`no input was read: ${end}`);
      let input = '';
      await watch({ ...options, files, cwd, ...last, inputs: 1, show: true }, (message) => {
        if (message.kind === 'shown') input = message.input;
      });
      fail({ ...last, input, error: end });
      after = last.target;
    }
  } finally {
    await rm(place, { recursive: true, force: true });
  }
  return { inputs, failures };
}
