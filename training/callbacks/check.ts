import { shownName } from '../../core/shown.js';
import { isModulePath } from '../../core/user-module.js';
import type { RunConfig } from '../config/run-config.js';

/** A line for each callback that is no file, and for each option that asks for evaluations during training without any. */
export function callbackProblems({
  evaluation: { samples, every },
  keepBest,
  patience,
  callbacks,
}: RunConfig): string[] {
  const noFiles = [...callbacks.entries()].filter(([, file]) => !isModulePath(file));
  const problems = noFiles.map(
    ([i, file]) =>
      `callbacks.${i}: must be the path of a file, such as ./my-callback.ts, actual value ${JSON.stringify(shownName(file))}.`,
  );
  if (samples > 0 && every > 0) return problems;
  const lacks = `needs evaluations during training: set evaluation.every${samples > 0 ? '' : ' and evaluation.samples'} to 1 or more`;
  return [
    ...problems,
    ...(keepBest === 'eval/mean' ? [`keepBest: eval/mean ${lacks}, or choose reward/rolling.`] : []),
    ...(patience > 0 ? [`patience: ${lacks}.`] : []),
  ];
}
