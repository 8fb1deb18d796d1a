// Runs everything that a change must pass: format, lint, types, import rules, the tests by the command that the README
// names, and those that it leaves out because they take long. Where CI is set, it builds the native backend first, runs its
// test program with sanitizers, and compares with the recorded results of Python's libraries on each backend. The other
// tests compute on wasm, whether there is a native backend or not; those that are about another backend choose it
// themselves. A step that fails does not stop the others, so that one run shows everything there is to mend. It runs as
// `npm run check`, which needs Node and npm alone, and as `.ci/run`, which sets CI. Its last line is
// "N passed, N failed", which counts the tests, and as failed also each other step that failed.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Runs a command under a heading. @returns whether it succeeded */
function step(name, command, { shown = command, env = {} } = {}) {
  console.log(`\n== ${name}: ${shown} ==`);
  const options = { cwd: root, shell: true, stdio: 'inherit', env: { ...process.env, ...env } };
  const ended = spawnSync(command, options).status === 0;
  if (!ended) console.log(`== ${name} failed ==`);
  return ended;
}

/** Runs the tests of one of npm's scripts on a backend. @returns how many passed and failed */
function runTests(name, command, backend) {
  const folder = mkdtempSync(join(tmpdir(), 'check-'));
  try {
    const path = join(folder, 'tests.json');
    const reporters = `--reporter=default --reporter=json --outputFile.json="${path}"`;
    const ended = step(name, `${command} -- ${reporters}`, {
      shown: `DENOISE_GYM_BACKEND=${backend} ${command}`,
      env: { DENOISE_GYM_BACKEND: backend },
    });
    const { passed, failed } = readReport(path);
    // An error outside all tests, or a run of no test, is a failure too.
    return { passed, failed: failed === 0 && (!ended || passed === 0) ? 1 : failed };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Reads the numbers of passed and failed tests from vitest's JSON report. There is none if the tests did not start. */
function readReport(path) {
  let report;
  try {
    report = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return { passed: 0, failed: 0 };
  }
  // A test file that could not be loaded is counted as a failure, since it has no failed test.
  const broken = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  );
  return { passed: report.numPassedTests, failed: report.numFailedTests + broken.length };
}

/** Runs everything. @returns how many tests passed, which steps failed, and the number of failures */
function check() {
  if (!step('set-up', 'node scripts/setup.mjs')) return { passed: 0, failed: ['set-up'], count: 1 };
  const npmScripts = ['format', 'lint', 'types', 'imports'];
  // A change must pass on the native backend too, whose build takes a C++ compiler, pip and a minute.
  if (process.env.CI) npmScripts.push('native', 'native:sanitize');
  const failed = npmScripts.filter((name) => !step(name, `npm run --silent ${name}`));
  const result = { passed: 0, failed, count: failed.length };
  const test = (name, command, backend) => {
    const { passed, failed: failures } = runTests(name, command, backend);
    result.passed += passed;
    result.count += failures;
    if (failures > 0) failed.push(name);
  };
  test('tests', 'npm test', 'wasm');
  test('slow tests', 'npm run test:slow', 'wasm');
  if (process.env.CI)
    for (const backend of ['native', 'wasm', 'cpu']) test(`parity on ${backend}`, 'npm run test:parity', backend);
  return result;
}

const { passed, failed, count } = check();
console.log(failed.length === 0 ? '\nEverything passed.' : `\nFailed: ${failed.join(', ')}.`);
console.log(`${passed} passed, ${count} failed`);
process.exitCode = count === 0 ? 0 : 1;
