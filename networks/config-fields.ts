import { GymError } from '../core/errors.js';
import { shownJson } from '../core/shown.js';

/**
 * Takes those fields of a configuration that have a default, and the default where a field is absent. A value must have
 * the type of its default, except where the default is null: the caller checks those values. Where it is a boolean, null
 * is taken as false, as Python takes it.
 * @param where the file or class, which errors name
 * @throws GymError E_CONFIG that names the field and its value where the type is another one
 */
export function takeFields<C extends object>(where: string, defaults: C, given: unknown): C {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new GymError('E_CONFIG', `${where}: a configuration must be an object, actual value ${shownJson(given)}.`);
  const fields = given as Readonly<Record<string, unknown>>;
  const taken = Object.entries(defaults).map(([key, standard]: [string, unknown]) => {
    const given = fields[key] === undefined ? standard : fields[key];
    const value = given === null && typeof standard === 'boolean' ? false : given;
    const fits = typeof value === typeof standard && (typeof value !== 'number' || Number.isFinite(value));
    if (standard !== null && !fits)
      throw new GymError(
        'E_CONFIG',
        `${where}: ${key} must be a ${typeof standard}, actual value ${shownJson(value)}.`,
      );
    return [key, value];
  });
  return Object.fromEntries(taken) as C;
}

/** The largest size, number of layers or number of tokens that a configuration may ask for. */
export const MOST = 2 ** 20;

/**
 * Checks that each of the fields is an integer from `least` to `most`.
 * @throws GymError E_CONFIG where one is not
 */
export function checkIntegers<C extends object>(
  where: string,
  config: C,
  keys: readonly (keyof C)[],
  least: number,
  most = MOST,
): void {
  for (const key of keys) {
    const value = config[key];
    if (!(Number.isInteger(value) && Number(value) >= least && Number(value) <= most))
      throw new GymError(
        'E_CONFIG',
        `${where}: ${String(key)} must be an integer from ${least} to ${most}, actual value ${shownJson(value)}.`,
      );
  }
}
