import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Gives all tests, and the programs that they start, one folder for what is temporary; nothing of it is left behind. */
export default function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'denoise-gym-tests-'));
  process.env.TMPDIR = folder;
  return () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
