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
import { printable, Text } from './text.js';
import { Tuple } from './tuple.js';

/**
 * The element of a space that is nearest to zero; for a Text, the shortest text of its first character. It stands for
 * an observation that is not there yet. Nothing is drawn from the space's own stream.
 */
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
    return firstOf(space.charset === 'any' ? printable : space.charset).repeat(space.minLength);
  if (space instanceof Tuple) return (space.spaces as readonly Space<unknown>[]).map(zero);
  if (space instanceof Dict) return Object.fromEntries(space.keys.map((key) => [key, zero(space.spaces[key]!)]));
  if (space instanceof Sequence) return [];
  if (space instanceof Graph) return { nodes: [zero(space.node)], edges: null, edgeLinks: null };
  if (space instanceof OneOf) return [0, zero(space.spaces[0])];
  // Of a space of an unknown kind, always the same sample. The state of its stream is the same afterwards.
  const before = space.randomState();
  space.seed(0);
  const element = space.sample();
  space.restoreRandomState(before);
  return element;
}

/** The first character (code point) of a text. */
function firstOf(text: string): string {
  return text[Symbol.iterator]().next().value!;
}
