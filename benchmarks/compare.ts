import { availableParallelism } from 'node:os';
import { type BackendName, useBackend } from '../backend/index.js';
import { Collector, type Composition, compose, modelFolder, parseConfig } from '../training/index.js';
import { median, print } from './print.js';
import { PythonBench, type Work } from './pytorch/python-bench.js';

export interface CompareOptions {
  python: string;
  model: string;
  batches: number[];
  steps: number;
  rounds: number;
  workers?: number[];
  threads?: number[];
  only?: Work[];
  backend?: BackendName;
  json?: boolean;
}

/** What one measurement took: seconds of the clock, and of all threads together. */
interface Took {
  seconds: number;
  cpu: number;
}

const works: readonly Work[] = ['sampling', 'training', 'epoch', 'ddpo-epoch'];
/** Samples of an epoch, in both ways. */
const epochSamples = 64;

/**
 * denoise-gym beside PyTorch, at the same work on the same machine (see pytorch/bench.py): whole chains sampled, a
 * rollout trained with passes of a batch's size, and whole epochs. Each round measures one after the other, so that what
 * slows the machine down slows both. `workers` and `threads` are each side's way to several cores; of those given, the
 * number counts that is the fastest, on both sides.
 */
export async function compare(options: CompareOptions): Promise<void> {
  const { python, batches, steps, rounds, only = works, json } = options;
  const model = modelFolder(options.model);
  const cores = availableParallelism();
  const workers = options.workers ?? [0, cores];
  const threads = options.threads ?? [...new Set([1, cores])];
  const info = await useBackend(options.backend);
  const torch = await PythonBench.start(python, { model, steps });
  const rows: Record<string, string | number>[] = [];
  try {
    for (const work of only) {
      for (const batch of work === 'sampling' || work === 'training' ? batches : [epochSamples]) {
        const gyms: GymBench[] = [];
        try {
          for (const count of workers)
            gyms.push(await GymBench.start({ model, steps, work, batch, workers: count, backend: info.name }));
          const ours = workers.map((): Took[] => []);
          const theirs = threads.map((): Took[] => []);
          for (let round = 0; round <= rounds; round++) {
            const own: Took[] = [];
            const others: Took[] = [];
            for (const gym of gyms) own.push(await gym.run());
            for (const count of threads) others.push(await torch.run({ work, batch, threads: count }));
            if (round === 0) continue; // warm-up
            for (const [i, took] of own.entries()) ours[i]!.push(took);
            for (const [i, took] of others.entries()) theirs[i]!.push(took);
          }
          rows.push(row({ work, batch, units: gyms[0]!.units(torch.trainedSteps), ours, workers, theirs, threads }));
        } finally {
          for (const gym of gyms) await gym.close();
        }
      }
    }
  } finally {
    torch.close();
  }
  const settings = { model: options.model, steps, rounds, workers, torch: torch.version, eta: 1, guidanceScale: 1 };
  print('compare', info, settings, rows, json);
}

/** One line of the table: units a second of both sides, and how many times PyTorch's speed that is, with its spread. */
function row(measured: {
  work: Work;
  batch: number;
  units: number;
  ours: Took[][];
  workers: number[];
  theirs: Took[][];
  threads: number[];
}): Record<string, string | number> {
  const { work, batch, units, workers, threads } = measured;
  const seconds = (took: Took[]) => median(took.map((t) => t.seconds));
  const fastest = (all: Took[][]) => all.reduce((a, b) => (seconds(b) < seconds(a) ? b : a));
  const ours = fastest(measured.ours);
  const theirs = fastest(measured.theirs);
  const ratios = theirs.map((their, i) => their.seconds / ours[i]!.seconds).sort((a, b) => a - b);
  return {
    work,
    batch,
    unit: work === 'sampling' ? 'images/s' : work === 'training' ? 'transitions/s' : 'epochs/s',
    'denoise-gym': units / seconds(ours),
    workers: workers[measured.ours.indexOf(ours)]!,
    PyTorch: units / seconds(theirs),
    threads: threads[measured.theirs.indexOf(theirs)]!,
    ratio: median(ratios),
    least: ratios[0]!,
    most: ratios.at(-1)!,
    'processor time, ratio': median(theirs.map((their, i) => their.cpu / ours[i]!.cpu)),
  };
}

/** denoise-gym's side: the parts of a run, with workers, and what is measured of them. */
class GymBench {
  readonly #parts: Composition;
  readonly #collector: Collector<unknown, unknown>;
  readonly #work: Work;
  readonly #batch: number;

  private constructor(parts: Composition, work: Work, batch: number) {
    this.#parts = parts;
    this.#collector = new Collector({ agent: parts.agent, envs: parts.envs, seed: 0 });
    this.#work = work;
    this.#batch = batch;
  }

  static async start(of: {
    model: string;
    steps: number;
    work: Work;
    batch: number;
    workers: number;
    backend: BackendName;
  }): Promise<GymBench> {
    const { model, steps, work, batch, workers, backend } = of;
    // Workers sample a batch each.
    const numEnvs = Math.ceil(batch / Math.max(1, workers));
    const config = parseConfig(
      {
        name: 'compare',
        model,
        backend,
        workers,
        numEnvs,
        samplesPerEpoch: Math.ceil(batch / numEnvs) * numEnvs,
        sampling: { steps },
        // Without a baseline, since a batch of one sample has no variance. In an epoch the micro-batch is the default.
        agent: { name: 'ppo', advantage: 'none', ...(work === 'training' && { microBatch: Math.min(batch, 36) }) },
      },
      'benchmark',
    );
    // A reward that costs nothing and differs from sample to sample, so that there is something to learn.
    const reward = ({ images }: { images: { shape: readonly number[] } }) =>
      Float64Array.from({ length: images.shape[0]! }, (_, i) => i + 1);
    return new GymBench(await compose(config, { reward, warn: () => {} }), work, batch);
  }

  /** How much of what is counted one measurement does. */
  units(trainedSteps: number): number {
    if (this.#work === 'sampling') return this.#batch;
    return this.#work === 'training' ? this.#batch * trainedSteps : 1;
  }

  async run(): Promise<Took> {
    const { agent } = this.#parts;
    let [started, cpu] = [performance.now(), process.cpuUsage()];
    const { rollout } = await this.#collector.collect();
    if (this.#work === 'training') [started, cpu] = [performance.now(), process.cpuUsage()];
    if (this.#work !== 'sampling') await agent.learn(rollout);
    const { user, system } = process.cpuUsage(cpu);
    return { seconds: (performance.now() - started) / 1000, cpu: (user + system) / 1e6 };
  }

  close(): Promise<void> {
    return Promise.resolve(this.#parts.close());
  }
}
