import { auditRun } from '../../training/audit/index.js';
import { readWatch } from '../../training/watch/index.js';
import type { PaperBenchmark } from './definition.js';

/** What the watch of a run has seen at its end, and what an audit of it finds; for benchmarks over the fine-tuning of a diffusion model. */
export const watched: Required<Pick<PaperBenchmark, 'measures' | 'measure'>> = {
  measures: {
    guardBefore: { title: 'guard before' },
    guard: { title: 'guard' },
    kl: { title: 'KL to the pretrained model, nats' },
    diversity: { title: 'diversity' },
    blank: { title: 'blank' },
    saturation: { title: 'saturation' },
    epoch: { title: 'epochs' },
    alarms: { title: 'findings of `audit`' },
  },
  measure: async (folder) => {
    const looks = await readWatch(folder);
    const [first, last] = [looks[0], looks.at(-1)];
    if (first === undefined || last === undefined) return {};
    const { guard, kl, diversity, blank, saturation, epoch } = last;
    const alarms = (await auditRun(folder)).findings.length;
    return Object.fromEntries(
      Object.entries({ guardBefore: first.guard, guard, kl, diversity, blank, saturation, epoch, alarms }).filter(
        (entry): entry is [string, number] => entry[1] !== undefined && Number.isFinite(entry[1]),
      ),
    );
  },
};
