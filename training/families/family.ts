import type * as z from 'zod';
import type { Agent } from '../../agents/agent.js';
import type { AgentDescription } from '../../agents/define.js';
import type { PolicyKind } from '../../agents/policy.js';
import type { NdArray } from '../../core/ndarray.js';
import type { RewardLike } from '../../core/reward.js';
import type { Awaitable, Metrics } from '../../core/types.js';
import type { PromptSource } from '../../envs/denoising/prompts.js';
import type { Env } from '../../envs/env.js';
import type { VectorEnv } from '../../envs/vector-env.js';
import type { RunConfig } from '../config/run-config.js';
import type { Figure } from '../figures.js';
import type { Html } from '../report-html.js';
import type { Callback } from '../train.js';
import type { WatchParts } from '../watch/callback.js';

/** The parts of a run. A run knows nothing of what its observations and actions are. */
export interface Composition {
  readonly agent: Agent<unknown, unknown>;
  /** One, or several alike so that scoring overlaps with sampling. */
  readonly envs: readonly VectorEnv<unknown, unknown>[];
  /** For evaluation alone. */
  readonly evaluationEnvs: readonly VectorEnv<unknown, unknown>[];
  /** What the policy computes on, where that is not tensors of the backend alone: a line for people. */
  readonly engine?: string | undefined;
  /** Latents to images, where there are any. */
  readonly decode?: (latents: NdArray<Float32Array>) => Awaitable<NdArray>;
  /** How many pictures an evaluation keeps, where episodes end in one. */
  readonly pictures?: number;
  /** What a watch over over-optimisation needs, where the configuration asks for one. */
  readonly watch?: WatchParts<unknown, unknown> | undefined;
  /** What the family does beside the loop: pictures of its own, say. */
  readonly callbacks?: readonly Callback<unknown, unknown>[];
  /**
   * Writes what is trained with the agent's present weights, where it is a network: a diffusion model in the layout of
   * diffusers, the policy of a small network as `loadPolicy` reads it.
   * @returns for a diffusion model what is needed to sample it in Python: lines of code.
   */
  saveModel?(folder: string): Promise<string | undefined>;
  /** Writes the LoRA that the agent trains, as diffusers' `load_lora_weights` reads it, where it trains one. */
  saveAdapter?(path: string): Promise<void>;
  /** Frees networks and environments. */
  close(): Promise<void>;
}

/** What a program hands in beside the configuration. */
export interface ComposeOptions {
  /** Instead of the agent that the configuration names. */
  readonly agent?: AgentDescription | undefined;
  /** Makes an environment of one's own, instead of the one that the configuration names: a single one, or a vector of that many. */
  readonly env?: ((numEnvs: number) => Awaitable<Env<unknown, unknown> | VectorEnv<unknown, unknown>>) | undefined;
  /** Instead of the reward that the configuration names. */
  readonly reward?: RewardLike | undefined;
  /** Instead of what the configuration says of prompts. */
  readonly prompts?: PromptSource | undefined;
  /** Whether the way to the pictures is to be shown also where each step of it has to be decoded. Default: only where not. */
  readonly animation?: boolean | undefined;
  /** Told what looks wrong, and what to do about it. */
  readonly warn?: ((message: string) => void) | undefined;
  /** Aborted when the run is to stop: what the environments wait for is given up at once. */
  readonly signal?: AbortSignal | undefined;
}

/** What a family is told of a run that is reported. */
export interface ReportedRun {
  /** The run's folder. */
  readonly path: string;
  readonly agent: { readonly name: string };
  /** One entry for each finished epoch. */
  readonly metrics: readonly Metrics[];
  /** The run of another agent that stands beside this one, where the configuration names a rival and it has begun. */
  readonly rival: { readonly path: string; readonly agent: string; readonly metrics: readonly Metrics[] } | undefined;
}

/** What a family shows of a run. */
export interface FamilyReport {
  /** What came of it, in a sentence or two, after the words of the headline. */
  readonly outcome: Html;
  /** The curves that stand first. */
  readonly figure: Figure;
  /** More, below it. */
  readonly sections: readonly Html[];
}

/** The words of a family in reports and progress lines. */
export interface FamilyWords {
  /** What finished episodes are called: 'samples', 'episodes'. */
  readonly episodes: string;
  /** What evaluations are made on: 'fixed prompts and noises'. */
  readonly fixed: string;
  /** What the two pictures of a pair have in common. */
  readonly pairs: string;
  /**
   * Metrics that are shown as the curves of one figure: those whose key begins so, each named by the rest. `term/` begins those
   * of the last step's `info.rewardTerms`, which are otherwise shown as the terms of the reward.
   */
  readonly groups?: readonly {
    readonly prefix: string;
    readonly title: string;
    readonly unit: string;
    readonly about: string;
  }[];
  /** What the run does, as a sentence about its agent; strong words are wrapped in `**`. */
  headline(config: RunConfig): string;
}

/**
 * A family of environments as training sees it: its options, its defaults, how a run of it is put together, and the words
 * of its report. One file each; reading it loads nothing heavy, which `compose` imports.
 */
export interface Family {
  readonly name: string;
  /** Heading of its options in `--help`. */
  readonly title: string;
  /** Whether it trains the environments of this id. */
  owns(env: string): boolean;
  /** Which of an agent's defaults suit it. */
  readonly policyKind: PolicyKind;
  /** Its own options beside those that every run has; a field with the name `evaluation` adds to the common one. */
  readonly options: z.ZodRawShape;
  /** Values for options of every run that differ from the common defaults; `evaluation` is merged. */
  readonly defaults: Readonly<Record<string, unknown>>;
  /**
   * An option of the run that stands for one of the agent's: the agent's default follows from it. Given where the agent's
   * own option is given too, or to an agent that has no such option, it is an error.
   */
  readonly shorthand?: {
    readonly option: string;
    readonly agentOption: string;
    /** The agent's option, from the value of the run's. */
    of(value: unknown): unknown;
  };
  /**
   * How many epochs a run has, where an option of the family says how long it is in another unit.
   * @param config with all options of the agent.
   * @returns undefined where it says nothing; a text that says why the number cannot be known.
   */
  epochsOf?(config: RunConfig): number | string | undefined;
  /** What no single field can know: a line for each problem. */
  check?(config: RunConfig): string[];
  /** What tells runs apart beside environment and agent; part of a run's default name. */
  nameOf?(config: RunConfig): string;
  readonly words: FamilyWords;
  /**
   * What stands first in the report of a run of this family, from its folder. Default: the reward.
   * @returns undefined where there is nothing to show yet.
   */
  report?(run: ReportedRun): Promise<FamilyReport | undefined>;
  /**
   * The files that a run reads beside its configuration, and whose contents its numbers follow from: by a name for people,
   * the path. What is resumed, evaluated or exported is compared with them.
   */
  inputs?(config: RunConfig): Promise<Readonly<Record<string, string>>>;
  /** A copy of a run's agent alone, for a worker that computes units of its work. The backend must be ready. */
  replica?(config: RunConfig): Promise<{ readonly agent: Agent<unknown, unknown> }>;
  /** Puts a run together. The backend must be ready. */
  compose(config: RunConfig, options: ComposeOptions): Promise<Composition>;
}
