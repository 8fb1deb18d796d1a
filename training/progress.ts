import { MultiBar, type SingleBar } from 'cli-progress';
import type { Metrics } from '../core/types.js';
import type { TrainEvent, TrainProgress } from './train.js';

/** Whole numbers as they are, others to 3 significant digits. */
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

/** A listener that shows how a run goes. */
export interface ProgressReporter {
  onEvent(event: TrainEvent): void;
  onProgress(progress: TrainProgress): void;
  /** Prints a line without breaking the bar. */
  say(message: string): void;
  close(): void;
}

/** One line for an epoch. */
export function epochLine(epoch: number, epochs: number, metrics: Readonly<Metrics>, left?: number): string {
  const parts = [
    `epoch ${String(epoch).padStart(String(epochs).length)}/${epochs}`,
    `reward ${number(metrics['reward/mean'])} ± ${number(metrics['reward/std'])}`,
  ];
  const rate = samplesPerSecond(metrics);
  if (metrics['train/clipFraction'] !== undefined)
    parts.push(`clipped ${(100 * metrics['train/clipFraction']).toFixed(0)} %`);
  if (metrics['eval/mean'] !== undefined) parts.push(`evaluation ${number(metrics['eval/mean'])}`);
  if (rate !== undefined) parts.push(`${number(rate)} samples/s`);
  parts.push(`${number(metrics['time/epoch'])} s`);
  if (left !== undefined && epoch < epochs) parts.push(`${duration(left)} left`);
  return parts.join(' · ');
}

function samplesPerSecond(metrics: Readonly<Metrics>): number | undefined {
  const { 'time/epoch': time, episodesInEpoch } = metrics;
  return time !== undefined && episodesInEpoch !== undefined ? episodesInEpoch / time : undefined;
}

/**
 * Shows a run's progress: a bar with rate, time left and mean reward on a terminal, one line an epoch elsewhere.
 * @param stream where to; default stderr, so that stdout keeps what is asked for.
 */
export function progressReporter(stream: NodeJS.WriteStream = process.stderr): ProgressReporter {
  let seconds = 0;
  let seen = 0;
  let rate: number | undefined;
  const left = (epoch: number, epochs: number) => (seconds / seen) * (epochs - epoch);
  const note = (event: TrainEvent & { type: 'epoch' }): Metrics => {
    const episodesInEpoch = event.episodes.length;
    const metrics: Metrics = { ...event.metrics, episodesInEpoch };
    rate = samplesPerSecond(metrics);
    seconds += metrics['time/epoch'] ?? 0;
    seen++;
    return metrics;
  };

  if (!stream.isTTY)
    return {
      onEvent: (event) => {
        if (event.type === 'epoch')
          stream.write(`${epochLine(event.epoch, event.epochs, note(event), left(event.epoch, event.epochs))}\n`);
      },
      onProgress: () => {},
      say: (message) => void stream.write(`${message}\n`),
      close: () => {},
    };

  const bars = new MultiBar({
    stream,
    hideCursor: true,
    clearOnComplete: false,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    fps: 8,
    forceRedraw: true,
    format: 'epoch {value}/{total} {bar} reward {reward} · {rate} samples/s · {left} left · {phase}',
  });
  let bar: SingleBar | undefined;
  let lastPhase: string | undefined;
  const idle = { reward: '–', rate: '–', left: '–', phase: 'starting' };
  // cli-progress prints the bar once more at each stop.
  const stop = () => {
    if (bar) bars.stop();
    bar = undefined;
  };
  return {
    onEvent: (event) => {
      if (event.type === 'start') bar = bars.create(event.epochs, event.epoch, idle);
      else if (event.type === 'epoch') {
        const metrics = note(event);
        bar?.update(event.epoch, {
          reward: `${number(metrics['reward/mean'])} ± ${number(metrics['reward/std'])}`,
          rate: number(rate),
          left: duration(left(event.epoch, event.epochs)),
          phase: event.epoch === event.epochs ? 'finished' : 'next epoch',
        });
      } else if (event.type === 'end') stop();
    },
    onProgress: ({ phase, done, total }) => {
      const what = { sample: 'sampling', learn: 'learning', callbacks: 'finishing the epoch' }[phase];
      bar?.update({ phase: total > 0 ? `${what} ${Math.round((100 * done) / total)} %` : what });
      // Learning may keep the thread from the bar's timer.
      if (bar && phase !== lastPhase) bars.update();
      lastPhase = phase;
    },
    say: (message) => (bar ? bars.log(`${message}\n`) : void stream.write(`${message}\n`)),
    close: stop,
  };
}
