import type { Random } from '../../core/random.js';
import { DigitsNetwork } from '../../networks/digits-network.js';
import type { FeatureNetwork } from '../../networks/feature-network.js';
import { ResNet10 } from '../../networks/resnet-10.js';
import type { FederatedConfig } from './options.js';

/** What clients train, as plain data, so that a worker thread can make it too. */
export interface NetworkConfig {
  /** `digits`: three convolutions, for small pictures; `resnet-10`: that of FPL's paper, which has batch normalisation. */
  readonly network: FederatedConfig['network'];
  readonly classes: number;
  /** Height and width of the pictures. */
  readonly imageSize: number;
  readonly features: number;
  /** Whether `digits` has batch normalisation. */
  readonly batchNorm: boolean;
}

/** A network that knows nothing yet; the caller frees it. */
export function makeNetwork({ network, ...config }: NetworkConfig, random: Random): FeatureNetwork {
  const { classes, features } = config;
  return network === 'resnet-10'
    ? ResNet10.create({ classes, features }, random)
    : DigitsNetwork.create({ ...config, weightNorm: false }, random);
}
