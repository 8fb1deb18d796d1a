import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { GymError } from '../../../../core/errors.js';
import type { NdArray, TypedArray } from '../../../../core/ndarray.js';
import { readSafetensors, readSafetensorsHeader, writeSafetensors } from '../../../../core/safetensors.js';
import { jsonText, mutated, mutatedBytes, oddNames } from '../arbitraries.js';
import { expectThat } from '../judge.js';
import { target } from '../target.js';

const itemBytes: Readonly<Record<string, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  U8: 1,
  BOOL: 1,
};

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** The header of a valid file, and the number of bytes of its data. */
const valid = fc
  .uniqueArray(
    fc.record({
      name: fc.oneof(fc.constantFrom(...oddNames), fc.string({ maxLength: 6 })),
      dtype: fc.constantFrom(...Object.keys(itemBytes)),
      shape: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }),
    }),
    { selector: ({ name }) => name, maxLength: 5 },
  )
  .map((tensors) => {
    const entries: [string, Entry][] = [];
    let size = 0;
    for (const { name, dtype, shape } of tensors) {
      const bytes = shape.reduce((a, b) => a * b, itemBytes[dtype]!);
      entries.push([name, { dtype, shape, data_offsets: [size, size + bytes] }]);
      size += bytes;
    }
    return { header: Object.fromEntries(entries), size };
  });

/** Many tensors over the same bytes. */
const overlapping = fc.integer({ min: 2, max: 5000 }).map((count) => ({
  header: Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`t${i}`, { dtype: 'F32', shape: [1000], data_offsets: [0, 4000] }]),
  ),
  size: 4000,
}));

function fileOf(header: string, data: Uint8Array): Uint8Array {
  const json = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
}

const bytes = fc.oneof(
  // Headers that contradict themselves or the data.
  {
    weight: 5,
    arbitrary: valid.chain(({ header, size }) =>
      fc
        .tuple(mutated(header), fc.constantFrom(0, 0, 0, 1, -1, 8))
        .map(([changed, more]) => fileOf(jsonText(changed), new Uint8Array(Math.max(0, size + more)))),
    ),
  },
  // Whole files with a few bytes changed.
  {
    weight: 5,
    arbitrary: valid.chain(({ header, size }) => mutatedBytes(fileOf(JSON.stringify(header), new Uint8Array(size)))),
  },
  { weight: 2, arbitrary: valid.map(({ header, size }) => fileOf(JSON.stringify(header), new Uint8Array(size))) },
  {
    weight: 1,
    arbitrary: overlapping.map(({ header, size }) => fileOf(JSON.stringify(header), new Uint8Array(size))),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(
        'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n',
        'PK\x03\x04\0\0\x08\x08data',
        '\x80\x02}q\0(X\x01\0',
        '<!DOCTYPE html>',
        '{"a": 1}',
      )
      .map((text) => Buffer.from(text, 'latin1')),
  },
);

/** Files of any bytes: the tensors lie within the file one after another, or the file is refused. */
export const reading = target<Uint8Array>({
  name: 'safetensors that are read',
  inputs: 350,
  input: bytes,
  async check(input, { files }) {
    const path = join(files, 'x.safetensors');
    await writeFile(path, input);
    const { entries } = await readSafetensorsHeader(path);
    const tensors = await readSafetensors(path);
    expectThat(tensors.size === entries.size, 'not every entry became a tensor');
    let total = 0;
    for (const [name, { shape, bytes: size, start }] of entries) {
      total += size;
      expectThat(start + size <= input.length, `tensor ${name} ends behind the file`);
      const { data } = tensors.get(name)!;
      expectThat(data.length === shape.reduce((a, b) => a * b, 1), `tensor ${name} does not fill its shape`);
    }
    const header = 8 + Number(Buffer.from(input.buffer, input.byteOffset).readBigUInt64LE());
    expectThat(total === input.length - header, 'the tensors do not fill the data');
  },
});

const array: fc.Arbitrary<TypedArray> = fc.oneof(
  fc.float32Array({ maxLength: 12 }),
  fc.float64Array({ maxLength: 12 }),
  fc.int32Array({ maxLength: 12 }),
  fc.uint8Array({ maxLength: 12 }),
  fc.int16Array({ maxLength: 12 }),
);

/** Whatever is written is read as it was, or it is refused when it is written. */
export const writing = target<Map<string, NdArray>>({
  name: 'safetensors that are written',
  inputs: 100,
  input: fc
    .array(fc.tuple(fc.oneof(fc.constantFrom(...oddNames), fc.string()), array), { maxLength: 5 })
    .map((list) => new Map(list.map(([name, data]) => [name, { data, shape: [data.length] }]))),
  async check(tensors, { files }) {
    const path = join(files, 'written.safetensors');
    await writeSafetensors(path, tensors);
    let back: Map<string, NdArray>;
    try {
      back = await readSafetensors(path);
    } catch (error) {
      throw GymError.is(error) ? new Error(`what was written cannot be read: ${error.message}`) : error;
    }
    expectThat(back.size === tensors.size, 'tensors were lost');
    for (const [name, { data }] of tensors) {
      const other = back.get(name)?.data;
      expectThat(other?.constructor === data.constructor, `tensor ${JSON.stringify(name)} has another type`);
      const bits = (array: TypedArray) => Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('hex');
      expectThat(bits(other!) === bits(data), `tensor ${JSON.stringify(name)} has other values`);
    }
  },
});
