import type { loggerNames } from '../loggers/names.js';

/** The options of every run, validated. Those of its family stand beside them, as the family's schema says. */
export interface RunConfig {
  readonly name: string;
  readonly runs: string;
  readonly env: string;
  readonly numEnvs: number;
  readonly epochs: number;
  /** Absent: `epochs`. The record of a run says it in any case. */
  readonly scheduleEpochs?: number | undefined;
  readonly seed: number;
  readonly backend: 'auto' | 'native' | 'wasm' | 'cpu';
  readonly checkpointEvery: number;
  readonly keepCheckpoints: number;
  readonly keepBest: 'none' | 'eval/mean' | 'reward/mean' | 'reward/rolling';
  readonly stopAtReward?: number | 'auto' | undefined;
  readonly patience: number;
  /** Files of the user's own. */
  readonly callbacks: readonly string[];
  readonly loggers: readonly (typeof loggerNames)[number][];
  readonly trackio: { readonly url: string; readonly project: string };
  /** The agent's name (or its file) and all its options. */
  readonly agent: { readonly name: string; readonly [option: string]: unknown };
  readonly evaluation: EvaluationConfig;
  readonly [option: string]: unknown;
}

export interface EvaluationConfig {
  readonly samples: number;
  readonly every: number;
  readonly explore: boolean;
  readonly maxSteps: number;
  readonly [option: string]: unknown;
}

/** A configuration as a person writes it: everything is optional, and an agent may be just its name. */
export type RunConfigInput = {
  readonly [K in keyof Omit<KnownOptions, 'agent' | 'evaluation' | 'trackio'>]?: KnownOptions[K] | undefined;
} & {
  readonly agent?: string | { readonly name?: string; readonly [option: string]: unknown } | undefined;
  readonly evaluation?: Partial<EvaluationConfig> | undefined;
  readonly trackio?: Partial<RunConfig['trackio']> | undefined;
  /** Options of the family. */
  readonly [option: string]: unknown;
};

type KnownOptions = {
  [K in keyof RunConfig as string extends K ? never : K]: RunConfig[K];
};
