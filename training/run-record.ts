import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as z from 'zod';
import type { BackendInfo } from '../backend/index.js';
import { readJson } from '../core/files.js';
import { checkedFile, configError, parseSchema } from '../core/schema.js';
import { completeConfig, type ParseConfigOptions, type RunConfig } from './config/index.js';
import { packageRoot } from './package-root.js';
import type { RunFolder } from './run-folder/index.js';
import { requireTrust, type TrustOptions } from './trust.js';

/** What `config.json` holds. */
export interface RunRecord {
  readonly config: RunConfig;
  readonly versions: Readonly<Record<string, string>>;
  readonly backend: BackendInfo;
  /** What the policy computes on, where that is not tensors of the backend alone. */
  readonly engine?: string | undefined;
  readonly started: string;
  /** By this its maker recognises a run that executes code of a user's own; see `docs/runs.md`. */
  readonly signature?: string | undefined;
}

const schema = z.looseObject({
  config: z.looseObject({}),
  versions: z.record(z.string(), z.string()),
  backend: z.looseObject({ name: z.string() }),
  engine: z.string().optional(),
  started: z.string(),
  signature: z.string().optional(),
});

/** What everybody may rely on who only shows a run, and makes nothing of its configuration. */
const shownSchema = schema.extend({
  config: z.looseObject({
    name: z.string(),
    env: z.string(),
    epochs: z.int().min(0),
    agent: z.looseObject({ name: z.string() }),
  }),
});

/**
 * Reads what a run was started with as it stands there: no agent is loaded, and what other versions named otherwise stays.
 * @throws GymError E_FILE when `config.json` is damaged.
 */
export async function readShownRecord(folder: RunFolder): Promise<RunRecord> {
  return checkedFile(shownSchema, await folder.config(), join(folder.path, 'config.json')) as unknown as RunRecord;
}

/**
 * Reads what a run was started with. The agent that it names is loaded where that is a file, which needs the user's trust.
 * @throws GymError E_FILE or E_CONFIG when `config.json` is damaged, E_TRUST when somebody else's run names code.
 */
export async function readRunRecord(
  folder: RunFolder,
  options: TrustOptions & ParseConfigOptions = {},
): Promise<RunRecord> {
  const path = join(folder.path, 'config.json');
  const { value, problems } = parseSchema(schema, await folder.config());
  if (problems.length > 0) throw configError(path, problems);
  const record = value as unknown as RunRecord;
  await requireTrust(folder.path, record, options);
  return { ...record, config: await completeConfig(record.config, path, options) };
}

/** What benchmarks write, and no program is made of: a change of it does not make sources `-dirty`. */
const written = ['*.svg', '*.png', '*.md', '*/results.json'].map((path) => `:(top,exclude)${path}`);

/**
 * Versions of what a run's numbers depend on, and the commit of a folder, where that is in a git checkout.
 * @param folder default: the one that the run was started in.
 */
export async function provenance(folder = process.cwd()): Promise<Record<string, string>> {
  const own = (await readJson(join(packageRoot(), 'package.json'))) as {
    version: string;
    dependencies: Record<string, string>;
  };
  const git = async (...args: string[]) => (await promisify(execFile)('git', args, { cwd: folder })).stdout.trim();
  const commit = await Promise.all([
    git('rev-parse', 'HEAD'),
    git('status', '--porcelain', '--untracked-files=no', '--', ':/', ...written),
  ])
    .then(([head, changed]) => (changed === '' ? head : `${head}-dirty`))
    .catch(() => undefined);
  return {
    'denoise-gym': own.version,
    '@tensorflow/tfjs': own.dependencies['@tensorflow/tfjs'] ?? '',
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    ...(commit !== undefined && { commit }),
  };
}
