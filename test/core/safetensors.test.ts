import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { NdArray } from '../../core/ndarray.js';
import {
  readSafetensors,
  readSafetensorsHeader,
  SafetensorsFile,
  streamSafetensors,
  writeSafetensors,
} from '../../core/safetensors.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'safetensors-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** A file of given header and data bytes. */
async function file(header: unknown, data: Uint8Array | number[], name = 'x.safetensors'): Promise<string> {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const path = join(folder, name);
  await writeFile(path, Buffer.concat([length, json, Uint8Array.from(data)]));
  return path;
}

const one = (dtype: string, shape: number[], bytes: number) => ({ x: { dtype, shape, data_offsets: [0, bytes] } });

describe('reading', () => {
  test('reads the bytes that the Python package writes', async () => {
    // safetensors.numpy.save({'b': np.arange(3, dtype=np.int32), 'a': np.float32([[1.5, -2]])}, {'format': 'pt'}).hex()
    const header =
      '{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"b":{"dtype":"I32","shape":[3],"data_offsets":[8,20]}} ';
    const path = await file(header, Buffer.from('0000c03f000000c0000000000100000002000000', 'hex'));
    const tensors = await readSafetensors(path);
    expect(tensors.get('a')).toEqual({ data: Float32Array.of(1.5, -2), shape: [1, 2] });
    expect(tensors.get('b')).toEqual({ data: Int32Array.of(0, 1, 2), shape: [3] });
    expect((await readSafetensorsHeader(path)).metadata).toEqual({ format: 'pt' });
  });

  test.each([
    // np.float16([1, -2, 65504, 2**-24, np.inf, -0.0, 0.333251953125]).view(np.uint16)
    {
      dtype: 'F16',
      data: Uint16Array.of(15360, 49152, 31743, 1, 31744, 32768, 13653),
      expected: Float32Array.of(1, -2, 65504, 2 ** -24, Number.POSITIVE_INFINITY, -0, 0.333251953125),
    },
    // torch.tensor([1., -2., 3.140625, 1e38], dtype=torch.bfloat16).view(torch.int16)
    {
      dtype: 'BF16',
      data: Uint16Array.of(0x3f80, 0xc000, 0x4049, 0x7e96),
      expected: Float32Array.of(1, -2, 3.140625, 9.96923e37),
    },
    { dtype: 'F64', data: Float64Array.of(Math.PI), expected: Float64Array.of(Math.PI) },
    { dtype: 'I64', data: BigInt64Array.of(5n, -7n), expected: Int32Array.of(5, -7) },
    { dtype: 'I64', data: BigInt64Array.of(2n ** 40n, -1n), expected: Float64Array.of(2 ** 40, -1) },
    { dtype: 'U8', data: Uint8Array.of(0, 255), expected: Uint8Array.of(0, 255) },
    { dtype: 'BOOL', data: Uint8Array.of(0, 1), expected: Uint8Array.of(0, 1) },
  ])('$dtype to $expected.constructor.name', async ({ dtype, data, expected }) => {
    const bytes = new Uint8Array(data.buffer);
    const path = await file(one(dtype, [data.length], bytes.length), bytes);
    const actual = (await readSafetensors(path)).get('x')!.data;
    expect(actual.constructor).toBe(expected.constructor);
    if (dtype === 'BF16')
      for (let i = 0; i < expected.length; i++) expect(actual[i]! / Number(expected[i])).toBeCloseTo(1, 5);
    else expect(actual).toEqual(expected);
  });

  test('reads a half that is not a number', async () => {
    const path = await file(one('F16', [1], 2), [0x01, 0x7e]);
    expect((await readSafetensors(path)).get('x')!.data[0]).toBeNaN();
  });

  test('reads only what is asked for', async () => {
    const header = { ...one('F32', [1], 4), y: { dtype: 'F32', shape: [], data_offsets: [4, 8] } };
    const path = await file(header, new Uint8Array(Float32Array.of(3, 4).buffer));
    expect([...(await readSafetensors(path, ['y']))]).toEqual([['y', { data: Float32Array.of(4), shape: [] }]]);
    await expect(readSafetensors(path, ['z'])).rejects.toThrow(/has no tensor `z` among its 2/);
  });
});

describe('writing', () => {
  test('comes back as it was, from views too, and aligned', async () => {
    const path = join(folder, 'sub', 'out.safetensors');
    const all = Float32Array.of(9, 1, 2, 3, 9);
    const tensors = new Map<string, NdArray>([
      ['bytes', { data: Uint8Array.of(1, 2, 3), shape: [3] }],
      ['view', { data: all.subarray(1, 4), shape: [3, 1] }],
      ['double', { data: Float64Array.of(0.1), shape: [] }],
      ['empty', { data: new Int32Array(0), shape: [0, 4] }],
    ]);
    await writeSafetensors(path, tensors, { author: 'me' });
    const { entries, metadata } = await readSafetensorsHeader(path);
    expect(metadata).toEqual({ format: 'pt', author: 'me' });
    for (const [name, { data }] of tensors) expect(entries.get(name)!.start % data.BYTES_PER_ELEMENT).toBe(0);
    expect(new Map([...(await readSafetensors(path))].sort())).toEqual(new Map([...tensors].sort()));
    expect((await readFile(path)).readBigUInt64LE() % 8n).toBe(0n);
  });
});

describe('bad files', () => {
  test('a missing one is named', async () => {
    await expect(readSafetensors('/no/such/file')).rejects.toThrow(/cannot read \/no\/such\/file/);
  });

  test('a truncated one names the tensor and the bytes', async () => {
    const path = await file(one('F32', [4], 16), new Uint8Array(10));
    await expect(readSafetensors(path)).rejects.toThrow(
      /x\.safetensors: tensor `x` \(16 bytes\) would end at byte \d+/,
    );
  });

  test.each([
    ['shorter than 8 bytes', Buffer.from('abc'), /has 3 bytes/],
    ['whose header is cut', Buffer.from('6400000000000000', 'hex'), /has 8 bytes, but its header alone needs 108/],
    ['whose length is absurd', Buffer.from('ffffffffffffffff', 'hex'), /limit 100000000/],
    ['whose header is not JSON', Buffer.from('02000000000000007b78', 'hex'), /the header is not JSON/],
    ['whose header is a list', Buffer.from('02000000000000005b5d', 'hex'), /not a JSON object/],
  ])('one %s', async (_, bytes, message) => {
    const path = join(folder, 'bad.safetensors');
    await writeFile(path, bytes);
    await expect(readSafetensors(path)).rejects.toThrow(message);
  });

  test.each([
    [one('F8', [1], 1), [0], /element type "F8"/],
    [one('F32', [2], 4), [0, 0, 0, 0], /has 4 bytes, but F32 of shape \[2\] needs 8/],
    [one('F32', [-1], 4), [0, 0, 0, 0], /shape \[-1\]/],
    [one('U8', [1], 1), [0, 0, 0], /its tensors end at byte/],
    [{ __metadata__: { n: 1 } }, [], /__metadata__/],
  ])('entries that contradict the data: %j', async (header, data, message) => {
    await expect(readSafetensors(await file(header, data))).rejects.toThrow(message);
  });

  test('an integer that no number holds exactly', async () => {
    const path = await file(one('I64', [1], 8), new Uint8Array(BigInt64Array.of(2n ** 60n).buffer));
    await expect(readSafetensors(path)).rejects.toThrow(/does not fit a JavaScript number/);
  });

  const f32 = (start: number, end: number) => ({
    dtype: 'F32',
    shape: [(end - start) / 4],
    data_offsets: [start, end],
  });

  test.each<[string, unknown, number, RegExp]>([
    [
      'tensors that overlap',
      { a: f32(0, 8), b: f32(4, 12) },
      12,
      /`b` .* begins at byte \d+, but the one before it ends/,
    ],
    ['a hole between tensors', { a: f32(0, 4), b: f32(8, 12) }, 12, /`b` .* to nothing belong the bytes from \d+ on/],
    ['a hole at the beginning', { a: f32(4, 8) }, 8, /to nothing belong/],
    ['an inherited name for a type', { a: { ...f32(0, 4), dtype: 'constructor' } }, 4, /element type "constructor"/],
    [
      'a name twice',
      '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
      0,
      /`a` twice/,
    ],
    [
      'a name twice, once escaped',
      '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\\u0061":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
      0,
      /`a` twice/,
    ],
    ['a field twice', '{"a":{"dtype":"U8","dtype":"I8","shape":[0],"data_offsets":[0,0]}}', 0, /`dtype` twice/],
    ['half a surrogate pair', '{"\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}', 0, /is no text/],
  ])('%s', async (_, header, bytes, message) => {
    await expect(readSafetensors(await file(header, new Uint8Array(bytes)))).rejects.toThrow(message);
  });

  test.each(['F8_E4M3', 'F8_E5M2', 'C64', 'U64'])('elements of type %s are no damage', async (dtype) => {
    const path = await file({ a: { ...f32(0, 4), dtype } }, new Uint8Array(4));
    await expect(readSafetensors(path)).rejects.toThrow(`the element type "${dtype}", and read are F64`);
    await expect(readSafetensors(path)).rejects.not.toThrow(/restore it/);
  });

  test('a header that is no UTF-8', async () => {
    const path = join(folder, 'latin1.safetensors');
    await writeFile(path, Buffer.concat([Buffer.from('0600000000000000', 'hex'), Buffer.from('{"\xff":1', 'latin1')]));
    await expect(readSafetensors(path)).rejects.toThrow(/the header is not UTF-8/);
  });

  test('thousands of tensors over the same bytes, at once', async () => {
    const many = Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`t${i}`, f32(0, 400_000)]));
    const path = await file(many, new Uint8Array(400_000));
    const begun = performance.now();
    await expect(readSafetensors(path)).rejects.toThrow(/but the one before it ends/);
    expect(performance.now() - begun).toBeLessThan(2000);
  });

  test.each([
    [
      'a pointer of Git LFS',
      'version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n',
      /Git LFS.*git lfs pull/,
    ],
    ['a pickle in a zip', 'PK\x03\x04\0\0\x08\x08archive/data.pkl', /a pickle, as torch\.save writes it/],
    ['a pickle', '\x80\x02}q\0X\x01\0\0', /a pickle, as torch\.save writes it/],
    ['an HDF5 file', '\x89HDF\r\n\x1a\n....', /an HDF5 file/],
  ])('%s is named', async (_, text, message) => {
    const path = join(folder, 'other.safetensors');
    await writeFile(path, Buffer.from(text, 'latin1'));
    await expect(readSafetensors(path)).rejects.toThrow(message);
  });

  test('a folder of that name', async () => {
    await expect(readSafetensors(folder)).rejects.toThrow(/it is a folder or a device/);
  });

  test('names that a file cannot have are refused when it is written, and all others come back', async () => {
    const path = join(folder, 'names.safetensors');
    const tensor = { data: Float32Array.of(1), shape: [1] };
    for (const name of ['__metadata__', '\ud800'])
      await expect(writeSafetensors(path, new Map([[name, tensor]]))).rejects.toThrow(/can have this name/);
    const names = ['__proto__', 'constructor', '', '😀', 'x'.repeat(1000)];
    await writeSafetensors(path, new Map(names.map((name) => [name, tensor])));
    expect([...(await readSafetensors(path)).keys()].sort()).toEqual(names.sort());
    await expect(writeSafetensors(path, new Map([['a', { ...tensor, shape: [2] }]]))).rejects.toThrow(/do not fill/);
  });

  test('a header whose length begins as a pickle does is a header', async () => {
    const name = 'x'.repeat(0x0280 - JSON.stringify({ '': f32(0, 4) }).length);
    const path = await file({ [name]: f32(0, 4) }, new Uint8Array(4));
    expect((await readFile(path)).subarray(0, 2)).toEqual(Buffer.from([0x80, 0x02]));
    expect((await readSafetensors(path)).size).toBe(1);
  });
});

test('is read tensor by tensor, and written so', async () => {
  const path = join(folder, 'streamed.safetensors');
  const tensors = new Map(
    ['b', 'a', 'c'].map((name, i) => [
      name,
      { data: Float32Array.from({ length: 6 }, (_, k) => 10 * i + k), shape: [2, 3] },
    ]),
  );
  const asked: string[] = [];
  const written = Array.from(tensors, ([name, { data, shape }]) => {
    const read = async () => {
      asked.push(name);
      return data;
    };
    return [name, { shape, read }] as const;
  });
  await streamSafetensors(path, new Map(written));
  expect(asked).toEqual(['a', 'b', 'c']);
  const streamed = await readFile(path);
  const whole = join(folder, 'whole.safetensors');
  await writeSafetensors(whole, tensors);
  expect(streamed.equals(await readFile(whole))).toBe(true);
  const open = await SafetensorsFile.open(path);
  expect([...open.keys()]).toEqual(['a', 'b', 'c']);
  expect(open.get('b')).toEqual(tensors.get('b'));
  expect(open.get('d')).toBeUndefined();
  await truncate(path, streamed.length - 4);
  expect(() => open.get('c')).toThrow(/tensor `c`: ends after 20 of 24 bytes/);
  open.close();
});
