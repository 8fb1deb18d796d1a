import type { VectorEnv, VectorResetOptions, VectorResetResult, VectorStepResult } from '../../envs/vector-env.js';
import type { Report } from '../findings.js';
import { copied, show } from '../values.js';
import { type ActionChoice, Driver, type Part } from './driver.js';

interface Vector {
  readonly env: VectorEnv<unknown, unknown>;
  readonly action: readonly unknown[];
  readonly options: VectorResetOptions;
  readonly reset: VectorResetResult<unknown>;
  readonly step: VectorStepResult<unknown>;
}

/** The first end of an episode: the step in which it came, and all actions up to it. */
export interface End {
  readonly result: VectorStepResult<unknown>;
  readonly actions: (readonly unknown[])[];
}

/** Drives a vector environment. */
export class VectorDriver extends Driver<Vector> {
  static readonly drives = 'a VectorEnv';
  readonly keys = {
    observation: 'observations',
    reward: 'rewards',
    terminated: 'terminated',
    truncated: 'truncated',
    info: 'infos',
  } as const;
  readonly words = { another: 'other episodes', same: 'the same observations', action: 'actions' } as const;
  readonly flag = {
    is: (value: unknown) => value === 0 || value === 1,
    what: 'it must be 0 or 1',
    todo: 'write 1 for an end',
  };

  constructor(env: VectorEnv<unknown, unknown>, report: Report, choose: ActionChoice<unknown>) {
    super(env, report, choose);
    needVector(report, env);
  }

  get size(): number {
    return this.env.numEnvs;
  }

  /** Whether all episodes begin and end together, so that none can be reset alone. */
  get lockstep(): boolean {
    return this.env.horizon !== undefined && this.env.autoreset === 'disabled';
  }

  action(): unknown[] {
    return Array.from({ length: this.size }, (_, i) => this.choose(i));
  }

  mustReset(result: VectorStepResult<unknown>): boolean {
    return this.env.autoreset === 'disabled' && ended(result).includes(1);
  }

  resetEnded(result: VectorStepResult<unknown>): Promise<VectorResetResult<unknown>> {
    return this.reset(this.lockstep ? undefined : { mask: ended(result) });
  }

  resetOptions(): VectorResetOptions[] {
    if (this.lockstep) return [{ seed: 1, options: {} }];
    const seed = Array.from({ length: this.size }, (_, i) => i);
    return [
      { seed, options: {} },
      { options: {}, mask: new Uint8Array(this.size).fill(1) },
    ];
  }

  stepName(step: number, reset: 'first' | 'second'): string {
    return `step ${step} after the ${reset} reset`;
  }

  part(result: object, part: Part, i: number): { name: string; value: unknown } {
    const key = this.keys[part];
    return { name: `${key}[${i}]`, value: (result as Partial<VectorStepResult<unknown>>)[key]?.[i] };
  }

  async pictures(): Promise<[string, unknown][]> {
    const list: unknown = await this.report.attempt('render()', () => this.env.render!());
    if (!Array.isArray(list) || list.length !== this.size)
      this.report.fail(
        'render()',
        `it must be a list of ${this.size} pictures or texts`,
        show(list),
        'return one an environment',
      );
    return list.map((picture, i) => [`render()[${i}]`, picture]);
  }

  protected override accept(where: string, result: unknown, parts: readonly Part[]): object {
    const types = {
      observation: Array,
      reward: Float64Array,
      terminated: Uint8Array,
      truncated: Uint8Array,
      info: Array,
    };
    const accepted = super.accept(where, result, parts);
    for (const part of parts) {
      const [key, type] = [this.keys[part], types[part]];
      const list = (accepted as Record<string, unknown>)[key];
      const form = `${type === Array ? 'a list' : `a ${type.name}`} of ${this.size}, one entry an environment`;
      if (!(list instanceof type) || list.length !== this.size)
        this.report.fail(`${where}: ${key}`, `it must be ${form}`, show(list), `return ${form}`);
    }
    return accepted;
  }

  /** Steps on until an episode ends; undefined where none does. `look` is shown each step. */
  async untilEnd(maxSteps: number, look: (result: VectorStepResult<unknown>, step: number) => void = () => {}) {
    const actions: unknown[][] = [];
    for (let t = 1; t <= maxSteps; t++) {
      actions.push(this.action());
      const result = await this.step(copied(actions.at(-1)!));
      look(result, t);
      if (ended(result).includes(1)) return { result, actions };
    }
    return undefined;
  }
}

/** 1 for each environment whose episode ended in this step. */
export function ended({ terminated, truncated }: VectorStepResult<unknown>): Uint8Array {
  return terminated.map((flag, i) => (flag || truncated[i] ? 1 : 0));
}

/** Fails the check unless a vector environment says what kind of one it is. */
function needVector(report: Report, { numEnvs, autoreset, horizon }: VectorEnv<unknown, unknown>): void {
  if (!(Number.isInteger(numEnvs) && numEnvs >= 1))
    report.fail('numEnvs', 'it must be an integer of at least 1', show(numEnvs), 'say how many environments there are');
  if (!['next-step', 'same-step', 'disabled'].includes(autoreset))
    report.fail(
      'autoreset',
      "it must be 'next-step', 'same-step' or 'disabled'",
      show(autoreset),
      'say when a finished environment is reset',
    );
  if (horizon !== undefined && !(Number.isInteger(horizon) && horizon >= 1))
    report.fail(
      'horizon',
      'it must be an integer of at least 1, or absent',
      show(horizon),
      'leave it out where episodes differ in length',
    );
}
