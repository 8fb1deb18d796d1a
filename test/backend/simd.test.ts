import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';

const { compileSimd } = (await import('../../backend/simd/compile.mjs' as string)) as {
  compileSimd(): Promise<string>;
};

it('the WebAssembly in backend/simd is compiled from the source beside it', async () => {
  const there = await readFile(new URL('../../backend/simd/kernels.ts', import.meta.url), 'utf8');
  expect(there).toBe(await compileSimd());
});
