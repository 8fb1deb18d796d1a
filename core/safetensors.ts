import { closeSync, openSync, readSync } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { GymError, messageOf } from './errors.js';
import { writeFileAtomic } from './files.js';
import { type NdArray, sizeOf, type TypedArray } from './ndarray.js';
import { shownJson, shownName, shownShape } from './shown.js';

/** The element types that are read, by the name that the file format gives them. */
export type SafetensorsType = keyof typeof itemBytes;

const itemBytes = { F64: 8, I64: 8, F32: 4, I32: 4, U32: 4, F16: 2, BF16: 2, I16: 2, U16: 2, I8: 1, U8: 1, BOOL: 1 };

/** Where one tensor lies in a safetensors file. */
export interface SafetensorsEntry {
  readonly type: SafetensorsType;
  readonly shape: readonly number[];
  /** From the start of the file, in bytes. */
  readonly start: number;
  readonly bytes: number;
}

/** What a safetensors file says about itself before its data. */
export interface SafetensorsHeader {
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

// The limit of the reference implementation (https://github.com/huggingface/safetensors).
const MAX_HEADER_BYTES = 100_000_000;
// One read call takes at most 2 GiB.
const CHUNK_BYTES = 1 << 30;
/** The entry of a header that is no tensor. */
const METADATA = '__metadata__';
/** Half of a surrogate pair, which UTF-8 has no bytes for. */
const HALF_PAIR = /\p{Surrogate}/u;

/**
 * Reads what a safetensors file holds, without its data. A file is refused where the reference implementation refuses it:
 * its tensors must fill the data without an overlap or a hole, and a name must not stand twice.
 * @throws GymError E_FILE for a file that is missing, truncated or corrupt, or of another format
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  return withFile(path, (file) => readHeader(file, path));
}

/**
 * Reads tensors from a safetensors file, by range: the header, then only those asked for, so that a large file costs no
 * more than what is used of it.
 *
 * F16 and BF16 become `Float32Array`; I64 becomes `Int32Array` where all values fit, else `Float64Array`; BOOL becomes
 * `Uint8Array`; the other types keep theirs.
 * @param names which tensors; all by default
 * @throws GymError E_FILE for a file that is missing, truncated or corrupt, or lacks one of the names
 */
export async function readSafetensors(path: string, names?: readonly string[]): Promise<Map<string, NdArray>> {
  return withFile(path, async (file) => {
    const { entries } = await readHeader(file, path);
    const tensors = new Map<string, NdArray>();
    for (const name of names ?? entries.keys()) {
      const entry = entries.get(name);
      if (!entry)
        throw new GymError(
          'E_FILE',
          `${path}: has no tensor \`${shownName(name)}\` among its ${entries.size}; check that this file belongs to the model.`,
        );
      const what = `${path}: tensor \`${shownName(name)}\``;
      const bytes = await readRange(file, entry.start, entry.bytes, what);
      tensors.set(name, { data: decode(bytes, entry.type, what), shape: entry.shape });
    }
    return tensors;
  });
}

/**
 * A safetensors file whose tensors are read one by one and without waiting: whatever builds a network reads each tensor where
 * it makes the parameter, so that never more than one is in memory beside the network. It reads as a map by names.
 */
export class SafetensorsFile {
  readonly path: string;
  readonly #entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly #descriptor: number;

  private constructor(path: string, entries: ReadonlyMap<string, SafetensorsEntry>) {
    this.path = path;
    this.#entries = entries;
    this.#descriptor = openSync(path, 'r');
  }

  /** @throws GymError E_FILE as {@link readSafetensorsHeader} */
  static async open(path: string): Promise<SafetensorsFile> {
    return new SafetensorsFile(path, (await readSafetensorsHeader(path)).entries);
  }

  keys(): Iterable<string> {
    return this.#entries.keys();
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /** Reads a tensor, as {@link readSafetensors} does. @throws GymError E_FILE where the file has become shorter */
  get(name: string): NdArray | undefined {
    const entry = this.#entries.get(name);
    if (!entry) return undefined;
    const { type, shape, start, bytes } = entry;
    const what = `${this.path}: tensor \`${shownName(name)}\``;
    const buffer = new Uint8Array(bytes);
    for (let done = 0; done < bytes; ) {
      const read = readSync(this.#descriptor, buffer, done, Math.min(bytes - done, CHUNK_BYTES), start + done);
      if (read === 0) throw truncated(what, done, bytes);
      done += read;
    }
    return { data: decode(buffer, type, what), shape };
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

/** A tensor that is to be written: its values are asked for only then. */
export interface WrittenTensor {
  readonly shape: readonly number[];
  /** float32, in as many elements as the shape has. */
  read(): Promise<Float32Array>;
}

/**
 * Writes a safetensors file of float32 tensors as {@link writeSafetensors} does, with one tensor in memory at a time.
 * @throws GymError E_FILE when it cannot be written
 */
export async function streamSafetensors(path: string, tensors: ReadonlyMap<string, WrittenTensor>): Promise<void> {
  const sorted = [...tensors].sort(([a], [b]) => (a < b ? -1 : 1));
  const { head } = layOut(sorted.map(([name, { shape }]) => ({ name, type: 'F32', shape, bytes: 4 * sizeOf(shape) })));
  async function* pieces() {
    yield head;
    for (const [, tensor] of sorted) {
      const { buffer, byteOffset, byteLength } = await tensor.read();
      yield new Uint8Array(buffer, byteOffset, byteLength);
    }
  }
  await writeFileAtomic(path, pieces());
}

/** The bytes before the data, and where the data ends: tensors lie one after the other. */
function layOut(
  tensors: readonly { name: string; type: SafetensorsType; shape: readonly number[]; bytes: number }[],
  metadata: Readonly<Record<string, string>> = {},
): { head: Buffer; end: number } {
  const header: [string, unknown][] = [[METADATA, { format: 'pt', ...metadata }]];
  let end = 0;
  for (const { name, type, shape, bytes } of tensors) {
    header.push([name, { dtype: type, shape, data_offsets: [end, end + bytes] }]);
    end += bytes;
  }
  // An assignment to `__proto__` would be no entry; fromEntries makes one of any name.
  const json = Buffer.from(JSON.stringify(Object.fromEntries(header)));
  const headerBytes = Math.ceil(json.length / 8) * 8;
  const head = Buffer.alloc(8 + headerBytes, ' ');
  head.writeBigUInt64LE(BigInt(headerBytes));
  json.copy(head, 8);
  return { head, end };
}

/**
 * Writes a safetensors file, whole or not at all. Float32Array is written as F32, the other typed arrays likewise.
 * @param metadata free text beside the tensors; `format: 'pt'` (which Python's loaders ask for) unless it says otherwise
 * @throws GymError E_FILE when it cannot be written; E_VALUE for a tensor that no file can hold: named `__metadata__` or by
 *   half a surrogate pair, or with more or fewer elements than its shape has
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, NdArray>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  for (const [name, { data, shape }] of tensors)
    checkWritable(`${path}: tensor \`${shownName(name)}\``, name, data, shape);
  // Wide elements first, then by name, as the reference writer does: every tensor is then aligned to its elements.
  const sorted = [...tensors].sort(
    ([a, x], [b, y]) => y.data.BYTES_PER_ELEMENT - x.data.BYTES_PER_ELEMENT || (a < b ? -1 : 1),
  );
  const { head, end } = layOut(
    sorted.map(([name, { data, shape }]) => ({ name, type: typeOf(data), shape, bytes: data.byteLength })),
    metadata,
  );
  const file = Buffer.alloc(head.length + end, 0);
  head.copy(file);
  let position = head.length;
  for (const [, { data }] of sorted) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), position);
    position += data.byteLength;
  }
  await writeFileAtomic(path, file);
}

/** @throws GymError E_VALUE for a tensor that could be written but not be read again. */
function checkWritable(where: string, name: string, data: TypedArray, shape: readonly number[]): void {
  if (name === METADATA || HALF_PAIR.test(name))
    throw new GymError('E_VALUE', `${where}: no tensor of a safetensors file can have this name; give it another one.`);
  if (!isCounts(shape) || sizeOf(shape) !== data.length)
    throw new GymError('E_VALUE', `${where}: ${data.length} elements do not fill the shape [${shape.join(', ')}].`);
}

async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  let file: FileHandle;
  try {
    // Before it is opened, which would wait for the other end of a pipe.
    if (!(await stat(path)).isFile()) throw new Error('it is a folder or a device, and no file');
    file = await open(path, 'r');
  } catch (error) {
    throw new GymError('E_FILE', `cannot read ${path}: ${messageOf(error)}; check the path.`, { cause: error });
  }
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

async function readRange(file: FileHandle, start: number, bytes: number, what: string): Promise<Uint8Array> {
  let buffer: Uint8Array<ArrayBuffer>;
  try {
    buffer = new Uint8Array(bytes);
  } catch (error) {
    throw new GymError('E_FILE', `${what}: its ${bytes} bytes do not fit into the memory.`, { cause: error });
  }
  let done = 0;
  while (done < bytes) {
    const { bytesRead } = await file.read(buffer, done, Math.min(bytes - done, CHUNK_BYTES), start + done);
    if (bytesRead === 0) throw truncated(what, done, bytes);
    done += bytesRead;
  }
  return buffer;
}

function truncated(what: string, done: number, bytes: number): GymError {
  return new GymError(
    'E_FILE',
    `${what}: ends after ${done} of ${bytes} bytes; the file is truncated: restore it from its source.`,
  );
}

async function readHeader(file: FileHandle, path: string): Promise<SafetensorsHeader> {
  const corrupt = (what: string) =>
    new GymError('E_FILE', `${path}: ${what}; it is not a whole safetensors file: restore it from its source.`);
  const { size } = await file.stat();
  if (size < 8) throw corrupt(`has ${size} bytes, fewer than the 8 that give the header's length`);
  const first = await readRange(file, 0, 8, path);
  const length = Number(new DataView(first.buffer).getBigUint64(0, true));
  const another = length > MAX_HEADER_BYTES ? otherFormat(first) : undefined;
  if (another !== undefined) throw new GymError('E_FILE', `${path}: is no safetensors file, but ${another}.`);
  if (length > MAX_HEADER_BYTES) throw corrupt(`says that its header has ${length} bytes (limit ${MAX_HEADER_BYTES})`);
  if (8 + length > size) throw corrupt(`has ${size} bytes, but its header alone needs ${8 + length}`);
  const header = parseHeader(await readRange(file, 8, length, `${path}: header`), corrupt);

  const { [METADATA]: metadata, ...rest } = header;
  if (metadata != null && !(isRecord(metadata) && Object.values(metadata).every((value) => typeof value === 'string')))
    throw corrupt('its __metadata__ is not an object of texts');
  const parsed = Object.entries(rest).map(([name, value]): [string, SafetensorsEntry] => {
    if (HALF_PAIR.test(name))
      throw corrupt(`the name ${shownJson(name)} of a tensor is no text: half a surrogate pair`);
    const unread = unreadType(value);
    if (unread !== undefined)
      throw new GymError(
        'E_FILE',
        `${path}: tensor \`${shownName(name)}\` is of the element type ${shownJson(unread)}, and read are ${Object.keys(itemBytes).join(', ')}; convert it to one of these, for example by \`.float()\` in Python.`,
      );
    const entry = parseEntry(value, 8 + length);
    if (typeof entry === 'string') throw corrupt(`tensor \`${shownName(name)}\` ${entry}`);
    return [name, entry];
  });
  // In the order of the data. Those without an element come before what begins at the same place.
  const inOrder = [...parsed].sort(([, a], [, b]) => a.start - b.start || a.bytes - b.bytes);
  let end = 8 + length;
  for (const [name, { start, bytes }] of inOrder) {
    const tensor = `tensor \`${shownName(name)}\` (${bytes} bytes)`;
    if (start < end) throw corrupt(`${tensor} begins at byte ${start}, but the one before it ends at ${end}`);
    if (start > end) throw corrupt(`${tensor} begins at byte ${start}; to nothing belong the bytes from ${end} on`);
    end = start + bytes;
    if (end > size) throw corrupt(`${tensor} would end at byte ${end}, but there are ${size}`);
  }
  if (end !== size) throw corrupt(`has ${size} bytes, but its tensors end at byte ${end}`);
  return { entries: new Map(parsed), metadata: (metadata ?? {}) as Record<string, string> };
}

/** What a file is that is often found in the place of a safetensors file, by its first bytes, and what to do about it. */
function otherFormat(first: Uint8Array): string | undefined {
  const text = Buffer.from(first).toString('latin1');
  if (text === 'version ')
    return 'a pointer of Git LFS: a few lines in the place of the file that they stand for; fetch that by `git lfs pull`';
  if (text.startsWith('PK\x03\x04') || (text[0] === '\x80' && text[1]! <= '\x05'))
    return 'a pickle, as torch.save writes it; convert it by safetensors.torch.save_file (pickles run code when they are read, so this program reads none)';
  if (text.startsWith('\x89HDF')) return 'an HDF5 file; convert it by safetensors.torch.save_file';
  if (text.startsWith('GGUF')) return 'a GGUF file; take the safetensors files that it was made from';
  return undefined;
}

/** The header's JSON. @param corrupt makes the error. */
function parseHeader(bytes: Uint8Array, corrupt: (what: string) => GymError): Record<string, unknown> {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw corrupt('the header is not UTF-8');
  }
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    throw corrupt(`the header is not JSON (${messageOf(error)})`);
  }
  if (!isRecord(header)) throw corrupt('the header is not a JSON object');
  const twice = repeatedKey(text);
  if (twice !== undefined) throw corrupt(`its header has \`${shownName(twice)}\` twice`);
  return header;
}

/**
 * A key that an object of a valid JSON text has twice, if there is one. JSON.parse takes the last of them without a word,
 * so that of two tensors of one name one would be lost.
 */
function repeatedKey(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  let isKey = false;
  for (let i = 0; i < json.length; i++) {
    const character = json[i];
    if (character === '{' || character === '[') {
      isKey = character === '{';
      open.push(isKey ? new Set() : undefined);
    } else if (character === '}' || character === ']') open.pop();
    else if (character === ',') isKey = open.at(-1) !== undefined;
    else if (character === '"') {
      const begin = i++;
      while (json[i] !== '"') i += json[i] === '\\' ? 2 : 1;
      if (!isKey) continue;
      isKey = false;
      const key = JSON.parse(json.slice(begin, i + 1)) as string;
      const keys = open.at(-1)!;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}

/** The element type of a header entry, if it is one that is not read: 8-bit floats and complex numbers, for example. */
function unreadType(value: unknown): string | undefined {
  const type = isRecord(value) ? value.dtype : undefined;
  return typeof type === 'string' && !Object.hasOwn(itemBytes, type) ? type : undefined;
}

/** One header entry, or what is wrong with it. */
function parseEntry(value: unknown, dataStart: number): SafetensorsEntry | string {
  if (!isRecord(value)) return 'has an entry that is not an object';
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string') return `has the element type ${shownJson(dtype)}`;
  const type = dtype as SafetensorsType;
  if (!isCounts(shape)) return `has the shape ${shownJson(shape)}`;
  if (!isCounts(offsets) || offsets.length !== 2) return `has the data_offsets ${shownJson(offsets)}`;
  const [start, end] = offsets as [number, number];
  const bytes = sizeOf(shape) * itemBytes[type];
  if (end - start !== bytes)
    return `has ${end - start} bytes, but ${type} of shape ${shownShape(shape)} needs ${bytes}`;
  return { type, shape, start: dataStart + start, bytes };
}

function isCounts(list: unknown): list is readonly number[] {
  return Array.isArray(list) && list.every((n) => Number.isSafeInteger(n) && n >= 0 && !Object.is(n, -0));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function decode(bytes: Uint8Array, type: SafetensorsType, what: string): TypedArray {
  const { buffer } = bytes;
  switch (type) {
    case 'F64':
      return new Float64Array(buffer);
    case 'F32':
      return new Float32Array(buffer);
    case 'F16':
      return Float32Array.from(new Uint16Array(buffer), halfToNumber);
    case 'BF16': {
      // The upper half of a float32.
      const bits = Uint32Array.from(new Uint16Array(buffer), (half) => half << 16);
      return new Float32Array(bits.buffer);
    }
    case 'I64':
      return decodeInt64(new BigInt64Array(buffer), what);
    case 'I32':
      return new Int32Array(buffer);
    case 'U32':
      return new Uint32Array(buffer);
    case 'I16':
      return new Int16Array(buffer);
    case 'U16':
      return new Uint16Array(buffer);
    case 'I8':
      return new Int8Array(buffer);
    case 'U8':
    case 'BOOL':
      return bytes;
  }
}

/** IEEE 754 binary16: 1 sign bit, 5 exponent bits, 10 fraction bits. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function decodeInt64(values: BigInt64Array, what: string): Int32Array | Float64Array {
  let small = true;
  for (const value of values) {
    if (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER)
      throw new GymError('E_FILE', `${what}: ${value} does not fit a JavaScript number exactly; it cannot be read.`);
    small &&= BigInt.asIntN(32, value) === value;
  }
  return small ? Int32Array.from(values, Number) : Float64Array.from(values, Number);
}

function typeOf(data: TypedArray): SafetensorsType {
  if (data instanceof Float32Array) return 'F32';
  if (data instanceof Float64Array) return 'F64';
  if (data instanceof Int32Array) return 'I32';
  if (data instanceof Uint32Array) return 'U32';
  if (data instanceof Int16Array) return 'I16';
  if (data instanceof Uint16Array) return 'U16';
  if (data instanceof Int8Array) return 'I8';
  return 'U8';
}
