/** Arrays of at least so many bytes are copied once and moved to the other thread, which is cheaper than a clone. */
const large = 4096;

/**
 * A message, and those of its buffers that move to the other thread with it. An array that is large, or that is a view
 * of a part of a buffer, is copied first. Cloning such a view would carry the whole buffer along, and moving its buffer
 * would empty all other views of it, which may still be in use. Memory that threads share is sent as it is.
 */
export function packed<T>(message: T): { message: T; transfer: ArrayBuffer[] } {
  const transfer: ArrayBuffer[] = [];
  const pack = (value: unknown): unknown => {
    if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
      const view = value as Float32Array<ArrayBuffer>;
      if ((value.buffer as unknown) instanceof SharedArrayBuffer) return value;
      if (view.byteLength < large && view.byteLength === view.buffer.byteLength) return view;
      const own = view.slice();
      if (own.byteLength >= large) transfer.push(own.buffer);
      return own;
    }
    if (Array.isArray(value)) return value.map(pack);
    if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype)
      return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, pack(part)]));
    return value;
  };
  return { message: pack(message) as T, transfer };
}
