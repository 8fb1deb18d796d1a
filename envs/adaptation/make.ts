import { GymError } from '../../core/errors.js';
import { type DomainOptions, loadDomain } from '../data/domains.js';
import { checkEveryClass, checkLabelledImages } from '../data/labelled-images.js';
import { SourceFreeAdaptation, type Target } from './adaptation.js';
import { type AdaptationOptions, dataDefaults, networkOptions, settingsOf } from './options.js';
import { sourceNetwork, sourceTraining } from './source.js';

/**
 * Loads the data, trains the network on the source (or takes it from the cache) and makes the environment. The backend must
 * be ready.
 * @throws GymError E_CONFIG on an option out of range; E_NAME, E_FILE on data that are not there; E_VALUE where classes
 *   differ, one has no picture, or there are fewer samples than a batch or than neighbours.
 */
export async function makeAdaptation(options: AdaptationOptions = {}): Promise<SourceFreeAdaptation> {
  const settings = settingsOf(options);
  const { imageSize, epochs, learningRate, ...architecture } = networkOptions(options);
  const { source, target, sourceSize, targetSize, probeSize, sourceFolder, targetFolder } = {
    ...dataDefaults,
    ...options,
  };
  const { seed } = settings;
  const names = Array.isArray(target) ? target : [target];
  const all = await Promise.all(
    names.map(async (one): Promise<Target> => {
      if (typeof one !== 'string') return { train: one.train, probe: one.test };
      const load = (given: Omit<DomainOptions, 'seed' | 'folder'>) =>
        loadDomain(one, { ...given, seed, folder: targetFolder, size: imageSize });
      const [train, probe] = await Promise.all([
        load({ split: 'train', count: targetSize }),
        load({ split: 'test', count: probeSize }),
      ]);
      return { train, probe };
    }),
  );
  const trained =
    typeof source === 'string'
      ? await loadDomain(source, { split: 'train', count: sourceSize, seed, folder: sourceFolder, size: imageSize })
      : source;
  const { batchSize, neighbours } = settings;
  const size = trained.images.shape.slice(1).join('×');
  for (const data of [trained, ...all.flatMap(({ train, probe }) => [train, probe])]) {
    checkLabelledImages(data);
    // A class that the probe has no picture of is left out of its mean.
    if (data.split === 'train') checkEveryClass(data);
    const { domain, classes, images, labels } = data;
    if (classes.join() !== trained.classes.join())
      throw new GymError(
        'E_VALUE',
        `adaptation: ${domain} has the classes ${classes.join(', ')}, the source ${trained.domain} ${trained.classes.join(', ')}; both must have the same, in the same order.`,
      );
    if (images.shape.slice(1).join('×') !== size)
      throw new GymError(
        'E_SHAPE',
        `adaptation: images of ${domain} are ${images.shape.slice(1).join('×')}, those of the source ${size}; bring them to one size.`,
      );
    if (data !== trained && data.split === 'train' && labels.length < Math.max(batchSize, neighbours))
      throw new GymError(
        'E_VALUE',
        `adaptation: ${domain} has ${labels.length} samples, fewer than a batch (${batchSize}) or the neighbours that vote (${neighbours}); take more, or make these smaller.`,
      );
  }
  const training = { ...sourceTraining, epochs, learningRate };
  const network = await sourceNetwork(trained, seed, architecture, training);
  return new SourceFreeAdaptation(network, all, settings);
}
