// Reads TensorBoard's event files, independently of what writes them: the framing with its checksums, and messages as trees of
// fields by number.

/** CRC-32C bit by bit, as its definition says. */
function crc32c(data: Uint8Array): number {
  let crc = ~0;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** As TensorFlow's reader takes a stored checksum back to the plain one. */
function unmasked(stored: number): number {
  const rotated = (stored - 0xa282ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

/** The records of a file. @throws Error on a wrong length or checksum. */
export function readRecords(file: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    const header = file.subarray(at, at + 8);
    if (unmasked(file.readUInt32LE(at + 8)) !== crc32c(header)) throw new Error(`checksum of the length at ${at}`);
    const data = file.subarray(at + 12, at + 12 + length);
    if (unmasked(file.readUInt32LE(at + 12 + length)) !== crc32c(data))
      throw new Error(`checksum of the data at ${at}`);
    records.push(data);
    at += 16 + length;
  }
  return records;
}

type Field = number | Buffer;

/** The fields of a message by their numbers, each with all its values. */
export function fields(message: Buffer): Map<number, Field[]> {
  const found = new Map<number, Field[]>();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  };
  while (at < message.length) {
    const key = varint();
    const type = key % 8;
    if (![0, 1, 2, 5].includes(type)) throw new Error(`wire type ${type}`);
    const length = type === 2 ? varint() : { 0: 0, 1: 8, 5: 4 }[type]!;
    const data = message.subarray(at, at + length);
    const value = { 0: varint, 1: () => data.readDoubleLE(), 2: () => data, 5: () => data.readFloatLE() }[type]!();
    at += length;
    found.set(key >> 3, [...(found.get(key >> 3) ?? []), value]);
  }
  return found;
}

/** An event as tests ask for it. */
export interface ReadEvent {
  readonly time: number;
  readonly step: number;
  readonly version?: string;
  /** Whether it says that a run goes on at its step. */
  readonly start: boolean;
  readonly scalars: Record<string, number>;
  readonly pictures: Record<string, { height: number; width: number; png: Buffer }>;
  /** Text and metadata of plugins by tag: the plugin's name and the message's bytes. */
  readonly plugins: Record<string, { name: string; content: Buffer; texts: string[] }>;
}

const bytesOf = (field: Field | undefined) => field as Buffer;

/** The events of a file. */
export function readEvents(file: Buffer): ReadEvent[] {
  return readRecords(file).map((record) => {
    const event = fields(record);
    const result: ReadEvent = {
      time: event.get(1)![0] as number,
      step: (event.get(2)?.[0] ?? 0) as number,
      ...(event.has(3) && { version: bytesOf(event.get(3)![0]).toString() }),
      start: event.has(7) && fields(bytesOf(event.get(7)![0])).get(1)?.[0] === 1,
      scalars: {},
      pictures: {},
      plugins: {},
    };
    const values = event.has(5) ? (fields(bytesOf(event.get(5)![0])).get(1) ?? []) : [];
    for (const each of values) {
      const value = fields(bytesOf(each));
      const tag = bytesOf(value.get(1)![0]).toString();
      if (value.has(2)) result.scalars[tag] = value.get(2)![0] as number;
      if (value.has(4)) {
        const image = fields(bytesOf(value.get(4)![0]));
        const [height, width] = [1, 2].map((n) => image.get(n)![0] as number) as [number, number];
        result.pictures[tag] = { height, width, png: bytesOf(image.get(4)![0]) };
      }
      if (value.has(9)) {
        const plugin = fields(bytesOf(fields(bytesOf(value.get(9)![0])).get(1)![0]));
        const tensor = fields(bytesOf(value.get(8)![0]));
        result.plugins[tag] = {
          name: bytesOf(plugin.get(1)![0]).toString(),
          content: bytesOf(plugin.get(2)![0]),
          texts: (tensor.get(8) ?? []).map((text) => bytesOf(text).toString()),
        };
      }
    }
    return result;
  });
}
