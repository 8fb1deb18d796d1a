import { describe, expect, it } from 'vitest';
import { type Failure, fuzz } from './fuzz/supervise.js';

const shown = (failures: readonly Failure[]) =>
  failures.map(
    ({ target, seed, input, error }) =>
      `${target}: ${error}\ninput: ${input}\nagain: npm run fuzz -- --target ${JSON.stringify(target)} --seed ${seed} --inputs 1`,
  );

describe('malformed input', () => {
  it(
    'ends in a clear error or a right result, soon, in little memory, and writes nothing',
    { timeout: 600_000 },
    async () => {
      const { inputs, failures } = await fuzz({ seed: 20_260_101 });
      expect(shown(failures)).toEqual([]);
      expect(inputs).toBeGreaterThanOrEqual(2000);
    },
  );
});
