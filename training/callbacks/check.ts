import type { RunConfig } from '../config/run-config.js';

/** A line for each option that asks for evaluations during training where there are none. */
export function callbackProblems({ evaluation: { samples, every }, keepBest, patience }: RunConfig): string[] {
  if (samples > 0 && every > 0) return [];
  const lacks = `needs evaluations during training: set evaluation.every${samples > 0 ? '' : ' and evaluation.samples'} to 1 or more`;
  return [
    ...(keepBest === 'eval/mean' ? [`keepBest: eval/mean ${lacks}, or choose reward/rolling.`] : []),
    ...(patience > 0 ? [`patience: ${lacks}.`] : []),
  ];
}
