import { join } from 'node:path';
import { KernelProfiler } from '../backend/index.js';
import { writeFileAtomic } from '../core/files.js';
import { rewardChannel } from '../core/score.js';
import type { TrainEvent, TrainProgress } from './train.js';

/** Where the time of one phase went. */
export interface PhaseCost {
  readonly phase: string;
  readonly seconds: number;
  /** Of these in kernels. The rest is JavaScript, files, and waiting. */
  readonly kernelSeconds: number;
  readonly kernels: readonly { readonly kernel: string; readonly calls: number; readonly seconds: number }[];
}

/** Where the time of a run went. */
export interface RunProfile {
  readonly seconds: number;
  readonly phases: readonly PhaseCost[];
  /** Of each reward: batches, and seconds from question to answer, which may overlap with sampling. */
  readonly rewards: readonly { readonly name: string; readonly batches: number; readonly seconds: number }[];
}

/**
 * Listens to a run and says where its time went: by phase, by kernel, and by reward. It sees the main thread alone, so a run
 * that is profiled should have no workers.
 */
export class RunProfiler {
  readonly #kernels = new KernelProfiler();
  readonly #phases = new Map<string, number>();
  readonly #rewards = new Map<string, { batches: number; seconds: number }>();
  #phase = 'setting up';
  #since = performance.now();
  readonly #onReward = (message: unknown) => {
    const { name, start, end } = message as { name: string; start: number; end: number };
    const cost = this.#rewards.get(name) ?? { batches: 0, seconds: 0 };
    cost.batches++;
    cost.seconds += (end - start) / 1000;
    this.#rewards.set(name, cost);
    this.#kernels.note(`reward ${name}`, start, end);
  };

  /** Begins. The backend must be ready. */
  start(): void {
    this.#kernels.enter(this.#phase);
    this.#kernels.start();
    rewardChannel.subscribe(this.#onReward);
  }

  onProgress({ phase }: TrainProgress): void {
    this.#enter(phase);
  }

  onEvent(event: TrainEvent): void {
    if (event.type === 'epoch' || event.type === 'checkpoint') this.#enter('saving');
  }

  /** Ends, and says where the time went. */
  stop(): RunProfile {
    this.#enter('end');
    this.#kernels.stop();
    rewardChannel.unsubscribe(this.#onReward);
    const costs = this.#kernels.costs();
    const phases = [...this.#phases].map(([phase, seconds]): PhaseCost => {
      const kernels = (costs.get(phase) ?? []).map(({ kernel, calls, milliseconds }) => ({
        kernel,
        calls,
        seconds: milliseconds / 1000,
      }));
      return { phase, seconds, kernelSeconds: kernels.reduce((sum, k) => sum + k.seconds, 0), kernels };
    });
    return {
      seconds: phases.reduce((sum, { seconds }) => sum + seconds, 0),
      phases: phases.sort((a, b) => b.seconds - a.seconds),
      rewards: [...this.#rewards].map(([name, cost]) => ({ name, ...cost })),
    };
  }

  /** Writes `profile.json` and `trace.json` (for chrome://tracing or Perfetto) into a folder. */
  async write(folder: string, profile: RunProfile): Promise<void> {
    await writeFileAtomic(join(folder, 'profile.json'), `${JSON.stringify(profile, null, 2)}\n`);
    await writeFileAtomic(join(folder, 'trace.json'), JSON.stringify(this.#kernels.trace()));
  }

  #enter(phase: string): void {
    const now = performance.now();
    if (phase === this.#phase) return;
    this.#phases.set(this.#phase, (this.#phases.get(this.#phase) ?? 0) + (now - this.#since) / 1000);
    this.#kernels.note(this.#phase, this.#since, now);
    this.#kernels.enter(phase);
    this.#phase = phase;
    this.#since = now;
  }
}

/** A profile as lines of text: phases, and under each its dearest kernels. */
export function profileText({ seconds, phases, rewards }: RunProfile, most = 10): string {
  const percent = (part: number) => `${((100 * part) / seconds).toFixed(1).padStart(5)} %`;
  const line = (name: string, s: number, more = '') =>
    `${name.padEnd(34)} ${s.toFixed(2).padStart(8)} s ${percent(s)}${more}`;
  const lines = [`${seconds.toFixed(1)} s in all`];
  for (const { phase, seconds: s, kernelSeconds, kernels } of phases) {
    lines.push(line(phase, s, kernels.length > 0 ? `  (${kernelSeconds.toFixed(2)} s in kernels)` : ''));
    for (const { kernel, calls, seconds: k } of kernels.slice(0, most))
      lines.push(line(`  ${kernel}`, k, `  ${calls} calls, ${((1000 * k) / calls).toFixed(3)} ms each`));
    if (kernels.length > most) lines.push(`  ... and ${kernels.length - most} other kernels`);
  }
  for (const { name, batches, seconds: s } of rewards)
    lines.push(line(`reward ${name}`.slice(0, 34), s, `  ${batches} batches, beside the above`));
  return lines.join('\n');
}
