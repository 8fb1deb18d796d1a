import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import * as z from 'zod';
import { GymError, messageOf } from '../../core/errors.js';
import { readJson, writeFileAtomic } from '../../core/files.js';
import { checkedFile } from '../../core/schema.js';
import type { Metrics } from '../../core/types.js';
import type { RunFolder } from '../run-folder/index.js';
import type { Logger } from './logger.js';

export interface TrackioOptions {
  /** Where trackio's server is: `http://127.0.0.1:7860`. */
  readonly url: string;
  readonly project: string;
  /** The run's name there. */
  readonly run: string;
  /** The server's write token. Default: the environment variable `TRACKIO_WRITE_TOKEN`; without one, none is sent. */
  readonly token?: string | undefined;
  /** How often a request is tried. Default 3. */
  readonly tries?: number | undefined;
  /** Milliseconds before the second try; twice as many before each one more. Default 1000. */
  readonly pause?: number | undefined;
  /** Milliseconds that a try may take. Default 5000. */
  readonly timeout?: number | undefined;
  /** Told, once, that the server cannot be reached or refuses what it gets. */
  readonly warn?: ((message: string) => void) | undefined;
}

/** How many epochs one request holds at most. */
const batch = 500;

const sentSchema = z.strictObject({ epoch: z.int().min(0) });

/**
 * Sends a run's metrics to a trackio server (0.43), with the epoch as the step. Nobody waits for it but the end of the run.
 * An epoch is sent once it is in a checkpoint, so that none is sent twice when a run goes on after a kill; `trackio.json` in
 * the run's folder says how far it is. What could not be sent is sent with the next checkpoint, or when the run is resumed.
 * @throws nothing: a server that does not answer does not stop a run, and is told of once.
 */
export function trackioLogger(folder: Pick<RunFolder, 'path' | 'metrics'>, options: TrackioOptions): Logger {
  const { url, project, run, tries = 3, pause = 1000, timeout = 5000, warn } = options;
  const token = options.token ?? process.env.TRACKIO_WRITE_TOKEN;
  const file = join(folder.path, 'trackio.json');
  const address = `${url.replace(/\/+$/, '')}/api/bulk_log`;
  let toldOf = false;
  /** The last epoch that is in a checkpoint. */
  let saved = 0;
  let sending: Promise<void> = Promise.resolve();
  let waiting = false;

  const post = async (epochs: readonly Metrics[]): Promise<void> => {
    const body = JSON.stringify({
      // What JSON lacks is written as text, as trackio's own client does it.
      logs: epochs.map(({ epoch, ...metrics }) => ({
        ...{ project, run, step: epoch },
        metrics: Object.fromEntries(
          Object.entries(metrics).map(([name, v]) => [name, Number.isFinite(v) ? v : String(v)]),
        ),
      })),
      hf_token: null,
    });
    const headers = { 'Content-Type': 'application/json', ...(token && { 'X-Trackio-Write-Token': token }) };
    for (let attempt = 1; ; attempt++) {
      try {
        const response = await fetch(address, { method: 'POST', headers, body, signal: AbortSignal.timeout(timeout) });
        if (response.ok) return void (await response.arrayBuffer());
        const said = (await response.text()).slice(0, 200);
        throw new GymError('E_STATE', `it answered ${response.status} ${response.statusText}: ${said}`);
      } catch (error) {
        // A server that has failed before is not waited for once more.
        if (toldOf || attempt >= tries) throw error;
        await wait(pause * 2 ** (attempt - 1));
      }
    }
  };

  const send = async (): Promise<void> => {
    try {
      const sent = existsSync(file) ? checkedFile(sentSchema, await readJson(file), file).epoch : 0;
      const due = (await folder.metrics()).filter(({ epoch }) => epoch! > sent && epoch! <= saved);
      for (let i = 0; i < due.length; i += batch) {
        const epochs = due.slice(i, i + batch);
        await post(epochs);
        const epoch = epochs.at(-1)!.epoch!;
        await writeFileAtomic(file, `${JSON.stringify({ epoch })}\n`);
      }
    } catch (error) {
      if (!toldOf)
        warn?.(
          `trackio at ${url} gets no metrics for now: ${reason(error)}. The run goes on, and tries again with each checkpoint; what is missing is sent then, or by a resume.`,
        );
      toldOf = true;
    }
  };

  return async (event) => {
    if (event.type === 'start' || event.type === 'checkpoint') saved = event.epoch;
    if (event.type === 'checkpoint' && !waiting) {
      // While the server is slow, requests do not queue up: the next one takes along all that is due by then.
      waiting = true;
      sending = sending.then(() => {
        waiting = false;
        return send();
      });
    }
    if (event.type === 'end') {
      await sending;
      await send();
    }
  };
}

/** What stands behind `fetch failed` is its cause. */
function reason(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? messageOf(error.cause) : undefined;
  return cause === undefined ? messageOf(error) : `${messageOf(error)} (${cause})`;
}
