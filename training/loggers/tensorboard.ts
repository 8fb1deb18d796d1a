import { existsSync } from 'node:fs';
import { appendFile, readdir, readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileError, writeFileAtomic } from '../../core/files.js';
import { evaluationFiles, readEvaluations } from '../evaluation/index.js';
import {
  hyperparameters,
  picture,
  scalar,
  sessionEnd,
  startEvent,
  summaryEvent,
  text,
  versionEvent,
} from './events.js';
import type { Logger } from './logger.js';
import type { Encoded } from './protobuf.js';
import { tfRecord } from './tfrecord.js';

export interface TensorBoardOptions {
  /** The run's configuration, shown as text and, its single values, as hyperparameters. Default: none is shown. */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
}

const eventFile = /^events\.out\.tfevents\.(\d+)\./;

/** The single values of a configuration by their dotted paths; a list is its text. */
function flattened(config: Readonly<Record<string, unknown>>, prefix = ''): Record<string, number | string | boolean> {
  return Object.fromEntries(
    Object.entries(config).flatMap(([key, value]): [string, number | string | boolean][] => {
      const path = `${prefix}${key}`;
      if (typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean') return [[path, value]];
      if (value === null || value === undefined) return [];
      return Array.isArray(value)
        ? [[path, JSON.stringify(value)]]
        : Object.entries(flattened(value as Record<string, unknown>, `${path}.`));
    }),
  );
}

/**
 * Keeps an event file in a run's folder, which TensorBoard opens (`tensorboard --logdir runs`): every metric as a scalar,
 * with the epoch as its step; the pictures of evaluations; the configuration as text and as hyperparameters. Each time that a
 * run goes on it gets a file of its own, whose first event makes void what older files hold of the epochs that are repeated.
 * @param path the run's folder.
 * @throws GymError E_FILE when the file cannot be written.
 */
export function tensorBoardLogger(path: string, { config }: TensorBoardOptions = {}): Logger {
  const now = () => Date.now() / 1000;
  let file = '';
  const append = async (events: readonly Encoded[]) => {
    try {
      await appendFile(file, Buffer.concat(events.map(tfRecord)));
    } catch (error) {
      throw fileError('cannot write', file, error);
    }
  };

  /** Files are read in the order of their names, which hold the second in which they were begun. */
  const begin = async (epoch: number) => {
    const seconds = (await readdir(path)).flatMap((name) => eventFile.exec(name)?.[1] ?? []).map(Number);
    const second = Math.max(Math.floor(now()), ...seconds.map((s) => s + 1));
    const host = hostname().replace(/[^\w-]/g, '-');
    file = join(path, `events.out.tfevents.${String(second).padStart(10, '0')}.${host}.${process.pid}`);
    const events = [versionEvent(now())];
    // The evaluation before the first epoch has step 0; it is repeated where nothing was saved yet.
    if (seconds.length > 0) events.push(startEvent(now(), epoch === 0 ? 0 : epoch + 1));
    if (config && (epoch === 0 || seconds.length === 0)) {
      const indented = JSON.stringify(config, null, 2).replace(/^/gm, '    ');
      events.push(summaryEvent(now(), 0, [text('configuration', indented), hyperparameters(flattened(config), now())]));
    }
    // Whole or not at all: TensorBoard reads no file that does not begin with its version.
    await writeFileAtomic(file, Buffer.concat(events.map(tfRecord)));
  };

  const pictures = async (epoch: number): Promise<Encoded[]> => {
    const { png } = evaluationFiles(path, epoch);
    if (!existsSync(png)) return [];
    let data: Buffer;
    try {
      data = await readFile(png);
    } catch (error) {
      throw fileError('cannot read', png, error);
    }
    // A PNG begins with its width and height, in its header.
    return [picture('samples', data, data.readUInt32BE(16), data.readUInt32BE(20))];
  };

  /** The evaluation before the first epoch is in no epoch's metrics. */
  const untrained = async (): Promise<Encoded[]> => {
    const first = (await readEvaluations(path)).find(({ epoch }) => epoch === 0);
    if (first === undefined) return [];
    const numbers = (['mean', 'std', 'se'] as const).map((name) => scalar(`eval/${name}`, first[name]));
    return [summaryEvent(now(), 0, [...numbers, ...(await pictures(0))])];
  };

  return async (event) => {
    if (event.type === 'start') await begin(event.epoch);
    else if (event.type === 'epoch') {
      const { epoch: _, ...metrics } = event.metrics;
      const before = event.epoch === 1 ? await untrained() : [];
      const values = Object.entries(metrics).map(([name, value]) => scalar(name, value));
      if (metrics['eval/mean'] !== undefined) values.push(...(await pictures(event.epoch)));
      await append([...before, summaryEvent(now(), event.epoch, values)]);
    } else if (event.type === 'end' && event.reason === 'finished' && config)
      await append([summaryEvent(now(), event.epoch, [sessionEnd(now())])]);
  };
}
