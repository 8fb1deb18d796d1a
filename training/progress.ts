import { MultiBar, type SingleBar } from 'cli-progress';
import type { MetricDescription } from '../agents/define.js';
import type { Metrics } from '../core/types.js';
import type { FamilyWords } from './families/family.js';
import type { TrainEvent, TrainProgress } from './train.js';

/** Whole numbers as they are, others to 3 significant digits; `–` where there is none. */
export function number(value: number | undefined): string {
  if (value === undefined) return '–';
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return String(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return size >= 1000 ? value.toFixed(0) : value.toPrecision(3);
}

/** Seconds as `4 s`, `2 min 05 s`, `1 h 20 min`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–';
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, '0')} s`;
  return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, '0')} min`;
}

/** What a progress line has to know of the run. Without it the line says nothing of the agent, and episodes are called so. */
export interface ProgressOptions {
  /** What the agent says of the metrics that it logs. Those with a `progress` appear in the line. */
  readonly metrics?: Readonly<Record<string, MetricDescription>> | undefined;
  /** What the family calls finished episodes. */
  readonly words?: Pick<FamilyWords, 'episodes'> | undefined;
}

/** What the line of an epoch says beside the epoch's own metrics. */
export interface EpochLineOptions extends ProgressOptions {
  /** How many episodes ended in the epoch. */
  readonly finished?: number | undefined;
  /** How many environment steps were made in the epoch; they give the rate where no episode ended. */
  readonly steps?: number | undefined;
  /** The metrics of the last epoch in which episodes ended. Their reward is shown where none ended in this one. */
  readonly rewarded?: Readonly<Metrics> | undefined;
  /** Seconds until the run is finished. */
  readonly left?: number | undefined;
}

/** The reward of an epoch; where no episode ended in it, that of the last epoch that had one, marked as such. */
function rewardText(metrics: Readonly<Metrics>, rewarded: Readonly<Metrics> | undefined): string {
  const shown = metrics['reward/mean'] === undefined ? rewarded : metrics;
  // The count of a resumed run includes episodes of epochs that this process has not seen.
  if (shown === undefined)
    return (metrics.episodes ?? 0) > 0 ? 'no episode ended in this epoch' : 'no episode has ended yet';
  const text = `reward ${number(shown['reward/mean'])} ± ${number(shown['reward/std'])}`;
  return shown === metrics ? text : `${text} (epoch ${shown.epoch})`;
}

function rateText(metrics: Readonly<Metrics>, { words, finished, steps }: EpochLineOptions): string[] {
  const seconds = metrics['time/epoch'];
  if (seconds === undefined) return [];
  if (finished) return [`${number(finished / seconds)} ${words?.episodes ?? 'episodes'}/s`];
  return steps === undefined ? [] : [`${number(steps / seconds)} steps/s`];
}

/** What the agent wants to have shown of its metrics. */
function agentTexts(metrics: Readonly<Metrics>, descriptions: ProgressOptions['metrics'] = {}): string[] {
  return Object.entries(descriptions).flatMap(([key, { progress }]) => {
    const value = metrics[key];
    if (progress === undefined || value === undefined) return [];
    return [`${progress.label} ${progress.share ? `${(100 * value).toFixed(0)} %` : number(value)}`];
  });
}

/** One line for an epoch: reward, what the agent wants to have shown, evaluation, rate, time, and time left. */
export function epochLine(
  epoch: number,
  epochs: number,
  metrics: Readonly<Metrics>,
  options: EpochLineOptions = {},
): string {
  return [
    `epoch ${String(epoch).padStart(String(epochs).length)}/${epochs}`,
    rewardText(metrics, options.rewarded),
    ...agentTexts(metrics, options.metrics),
    ...(metrics['eval/mean'] === undefined ? [] : [`evaluation ${number(metrics['eval/mean'])}`]),
    ...(metrics['watch/guard'] === undefined ? [] : [`guard ${number(metrics['watch/guard'])}`]),
    ...rateText(metrics, options),
    `${number(metrics['time/epoch'])} s`,
    ...(options.left === undefined || epoch >= epochs ? [] : [`${duration(options.left)} left`]),
  ].join(' · ');
}

/**
 * A run's mean reward in the first and in the last of the epochs in which episodes ended, as one line.
 * @returns undefined where no epoch has ended.
 */
export function rewardSummary(metrics: readonly Readonly<Metrics>[]): string | undefined {
  if (metrics.length === 0) return undefined;
  const rewarded = metrics.filter((m) => m['reward/mean'] !== undefined);
  const [first, last] = [rewarded[0], rewarded.at(-1)];
  if (first === undefined || last === undefined) return 'mean reward: unknown, no episode has ended yet';
  const value = (m: Readonly<Metrics>) => number(m['reward/mean']);
  const start = 'mean reward:';
  if (metrics.length === 1) return `${start} ${value(first)}`;
  if (first === last) return `${start} ${value(first)} in epoch ${first.epoch}, the only one in which episodes ended`;
  const where = (m: Readonly<Metrics>, end: Readonly<Metrics> | undefined, word: string) =>
    m === end ? `in the ${word} epoch` : `in epoch ${m.epoch}, the ${word} in which episodes ended`;
  return `${start} ${value(first)} ${where(first, metrics[0], 'first')}, ${value(last)} ${where(last, metrics.at(-1), 'last')}`;
}

/** Follows the epochs of a run, to say of each one what its own metrics do not hold. */
class Pace {
  #seconds = 0;
  #epochs = 0;
  /** How many environment steps had been made before the epoch that comes; unknown after a resume. */
  #envSteps: number | undefined;
  #rewarded: Readonly<Metrics> | undefined;

  start(epoch: number): void {
    this.#envSteps = epoch === 0 ? 0 : undefined;
  }

  note({ epoch, epochs, metrics, episodes }: TrainEvent & { type: 'epoch' }): EpochLineOptions {
    this.#seconds += metrics['time/epoch'] ?? 0;
    this.#epochs++;
    const { envSteps } = metrics;
    const steps = envSteps === undefined || this.#envSteps === undefined ? undefined : envSteps - this.#envSteps;
    this.#envSteps = envSteps;
    const rewarded = this.#rewarded;
    if (metrics['reward/mean'] !== undefined) this.#rewarded = metrics;
    return { finished: episodes.length, steps, rewarded, left: (this.#seconds / this.#epochs) * (epochs - epoch) };
  }
}

/** A listener that shows how a run, or an evaluation without one, goes. */
export interface ProgressReporter {
  onEvent(event: TrainEvent): void;
  onProgress(progress: TrainProgress): void;
  /** Prints a line without breaking the bar. */
  say(message: string): void;
  close(): void;
}

/**
 * Shows the progress of a run: on a terminal a bar with reward, time left, what is going on, what the agent wants to have
 * shown, and rate; elsewhere a line for each epoch, for what is going on outside of epochs, and for each half minute of
 * silence. Progress that no run has announced (`onProgress` without a `start` event before) is that of an evaluation alone.
 * @param stream where to; default stderr, so that stdout keeps what is asked for.
 * @param options what the agent and the family say of themselves.
 */
export function progressReporter(
  stream: NodeJS.WriteStream = process.stderr,
  options: ProgressOptions = {},
): ProgressReporter {
  return stream.isTTY ? barReporter(stream, options) : lineReporter(stream, options);
}

function phaseText({ phase, done, total }: TrainProgress): string {
  return total > 0 ? `${phase} ${percent(done, total)}` : phase;
}

function percent(done: number, total: number): string {
  return `${Math.round((100 * done) / total)} %`;
}

/** Milliseconds after which a log without a new line leaves its reader in doubt. */
const silence = 30_000;

function lineReporter(stream: NodeJS.WriteStream, options: ProgressOptions): ProgressReporter {
  const pace = new Pace();
  /** Finished epochs; without a run, whatever goes on is outside of epochs. */
  let finished = Number.POSITIVE_INFINITY;
  let phase: string | undefined;
  let written = performance.now();
  const write = (line: string) => {
    stream.write(`${line}\n`);
    written = performance.now();
  };
  return {
    onEvent: (event) => {
      if (event.type === 'start') pace.start(event.epoch);
      if (event.type === 'start' || event.type === 'epoch') finished = event.epoch;
      if (event.type === 'epoch')
        write(epochLine(event.epoch, event.epochs, event.metrics, { ...options, ...pace.note(event) }));
    },
    onProgress: (progress) => {
      const outside = progress.epoch <= finished;
      const begins = outside && progress.phase !== phase;
      phase = progress.phase;
      if (begins) write(phase);
      else if (performance.now() - written >= silence)
        write(`${outside ? '' : `epoch ${progress.epoch}/${progress.epochs} · `}${phaseText(progress)}`);
    },
    say: write,
    close: () => {},
  };
}

function barReporter(stream: NodeJS.WriteStream, options: ProgressOptions): ProgressReporter {
  const bars = new MultiBar({
    stream,
    hideCursor: true,
    clearOnComplete: false,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: Math.max(8, Math.min(24, (stream.columns ?? 80) - 96)),
    fps: 8,
    forceRedraw: true,
    format: '{title} {bar} {status}',
  });
  const pace = new Pace();
  let bar: SingleBar | undefined;
  /** Whether the bar counts the epochs of a run; else it is that of an evaluation alone. */
  let running = false;
  /** What the last epoch said; a narrow terminal cuts off the end, so what matters most comes first. */
  let [before, after]: [string[], string[]] = [[], []];
  /** Of the latest look of the watch. */
  let guard: string[] = [];
  let lastPhase: string | undefined;
  const titleOf = ({ epoch, epochs }: TrainEvent & { type: 'start' | 'epoch' }) => `epoch ${epoch}/${epochs}`;
  const statusOf = (phase: string) => [...before, phase, ...after].join(' · ');
  const stop = () => {
    if (bar === undefined) return;
    // `stop` drops the lines that were said since the last drawing.
    bars.update();
    bars.stop();
    bar = undefined;
    process.off('exit', stop);
  };
  const create = (total: number, value: number, title: string, status: string) => {
    // A second Ctrl-C ends the process at once, and would leave the terminal without a cursor.
    process.once('exit', stop);
    bar = bars.create(total, value, { title, status });
  };
  return {
    onEvent: (event) => {
      if (event.type === 'start') {
        running = true;
        pace.start(event.epoch);
        create(event.epochs, event.epoch, titleOf(event), 'starting');
      } else if (event.type === 'epoch') {
        const facts = { ...options, ...pace.note(event) };
        before = [rewardText(event.metrics, facts.rewarded)];
        if (event.epoch < event.epochs) before.push(`${duration(facts.left!)} left`);
        if (event.metrics['watch/guard'] !== undefined) guard = [`guard ${number(event.metrics['watch/guard'])}`];
        after = [...guard, ...agentTexts(event.metrics, options.metrics), ...rateText(event.metrics, facts)];
        bar?.update(event.epoch, {
          title: titleOf(event),
          status: statusOf(event.epoch < event.epochs ? 'next epoch' : 'finished'),
        });
      } else if (event.type === 'end') {
        bar?.update({ status: statusOf(event.reason) });
        stop();
      }
    },
    onProgress: (progress) => {
      const { phase, done, total } = progress;
      if (running) bar?.update({ status: statusOf(phaseText(progress)) });
      else {
        if (bar === undefined) create(1, 0, phase, '');
        bar!.setTotal(Math.max(1, total));
        bar!.update(done, { title: phase, status: total > 0 ? percent(done, total) : '' });
      }
      // Learning may keep the thread from the bar's timer.
      if (bar && phase !== lastPhase) bars.update();
      lastPhase = phase;
    },
    say: (message) => (bar ? bars.log(`${message}\n`) : void stream.write(`${message}\n`)),
    close: stop,
  };
}
