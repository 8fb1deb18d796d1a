import { type BackendInfo, type BackendName, describeBackend, useBackend } from '../backend/index.js';

/** Says on stderr what computes, and why. */
export function announce(info: BackendInfo): void {
  process.stderr.write(`${describeBackend(info)}\n`);
}

/** Makes the backend ready and says which one it is. */
export async function startBackend(name?: BackendName | 'auto'): Promise<BackendInfo> {
  const info = await useBackend(name === 'auto' ? undefined : name);
  announce(info);
  return info;
}
