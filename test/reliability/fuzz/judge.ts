import { GymError } from '../../../core/errors.js';

/** What an error of the engine says, which tells nobody what was wrong with the input. */
const engine =
  /call stack|is not a function|Cannot (read|set) propert|Cannot (convert|destructure|create)|is not iterable|is undefined|not defined|Invalid (array|typed array|string) length|\[object \w+\]|circular structure|internal:/i;

/** Throws unless an error is clear: a `GymError` whose message says something, is not endless, and is no engine's. */
export function judgeError(error: unknown): void {
  if (!GymError.is(error)) throw error;
  const { message } = error;
  const wrong =
    message.trim().length < 10
      ? 'says nothing'
      : message.length > 20_000
        ? `has ${message.length} characters`
        : engine.test(message)
          ? "is the engine's"
          : undefined;
  if (wrong !== undefined)
    throw new Error(`the message of the error ${wrong}: ${message.slice(0, 500)}`, { cause: error });
}

/** Throws an error that says what of a result is wrong. */
export function expectThat(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`the result is wrong: ${what}`);
}
