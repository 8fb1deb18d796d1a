import * as tf from '@tensorflow/tfjs';
import type { ImageLayer } from './layers/basic.js';

/** A quarter of a tile lies over its neighbour on each side (diffusers' `tile_overlap_factor`). */
const PARTS = 4;

/**
 * Applies a network to overlapping tiles of images, one after the other, and blends the results linearly where they overlap
 * (`tiled_decode` and `tiled_encode` of diffusers' AutoencoderKL). The memory is that of one tile; the result is another one
 * than that of the whole, since attention and norms see only what is in their tile.
 * @param images [batch, height, width, channels]; those that fit into one tile go through the network as they are
 * @param tile height and width of a tile: a multiple of 4, whose fourth times `scale` is whole, too
 * @param scale how many times larger than its input the network's result is
 */
export function inTiles(images: tf.Tensor4D, network: ImageLayer, tile: number, scale: number): tf.Tensor4D {
  const [, height, width] = images.shape;
  if (height <= tile && width <= tile) return network(images);
  const overlap = tile / PARTS;
  const step = tile - overlap;
  return tf.tidy(() => {
    let above: tf.Tensor4D[] = [];
    const rows = starts(height, step).map((top) => {
      const row: tf.Tensor4D[] = [];
      starts(width, step).forEach((left, column) => {
        const size = [-1, Math.min(tile, height - top), Math.min(tile, width - left), -1];
        row.push(
          tf.tidy(() => {
            const own = network(tf.slice(images, [0, top, left, 0], size));
            // As in diffusers, the neighbours are blended ones already, and the one above comes first.
            const under = above[column] ? blend(above[column], own, overlap * scale, 1) : own;
            return column > 0 ? blend(row[column - 1]!, under, overlap * scale, 2) : under;
          }),
        );
      });
      above = row;
      return tf.concat(
        row.map((one) => first(first(one, step * scale, 1), step * scale, 2)),
        2,
      );
    });
    return tf.concat(rows, 1);
  });
}

const starts = (size: number, step: number) => Array.from({ length: Math.ceil(size / step) }, (_, i) => i * step);

/** The part of images from `begin`, of so many rows (axis 1) or columns (axis 2). */
function part(x: tf.Tensor4D, begin: number, size: number, axis: 1 | 2): tf.Tensor4D {
  return tf.slice(
    x,
    [0, 0, 0, 0].map((zero, i) => (i === axis ? begin : zero)),
    [...x.shape].map((all, i) => (i === axis ? size : all)),
  );
}

const first = (x: tf.Tensor4D, most: number, axis: 1 | 2) => part(x, 0, Math.min(most, x.shape[axis]), axis);

/** A tile whose first rows or columns go over from the last ones of the tile before it. */
function blend(before: tf.Tensor4D, tile: tf.Tensor4D, extent: number, axis: 1 | 2): tf.Tensor4D {
  const [end, size] = [before.shape[axis], tile.shape[axis]];
  const shared = Math.min(end, size, extent);
  const share = tf
    .range(0, shared)
    .div<tf.Tensor1D>(shared)
    .reshape(axis === 1 ? [1, -1, 1, 1] : [1, 1, -1, 1]);
  const old = part(before, end - shared, shared, axis);
  const mixed = old.add<tf.Tensor4D>(part(tile, 0, shared, axis).sub(old).mul(share));
  return tf.concat([mixed, part(tile, shared, size - shared, axis)], axis);
}
