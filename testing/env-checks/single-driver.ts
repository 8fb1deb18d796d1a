import type { Env, ResetOptions, ResetResult, StepResult } from '../../envs/env.js';
import { Driver, type Part } from './driver.js';

interface Single {
  readonly env: Env<unknown, unknown>;
  readonly action: unknown;
  readonly options: ResetOptions;
  readonly reset: ResetResult<unknown>;
  readonly step: StepResult<unknown>;
}

/** Drives a single environment. */
export class SingleDriver extends Driver<Single> {
  static readonly drives = 'an Env';
  readonly keys = {
    observation: 'observation',
    reward: 'reward',
    terminated: 'terminated',
    truncated: 'truncated',
    info: 'info',
  } as const;
  readonly words = { another: 'another episode', same: 'the same episode', action: 'action' } as const;
  readonly flag = {
    is: (value: unknown) => typeof value === 'boolean',
    what: 'it must be true or false',
    todo: 'return a boolean',
  };
  readonly size = 1;

  action(): unknown {
    return this.choose(0);
  }

  mustReset({ terminated, truncated }: StepResult<unknown>): boolean {
    return terminated || truncated;
  }

  resetEnded(): Promise<ResetResult<unknown>> {
    return this.reset();
  }

  resetOptions(): ResetOptions[] {
    return [{ seed: 1, options: {} }];
  }

  stepName(step: number, reset: 'first' | 'second'): string {
    return `step ${step} of the ${reset} episode`;
  }

  part(result: object, part: Part): { name: string; value: unknown } {
    return { name: part, value: (result as Partial<StepResult<unknown>>)[part] };
  }

  async pictures(): Promise<[string, unknown][]> {
    return [['render()', await this.report.attempt('render()', () => this.env.render!())]];
  }
}
