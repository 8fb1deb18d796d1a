import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { writeFileAtomic } from '../../core/files.js';

const schema = z.object({
  state: z.enum(['running', 'finished', 'stopped', 'failed', 'diverged']),
  epoch: z.int().min(0),
  epochs: z.int().min(0),
  updated: z.string(),
  message: z.string().optional(),
});

/** How a run stands, as its folder says. */
export interface RunStatus {
  /** `diverged`: its weights became infinite or NaN; what is saved of it is from before. */
  readonly state: 'running' | 'finished' | 'stopped' | 'failed' | 'diverged';
  /** Finished epochs; of a run that failed or diverged those that are saved. */
  readonly epoch: number;
  readonly epochs: number;
  /** ISO time of the last change. */
  readonly updated: string;
  /** Why it failed, or what ended it before its last epoch. */
  readonly message?: string | undefined;
}

const fileOf = (folder: string) => join(folder, 'status.json');

function textOf(status: Omit<RunStatus, 'updated'>): string {
  return `${JSON.stringify({ ...status, updated: new Date().toISOString() }, null, 2)}\n`;
}

/** Reads a run's status. A file that is missing, empty or damaged says nothing, and no more hangs on it. */
export async function readStatus(folder: string): Promise<RunStatus | undefined> {
  try {
    return schema.safeParse(JSON.parse(await readFile(fileOf(folder), 'utf8'))).data;
  } catch {
    return undefined;
  }
}

export async function writeStatus(folder: string, status: Omit<RunStatus, 'updated'>): Promise<void> {
  await writeFileAtomic(fileOf(folder), textOf(status));
}

/** The same at the end of a process, when nothing can be awaited any more. */
export function writeStatusSync(folder: string, status: Omit<RunStatus, 'updated'>): void {
  writeFileSync(fileOf(folder), textOf(status));
}
