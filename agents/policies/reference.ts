import { GymError } from '../../core/errors.js';

/** The error for a KL to a reference that nobody asked to keep. */
export function noReference(policy: string): GymError {
  return new GymError(
    'E_STATE',
    `${policy}.evaluate: there is no reference to measure the KL to; call keepReference() before the first update.`,
  );
}
