import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { BackendInfo } from '../backend/index.js';
import { readJson } from '../core/files.js';
import { completeConfig, type RunConfig } from './config/index.js';
import { packageRoot } from './package-root.js';
import type { RunFolder } from './run-folder.js';

/** What `config.json` holds. */
export interface RunRecord {
  readonly config: RunConfig;
  readonly versions: Readonly<Record<string, string>>;
  readonly backend: BackendInfo;
  readonly started: string;
}

/** Reads what a run was started with. @throws GymError E_FILE, E_CONFIG. */
export async function readRunRecord(folder: RunFolder): Promise<RunRecord> {
  const record = (await folder.config()) as RunRecord;
  return { ...record, config: await completeConfig(record.config, join(folder.path, 'config.json')) };
}

/** Versions of what a run's numbers depend on, and the commit of the folder it was started in, where that is a git checkout. */
export async function provenance(): Promise<Record<string, string>> {
  const own = (await readJson(join(packageRoot(), 'package.json'))) as {
    version: string;
    dependencies: Record<string, string>;
  };
  const commit = await promisify(execFile)('git', ['describe', '--always', '--dirty', '--abbrev=40', '--exclude=*'])
    .then(({ stdout }) => stdout.trim())
    .catch(() => undefined);
  return {
    'denoise-gym': own.version,
    '@tensorflow/tfjs': own.dependencies['@tensorflow/tfjs'] ?? '',
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    ...(commit !== undefined && { commit }),
  };
}
