import { type ChildProcess, spawn } from 'node:child_process';
import { build } from './build.js';

/** How a command ended. */
export interface Ended {
  /** The exit status; null after a signal. */
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** A command that goes on. */
export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Until a text stands on stderr, or the command has ended. */
  said(text: string): Promise<void>;
}

/** The command line, compiled once into a folder, on wasm. */
export class CommandLine {
  readonly #program: string;

  private constructor(program: string) {
    this.#program = program;
  }

  static async in(folder: string): Promise<CommandLine> {
    return new CommandLine(await build(folder));
  }

  start(...args: string[]): Running {
    const env = { ...process.env, DENOISE_GYM_BACKEND: 'wasm' };
    const child = spawn(process.execPath, [this.#program, ...args], { env });
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code, out, err })));
    const said = (text: string) =>
      new Promise<void>((resolve) => {
        const look = () => err.includes(text) && resolve();
        child.stderr.on('data', look);
        child.once('close', () => resolve());
        look();
      });
    return { child, ended, said };
  }

  /** Runs a command until it ends. */
  run(...args: string[]): Promise<Ended> {
    return this.start(...args).ended;
  }
}
