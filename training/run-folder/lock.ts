import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { GymError } from '../../core/errors.js';
import { fileError } from '../../core/files.js';
import { isAlive, type ProcessIdentity, thisProcess } from '../../core/process.js';

/** Milliseconds between two signs of life of a process that holds a lock. */
const pulse = 15_000;
/** A process of another machine that has given no sign of life for so many milliseconds is taken for dead. */
const patience = 120_000;
/** A lock that cannot be read is taken for one that is just being written, if it is younger than so many milliseconds. */
const moment = 10_000;

const contents = z.object({ pid: z.int(), host: z.string(), started: z.string().optional(), token: z.string() });

/** A lock as it lies in a folder. */
interface Found {
  readonly text: string;
  /** Undefined where the file does not say: it is being written, or its process was killed while it was. */
  readonly process: ProcessIdentity | undefined;
  /** Milliseconds since its last sign of life. */
  readonly age: number;
}

function find(file: string): Found | undefined {
  try {
    const age = Date.now() - statSync(file).mtimeMs;
    const text = readFileSync(file, 'utf8');
    return { text, process: parse(text), age };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileError('cannot read', file, error);
  }
}

function parse(text: string): ProcessIdentity | undefined {
  try {
    return contents.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** Whether whoever made a lock still works. Only processes of this machine can be looked for. */
function isHeld({ process: holder, age }: Found): boolean {
  if (holder === undefined) return age < moment;
  return holder.host === thisProcess().host ? isAlive(holder) : age < patience;
}

function refusal(folder: string, { process: holder, age }: Found): GymError {
  if (holder === undefined)
    return new GymError('E_STATE', `run ${folder}: another process is just opening it; try again in a moment.`);
  if (holder.host === thisProcess().host && holder.pid === process.pid)
    return new GymError('E_STATE', `run ${folder}: this process is running it already; end that run first.`);
  if (holder.host === thisProcess().host)
    return new GymError(
      'E_STATE',
      `run ${folder}: process ${holder.pid} is running it now; stop that one first (Ctrl-C saves it).`,
    );
  return new GymError(
    'E_STATE',
    `run ${folder}: process ${holder.pid} on the machine ${holder.host} is running it now, and gave a sign of life ${Math.round(age / 1000)} s ago; stop that one first (Ctrl-C saves it). If it is gone, try again in ${patience / 60_000} minutes.`,
  );
}

const held = new Set<RunLock>();

function releaseAll(): void {
  for (const lock of held) lock.release();
}

/**
 * A run's folder belongs to one process at a time. The file `lock` in it says to which; a lock whose process is gone (it
 * was killed, or its machine was switched off) is taken over. At the end of the process the lock is released.
 */
export class RunLock {
  readonly #folder: string;
  readonly #token = randomBytes(8).toString('hex');
  readonly #pulse: NodeJS.Timeout;
  #released = false;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#pulse = setInterval(() => this.#beat(), pulse).unref();
  }

  get #file(): string {
    return join(this.#folder, 'lock');
  }

  get #text(): string {
    return JSON.stringify({ ...thisProcess(), token: this.#token });
  }

  /**
   * Locks a run.
   * @throws GymError E_STATE when a living process has it (this one included), E_FILE when the folder cannot be written.
   */
  static take(folder: string): RunLock {
    const lock = new RunLock(folder);
    try {
      lock.#take();
    } catch (error) {
      clearInterval(lock.#pulse);
      throw error;
    }
    return lock.#hold();
  }

  /** Locks a run that is made under a temporary name. @param folder the name that it will have. */
  static prepare(temporary: string, folder: string): RunLock {
    const lock = new RunLock(folder);
    writeFileSync(join(temporary, 'lock'), lock.#text);
    return lock.#hold();
  }

  /** Whether a living process has locked the run. */
  static isHeld(folder: string): boolean {
    const found = find(join(folder, 'lock'));
    return found !== undefined && isHeld(found);
  }

  /**
   * Makes sure that the lock is still this process's own.
   * @throws GymError E_STATE when it was released, or another process has taken it over.
   */
  check(): void {
    if (this.#released)
      throw new GymError(
        'E_STATE',
        `run ${this.#folder}: it was given back; open it by RunFolder.resume to write to it.`,
      );
    const found = find(this.#file);
    if (found?.text === this.#text) return;
    if (found === undefined) this.#take();
    else
      throw new GymError(
        'E_STATE',
        `run ${this.#folder}: another process has taken it over; this one stops, so that they do not write over each other.`,
      );
  }

  /** Gives the run back. May be called again. */
  release(): void {
    this.#released = true;
    clearInterval(this.#pulse);
    held.delete(this);
    try {
      if (find(this.#file)?.text === this.#text) rmSync(this.#file);
    } catch {
      // A lock that stays behind is taken over by the next process.
    }
  }

  #hold(): this {
    if (held.size === 0) process.off('exit', releaseAll).on('exit', releaseAll);
    held.add(this);
    return this;
  }

  #take(): void {
    for (;;) {
      try {
        writeFileSync(this.#file, this.#text, { flag: 'wx' });
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fileError('cannot lock', this.#folder, error);
      }
      const found = find(this.#file);
      if (found === undefined) continue;
      if (isHeld(found)) throw refusal(this.#folder, found);
      this.#bury(found);
    }
  }

  /** Takes a dead process's lock away. What was locked by another process meanwhile is put back. */
  #bury({ text }: Found): void {
    const grave = join(this.#folder, `.lock.${process.pid}.${randomBytes(4).toString('hex')}.tmp`);
    try {
      renameSync(this.#file, grave);
      if (readFileSync(grave, 'utf8') !== text) linkSync(grave, this.#file);
    } catch (error) {
      // Another process was faster; what it has made is looked at next.
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT' && code !== 'EEXIST') throw fileError('cannot lock', this.#folder, error);
    } finally {
      rmSync(grave, { force: true });
    }
  }

  #beat(): void {
    try {
      const now = new Date();
      utimesSync(this.#file, now, now);
    } catch {
      // The next check of the lock says what is wrong.
    }
  }
}
