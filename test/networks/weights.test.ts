import { describe, expect, test } from 'vitest';
import { fromTorch, toTorch } from '../../networks/weights.js';

const count = (shape: number[]) => ({
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i),
  shape,
});

describe('layouts', () => {
  test('a linear weight is transposed', () => {
    // np.arange(6).reshape(2, 3).T.ravel()
    expect(fromTorch('a.weight', count([2, 3]))).toEqual({ data: Float32Array.of(0, 3, 1, 4, 2, 5), shape: [3, 2] });
  });

  test('a convolution goes from [out, in, height, width] to [height, width, in, out]', () => {
    // np.arange(16).reshape(2, 2, 1, 4).transpose(2, 3, 1, 0).ravel()
    expect(fromTorch('conv.weight', count([2, 2, 1, 4]))).toEqual({
      data: Float32Array.of(0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, 3, 11, 7, 15),
      shape: [1, 4, 2, 2],
    });
  });

  test.each([
    ['a.bias', [3]],
    ['norm.weight', [4]],
    ['text_model.embeddings.token_embedding.weight', [2, 3]],
    ['text_model.embeddings.position_embedding.weight', [2, 3]],
  ])('%s stays as it is', (name, shape) => {
    expect(fromTorch(name, count(shape))).toEqual(count(shape));
  });

  test('a linear layer below something called embedding is still a linear layer', () => {
    expect(fromTorch('time_embedding.linear_1.weight', count([2, 3])).shape).toEqual([3, 2]);
  });

  test.each([
    ['a.weight', [5, 3]],
    ['a.weight', [2, 3, 5, 7]],
    ['a.bias', [3]],
  ])('toTorch undoes fromTorch: %s %j', (name, shape) => {
    expect(toTorch(name, fromTorch(name, count(shape)))).toEqual(count(shape));
  });
});
