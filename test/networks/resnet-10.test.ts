import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { Random } from '../../core/random.js';
import { ResNet10 } from '../../networks/resnet-10.js';

beforeAll(async () => void (await useBackend()));

describe('ResNet10', () => {
  it("has the parameters of the paper's network, and halves the picture three times", () => {
    const network = ResNet10.create({ classes: 10 }, new Random(0));
    // torch: conv 3×3 (3, 64), BasicBlock × [1, 1, 1, 1] of 64, 128, 256, 512 with 1×1 shortcuts, linear (512, 10); no bias
    // in convolutions: sum(p.numel() for p in net.parameters()) = 4,903,242
    expect([...network.parameters.values()].reduce((sum, { size }) => sum + size, 0)).toBe(4_903_242);
    network.dispose();
  });

  it('gives features of at least 0 in either mode, tracks statistics in training alone, and frees what it takes', () => {
    const before = tf.memory().numTensors;
    const network = ResNet10.create({ classes: 3, features: 16 }, new Random(0));
    const images = tf.tensor4d(new Random(1).normals(2 * 9 * 9 * 3), [2, 9, 9, 3]);
    const tracked = () => [...network.buffers.values()].flatMap((variable) => [...variable.dataSync()]);
    const start = tracked();
    const { features, logits } = network.forward(images, 'eval');
    expect(features.shape).toEqual([2, 16]);
    expect(logits.shape).toEqual([2, 3]);
    expect(Math.min(...features.dataSync())).toBeGreaterThanOrEqual(0);
    expect(tracked()).toEqual(start);
    tf.dispose([features, logits]);
    tf.dispose(Object.values(network.forward(images, 'train')));
    expect(tracked()).not.toEqual(start);
    const copy = network.clone();
    const [a, b] = [network.forward(images, 'eval'), copy.forward(images, 'eval')];
    expect([...b.logits.dataSync()]).toEqual([...a.logits.dataSync()]);
    tf.dispose([images, ...Object.values(a), ...Object.values(b)]);
    network.dispose();
    copy.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('refuses features that its widths cannot make', () => {
    expect(() => ResNet10.create({ classes: 3, features: 20 }, new Random(0))).toThrow(
      /multiple of 8, actual value 20/,
    );
  });
});
