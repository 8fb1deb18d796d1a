import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, type FSWatcher, watch } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Random } from '../../../core/random.js';
import { RunFolder } from '../../../training/run-folder/index.js';

/** A run that is killed again and again, and must end as if nobody had disturbed it. */
export interface Scenario {
  readonly name: string;
  readonly epochs: number;
  /** What `train` is given beside the run's name and folder. */
  readonly args: readonly string[];
}

/** Where a kill is aimed at. */
const aims = ['running', 'writing', 'evaluating', 'starting'] as const;
export type Aim = (typeof aims)[number];

export interface HuntOptions {
  /** The compiled command line. */
  readonly program: string;
  /** A folder for runs. */
  readonly folder: string;
  readonly random: Random;
  readonly kills: number;
  readonly log?: (line: string) => void;
}

/**
 * The runs, each saved every so often: of a small diffusion model; of an environment that is saved within episodes; of one
 * whose observations and rewards are normalised by statistics that are saved, too; of a federation; and of the agents that hold more than
 * weights: episodes, a value function and a reference, sets of samples.
 */
export function scenarios(model: string): Scenario[] {
  const denoising = [
    ...['--model', model, '--num-envs', '4', '--samples-per-epoch', '8', '--sampling.steps', '3', '--overlap', '1'],
    ...['--evaluation.samples', '4', '--evaluation.every', '2', '--prompts.limit', '4'],
  ];
  const ppo = [
    ...['--agent.minibatches', '2', '--agent.learning-rate', '{from: 1e-3, to: 1e-4}'],
    ...['--agent.advantage', 'per-prompt'],
  ];
  const pole = [
    ...['--env', 'CartPole-v1', '--num-envs', '4', '--agent.collect', '{steps: 32}', '--agent.minibatches', '2'],
    ...['--evaluation.samples', '2', '--evaluation.every', '4'],
  ];
  // Rollouts of 300 steps end within episodes, and take long enough that most kills meet one of them.
  const normalized = [
    ...['--env', 'CartPole-v1', '--num-envs', '8', '--wrappers', '[normalizeObservation, normalizeReward]'],
    ...['--agent.collect', '{steps: 300}', '--evaluation.samples', '2', '--evaluation.every', '4'],
  ];
  const agents = {
    dpok: ['--agent.kl-in', 'reward', '--agent.buffer-rollouts', '2', '--agent.value-updates', '3'],
    'kl-d': ['--agent.batch', '4'],
    'kl-o': ['--agent.batch', '4'],
    rwr: ['--agent.batch', '4', '--agent.passes', '3'],
  };
  // A strategy that the environment keeps something for, of each client; a run is one episode.
  const clients = '[{domain: clean, clients: 2, samples: 20}, {domain: invert, clients: 2, samples: 20}]';
  const federated = [
    ...['--env', 'FederatedPrototypes-v0', '--agent', 'moon', '--federated.clients', clients],
    ...['--federated.rounds', '11', '--federated.local-epochs', '1', '--federated.test-samples', '20'],
    ...['--federated.pool-samples', '40', '--evaluation.samples', '1', '--evaluation.every', '6'],
  ];
  return [
    { name: 'federated', epochs: 12, args: federated },
    ...[1, 3].flatMap((every) => [
      { name: `denoising-${every}`, epochs: 8, args: [...denoising, ...ppo, '--checkpoint-every', String(every)] },
      { name: `pole-${every}`, epochs: 16, args: [...pole, '--checkpoint-every', String(every)] },
      { name: `normalized-${every}`, epochs: 16, args: [...normalized, '--checkpoint-every', String(every)] },
    ]),
    ...Object.entries(agents).map(([name, options]) => ({
      name,
      epochs: 8,
      args: [...denoising, '--agent', name, ...options],
    })),
  ];
}

class Command {
  readonly child: ChildProcess;
  /** The exit status, or the signal. */
  readonly ended: Promise<number | string>;
  err = '';

  constructor(program: string, args: readonly string[]) {
    const env = { ...process.env, DENOISE_GYM_BACKEND: 'wasm' };
    this.child = spawn(process.execPath, [program, ...args], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.err += text;
    });
    this.ended = new Promise((resolve) => this.child.once('close', (code, signal) => resolve(signal ?? code ?? 0)));
  }

  /** Until stderr has so many lines that match, or the command has ended. */
  lines(pattern: RegExp, count: number): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if ((this.err.match(pattern)?.length ?? 0) >= count) resolve();
      };
      this.child.stderr!.on('data', look);
      void this.ended.then(() => resolve());
      look();
    });
  }

  async succeed(): Promise<void> {
    const status = await this.ended;
    if (status !== 0) throw new Error(`a run that nobody killed ended with ${status}:\n${this.err}`);
  }
}

const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** What is the same in two runs with the same numbers: metrics but for times, evaluations, and the agent, to the bit. */
async function result(path: string): Promise<{ metrics: unknown[]; samples: string[]; agent: [string, unknown][] }> {
  const folder = RunFolder.open(path);
  const metrics = (await folder.metrics()).map((line) =>
    Object.entries(line).filter(([key]) => !key.startsWith('time/')),
  );
  const names = (await readdir(join(path, 'samples'))).filter((name) => name.endsWith('.json')).sort();
  const samples = await Promise.all(names.map((name) => readFile(join(path, 'samples', name), 'utf8')));
  const checkpoint = (await folder.readCheckpoint())!;
  const manifest = JSON.parse(await readFile(join(checkpoint.path, 'digests.json'), 'utf8')) as {
    files: Record<string, unknown>;
  };
  const agent = Object.entries(manifest.files).filter(([file]) => file.startsWith('agent/'));
  return { metrics, samples: [...names, ...samples], agent };
}

/** Kills at the moment when something is written into a folder, or a little later. */
function killWhenWritten(folder: string, child: ChildProcess, delay: number): FSWatcher {
  const watcher = watch(folder, (_, name) => {
    if (!name?.endsWith('.tmp')) return;
    watcher.close();
    const end = performance.now() + delay;
    while (performance.now() < end);
    child.kill('SIGKILL');
  });
  return watcher;
}

/** One run that nobody disturbs, to compare others with. */
export interface Reference {
  readonly scenario: Scenario;
  readonly result: Awaited<ReturnType<typeof result>>;
  /** Milliseconds until it began, and for an epoch. */
  readonly startTime: number;
  readonly epochTime: number;
}

const argumentsOf = ({ args, epochs }: Scenario, name: string, folder: string) => [
  ...['train', '--name', name, '--runs', folder, '--epochs', String(epochs), ...args],
];

/** Makes the run that nobody disturbs. */
export async function undisturbed(
  scenario: Scenario,
  { program, folder }: Pick<HuntOptions, 'program' | 'folder'>,
): Promise<Reference> {
  await mkdir(folder, { recursive: true });
  const name = `${scenario.name}-undisturbed`;
  const started = performance.now();
  const command = new Command(program, argumentsOf(scenario, name, folder));
  await command.lines(/^run: /gm, 1);
  const begun = performance.now();
  await command.lines(/^epoch +\d+\//gm, scenario.epochs);
  const done = performance.now();
  await command.succeed();
  return {
    scenario,
    result: await result(join(folder, name)),
    startTime: begun - started,
    epochTime: (done - begun) / scenario.epochs,
  };
}

/**
 * Kills a run at random moments, resumes it, kills it again, and at last lets it end.
 * @returns how many kills met a process that was still there, by what they were aimed at.
 * @throws Error when anything differs from the run that nobody disturbed, or a folder cannot be read after a kill.
 */
export async function hunt(
  reference: Reference,
  options: HuntOptions & { readonly name: string },
): Promise<Map<Aim, number>> {
  const { program, folder, random, kills, name, log } = options;
  const { scenario } = reference;
  const path = join(folder, name);
  const hit = new Map<Aim, number>();
  const begin = () =>
    new Command(program, [...argumentsOf(scenario, name, folder), ...(left === 'nothing' ? [] : ['--resume'])]);
  let left: 'nothing' | 'a run' | 'a checkpoint' = 'nothing';
  for (let k = 0; k < kills; k++) {
    // Each in turn, so that a short hunt meets all.
    const turn = aims[k % aims.length]!;
    const aim = left === 'nothing' || (turn === 'evaluating' && left === 'a run') ? 'running' : turn;
    const command =
      aim === 'evaluating' ? new Command(program, ['evaluate', '--run', path, '--samples', '64']) : begin();
    let watcher: FSWatcher | undefined;
    if (aim === 'starting') await Promise.race([wait(reference.startTime * random.uniform(0.5, 1.5)), command.ended]);
    else {
      await command.lines(aim === 'evaluating' ? /^evaluating/gm : /^run: /gm, 1);
      if (aim === 'running' || aim === 'writing') await command.lines(/^epoch +\d+\//gm, random.integer(4));
      await Promise.race([wait(reference.epochTime * random.uniform(0, 1.2)), command.ended]);
      if (aim === 'writing') {
        await mkdir(join(path, 'checkpoints'), { recursive: true });
        watcher = killWhenWritten(join(path, 'checkpoints'), command.child, random.uniform(0, 8));
        await Promise.race([wait(reference.epochTime * 8), command.ended]);
      }
    }
    command.child.kill('SIGKILL');
    const status = await command.ended;
    watcher?.close();
    log?.(`${name}: aimed at ${aim}: ${status}`);
    if (status === 'SIGKILL') hit.set(aim, (hit.get(aim) ?? 0) + 1);
    else if (status !== 0) throw new Error(`${path}: ended with ${status}:\n${command.err}`);
    left = await leftBehind(path);
  }
  await begin().succeed();
  const now = await result(path);
  for (const part of ['metrics', 'samples', 'agent'] as const)
    if (!isDeepStrictEqual(now[part], reference.result[part]))
      throw new Error(
        `${path}: ${part} differ from those of the run that nobody disturbed:\n${JSON.stringify(now[part])}\n${JSON.stringify(reference.result[part])}`,
      );
  return hit;
}

/** Reads what a kill has left. @throws Error when that is not whole. */
async function leftBehind(path: string): Promise<'nothing' | 'a run' | 'a checkpoint'> {
  if (!existsSync(path)) return 'nothing';
  const folder = RunFolder.open(path);
  const checkpoint = await folder.readCheckpoint();
  const { length } = await folder.metrics();
  const epoch = checkpoint?.state.epoch ?? 0;
  if (length < epoch)
    throw new Error(`${path}: a kill has left the metrics of ${length} epochs for a checkpoint of ${epoch}`);
  return checkpoint ? 'a checkpoint' : 'a run';
}
