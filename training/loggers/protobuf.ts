// The wire format of protocol buffers, as far as TensorBoard's messages need it: a message is its fields one after another,
// each a key (its number and its wire type) and a value. See protobuf.dev/programming-guides/encoding.

/** The bytes of a field, or of a whole message. */
export type Encoded = Uint8Array;

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  // Numbers of up to 2^53 have no bit operators.
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return bytes;
}

const key = (field: number, wireType: number) => varint(field * 8 + wireType);

/** Fields one after another: a message. */
export function message(...fields: readonly Encoded[]): Encoded {
  return Buffer.concat(fields);
}

/** A whole number that is not negative, or an enum's value. */
export function uint(field: number, value: number): Encoded {
  return Uint8Array.from([...key(field, 0), ...varint(value)]);
}

/** Text, bytes, or a message within the message. */
export function bytes(field: number, value: string | Encoded): Encoded {
  const data = Buffer.from(value);
  return Buffer.concat([Uint8Array.from([...key(field, 2), ...varint(data.length)]), data]);
}

/** A `double`. */
export function float64(field: number, value: number): Encoded {
  const data = Buffer.alloc(8);
  data.writeDoubleLE(value);
  return Buffer.concat([Uint8Array.from(key(field, 1)), data]);
}

/** A `float`. */
export function float32(field: number, value: number): Encoded {
  const data = Buffer.alloc(4);
  data.writeFloatLE(value);
  return Buffer.concat([Uint8Array.from(key(field, 5)), data]);
}
