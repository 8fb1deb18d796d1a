import { z } from 'zod';
import { GymError } from '../core/errors.js';
import { shownJson, shownName } from '../core/shown.js';
import { MOST } from './config-fields.js';

// What the schemas of diffusers' configurations are made of.

/** A number of channels, layers and the like. */
export const count = z.int().positive().max(MOST);
/** One for each block. */
export const counts = z.array(count).nonempty().max(64);

/** A key of which only one setting is supported. */
export const only = <T extends string | number | null>(value: T) => z.literal(value).default(value);
/** A boolean key. Python takes null as false, and published configurations have it. */
export const flag = (standard: boolean) =>
  z
    .boolean()
    .nullable()
    .default(standard)
    .transform((value) => value ?? false);
/** A boolean key that must be false. */
export const off = () =>
  z
    .literal(false)
    .nullable()
    .default(false)
    .transform(() => false as const);

/**
 * Checks a configuration.
 * @throws GymError E_CONFIG that names the first key that is wrong, and its value
 */
export function parse<T extends z.ZodType>(schema: T, where: string, config: unknown): z.output<T> {
  const result = schema.safeParse(config);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const [key] = issue.path;
  if (key === undefined) throw new GymError('E_CONFIG', `${where}: the configuration must be a JSON object.`);
  const value = issue.path.reduce<unknown>((v, k) => (v as Record<PropertyKey, unknown> | undefined)?.[k], config);
  throw wrong(where, issue.path.join('.'), value, `it is malformed or not supported (${issue.message})`);
}

/** The error for a key whose value is wrong. @param why the rest of the sentence */
export function wrong(where: string, key: string, value: unknown, why: string): GymError {
  return new GymError('E_CONFIG', `${where}: \`${shownName(key)}\` is ${shownJson(value)}; ${why}.`);
}

/** The error for a list that has not one entry for each block. */
export function listLength(where: string, key: string, value: readonly unknown[], levels: number): GymError {
  return wrong(where, key, value, `it has ${value.length} entries, but block_out_channels has ${levels}`);
}
