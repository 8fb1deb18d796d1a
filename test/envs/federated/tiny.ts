import { Random } from '../../../core/random.js';
import type { LabelledImages, Split } from '../../../envs/data/index.js';
import type { FederatedData } from '../../../envs/federated/data.js';
import { FederatedPrototypes } from '../../../envs/federated/federated-prototypes.js';
import type { FederatedOptions } from '../../../envs/federated/options.js';

/** Pictures of 8×8 pixels of three classes, which differ by the row that is bright; domains by their background. */
function pictures(domain: string, split: Split, count: number): LabelledImages {
  const random = new Random(`${domain}/${split}`);
  const ground = domain === 'dark' ? 20 : 120;
  const labels = Int32Array.from({ length: count }, (_, i) => i % 3);
  const data = new Uint8Array(count * 8 * 8 * 3);
  for (let i = 0; i < data.length; i++) {
    const [picture, row] = [Math.floor(i / 192), Math.floor((i % 192) / 24)];
    const bright = Math.floor(row / 2) === labels[picture]!;
    data[i] = ground + (bright ? 110 : 0) + random.integer(20);
  }
  return { images: { data, shape: [count, 8, 8, 3] }, labels, classes: ['a', 'b', 'c'], domain, split };
}

export const tinyData: FederatedData = {
  train: new Map(['dark', 'light'].map((domain) => [domain, pictures(domain, 'train', 60)])),
  test: new Map(['dark', 'light'].map((domain) => [domain, pictures(domain, 'test', 30)])),
};

export const tinyOptions: FederatedOptions = {
  clients: [
    { domain: 'dark', clients: 2, samples: 12 },
    { domain: 'light', clients: 2, samples: 6 },
  ],
  rounds: 3,
  localEpochs: 2,
  batchSize: 6,
  features: 6,
  shift: 0,
};

/** A federation that trains in a moment. */
export function tiny(options: FederatedOptions = {}): FederatedPrototypes {
  return new FederatedPrototypes({ ...tinyOptions, ...options }, tinyData);
}

/** Two clients that make one step each in a round, for checks that play many episodes. */
export const leastOptions: FederatedOptions = {
  clients: [
    { domain: 'dark', clients: 1, samples: 6 },
    { domain: 'light', clients: 1, samples: 6 },
  ],
  rounds: 2,
  localEpochs: 1,
};
