import { type BackendInfo, type BackendName, describeBackend, useBackend } from '../backend/index.js';

/** Says something on stderr, so that stdout keeps what was asked for. */
export function announceLine(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Says on stderr what computes, and why. */
export function announce(info: BackendInfo): void {
  announceLine(describeBackend(info));
}

/** Makes the backend ready and says which one it is. */
export async function startBackend(name?: BackendName | 'auto'): Promise<BackendInfo> {
  const info = await useBackend(name === 'auto' ? undefined : name);
  announce(info);
  return info;
}
