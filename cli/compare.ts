import { writeFileAtomic } from '../core/files.js';
import { compareRuns } from '../training/benchmark/compare.js';

export async function compareCommand(runs: string[], { out, json }: { out: string; json?: boolean }): Promise<void> {
  const { results, page } = await compareRuns(runs);
  await writeFileAtomic(out, page);
  process.stdout.write(json ? `${JSON.stringify(results)}\n` : `${out}\n`);
}
