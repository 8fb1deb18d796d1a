import { Box } from './box.js';
import { Dict } from './dict.js';
import { Discrete } from './discrete.js';
import { zeros } from './dtype.js';
import { Graph } from './graph.js';
import { MultiBinary } from './multi-binary.js';
import { MultiDiscrete } from './multi-discrete.js';
import { OneOf } from './one-of.js';
import { Sequence } from './sequence.js';
import type { Space } from './space.js';
import { Text } from './text.js';
import { Tuple } from './tuple.js';

/** The element nearest to zero: what stands for an observation that is not there yet. */
export function zeroOf<T>(space: Space<T>): T {
  return zero(space) as T;
}

function zero(space: Space<unknown>): unknown {
  if (space instanceof Box) {
    const data = zeros(space.dtype, space.low.length);
    for (let i = 0; i < data.length; i++) data[i] = Math.min(space.high[i]!, Math.max(space.low[i]!, 0));
    return { data, shape: space.shape };
  }
  if (space instanceof Discrete) return space.start;
  if (space instanceof MultiBinary) return { data: new Int8Array(space.flat.size), shape: space.shape };
  if (space instanceof MultiDiscrete) return { data: space.start.slice(), shape: space.shape };
  if (space instanceof Text)
    return space.sample({ mask: [space.minLength, space.charset === 'any' ? undefined : firstOf(space.charset)] });
  if (space instanceof Tuple) return (space.spaces as readonly Space<unknown>[]).map(zero);
  if (space instanceof Dict) return Object.fromEntries(space.keys.map((key) => [key, zero(space.spaces[key]!)]));
  if (space instanceof Sequence) return [];
  if (space instanceof Graph) return { nodes: [zero(space.node)], edges: null, edgeLinks: null };
  if (space instanceof OneOf) return [0, zero(space.spaces[0])];
  return space.sample();
}

/** A mask of a text's set that allows its first character alone. */
function firstOf(charset: string): Uint8Array {
  const mask = new Uint8Array(new Set(charset).size);
  mask[0] = 1;
  return mask;
}
