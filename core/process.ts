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
  own ??= { pid: process.pid, host: hostname(), started: startOf(process.pid) };
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
  return isRunning(pid) && (started === undefined || started === startOf(pid));
}

/** The start of a process in the system's own count, where there is a `/proc`. */
function startOf(pid: number): string | undefined {
  try {
    // proc(5): the 22nd field of /proc/PID/stat. The 2nd is a name in parentheses, which may hold blanks.
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
