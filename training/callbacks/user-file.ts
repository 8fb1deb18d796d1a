import { basename, extname } from 'node:path';
import { GymError, messageOf } from '../../core/errors.js';
import { shown } from '../../core/shown.js';
import { importUserModule, isModulePath } from '../../core/user-module.js';
import type { Callback } from '../train.js';

type AnyCallback = Callback<unknown, unknown>;

/** What a callback may do beside having a name. */
const hooks = ['start', 'epoch', 'stop', 'state', 'restore'] as const;

/** The files of the user's own that a configuration's `callbacks` name; the configuration need not be valid. */
export function callbackFiles(entries: unknown): string[] {
  return Array.isArray(entries) ? entries.filter((entry) => typeof entry === 'string' && isModulePath(entry)) : [];
}

/**
 * Loads the callbacks of a user's own files, in their order. Each file's default export is a {@link Callback}, or a function
 * without arguments that makes one, which may be async: a callback that
 * remembers something begins anew with each run only if it is made by one. What kinds of files there are says
 * {@link importUserModule}.
 *
 * @param files paths, relative to the working directory or absolute.
 * @throws GymError E_FILE when a file cannot be loaded, or exports something else; E_NAME when a URL is given; what the
 *   function throws, with the file named.
 */
export async function loadCallbackFiles(files: readonly string[]): Promise<AnyCallback[]> {
  const callbacks: AnyCallback[] = [];
  for (const file of files) callbacks.push(await loadCallbackFile(file));
  return callbacks;
}

async function loadCallbackFile(file: string): Promise<AnyCallback> {
  const place = `callback ${file}`;
  const name = JSON.stringify(basename(file, extname(file)));
  const how = `write \`export default () => ({ name: ${name}, epoch: (context, metrics) => undefined })\``;
  const wrong = (what: string) => new GymError('E_FILE', `${place}: ${what}; ${how}.`);
  const { default: exported } = await importUserModule(file, 'callback');
  // A CommonJS file compiled from `export default` has it one level down.
  const inner =
    typeof exported === 'object' && exported !== null && '__esModule' in exported && 'default' in exported
      ? exported.default
      : exported;
  if (inner === undefined) throw wrong('it has no default export');
  const isFunction = typeof inner === 'function';
  if (isFunction && /^class\b/.test(Function.prototype.toString.call(inner)))
    throw wrong('its default export is a class, and an object of it is needed, or a function that makes one');
  let made: unknown = inner;
  if (isFunction)
    try {
      made = await (inner as () => unknown)();
    } catch (error) {
      throw new GymError(GymError.is(error) ? error.code : 'E_FILE', `${place}: ${messageOf(error)}`, { cause: error });
    }
  const what = isFunction ? 'what its function makes' : 'its default export';
  if (typeof made !== 'object' || made === null) throw wrong(`${what} is ${shown(made)}, no callback`);
  const callback = made as Partial<Record<string, unknown>>;
  if (typeof callback.name !== 'string' || callback.name === '')
    throw wrong(`the \`name\` of ${what} is ${shown(callback.name)}, no text that could name it in a checkpoint`);
  for (const hook of hooks)
    if (callback[hook] !== undefined && typeof callback[hook] !== 'function')
      throw wrong(`\`${hook}\` of ${what} is ${shown(callback[hook])}, no function`);
  if (!callback.start && !callback.epoch && !callback.stop)
    throw wrong(
      `${what} has none of the functions \`start\`, \`epoch\` and \`stop\`, so that it would never be told anything`,
    );
  return made as AnyCallback;
}
