// What a change must pass: format, lint, types, import rules, and the tests by the command that the README names. All of it
// is run, whatever fails before, so that one run shows everything there is to mend. Run as `npm run check` or `.ci/run`;
// needs Node and npm alone. The last line is "N passed, N failed": it counts the tests, and each other step that failed.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Runs a command under a heading; whether it ended well. */
function step(name, command, shown = command) {
  console.log(`\n== ${name}: ${shown} ==`);
  const ended = spawnSync(command, { cwd: root, shell: true, stdio: 'inherit' }).status === 0;
  if (!ended) console.log(`== ${name} failed ==`);
  return ended;
}

/** Runs the tests; how many passed and failed. */
function runTests() {
  const folder = mkdtempSync(join(tmpdir(), 'check-'));
  try {
    const path = join(folder, 'tests.json');
    const reporters = `--reporter=default --reporter=json --outputFile.json="${path}"`;
    const ended = step('tests', `npm test -- ${reporters}`, 'npm test');
    const { passed, failed } = readReport(path);
    // An error outside all tests, or a run of no test, is a failure too.
    return { passed, failed: failed === 0 && (!ended || passed === 0) ? 1 : failed };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What vitest's JSON report counts. Without a report, the tests did not run at all. */
function readReport(path) {
  let report;
  try {
    report = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return { passed: 0, failed: 0 };
  }
  // A file that could not be loaded has no failed test that would be counted.
  const broken = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  );
  return { passed: report.numPassedTests, failed: report.numFailedTests + broken.length };
}

/** Runs everything; says at the end what failed, and how many tests passed and failed. */
function check() {
  if (!step('set-up', 'node scripts/setup.mjs')) return { passed: 0, failed: ['set-up'], count: 1 };
  const failed = ['format', 'lint', 'types', 'imports'].filter((name) => !step(name, `npm run --silent ${name}`));
  const tests = runTests();
  const count = failed.length + tests.failed;
  if (tests.failed > 0) failed.push('tests');
  return { passed: tests.passed, failed, count };
}

const { passed, failed, count } = check();
console.log(failed.length === 0 ? '\nEverything passed.' : `\nFailed: ${failed.join(', ')}.`);
console.log(`${passed} passed, ${count} failed`);
process.exitCode = count === 0 ? 0 : 1;
