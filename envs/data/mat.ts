import { promisify } from 'node:util';
import { inflate } from 'node:zlib';
import { GymError, messageOf } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';

const inflated = promisify(inflate);

/** An array of a MAT file: numbers in column-major order, the first dimension fastest. */
export interface MatArray {
  readonly shape: readonly number[];
  readonly data: Float64Array | Uint8Array;
}

/** How numbers of a MAT data type are read: bytes each, and the reader. Type 2 is uint8, which most pictures are. */
const numbers: Readonly<Record<number, readonly [bytes: number, read: (buffer: Buffer, at: number) => number]>> = {
  1: [1, (b, at) => b.readInt8(at)],
  2: [1, (b, at) => b.readUInt8(at)],
  3: [2, (b, at) => b.readInt16LE(at)],
  4: [2, (b, at) => b.readUInt16LE(at)],
  5: [4, (b, at) => b.readInt32LE(at)],
  6: [4, (b, at) => b.readUInt32LE(at)],
  7: [4, (b, at) => b.readFloatLE(at)],
  9: [8, (b, at) => b.readDoubleLE(at)],
  12: [8, (b, at) => Number(b.readBigInt64LE(at))],
  13: [8, (b, at) => Number(b.readBigUInt64LE(at))],
};

const [miMatrix, miCompressed] = [14, 15];

interface Element {
  readonly type: number;
  readonly data: Buffer;
}

/** The elements of a piece of a file, one after another. A short one has its data within its tag. */
function* elements(buffer: Buffer, path: string): Generator<Element> {
  for (let at = 0; at + 8 <= buffer.length; ) {
    const word = buffer.readUInt32LE(at);
    const short = word >>> 16;
    const [type, bytes, start] =
      short > 0 ? [word & 0xffff, short, at + 4] : [word, buffer.readUInt32LE(at + 4), at + 8];
    if (start + bytes > buffer.length)
      throw new GymError(
        'E_FILE',
        `${path}: an element at byte ${at} has ${bytes} bytes, of which ${buffer.length - start} are there; the file is truncated, get it again.`,
      );
    yield { type, data: buffer.subarray(start, start + bytes) };
    // Elements end on multiples of 8 bytes, compressed ones do not.
    const end = start + bytes;
    at = type === miCompressed ? end : Math.ceil(end / 8) * 8;
  }
}

function numbersOf({ type, data }: Element, path: string): Float64Array | Uint8Array {
  const entry = numbers[type];
  if (entry === undefined)
    throw new GymError(
      'E_FILE',
      `${path}: holds data of MAT type ${type}, which is none of numbers; save arrays of numbers.`,
    );
  if (type === 2) return new Uint8Array(data);
  const [bytes, read] = entry;
  return Float64Array.from({ length: Math.floor(data.length / bytes) }, (_, i) => read(data, i * bytes));
}

/**
 * Reads the numeric arrays of a MATLAB file of version 5 to 7 (`scipy.io.savemat`), compressed or not. Structures, cells
 * and texts are left out. There is no package for it with a licence that this one could depend on.
 * @throws GymError E_FILE on another format (version 7.3 is HDF5), or a damaged file.
 */
export async function readMat(path: string): Promise<Map<string, MatArray>> {
  const bytes = await readBytes(path);
  if (bytes.length < 128 || bytes.toString('latin1', 126, 128) !== 'IM')
    throw new GymError(
      'E_FILE',
      `${path}: is no little-endian MAT file of version 5 to 7; in MATLAB, save it with '-v7'.`,
    );
  const arrays = new Map<string, MatArray>();
  for (const outer of elements(bytes.subarray(128), path)) {
    let element: Element | undefined = outer;
    if (outer.type === miCompressed) {
      const whole = await inflated(outer.data).catch((error: unknown) => {
        throw new GymError('E_FILE', `${path}: is damaged (${messageOf(error)}); get it again.`, { cause: error });
      });
      [element] = elements(whole, path);
    }
    if (element?.type !== miMatrix) continue;
    const [flags, dimensions, name, real] = elements(element.data, path);
    // Classes 6 to 15 are arrays of numbers; those below are cells, structures, objects, texts and sparse matrices.
    if (flags === undefined || dimensions === undefined || name === undefined || real === undefined) continue;
    const kind = flags.data[0]!;
    if (kind < 6 || kind > 15) continue;
    const [shape, data] = [[...numbersOf(dimensions, path)], numbersOf(real, path)];
    const size = shape.reduce((a, b) => a * b, 1);
    if (data.length !== size)
      throw new GymError(
        'E_FILE',
        `${path}: ${name.data.toString()} has ${data.length} numbers, and its shape [${shape.join(', ')}] ${size}; it is damaged.`,
      );
    arrays.set(name.data.toString(), { shape, data });
  }
  return arrays;
}
