import type { Random } from '../../core/random.js';
import type { ClientSpec } from './allocations.js';
import type { ClientUpdate } from './client.js';
import { norm } from './observe.js';

/** What a client that lies sends instead of its update. */
export function attacked(
  update: ClientUpdate,
  start: Float32Array,
  attack: ClientSpec['attack'],
  random: Random,
): ClientUpdate {
  if (attack === undefined || attack === 'label-flip') return update;
  const difference = update.parameters.map((value, i) => value - start[i]!);
  if (attack === 'nan') return { ...update, parameters: difference.fill(Number.NaN) };
  const scale = norm(difference) / Math.sqrt(start.length);
  const lie =
    attack === 'noise'
      ? random.normals(start.length).map((value) => value * scale)
      : difference.map((value) => -4 * value);
  return { ...update, parameters: start.map((value, i) => value + lie[i]!) };
}
