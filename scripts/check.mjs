// Runs everything that a change must pass: format, lint, types, import rules, the tests by the command that the README
// names, and those that it leaves out because they take long. A step that fails does not stop the others, so that one run
// shows everything there is to mend. It runs as `npm run check` and as `.ci/run`, and needs Node and npm alone. Its last
// line is "N passed, N failed", which counts the tests, and as failed also each other step that failed.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Runs a command under a heading. @returns whether it succeeded */
function step(name, command, shown = command) {
  console.log(`\n== ${name}: ${shown} ==`);
  const ended = spawnSync(command, { cwd: root, shell: true, stdio: 'inherit' }).status === 0;
  if (!ended) console.log(`== ${name} failed ==`);
  return ended;
}

/** Runs the tests of one of npm's scripts. @returns how many passed and failed */
function runTests(name, command) {
  const folder = mkdtempSync(join(tmpdir(), 'check-'));
  try {
    const path = join(folder, 'tests.json');
    const reporters = `--reporter=default --reporter=json --outputFile.json="${path}"`;
    const ended = step(name, `${command} -- ${reporters}`, command);
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
  const failed = ['format', 'lint', 'types', 'imports'].filter((name) => !step(name, `npm run --silent ${name}`));
  const steps = failed.length;
  const tests = runTests('tests', 'npm test');
  if (tests.failed > 0) failed.push('tests');
  const slow = runTests('slow tests', 'npm run test:slow');
  if (slow.failed > 0) failed.push('slow tests');
  return { passed: tests.passed + slow.passed, failed, count: steps + tests.failed + slow.failed };
}

const { passed, failed, count } = check();
console.log(failed.length === 0 ? '\nEverything passed.' : `\nFailed: ${failed.join(', ')}.`);
console.log(`${passed} passed, ${count} failed`);
process.exitCode = count === 0 ? 0 : 1;
