import { GymError } from '../core/errors.js';

/**
 * The fields of a configuration file that a class knows, with its defaults for those that are absent; other fields are
 * left out. A field whose default is null is taken as it is, for the caller to check.
 * @param where the file or class, for errors
 * @throws GymError E_CONFIG naming the field and its value when its type is not the default's
 */
export function takeFields<C extends object>(where: string, defaults: C, given: unknown): C {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new GymError('E_CONFIG', `${where}: a configuration must be an object, actual value ${shorten(given)}.`);
  const fields = given as Readonly<Record<string, unknown>>;
  const taken = Object.entries(defaults).map(([key, standard]: [string, unknown]) => {
    const value = fields[key] === undefined ? standard : fields[key];
    const fits = typeof value === typeof standard && (typeof value !== 'number' || Number.isFinite(value));
    if (standard !== null && !fits)
      throw new GymError('E_CONFIG', `${where}: ${key} must be a ${typeof standard}, actual value ${shorten(value)}.`);
    return [key, value];
  });
  return Object.fromEntries(taken) as C;
}

/** @throws GymError E_CONFIG unless each of the fields is an integer of at least `least`. */
export function checkIntegers<C extends object>(where: string, config: C, keys: readonly (keyof C)[], least: number) {
  for (const key of keys)
    if (!(Number.isInteger(config[key]) && Number(config[key]) >= least))
      throw new GymError(
        'E_CONFIG',
        `${where}: ${String(key)} must be an integer of at least ${least}, actual value ${shorten(config[key])}.`,
      );
}

function shorten(value: unknown): string {
  return String(JSON.stringify(value)).slice(0, 80);
}
