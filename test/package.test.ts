import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';

const run = promisify(execFile);

/** An empty project with the packed package installed, as a user has it. */
let project: string;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'package-'));
  await run('npm', ['run', '--silent', 'build']);
  const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', project]);
  await writeFile(join(project, 'package.json'), '{ "type": "module", "private": true }');
  const { devDependencies } = JSON.parse(await readFile('package.json', 'utf8'));
  const tools = ['typescript', '@types/node'].map((name) => `${name}@${devDependencies[name]}`);
  await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', `./${stdout.trim()}`, ...tools], {
    cwd: project,
  });
}, 400_000);
afterAll(() => rm(project, { recursive: true, force: true }));

it('every subpath imports', async () => {
  const subpaths = ['', '/envs', '/agents', '/rewards', '/diffusion', '/training', '/testing'];
  const program = subpaths
    .map((s) => `console.log('denoise-gym${s}', Object.keys(await import('denoise-gym${s}')).length)`)
    .join(';');
  const { stdout } = await run('node', ['--input-type=module', '-e', program], { cwd: project });
  const counts = stdout
    .trim()
    .split('\n')
    .map((line) => Number(line.split(' ')[1]));
  expect(counts).toHaveLength(subpaths.length);
  for (const count of counts) expect(count).toBeGreaterThan(0);
});

it('importing the environments loads no TensorFlow.js', async () => {
  const program = `await import('denoise-gym/envs');
    const { createRequire } = await import('node:module');
    console.log(Object.keys(createRequire(import.meta.url).cache ?? {}).filter((f) => f.includes('tensorflow')).length,
      performance.getEntriesByType('resource').length, globalThis._tfengine === undefined)`;
  const { stdout } = await run('node', ['--input-type=module', '-e', program], { cwd: project });
  expect(stdout.trim()).toMatch(/^0 .*true$/);
});

it('the example of a reward of your own type-checks, compiles and trains', async () => {
  await copyFile('examples/my-reward.ts', join(project, 'my-reward.ts'));
  const options = ['--target', 'es2022', '--module', 'nodenext', '--strict', '--skipLibCheck', '--types', 'node'];
  await run('npx', ['tsc', ...options, 'my-reward.ts'], { cwd: project });
  const { stdout } = await run('node', ['my-reward.js', '1'], {
    cwd: project,
    env: { ...process.env, DENOISE_GYM_BACKEND: 'wasm' },
    timeout: 300_000,
  });
  expect(stdout).toMatch(/epoch 1[\s\S]*open runs\/redness\/report.html/);
  expect(await readFile(join(project, 'runs/redness/report.html'), 'utf8')).toContain('redness');
}, 400_000);

it('the native build starts from the installed package', async () => {
  // It stops at once, since the package that it would build is an optional peer and not installed here.
  const building = run('npx', ['denoise-gym', 'native'], { cwd: project });
  await expect(building).rejects.toThrow(/native: @tensorflow\/tfjs-node-gpu is not installed\. Install it with/);
});

it('the command line runs from the installed package', async () => {
  const { stdout } = await run('npx', ['denoise-gym', 'list', 'rewards'], { cwd: project });
  expect(stdout).toContain('jpeg-incompressibility');
});
