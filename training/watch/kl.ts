import * as tf from '@tensorflow/tfjs';
import type { Policy, Prepared } from '../../agents/policy.js';

/** How many transitions are scored by one forward pass. */
const chunk = 32;

/**
 * KL of single decisions to the policy's reference: KL(π_θ(· | s) ‖ π_ref(· | s)), in the policy's own unit; 0 for those
 * that have no density. The policy must have been told to keep a reference.
 */
export async function klToReference<O, A>(
  policy: Policy<O, A, Prepared>,
  observations: readonly O[],
  actions: readonly A[],
): Promise<Float32Array> {
  const result = new Float32Array(observations.length);
  for (let start = 0; start < observations.length; start += chunk) {
    const end = Math.min(start + chunk, observations.length);
    const prepared = await policy.prepare(observations.slice(start, end), actions.slice(start, end), {});
    const mask = policy.trainable(prepared);
    const rows = Int32Array.from(mask.keys()).filter((row) => mask[row] === 1);
    if (rows.length === 0) continue;
    const kl = tf.tidy(() => policy.evaluate(prepared, rows, { reference: true }).kl!);
    const values = await kl.data();
    kl.dispose();
    rows.forEach((row, i) => {
      result[start + row] = values[i]!;
    });
  }
  return result;
}
