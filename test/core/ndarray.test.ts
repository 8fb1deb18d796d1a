import { describe, expect, it } from 'vitest';
import { copy, isNdArray, ndarray, stack, unstack } from '../../core/ndarray.js';

describe('stack and unstack', () => {
  it('views of one buffer, in order, are not copied', () => {
    const whole = ndarray(
      Float32Array.from({ length: 12 }, (_, i) => i),
      [3, 4],
    );
    const rows = unstack(whole);
    const again = stack(rows);
    expect(again.data.buffer).toBe(whole.data.buffer);
    expect(again.shape).toEqual([3, 4]);
    const part = stack(rows.slice(1));
    expect(part.data.buffer).toBe(whole.data.buffer);
    expect([...part.data]).toEqual([4, 5, 6, 7, 8, 9, 10, 11]);
  });

  it('others are copied in the order given', () => {
    const [a, b] = unstack(ndarray(Uint8Array.of(1, 2, 3, 4), [2, 2]));
    const stacked = stack([b!, a!]);
    expect([...stacked.data]).toEqual([3, 4, 1, 2]);
    expect(stacked.data).toBeInstanceOf(Uint8Array);
  });

  it('shapes that differ, an empty list, a scalar and a wrong length are errors', () => {
    const a = ndarray(new Float32Array(2), [2]);
    expect(() => stack([a, ndarray(new Float32Array(2), [1, 2])])).toThrow(/element 1 has shape \[1, 2\]/);
    expect(() => stack([])).toThrow(/empty list/);
    expect(() => unstack(ndarray(new Float32Array(1), []))).toThrow(/no first axis/);
    expect(() => ndarray(new Float32Array(3), [2, 2])).toThrow(/3 elements do not fill shape \[2, 2\]/);
  });
});

it('copy owns its buffer', () => {
  const [row] = unstack(ndarray(Float32Array.of(1, 2, 3, 4), [2, 2]));
  expect(copy(row!).data.buffer.byteLength).toBe(8);
});

it('isNdArray knows one', () => {
  expect(isNdArray({ data: new Float32Array(1), shape: [1] })).toBe(true);
  for (const other of [null, 1, {}, { data: [1], shape: [1] }, { data: new DataView(new ArrayBuffer(1)), shape: [1] }])
    expect(isNdArray(other)).toBe(false);
});
