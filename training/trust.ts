import { createHmac, randomBytes } from 'node:crypto';
import { existsSync, realpathSync } from 'node:fs';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { GymError } from '../core/errors.js';
import { fileError, writeFileAtomic } from '../core/files.js';
import { isModulePath } from '../core/user-module.js';
import { rewardFiles } from '../rewards/expression.js';
import { callbackFiles } from './callbacks/index.js';
import { digestOf } from './run-folder/index.js';
import { wrapperFiles } from './wrappers/index.js';

/** Code that a configuration names, and that is executed by whoever runs it. */
export interface UserCode {
  /** What it is: `reward`, `environment`, `agent`, `wrapper`, `callback`. */
  readonly purpose: string;
  /** The file's absolute path, or the name of a package. */
  readonly module: string;
}

/** The code that a configuration names. Nothing is loaded, and the configuration need not be valid. */
export function codeOf(config: unknown): UserCode[] {
  const { env, agent, reward, watch, wrappers, callbacks } = (config ?? {}) as Readonly<Record<string, unknown>>;
  const guard = (watch as { guard?: unknown } | null | undefined)?.guard;
  const agentName = typeof agent === 'string' ? agent : (agent as { name?: unknown } | null | undefined)?.name;
  const code: UserCode[] = [];
  const add = (purpose: string, name: string) =>
    code.push({ purpose, module: isModulePath(name) ? resolve(name) : name });
  if (typeof env === 'string' && env.includes(':')) add('environment', env.slice(0, env.lastIndexOf(':')));
  if (typeof agentName === 'string' && isModulePath(agentName)) add('agent', agentName);
  for (const spec of [reward, guard])
    if (typeof spec === 'string') for (const file of rewardFiles(spec)) add('reward', file);
  for (const file of wrapperFiles(wrappers)) add('wrapper', file);
  for (const file of callbackFiles(callbacks)) add('callback', file);
  return code;
}

/** Where this user's own knowledge of runs is kept: outside of all runs, so that none can bring it along. */
function stateFolder(): string {
  return join(process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'denoise-gym');
}

/** The secret by which this user recognises runs of their own. It is made when it is first needed. */
async function secret(make: boolean): Promise<Buffer | undefined> {
  const path = join(stateFolder(), 'key');
  if (!existsSync(path)) {
    if (!make) return undefined;
    const own = `${path}.${process.pid}`;
    try {
      await mkdir(stateFolder(), { recursive: true, mode: 0o700 });
      await writeFile(own, randomBytes(32), { mode: 0o600 });
      // Of two processes that make one at the same time, both take the first.
      await link(own, path).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
    } catch (error) {
      throw fileError('cannot write', path, error);
    } finally {
      await rm(own, { force: true }).catch(() => {});
    }
  }
  try {
    return await readFile(path);
  } catch (error) {
    throw fileError('cannot read', path, error);
  }
}

function signatureBy(key: Buffer, code: readonly UserCode[]): string {
  return createHmac('sha256', key).update(JSON.stringify(code)).digest('hex');
}

/**
 * What a new run's `config.json` says so that this user recognises it as their own.
 * @returns undefined where the configuration names no code.
 * @throws GymError E_FILE when the user's state folder cannot be written.
 */
export async function signatureOf(config: unknown): Promise<string | undefined> {
  const code = codeOf(config);
  return code.length === 0 ? undefined : signatureBy((await secret(true))!, code);
}

/** What `config.json` says, as far as it matters here. */
interface SignedRecord {
  readonly config: unknown;
  readonly signature?: string | undefined;
}

/** Says that a user trusts a run at its place with the code that it names now. */
function trustFile(run: string, code: readonly UserCode[]): string {
  return join(stateFolder(), 'trusted', `${digestOf(JSON.stringify([realpathSync(run), code]))}.json`);
}

/** Whether a run names no code, was made by this user on this machine, or is trusted by them. */
export async function isTrusted(run: string, { config, signature }: SignedRecord): Promise<boolean> {
  const code = codeOf(config);
  if (code.length === 0) return true;
  const key = await secret(false);
  return (key !== undefined && signature === signatureBy(key, code)) || existsSync(trustFile(run, code));
}

export interface TrustOptions {
  /** True: the user trusts the code that the run names, now and later. */
  readonly trust?: boolean | undefined;
  /** Told what is about to be executed for the first time. */
  readonly warn?: ((message: string) => void) | undefined;
}

/**
 * Stands before everything that loads code which a run's folder names.
 * @throws GymError E_TRUST that lists the code, when this user has neither made the run nor said that they trust it.
 */
export async function requireTrust(run: string, record: SignedRecord, { trust, warn }: TrustOptions): Promise<void> {
  if (await isTrusted(run, record)) return;
  const code = codeOf(record.config);
  const list = code.map(({ purpose, module }) => `  ${purpose} ${module}`).join('\n');
  if (!trust)
    throw new GymError(
      'E_TRUST',
      `run ${run}: it was not made by this user on this machine at this place, and it names code that would be executed:\n${list}\nRead that code. If you trust it, give the same command once more with --trust.`,
    );
  warn?.(`run ${run}: trusted from now on, with the code that it executes:\n${list}`);
  await writeFileAtomic(trustFile(run, code), `${JSON.stringify({ run: realpathSync(run), code }, null, 2)}\n`);
}
