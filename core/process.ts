import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

/** Which process something belongs to, told from any other that has the same number later. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly host: string;
  /** When the process started, as the system counts; absent where the system does not say. */
  readonly started?: string | undefined;
}

let own: ProcessIdentity | undefined;

/** The identity of this process. */
export function thisProcess(): ProcessIdentity {
  own ??= { pid: process.pid, host: hostname(), started: statOf(process.pid)?.[1] };
  return own;
}

/** Whether some process of this machine has this number. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Whether a process of this machine is still there, and not only another one that was given its number. */
export function isAlive({ pid, started }: ProcessIdentity): boolean {
  if (!isRunning(pid)) return false;
  const [state, start] = statOf(pid) ?? [];
  // One that has ended stays in the list of processes until its parent has asked for its exit status.
  if (state === 'Z' || state === 'X') return false;
  return started === undefined || start === undefined || started === start;
}

/** State and start of a process, the latter in the system's own count, where there is a `/proc` that may be read. */
function statOf(pid: number): [state: string, started: string] | undefined {
  try {
    // proc(5): the 3rd and 22nd field of /proc/PID/stat. The 2nd is a name in parentheses, which may hold blanks.
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return [fields[0]!, fields[19]!];
  } catch {
    return undefined;
  }
}
