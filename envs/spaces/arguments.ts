import { GymError } from '../../core/errors.js';
import { shown } from '../../core/shown.js';
import type { Space } from './space.js';

/** A copy of a shape. @throws GymError E_SPACE unless it is a list of integers of at least `least`. */
export function checkShape(kind: string, shape: readonly number[], least: 0 | 1): number[] {
  if (!Array.isArray(shape) || !shape.every((n) => Number.isInteger(n) && n >= least))
    throw new GymError(
      'E_SPACE',
      `${kind}: shape must be a list of integers of at least ${least}, actual value ${shown(shape)}.`,
    );
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

/** The error for a value that is not of a space. */
export function noElement(where: string, space: Space<unknown>, value: unknown): GymError {
  return new GymError(
    'E_VALUE',
    `${where}: ${shown(value)} is no element of ${space}; give one that its \`contains\` accepts.`,
  );
}
