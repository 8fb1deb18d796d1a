import { GymError } from '../core/errors.js';
import { shownName } from '../core/shown.js';

/** The number that a text says in decimal digits; NaN for any other text, also for none, which JavaScript takes for 0. */
function numberOf(text: string): number {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text.trim()) ? Number(text) : Number.NaN;
}

/** Reads a flag's whole number. @throws GymError E_CONFIG on any other text, naming the flag and the limits. */
export function whole(flag: string, least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = numberOf(text);
    if (!(Number.isInteger(value) && value >= least && value <= most))
      throw new GymError(
        'E_CONFIG',
        `${flag} must be a whole number from ${least} to ${most}, actual value ${shownName(text)}.`,
      );
    return value;
  };
}

/** Reads a flag's number of at least 0. @throws GymError E_CONFIG on any other text, naming the flag. */
export function decimal(flag: string): (text: string) => number {
  return (text) => {
    const value = numberOf(text);
    if (!(Number.isFinite(value) && value >= 0))
      throw new GymError('E_CONFIG', `${flag} must be a number of at least 0, actual value ${shownName(text)}.`);
    return value;
  };
}

/** Reads a flag's number above 0. @throws GymError E_CONFIG on any other text, naming the flag. */
export function positive(flag: string): (text: string) => number {
  return (text) => {
    const value = numberOf(text);
    if (!(Number.isFinite(value) && value > 0))
      throw new GymError('E_CONFIG', `${flag} must be a number above 0, actual value ${shownName(text)}.`);
    return value;
  };
}
