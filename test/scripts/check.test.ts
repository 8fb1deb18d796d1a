// The gate, in a folder of its own in which every step is a stub.
import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';

const passing = { status: 'passed', assertionResults: [{ status: 'passed' }] };

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'gate-'));
  await cp('.ci', join(root, '.ci'), { recursive: true });
  await cp('scripts/check.mjs', join(root, 'scripts/check.mjs'));
});
afterEach(() => rm(root, { recursive: true }));

/** Runs the gate on stubs: each says that it ran and ends with its exit status; the tests leave a report, if one is given. */
async function gate(
  exits: Record<string, number>,
  report?: object,
  program = '.ci/run',
): Promise<{ status: number; lines: string[] }> {
  const stub = (name: string) =>
    `const { DENOISE_GYM_BACKEND: backend } = process.env;
     console.log('${name} ran' + (backend ? ' on ' + backend : '')); process.exitCode = ${exits[name] ?? 0};`;
  const steps = ['format', 'lint', 'types', 'imports', 'native', 'sanitize', 'test', 'slow', 'parity'];
  await writeFile(join(root, 'scripts/setup.mjs'), stub('setup'));
  for (const name of steps) await writeFile(join(root, `${name}.mjs`), stub(name));
  const slow = { numPassedTests: 2, numFailedTests: 0, testResults: [passing] };
  const parity = { numPassedTests: 10, numFailedTests: 0, testResults: [passing] };
  const reports = { test: report, slow, parity };
  for (const [name, report] of Object.entries(reports))
    if (report)
      await writeFile(
        join(root, `${name}.mjs`),
        `import { writeFileSync } from 'node:fs';
       const path = process.argv.find((argument) => argument.startsWith('--outputFile.json=')).split('=')[1];
       writeFileSync(path, ${JSON.stringify(JSON.stringify(report))}); ${stub(name)}`,
      );
  const scriptNames: Record<string, string> = { slow: 'test:slow', parity: 'test:parity', sanitize: 'native:sanitize' };
  const scripts = Object.fromEntries(steps.map((name) => [scriptNames[name] ?? name, `node ${name}.mjs`]));
  await writeFile(join(root, 'package.json'), JSON.stringify({ scripts }));
  return new Promise((done) => {
    const command = program.endsWith('.mjs') ? [process.execPath, join(root, program)] : [join(root, program)];
    const env = { ...process.env, CI: '', DENOISE_GYM_BACKEND: '' };
    execFile(command[0]!, command.slice(1), { cwd: tmpdir(), env }, (error, stdout) =>
      done({ status: error ? Number(error.code) : 0, lines: stdout.trimEnd().split('\n') }),
    );
  });
}

it('runs every step under its heading, and counts the tests in its last line', async () => {
  const { status, lines } = await gate({}, { numPassedTests: 7, numFailedTests: 0, testResults: [passing] });
  const shown = lines.filter((line) => / ran( on|$)|^==/.test(line));
  expect(shown).toEqual([
    '== set-up: node scripts/setup.mjs ==',
    'setup ran',
    '== format: npm run --silent format ==',
    'format ran',
    '== lint: npm run --silent lint ==',
    'lint ran',
    '== types: npm run --silent types ==',
    'types ran',
    '== imports: npm run --silent imports ==',
    'imports ran',
    '== native: npm run --silent native ==',
    'native ran',
    '== native:sanitize: npm run --silent native:sanitize ==',
    'sanitize ran',
    '== tests: DENOISE_GYM_BACKEND=wasm npm test ==',
    'test ran on wasm',
    '== slow tests: DENOISE_GYM_BACKEND=wasm npm run test:slow ==',
    'slow ran on wasm',
    ...['native', 'wasm', 'cpu'].flatMap((backend) => [
      `== parity on ${backend}: DENOISE_GYM_BACKEND=${backend} npm run test:parity ==`,
      `parity ran on ${backend}`,
    ]),
  ]);
  expect(lines.slice(-2)).toEqual(['Everything passed.', '39 passed, 0 failed']);
  expect(status).toBe(0);
});

it('needs no native build outside of continuous integration', async () => {
  const { lines } = await gate(
    {},
    { numPassedTests: 7, numFailedTests: 0, testResults: [passing] },
    'scripts/check.mjs',
  );
  expect(lines.filter((line) => /native|parity/.test(line))).toEqual([]);
  expect(lines.at(-1)).toBe('9 passed, 0 failed');
});

it('goes on after a step that failed, and counts each of them', async () => {
  const report = { numPassedTests: 7, numFailedTests: 0, testResults: [passing] };
  const { status, lines } = await gate({ format: 1, imports: 5 }, report);
  expect(lines.filter((line) => / ran( on|$)/.test(line))).toHaveLength(12);
  expect(lines).toContain('== format failed ==');
  expect(lines.slice(-2)).toEqual(['Failed: format, imports.', '39 passed, 2 failed']);
  expect(status).toBe(1);
});

it('counts failed tests, and a test file that could not be loaded', async () => {
  const failing = { status: 'failed', assertionResults: [{ status: 'passed' }, { status: 'failed' }] };
  const broken = { status: 'failed', assertionResults: [] };
  const report = { numPassedTests: 3, numFailedTests: 1, testResults: [passing, failing, broken] };
  const { status, lines } = await gate({ test: 1 }, report);
  expect(lines.slice(-2)).toEqual(['Failed: tests.', '35 passed, 2 failed']);
  expect(status).toBe(1);
});

it.each([
  ['an error outside all tests', { test: 1 }, { numPassedTests: 3, numFailedTests: 0, testResults: [passing] }, 3],
  ['a run of no test', {}, { numPassedTests: 0, numFailedTests: 0, testResults: [] }, 0],
  ['tests that did not start', { test: 1 }, undefined, 0],
])('%s is a failure', async (_, exits, report, passed) => {
  const { status, lines } = await gate(exits, report);
  expect(lines.slice(-2)).toEqual(['Failed: tests.', `${passed + 32} passed, 1 failed`]);
  expect(status).toBe(1);
});

it('stops where the set-up failed, without which nothing runs', async () => {
  const { status, lines } = await gate({ setup: 1 });
  expect(lines.filter((line) => / ran( on|$)/.test(line))).toEqual(['setup ran']);
  expect(lines.at(-1)).toBe('0 passed, 1 failed');
  expect(status).toBe(1);
});
