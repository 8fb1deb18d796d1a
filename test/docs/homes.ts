import { exec } from 'node:child_process';
import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';

// The three ways in which people have this package: a fresh clone, a clone that was built, and installed from npm. All are
// made in a folder of the test's own; what takes long is made once, when it is first asked for.

export type Way = 'clone' | 'build' | 'installed';
export const ways: readonly Way[] = ['clone', 'build', 'installed'];

const repository = resolve('.');

/** So many programs run at once as there are cores. */
let free = availableParallelism();
const waiting: (() => void)[] = [];

/** Runs a command line of a shell, and gives what it prints; an error shows all of it. */
export async function shell(command: string, cwd: string): Promise<string> {
  if (free === 0) await new Promise<void>((turn) => waiting.push(turn));
  else free--;
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_OPTIONS|NODE_ENV|TEST$|SLOW$|npm_)/.test(name)),
  );
  try {
    return await new Promise<string>((resolve, reject) => {
      const options = { cwd, env: { ...env, DENOISE_GYM_BACKEND: 'wasm' }, maxBuffer: 2 ** 26 };
      exec(command, options, (error, stdout, stderr) => {
        if (error) reject(new Error(`${command}\nfailed (${error.code ?? error.signal}):\n${stdout}${stderr}`));
        else resolve(stdout);
      });
    });
  } finally {
    const next = waiting.shift();
    if (next) next();
    else free++;
  }
}

/** What a value is made of when it is first asked for. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

export class Homes {
  readonly #root: string;
  constructor(root: string) {
    this.#root = root;
  }

  /** A copy of the repository as a clone of it is, with its dependencies. */
  async #clone(name: string): Promise<string> {
    const folder = join(this.#root, name);
    const without = ['.git', 'node_modules', 'dist', 'runs', 'coverage', '.cache'];
    await cp(repository, folder, { recursive: true, filter: (path) => !without.includes(relative(repository, path)) });
    await symlink(join(repository, 'node_modules'), join(folder, 'node_modules'));
    return folder;
  }

  /** A clone that was built. */
  readonly built = once(async () => {
    const folder = await this.#clone('built');
    await shell('npm run --silent build', folder);
    return folder;
  });

  /** A project of TypeScript with the packed package installed in it. */
  readonly project = once(async () => {
    const folder = join(this.#root, 'project');
    await mkdir(folder);
    const built = await this.built();
    const packed = await shell(`npm pack --silent --pack-destination ${JSON.stringify(folder)}`, built);
    await writeFile(join(folder, 'package.json'), '{ "type": "module", "private": true }');
    const { devDependencies } = JSON.parse(await readFile('package.json', 'utf8'));
    const tools = ['typescript', '@types/node'].map((name) => `${name}@${devDependencies[name]}`);
    const flags = '--ignore-scripts --no-audit --no-fund --prefer-offline';
    await shell(`npm install ${flags} ./${packed.trim()} ${tools.join(' ')}`, folder);
    // The suites of docs/testing.md run in vitest.
    await symlink(join(repository, 'node_modules/vitest'), join(folder, 'node_modules/vitest'));
    return folder;
  });

  /** A folder to work in, with files of the user's own, and how the command line is called there. */
  async home(
    way: Way,
    name: string,
    files: Readonly<Record<string, string>>,
  ): Promise<{ folder: string; cli: string }> {
    const unique = `${basename(name, '.md')}-${way}`;
    let folder: string;
    if (way === 'clone') folder = await this.#clone(unique);
    else if (way === 'build') {
      folder = join(this.#root, unique);
      await mkdir(folder);
      const built = await this.built();
      for (const part of ['dist', 'examples', 'models']) await symlink(join(built, part), join(folder, part));
    } else {
      folder = join(await this.project(), unique);
      await mkdir(folder);
    }
    for (const [file, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, file)), { recursive: true });
      await writeFile(join(folder, file), text);
    }
    const cli = { clone: 'npm run --silent cli --', build: 'node dist/cli/main.js', installed: 'npx denoise-gym' }[way];
    return { folder, cli };
  }

  async remove(): Promise<void> {
    await rm(this.#root, { recursive: true, force: true });
  }
}
