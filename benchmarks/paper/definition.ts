import type { BackendName } from '../../backend/index.js';
import type { Matrix } from '../../training/benchmark/matrix.js';
import type { RunOutcome } from '../../training/benchmark/results.js';
import type { Figure } from '../../training/figures.js';
import type { RunConfig } from '../../training/index.js';
import type { Finding } from './findings.js';

/** What one run of a paper's benchmark came to, and how it is made again. */
export interface PaperRun extends RunOutcome {
  /** The part that it belongs to. */
  readonly part: string;
  /** What does this run again. */
  readonly command: string;
  /** The commit of the sources that made it, if they were in a git checkout; `-dirty` where they differed from it. */
  readonly commit?: string | undefined;
  /** When it was started. */
  readonly started?: string | undefined;
  readonly backend?: string | undefined;
  /** Options beside the defaults, by dotted path. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Further numbers of a finished run, by the keys of {@link PaperBenchmark.measures}. */
  readonly measures: Readonly<Record<string, number>>;
  /** Numbers of a finished run epoch by epoch, for figures. */
  readonly byEpoch?: Readonly<Record<string, readonly number[]>> | undefined;
}

/** What `results.json` of a paper's benchmark holds. */
export interface PaperResults {
  readonly benchmark: string;
  /** The latest command that changed it. */
  readonly command: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly updated: string;
  /** What was made before the runs, where there is something: {@link Prepared.about}. */
  readonly prepared?: string | undefined;
  /** The algorithms in a part's grid of pictures, a row each below the one before training; runs that came later are not. */
  readonly pictures?: Readonly<Record<string, readonly string[]>>;
  readonly runs: readonly PaperRun[];
}

/** What all runs of a benchmark need and none of them makes: a model that judges, the server that it stands behind. */
export interface Prepared {
  /** Options of all runs that hold on this machine alone, by dotted path: folders, addresses. They are not recorded. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What was made, and numbers on it. Markdown: it is kept with the results, and stands on the page. */
  readonly about: string;
  /** Is called once the runs have ended. */
  close?(): Promise<void>;
}

/** Where and on what {@link PaperBenchmark.prepare} makes things. */
export interface PrepareOptions {
  /** A folder of its own that is not committed and stays: what lies there is not made again. */
  readonly folder: string;
  readonly backend?: BackendName | undefined;
  readonly say: (message: string) => void;
}

/** A part of a benchmark, which can be run alone (`--only`): runs that are compared with each other. */
export interface Part {
  readonly title: string;
  /** What is done, for the page. Markdown. */
  readonly about: string;
  /** What the score is, with its unit. */
  readonly score: string;
  /** All of them are run, each once a seed. Several, since agents differ in their options. */
  readonly matrices: readonly Omit<Matrix, 'seeds'>[];
  /**
   * Data that do not come with the package: what they are, and the options that name their folder. Without `--data FOLDER`
   * the part is left out, which is said.
   */
  readonly data?: { readonly what: string; readonly options: readonly string[] };
}

/** Further numbers of a run, by their keys. */
export interface Measure {
  readonly title: string;
  /** Significant digits in the table. Default 3. */
  readonly digits?: number;
}

/** A figure of the page. */
export interface NamedFigure extends Figure {
  /** Its file's name, without ending. */
  readonly file: string;
  readonly caption: string;
}

/** A picture of a part that is drawn out of the folder of one of its runs. */
export interface Drawing {
  /** Its file's name after that of the part, without ending. */
  readonly file: string;
  readonly title: string;
  readonly caption: string;
  /** The algorithm whose first run is drawn, as `algorithmOf` says it. */
  readonly algorithm: string;
  /** @returns SVG that stands alone. */
  draw(folder: string): Promise<string>;
}

/** A benchmark after a paper: matrices of runs by part, and what is found in them. It has no loop of its own. */
export interface PaperBenchmark {
  readonly name: string;
  readonly title: string;
  /** The paper, how the runs differ from its own, and how their settings were found. Markdown. */
  readonly about: string;
  /** Seeds of the committed part. */
  readonly seeds: readonly number[];
  readonly parts: Readonly<Record<string, Part>>;
  /** What stands in the table beside the score, in this order. */
  readonly measures: Readonly<Record<string, Measure>>;
  /** Makes what the runs need beside the package and data. Default: nothing. */
  prepare?(options: PrepareOptions): Promise<Prepared>;
  /** Takes the further numbers of a finished run out of its folder; asked once a run. Default: none. */
  measure?(folder: string, config: RunConfig): Promise<Record<string, number>>;
  /** Takes numbers epoch by epoch out of a finished run's folder, by name. Default: none. */
  byEpoch?(folder: string): Promise<Record<string, number[]>>;
  /** Figures of a part, beside the learning curves. Default: none. */
  figures?(part: string, runs: readonly PaperRun[]): NamedFigure[];
  /** Whether rewards change from epoch to epoch, so that learning curves of them say something. Default true. */
  readonly curves?: boolean;
  /** Pictures of each part that has the runs for them. Default: none. */
  readonly drawings?: readonly Drawing[];
  /** The paper's findings, tested on the finished runs. */
  findings(runs: readonly PaperRun[]): Finding[];
}
