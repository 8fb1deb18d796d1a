import type { PaperBenchmark } from './definition.js';

/** The benchmarks after papers, by the names of their commands and folders. */
export const paperBenchmarks: Readonly<Record<string, { summary: string; load(): Promise<PaperBenchmark> }>> = {
  adaptation: {
    summary: 'source-free adaptation: guided pseudo-labels against their rivals, on drawn digits and handwriting',
    load: async () => (await import('../adaptation/definition.js')).adaptation,
  },
  captioner: {
    summary: 'DDPO-IS on the answers of a captioner behind HTTP, against the truth that it never sees',
    load: async () => (await import('../captioner/definition.js')).captioner,
  },
  ddpo: {
    summary: "DDPO's comparison: DDPO-IS, DDPO-SF, RWR and RWR-sparse at equal reward queries",
    load: async () => (await import('../ddpo/definition.js')).ddpo,
  },
  dpok: {
    summary: "DPOK's comparison: reward against drift over the weight of the KL, and supervised fine-tuning",
    load: async () => (await import('../dpok/definition.js')).dpok,
  },
  federated: {
    summary: "FPL's comparison: federated prototypes and their rivals under domain shift",
    load: async () => (await import('../federated/definition.js')).federated,
  },
  flow: {
    summary: 'DDPO-IS and GRPO on a model of flow matching',
    load: async () => (await import('../flow/definition.js')).flow,
  },
  'learned-reward': {
    summary:
      'DPOK and DDPO-IS on a learned reward, against the truth: where it is exploited, and what the KL and the watch do',
    load: async () => (await import('../learned-reward/definition.js')).learnedReward,
  },
};
