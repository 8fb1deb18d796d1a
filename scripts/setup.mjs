// Makes the repository ready to run: checks that Node is new enough, and installs the dependencies of package-lock.json
// if they are not installed yet. It needs Node and npm alone, and prints nothing where there is nothing to do. The
// scripts of package.json call it themselves, since npm runs no pre- and post-scripts here (.npmrc).
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const needed = [20, 19];

/** Whether a version of Node, such as "20.19.0", can run the package. */
export function nodeIsNewEnough(version) {
  const [major, minor] = version.split('.').map(Number);
  return major > needed[0] || (major === needed[0] && minor >= needed[1]);
}

/**
 * Whether node_modules is what package-lock.json says. A positive answer is kept inside node_modules, as the hash of
 * the lock file. Where there is no such hash, the lock file is compared with npm's own record, so that an `npm ci` that
 * was called by hand is not repeated.
 */
export function isUpToDate(root) {
  const lock = readFileSync(join(root, 'package-lock.json'));
  const hash = createHash('sha256').update(lock).digest('hex');
  const stamp = join(root, 'node_modules', '.cache', 'denoise-gym', 'lock.sha256');
  const record = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return true;
  const installed = JSON.parse(readFileSync(record, 'utf8')).packages;
  const missing = Object.entries(JSON.parse(lock).packages).some(
    ([path, { version, optional, devOptional }]) =>
      path !== '' && installed[path]?.version !== version && !((optional || devOptional) && !installed[path]),
  );
  if (missing) return false;
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, hash);
  return true;
}

function setUp(root) {
  if (!nodeIsNewEnough(process.versions.node)) {
    console.error(
      `denoise-gym needs Node ${needed.join('.')} or newer; this is ${process.versions.node}. Get one from https://nodejs.org and run this again.`,
    );
    return 1;
  }
  if (isUpToDate(root)) return 0;
  const hadNative = existsSync(join(root, 'node_modules', '@tensorflow', 'tfjs-node-gpu', 'deps'));
  process.stdout.write('Installing the dependencies (npm ci; about half a minute) ... ');
  const start = Date.now();
  // Under `npm run`, an environment variable says where npm lies. A plain `npm` is a script, for which Windows needs a
  // shell.
  const npm = process.env.npm_execpath;
  const [command, args] = npm?.endsWith('.js') ? [process.execPath, [npm, 'ci']] : ['npm', ['ci']];
  const options = { cwd: root, encoding: 'utf8', shell: process.platform === 'win32' && command === 'npm' };
  const result = spawnSync(command, [...args, '--loglevel=error'], options);
  if (result.status !== 0) {
    console.error(`failed.\n${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}`);
    console.error(
      "The dependencies could not be installed. Check the network (and npm's registry), then run this again.",
    );
    return 1;
  }
  console.log(`done in ${((Date.now() - start) / 1000).toFixed(0)} s.`);
  if (hadNative)
    console.log('The native backend was removed with the old dependencies; `npm run native` builds it again.');
  if (!isUpToDate(root)) {
    console.error(
      'npm ci ended well, but node_modules is not what package-lock.json says. Remove node_modules and run this again.',
    );
    return 1;
  }
  return 0;
}

if (process.argv[1] && join(process.argv[1]) === fileURLToPath(import.meta.url))
  process.exitCode = setUp(dirname(dirname(fileURLToPath(import.meta.url))));
