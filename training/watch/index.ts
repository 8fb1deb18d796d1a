export { guardTerm, type WatchOptions, type WatchParts, watchCallback } from './callback.js';
export { klToReference } from './kl.js';
export {
  isBlank,
  meanDistance,
  measurePictures,
  type PictureMeasures,
  pictureDistance,
} from './measures.js';
export { readWatch, type WatchRecord, watchFiles } from './record.js';
