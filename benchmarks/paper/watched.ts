import { readWatch } from '../../training/watch/index.js';
import type { PaperBenchmark } from './definition.js';

/** What the watch of a run has seen at its end; for benchmarks over the fine-tuning of a diffusion model. */
export const watched: Required<Pick<PaperBenchmark, 'measures' | 'measure'>> = {
  measures: {
    guardBefore: { title: 'guard before' },
    guard: { title: 'guard' },
    kl: { title: 'KL to the pretrained model, nats' },
    diversity: { title: 'diversity' },
    blank: { title: 'blank' },
    saturation: { title: 'saturation' },
    epoch: { title: 'epochs' },
  },
  measure: async (folder) => {
    const looks = await readWatch(folder);
    const [first, last] = [looks[0], looks.at(-1)];
    if (first === undefined || last === undefined) return {};
    const { guard, kl, diversity, blank, saturation, epoch } = last;
    return Object.fromEntries(
      Object.entries({ guardBefore: first.guard, guard, kl, diversity, blank, saturation, epoch }).filter(
        (entry): entry is [string, number] => entry[1] !== undefined && Number.isFinite(entry[1]),
      ),
    );
  },
};
