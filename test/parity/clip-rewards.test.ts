import * as tf from '@tensorflow/tfjs';
import sharp from 'sharp';
import { beforeAll, expect, it } from 'vitest';
import { readSafetensors } from '../../core/safetensors.js';
import { CLIPModel } from '../../networks/clip-model.js';
import { processImages, readImageProcessing } from '../../networks/image-processor.js';
import { headValue, linearHead } from '../../rewards/learned/linear-head.js';
import { fixturePath, fromNhwc, largestError, startBackend, toNhwc } from './fixtures.js';

await startBackend();
const folder = fixturePath('rewards', 'clip');
const io = await readSafetensors(fixturePath('rewards', 'clip', 'io.safetensors'));
const expected = (name: string) => io.get(name)!.data as Float32Array;
const ids = io.get('input_ids')!;
let model: CLIPModel;
beforeAll(async () => {
  model = await CLIPModel.load(folder);
  return () => model.dispose();
});

/** The given pictures, made ready by Python. */
function pixels(): tf.Tensor4D {
  const { data, shape } = io.get('pixel_values')!;
  return toNhwc({ data: data as unknown as number[], shape: [...shape] });
}

/** Rows [n, width] of length 1. */
const unit = (rows: Float32Array, width: number) =>
  Array.from({ length: rows.length / width }, (_, i) => {
    const row = rows.subarray(i * width, (i + 1) * width);
    const length = Math.hypot(...row);
    return Array.from(row, (x) => x / length);
  });

it("makes pictures ready as transformers' CLIPImageProcessor", async () => {
  const processing = await readImageProcessing(folder);
  const [, , size] = io.get('pixel_values')!.shape as [number, number, number];
  const each = 3 * size * size;
  for (let i = 0; i < io.get('pixel_values')!.shape[0]!; i++) {
    const picture = sharp(fixturePath('rewards', 'pictures', `${i}.png`))
      .removeAlpha()
      .toColourspace('srgb');
    const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true });
    const images = { data: new Uint8Array(data), shape: [1, info.height, info.width, info.channels] };
    const actual = await fromNhwc(processImages(images, processing));
    const error = actual.map((x, k) => Math.abs(x - expected('pixel_values')[i * each + k]!));
    // A level of 255 is .015 here.
    expect(Math.max(...error)).toBeLessThan(0.03);
  }
});

it("sees and reads as transformers' CLIPModel", async () => {
  const images = pixels();
  const { lastHiddenState, poolerOutput } = model.see(images);
  expect(largestError(await lastHiddenState.data(), expected('vision_hidden'))).toBeLessThan(1e-4);
  expect(largestError(await poolerOutput.data(), expected('vision_pooled'))).toBeLessThan(1e-4);
  const seen = model.imageFeatures(images);
  expect(largestError(await seen.data(), expected('image_features'))).toBeLessThan(1e-4);
  const texts = tf.tidy(() =>
    model.textFeatures(tf.tensor2d(Int32Array.from(ids.data), ids.shape as [number, number], 'int32')),
  );
  expect(largestError(await texts.data(), expected('text_features'))).toBeLessThan(1e-4);
  tf.dispose([images, lastHiddenState, poolerOutput, seen, texts]);
});

it('has the cosines, PickScores and CLIPScores of its features', async () => {
  const width = model.config.projection_dim;
  const [pictures, texts] = [unit(expected('image_features'), width), unit(expected('text_features'), width)];
  const cosines = pictures.map((row, i) => row.reduce((sum, x, k) => sum + x * texts[i]![k]!, 0));
  expect(largestError(cosines, expected('cosine'))).toBeLessThan(1e-4);
  expect(
    largestError(
      cosines.map((x) => model.scale * x),
      expected('pick_score'),
    ),
  ).toBeLessThan(1e-4);
  expect(
    largestError(
      cosines.map((x) => 100 * Math.max(x, 0)),
      expected('clip_score'),
    ),
  ).toBeLessThan(1e-4);
  const all = pictures.flatMap((p) => texts.map((t) => model.scale * p.reduce((sum, x, k) => sum + x * t[k]!, 0)));
  expect(largestError(all, expected('logits_per_image'))).toBeLessThan(1e-4);
});

it('has the aesthetic scores of the five layers without activations', async () => {
  const path = fixturePath('rewards', 'clip', 'aesthetic_head.safetensors');
  const width = model.config.projection_dim;
  const head = linearHead(path, await readSafetensors(path), width);
  const scores = unit(expected('image_features'), width).map((row) => headValue(head, row));
  expect(largestError(scores, expected('aesthetic'))).toBeLessThan(1e-4);
});
