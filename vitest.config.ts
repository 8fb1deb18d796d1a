import { fileURLToPath } from 'node:url';
import { configDefaults, defineConfig } from 'vitest/config';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/**
 * Tests that take long: many processes, many kills, whole trainings. `npm test` leaves them out, `npm run test:slow` runs
 * them, and CI runs both. One of them: `SLOW=1 npx vitest run test/reliability/kills.test.ts`.
 */
const slow = [
  'test/cli/*.test.ts',
  'test/rewards/nsfw/*.test.ts',
  'test/rewards/ocr/*.test.ts',
  'test/training/determinism/*.test.ts',
  'test/reliability/**/*.test.ts',
  'test/docs/docs.test.ts',
  'test/docs/own-agent.test.ts',
  'test/core/user-module.test.ts',
  'test/envs/worker-vector-env.test.ts',
  'test/envs/adaptation/conformance.test.ts',
  'test/envs/adaptation/knobs.test.ts',
  'test/training/learning.test.ts',
  'test/training/workers.test.ts',
  'test/training/benchmark/runner.test.ts',
  'test/benchmarks/paper.test.ts',
  'test/benchmarks/judged-programs.test.ts',
  'test/benchmarks/outage.test.ts',
  'test/training/wrappers/**/*.test.ts',
];
const isSlow = process.env.SLOW === '1';

export default defineConfig({
  // What a test writes as a user's file means the sources that are tested, as `importUserModule` has it outside of vitest.
  resolve: {
    alias: [
      { find: /^denoise-gym$/, replacement: here('index.ts') },
      { find: /^denoise-gym\/(\w+)$/, replacement: here('$1/index.ts') },
    ],
  },
  test: {
    include: isSlow ? slow : ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...(isSlow ? [] : slow)],
    globalSetup: here('test/temporary-folder.ts'),
    pool: 'forks',
    // One a core: most files wait for no other. (The default leaves a core for watching.)
    maxWorkers: '100%',
    testTimeout: 240_000,
    hookTimeout: 240_000,
    typecheck: { enabled: false },
  },
});
