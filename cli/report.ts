import { writeReport } from '../training/report.js';
import { RunFolder } from '../training/run-folder/index.js';
import { readRunRecord } from '../training/run-record.js';
import { announceLine } from './backend.js';

export async function reportCommand(run: string, { trust }: { trust?: boolean }): Promise<void> {
  // Without trust, code that is somebody else's is not loaded, and the report says so.
  if (trust) await readRunRecord(RunFolder.open(run), { trust, warn: announceLine });
  process.stdout.write(`${await writeReport(run)}\n`);
}
