import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { GymError } from '../../core/errors.js';

export type Work = 'sampling' | 'training' | 'epoch' | 'ddpo-epoch';

const program = fileURLToPath(new URL('bench.py', import.meta.url));

/** The program in PyTorch, which does one piece of work after the other and waits in between. */
export class PythonBench {
  readonly version: string;
  /** How many steps of a chain have a σ above 0. */
  readonly trainedSteps: number;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  readonly #errors: () => string;

  private constructor(
    child: ChildProcessWithoutNullStreams,
    answers: AsyncIterator<string>,
    errors: () => string,
    { torch, trainedSteps }: { torch: string; trainedSteps: number },
  ) {
    this.version = torch;
    this.trainedSteps = trainedSteps;
    this.#child = child;
    this.#answers = answers;
    this.#errors = errors;
  }

  /** @throws GymError E_STATE where that Python does not run, or lacks what requirements.txt names. */
  static async start(python: string, { model, steps }: { model: string; steps: number }): Promise<PythonBench> {
    const child = spawn(python, [program, '--model', model, '--steps', String(steps)]);
    let printed = '';
    child.stderr.on('data', (data) => {
      printed += data;
    });
    child.on('error', (error) => {
      printed += error.message;
    });
    // A program that has ended is told of by its missing answer.
    child.stdin.on('error', () => {});
    const lines: Interface = createInterface({ input: child.stdout });
    const answers = lines[Symbol.asyncIterator]();
    const errors = () => printed.trim().split('\n').slice(-3).join('\n');
    return new PythonBench(child, answers, errors, await answer(answers, errors));
  }

  /** Has one piece of work done. */
  async run(request: { work: Work; batch: number; threads: number }): Promise<{ seconds: number; cpu: number }> {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    return await answer(this.#answers, this.#errors);
  }

  close(): void {
    this.#child.stdin.end();
  }
}

async function answer<T>(answers: AsyncIterator<string>, errors: () => string): Promise<T> {
  const { done, value } = await answers.next();
  if (done)
    throw new GymError(
      'E_STATE',
      `compare: ${program} has ended: ${errors()}\nInstall what benchmarks/pytorch/requirements.txt names, and give that Python by --python.`,
    );
  return JSON.parse(value) as T;
}
