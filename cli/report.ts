import { writeReport } from '../training/report.js';

export async function reportCommand(run: string): Promise<void> {
  process.stdout.write(`${await writeReport(run)}\n`);
}
