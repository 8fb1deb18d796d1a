import * as tf from '@tensorflow/tfjs';
import { type KernelCall, registerKernel } from './kernels.js';

let registered = false;

/** Makes the plain JavaScript backend active, which is slow but runs everywhere. */
export async function loadCpu(): Promise<void> {
  if (!registered) registerKernel('cpu', 'ResizeNearestNeighborGrad', resizeNearestNeighborGrad);
  registered = true;
  await tf.setBackend('cpu');
  // At its first use the backend would print a banner that advertises another package.
  (tf.backend() as unknown as { firstUse: boolean }).firstUse = false;
}

/**
 * Calls the backend's own kernel for each sample by itself, since that of TensorFlow.js 4.22 reads `dy` at the wrong
 * place for every sample but the first.
 */
function resizeNearestNeighborGrad({
  inputs,
  original,
}: KernelCall<{ images: tf.Tensor4D; dy: tf.Tensor4D }, unknown>): tf.TensorInfo | tf.TensorInfo[] {
  const { images, dy } = inputs;
  if (images.shape[0] === 1) return original();
  return tf.tidy(() => {
    const dys = tf.split(dy, dy.shape[0]);
    return tf.concat(
      tf.split(images, images.shape[0]).map((image, i) => {
        const info = original({ inputs: { images: image, dy: dys[i]! } }) as tf.TensorInfo;
        return tf.engine().makeTensorFromTensorInfo(info) as tf.Tensor4D;
      }),
    );
  });
}
