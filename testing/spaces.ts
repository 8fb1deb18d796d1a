import { GymError, messageOf } from '../core/errors.js';
import { isNdArray, sameShape, type TypedArray } from '../core/ndarray.js';
import { Box } from '../envs/spaces/box.js';
import { Dict } from '../envs/spaces/dict.js';
import { Discrete } from '../envs/spaces/discrete.js';
import type { DType } from '../envs/spaces/dtype.js';
import { Graph } from '../envs/spaces/graph.js';
import { spaceFromJson } from '../envs/spaces/json.js';
import { OneOf } from '../envs/spaces/one-of.js';
import { Sequence } from '../envs/spaces/sequence.js';
import type { Space } from '../envs/spaces/space.js';
import { Text } from '../envs/spaces/text.js';
import { Tuple } from '../envs/spaces/tuple.js';
import type { Report } from './findings.js';
import { difference, isPlainObject, show } from './values.js';

/** Whether a value has what a space needs. */
export function isSpace(value: unknown): value is Space<unknown> {
  const methods = ['sample', 'contains', 'seed', 'equals', 'randomState', 'restoreRandomState', 'toJson'] as const;
  return (
    typeof value === 'object' &&
    value !== null &&
    methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function')
  );
}

/** A space and the spaces in it, with the path to each. */
function parts(space: Space<unknown>, path: string): [Space<unknown>, string][] {
  const inner: [Space<unknown>, string][] = [];
  if (space instanceof Tuple || space instanceof OneOf)
    (space.spaces as readonly Space<unknown>[]).forEach((part, i) => {
      inner.push([part, `${path}[${i}]`]);
    });
  if (space instanceof Dict) for (const key of space.keys) inner.push([space.spaces[key]!, `${path}.${key}`]);
  if (space instanceof Sequence) inner.push([space.feature, `${path}[...]`]);
  if (space instanceof Graph) inner.push([space.node, `${path}.nodes`]);
  if (space instanceof Graph && space.edge) inner.push([space.edge, `${path}.edges`]);
  return [[space, path], ...inner.flatMap(([part, at]) => parts(part, at))];
}

/** Values that are elements of few spaces. Asked about them, `contains` must say so and not throw. */
const oddities: readonly unknown[] = [
  undefined,
  null,
  Number.NaN,
  'x',
  {},
  [],
  Symbol('odd'),
  { data: null, shape: 3 },
];

/**
 * Reports spaces whose samples are no elements or not fixed by a seed, whose JSON is of another space, or whose bounds
 * make no sense.
 */
export async function checkSpaces(
  report: Report,
  spaces: { observationSpace: Space<unknown>; actionSpace: Space<unknown> },
): Promise<void> {
  for (const name of ['observationSpace', 'actionSpace'] as const) {
    const space = spaces[name];
    await checkSampling(report, name, space);
    checkJson(report, name, space);
    for (const [part, path] of parts(space, name)) {
      if ((part instanceof Tuple && part.spaces.length === 0) || (part instanceof Dict && part.keys.length === 0))
        report.error(path, 'the space has no part', String(part), 'give it at least one space');
      if (part instanceof Box) checkBox(report, path, part, name === 'actionSpace');
    }
  }
}

async function checkSampling(report: Report, name: string, space: Space<unknown>): Promise<void> {
  const sample = () => report.attempt(`${name}.sample()`, () => space.sample());
  const before = space.randomState();
  for (const seed of [0, 1, 2]) {
    space.seed(seed);
    const first = await sample();
    if (!space.contains(first))
      report.fail(
        `${name}.sample()`,
        'the sample is no element of its own space',
        show(first),
        'make sample() and contains() agree',
      );
    space.seed(seed);
    const differs = difference(first, await sample());
    if (differs)
      report.fail(
        `${name}.seed(${seed})`,
        'the same seed gives another sample',
        differs.actual,
        "draw from the space's own stream alone, and begin it anew in seed()",
      );
  }
  space.restoreRandomState(before);
  for (const value of oddities)
    try {
      space.contains(value);
    } catch (error) {
      report.error(`${name}.contains(${show(value)})`, 'it throws', show(error), 'return false for what is no element');
    }
}

/** Reports a space that comes back from JSON as another one. Spaces reach the threads of workers as JSON. */
function checkJson(report: Report, name: string, space: Space<unknown>): void {
  const where = `${name}.toJson()`;
  const todo = 'write all that makes the space what it is, in an order that JSON keeps';
  try {
    const back = spaceFromJson(JSON.parse(JSON.stringify(space.toJson())));
    if (!space.equals(back))
      report.error(where, 'it comes back from JSON as another space', `${space} and ${back}`, todo);
  } catch (error) {
    if (GymError.is(error) && error.code === 'E_NAME') return; // spaceFromJson does not know spaces of other packages
    report.error(where, 'spaceFromJson() cannot read it', messageOf(error), todo);
  }
}

function checkBox(report: Report, path: string, box: Box<DType>, action: boolean): void {
  const low = box.low as TypedArray;
  const high = box.high as TypedArray;
  const image = box.dtype === 'uint8' && box.shape.length === 3 && [1, 3, 4].includes(box.shape[2]!);
  if (image && !(low.every((value: number) => value === 0) && high.every((value: number) => value === 255)))
    report.warning(
      path,
      'it has the form of an image, whose bounds are 0 and 255',
      String(box),
      'give images these bounds, which networks scale them by',
    );
  const fixed = low.findIndex((value: number, i: number) => value === high[i]);
  if (fixed >= 0)
    report.warning(
      path,
      `element ${fixed} can take one value only, as low equals high`,
      String(low[fixed]),
      'leave it out, or widen its bounds',
    );
  if (!box.isBounded()) {
    report.warning(
      path,
      'a bound is infinite',
      String(box),
      action
        ? 'give actions finite bounds (best -1..1), which agents explore within'
        : 'give finite bounds where they are known, so that observations can be scaled',
    );
    return;
  }
  const unit = low.every((value: number, i: number) => value === -1 && high[i] === 1);
  if (action && !unit && low instanceof Float32Array)
    report.warning(
      path,
      'continuous actions are not in -1..1, which is what a Gaussian policy begins with',
      String(box),
      'take actions in -1..1 and scale them in step(), or wrap it with rescaleAction',
    );
}

/** One reason why a value is no element of a space. */
export interface Misfit {
  readonly path: string;
  readonly what: string;
  readonly actual: string;
}

/** All reasons why a value is no element of a space, element by element; an empty list where it is one. */
function misfits(space: Space<unknown>, value: unknown, path: string): Misfit[] {
  if (space.contains(value)) return [];
  const here = (what: string, actual = show(value)): Misfit[] => [{ path, what, actual }];
  if (space instanceof Dict) {
    if (!isPlainObject(value)) return here('it must be a plain object with the keys of the Dict');
    const missing = space.keys.filter((key) => !Object.hasOwn(value, key));
    const unknown = Object.keys(value).filter((key) => !space.keys.includes(key));
    if (missing.length > 0) return here(`it lacks the keys ${missing.join(', ')}`, `keys ${Object.keys(value)}`);
    if (unknown.length > 0) return here(`it has keys that the Dict lacks: ${unknown}`, `keys ${Object.keys(value)}`);
    return space.keys.flatMap((key) => misfits(space.spaces[key]!, value[key], `${path}.${key}`));
  }
  if (space instanceof Tuple) {
    const spaces = space.spaces as readonly Space<unknown>[];
    const list: unknown = value; // `contains` has narrowed it to never
    if (!Array.isArray(list) || list.length !== spaces.length)
      return here(`it must be a list of ${spaces.length} elements`);
    return spaces.flatMap((part, i) => misfits(part, list[i], `${path}[${i}]`));
  }
  if (space instanceof Box) return boxMisfits(space, value, path);
  if (space instanceof Discrete)
    return here(`it must be an integer from ${space.start} to ${space.start + space.n - 1}`, `${show(value)}`);
  if (space instanceof Text)
    return here(`it must be a string of ${space.minLength} to ${space.maxLength} characters of its set`);
  return here(`it is not in ${space}`);
}

function boxMisfits(box: Box<DType>, value: unknown, path: string): Misfit[] {
  const one = (what: string): Misfit[] => [{ path, what, actual: show(value) }];
  const shape = `[${box.shape.join(', ')}]`;
  if (!isNdArray(value)) return one(`it must be an array { data, shape } of ${box.dtype} ${shape}`);
  if (!sameShape(value.shape, box.shape)) return one(`its shape must be ${shape}`);
  const { data } = value;
  const size: number = box.low.length;
  if (data.length !== size) return one(`its data must have ${size} elements, as shape ${shape}`);
  const bounds = { low: box.low as TypedArray, high: box.high as TypedArray };
  const outside: Misfit[] = [];
  for (let i = 0; i < data.length; i++)
    if (!(data[i]! >= bounds.low[i]! && data[i]! <= bounds.high[i]!))
      outside.push({
        path: `${path}.data[${i}]`,
        what: `it must be within ${bounds.low[i]} and ${bounds.high[i]}`,
        actual: String(data[i]),
      });
  return outside.length > 0 ? outside : one(`its type must be ${box.dtype}, or one that casts into it without loss`);
}

/** Reports the first eight reasons why an observation or an action is no element of its space. */
export function reportMisfits(
  report: Report,
  where: string,
  space: Space<unknown>,
  value: unknown,
  todo = 'return elements of observationSpace, or widen the space',
): void {
  const found = misfits(space, value, '');
  for (const { path, what, actual } of found.slice(0, 8)) report.error(`${where}${path}`, what, actual, todo);
  if (found.length > 8) report.error(where, `${found.length - 8} more elements are outside`, show(value), todo);
  if (found.length === 0) reportTypes(report, where, space, value);
}

/** Warns of arrays in an element that are of another type than their Box's own. */
function reportTypes(report: Report, where: string, space: Space<unknown>, value: unknown): void {
  if (space instanceof Dict)
    for (const key of space.keys)
      reportTypes(report, `${where}.${key}`, space.spaces[key]!, (value as Record<string, unknown>)[key]);
  if (space instanceof Tuple)
    (space.spaces as readonly Space<unknown>[]).forEach((part, i) => {
      reportTypes(report, `${where}[${i}]`, part, (value as readonly unknown[])[i]);
    });
  if (!(space instanceof Box) || !isNdArray(value)) return;
  const own = (space.low as TypedArray).constructor;
  if (value.data.constructor !== own)
    report.warning(
      where,
      `its type is not the space's own, ${space.dtype}`,
      value.data.constructor.name,
      `return a ${own.name}`,
    );
}
