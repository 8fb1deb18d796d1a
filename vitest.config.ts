import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  // What a test writes as a user's file means the sources that are tested, as `importUserModule` has it outside of vitest.
  resolve: {
    alias: [
      { find: /^denoise-gym$/, replacement: here('index.ts') },
      { find: /^denoise-gym\/(\w+)$/, replacement: here('$1/index.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    // One a core: most files wait for no other. (The default leaves a core for watching.)
    maxWorkers: '100%',
    testTimeout: 120_000,
    hookTimeout: 120_000,
    typecheck: { enabled: false },
  },
});
