import type { NdArray } from './ndarray.js';

/** A tree of JSON values and {@link NdArray}s: dynamics, random state, what wrappers hold. */
export type Snapshot = null | boolean | number | string | NdArray | Snapshot[] | { [key: string]: Snapshot };
