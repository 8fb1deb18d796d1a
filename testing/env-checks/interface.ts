import { checkSpaces } from '../spaces.js';
import { show } from '../values.js';
import type { EnvCheck } from './trial.js';

/** Whatever is there besides spaces, `reset` and `step` (without which no check runs) is what it should be. */
export const interfaceCheck: EnvCheck = {
  name: 'interface',
  title: 'has two spaces, reset and step, and what else it has is of the right kind',
  async run({ driver: { env }, report }) {
    const parts = env as unknown as Record<string, unknown>;
    const spec = parts.spec as { id?: unknown } | null | undefined;
    if (spec !== undefined && typeof spec?.id !== 'string')
      report.error('spec', 'it must be absent, or have an `id`', show(spec), 'leave `spec` to make(), which sets it');
    if (typeof parts.seed === 'function')
      report.warning('seed', 'it is a method of Gym before 0.26', 'seed()', 'take the seed in reset({ seed })');
    for (const name of ['render', 'snapshot', 'restore', 'close'])
      if (parts[name] !== undefined && typeof parts[name] !== 'function')
        report.error(name, 'it must be a method or absent', show(parts[name]), `implement ${name}(), or leave it out`);
    for (const [one, other] of [
      ['snapshot', 'restore'],
      ['restore', 'snapshot'],
    ] as const)
      if (typeof parts[one] === 'function' && parts[other] === undefined)
        report.error(one, `it is there and ${other}() is not`, `no ${other}()`, 'implement both or neither');
  },
};

export const spacesCheck: EnvCheck = {
  name: 'spaces',
  title: 'has spaces whose samples are elements and whose bounds make sense',
  async run({ driver: { env }, report }) {
    await checkSpaces(report, env);
  },
};

export const closeCheck: EnvCheck = {
  name: 'close',
  title: 'may be closed twice',
  async run({ driver: { env }, report }) {
    if (!env.close) return;
    await report.attempt('close()', () => env.close!());
    await report.attempt('the second close()', () => env.close!());
  },
};
