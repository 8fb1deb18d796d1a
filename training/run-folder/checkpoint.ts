import { join } from 'node:path';
import * as z from 'zod';
import { GymError, messageOf } from '../../core/errors.js';
import { readJson, writeFileAtomic } from '../../core/files.js';
import { configError, parseSchema } from '../../core/schema.js';
import type { Snapshot } from '../../core/snapshot.js';
import { fromJson, toJson } from '../../core/snapshot-json.js';
import { type Digests, differingFiles, digestFolder, filesBelow } from './digests.js';

/** Everything beside the agent that a run needs to go on. */
export interface CheckpointState {
  /** Finished epochs. */
  readonly epoch: number;
  /** Bytes of metrics.jsonl that belong to them. */
  readonly metricsBytes: number;
  readonly counters: Readonly<Record<string, number>>;
  /** Of the episodes that ended last, for the rolling mean. */
  readonly recentRewards?: readonly number[] | undefined;
  readonly collector: Snapshot;
  readonly callbacks: Readonly<Record<string, Snapshot>>;
}

/** What the numbers of a run follow from beside its checkpoint, so that nobody goes on with something else unawares. */
export interface Origin {
  /** The run's configuration. */
  readonly config?: unknown;
  /** Digests of files that the run reads: its model. */
  readonly inputs?: Digests | undefined;
  /** Digests of the files of a user's own code that it executes. */
  readonly code?: Digests | undefined;
}

/** A checkpoint that was read and found whole. */
export interface Checkpoint {
  /** The checkpoint's folder. The agent's own is `agent` in it. */
  readonly path: string;
  readonly state: CheckpointState;
  readonly origin: Origin;
  /** Digest of the part of metrics.jsonl that belongs to it. */
  readonly metricsDigest: string;
}

const count = z.int().min(0);
const snapshot = z.custom<Snapshot>((value) => value !== undefined, 'must be a snapshot');

const stateSchema = z.strictObject({
  epoch: count,
  metricsBytes: count,
  counters: z.record(z.string(), z.number()),
  recentRewards: z.array(z.number()).optional(),
  collector: snapshot,
  callbacks: z.record(z.string(), snapshot),
});

const digests = z.record(z.string(), z.string());

const manifestSchema = z.strictObject({
  /** Of every other file of the checkpoint. */
  files: digests,
  metrics: z.string(),
  config: z.unknown().optional(),
  inputs: digests.optional(),
  code: digests.optional(),
});

const MANIFEST = 'digests.json';

/**
 * Writes what a checkpoint holds beside the agent, whose files are in `agent` already: the state, and at last the digests
 * of all.
 */
export async function writeCheckpointFiles(
  folder: string,
  { state, origin, metricsDigest }: Omit<Checkpoint, 'path'>,
): Promise<void> {
  await writeFileAtomic(join(folder, 'state.json'), JSON.stringify(toJson(state as unknown as Snapshot)));
  const manifest: z.input<typeof manifestSchema> = {
    files: await digestFolder(folder),
    metrics: metricsDigest,
    ...origin,
  };
  await writeFileAtomic(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 1)}\n`);
}

/**
 * Reads a checkpoint and compares every file with its digest. Nothing is changed.
 * @throws GymError E_FILE that names the checkpoint and what is wrong with it.
 */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  try {
    const manifest = parsed(manifestSchema, await readJson(join(path, MANIFEST)), join(path, MANIFEST));
    const known = Object.keys(manifest.files);
    const there = new Set(await filesBelow(path));
    const now = await digestFolder(
      path,
      known.filter((file) => there.has(file)),
    );
    const problems = differingFiles(manifest.files, now);
    if (problems.length > 0) throw new GymError('E_FILE', `${problems.join(', ')} since it was written`);
    const file = join(path, 'state.json');
    const state = parsed(stateSchema, fromJson(await readJson(file)), file);
    const { files: _, metrics: metricsDigest, ...origin } = manifest;
    return { path, state, origin, metricsDigest };
  } catch (error) {
    throw new GymError('E_FILE', `checkpoint ${path} is damaged: ${messageOf(error)}`, { cause: error });
  }
}

function parsed<S extends z.ZodType>(schema: S, input: unknown, where: string): z.output<S> {
  const { value, problems } = parseSchema(schema, input);
  if (problems.length > 0) throw configError(where, problems);
  return value as z.output<S>;
}
