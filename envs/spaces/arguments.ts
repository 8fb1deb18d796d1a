import { GymError } from '../../core/errors.js';
import { sizeOf } from '../../core/ndarray.js';
import { shown } from '../../core/shown.js';
import type { Space } from './space.js';

/** The most numbers of one element: an array of more is a mistake, and several of them would exhaust the memory. */
const mostNumbers = 2 ** 25;
/** NumPy's arrays have no more axes either. */
const mostAxes = 64;

/** @throws GymError E_SPACE unless elements of that many numbers can be kept in memory. */
export function checkSize(where: string, size: number): void {
  if (!(size <= mostNumbers))
    throw new GymError('E_SPACE', `${where} has ${size} numbers; an array may have at most ${mostNumbers}.`);
}

/**
 * A copy of a shape.
 * @throws GymError E_SPACE unless it is a list of integers of at least `least`, and its arrays are not too large.
 */
export function checkShape(kind: string, shape: readonly number[], least: 0 | 1): number[] {
  if (!Array.isArray(shape) || !shape.every((n) => Number.isInteger(n) && n >= least))
    throw new GymError(
      'E_SPACE',
      `${kind}: shape must be a list of integers of at least ${least}, actual value ${shown(shape)}.`,
    );
  if (shape.length > mostAxes)
    throw new GymError('E_SPACE', `${kind}: shape has ${shape.length} axes; an array may have at most ${mostAxes}.`);
  checkSize(`${kind}: an array of shape ${shown(shape)}`, sizeOf(shape));
  return [...shape];
}

/** @throws GymError E_SPACE unless the value is a list or a typed array. */
export function checkList(where: string, value: unknown): void {
  if (typeof value !== 'object' || value === null || !Number.isInteger((value as ArrayLike<unknown>).length))
    throw new GymError('E_SPACE', `${where} must be a list, actual value ${shown(value)}.`);
}

/** @throws GymError E_SPACE unless the value is a space. */
export function checkSpace(where: string, value: unknown): void {
  if (typeof (value as Space<unknown> | null | undefined)?.contains !== 'function')
    throw new GymError('E_SPACE', `${where} must be a space, actual value ${shown(value)}.`);
}

/** @throws GymError E_SPACE unless these are spaces. */
export function checkSpaces(where: string, spaces: readonly unknown[]): void {
  checkList(where, spaces);
  for (let i = 0; i < spaces.length; i++) checkSpace(`${where}[${i}]`, spaces[i]);
}

/** The error for a value that is no element of a space. */
export function noElement(where: string, space: Space<unknown>, value: unknown): GymError {
  return new GymError(
    'E_VALUE',
    `${where}: ${shown(value)} is no element of ${space}; give one that its \`contains\` accepts.`,
  );
}
