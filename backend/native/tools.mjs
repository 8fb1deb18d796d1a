// What the native build does with the tools of this machine: it runs programs, finds a compiler and Python, and says how
// to install what is missing. It is plain JavaScript, so that it runs with Node alone.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { platform } from 'node:os';

/** An error whose message says what to do. Only the message is printed, without a stack. */
export class NativeError extends Error {}

/**
 * Runs a program and gives its output. With `show`, its standard output goes to the terminal instead. After `limit`
 * milliseconds, where they are given, it is ended.
 */
export function run(command, args, { show = false, env = {}, cwd, limit } = {}) {
  return new Promise((done) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      timeout: limit,
      stdio: ['ignore', show ? 'inherit' : 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout?.on('data', (data) => {
      output += data;
    });
    child.stderr.on('data', (data) => {
      output += data;
    });
    child.on('error', (error) => done({ ok: false, output: error.message }));
    child.on('close', (code, signal) =>
      done({ ok: code === 0, output: signal ? `${output}\nended by ${signal}` : output }),
    );
  });
}

export const lastLines = (text, count = 12) => text.trim().split('\n').slice(-count).join('\n');

/** Gives the command that installs the missing tools on this system. */
export function installCommand(missing, os = platform(), release = osRelease()) {
  if (os === 'darwin') {
    const commands = { compiler: 'xcode-select --install', python: 'brew install python', pip: 'brew install python' };
    return [...new Set(missing.map((tool) => commands[tool]))].join(' && ');
  }
  const families = [
    [
      /debian|ubuntu/,
      'sudo apt-get install -y',
      { compiler: 'g++', python: 'python3 python3-pip', pip: 'python3-pip' },
    ],
    [
      /fedora|rhel|centos/,
      'sudo dnf install -y',
      { compiler: 'gcc-c++', python: 'python3 python3-pip', pip: 'python3-pip' },
    ],
    [/suse/, 'sudo zypper install -y', { compiler: 'gcc-c++', python: 'python3 python3-pip', pip: 'python3-pip' }],
    [/arch/, 'sudo pacman -S --needed', { compiler: 'gcc', python: 'python python-pip', pip: 'python-pip' }],
  ];
  const [, install, packages] = families.find(([pattern]) => pattern.test(release)) ?? families[0];
  return `${install} ${[...new Set(missing.flatMap((tool) => packages[tool].split(' ')))].join(' ')}`;
}

function osRelease() {
  try {
    const lines = readFileSync('/etc/os-release', 'utf8').split('\n');
    return lines.filter((line) => /^ID(_LIKE)?=/.test(line)).join(' ');
  } catch {
    return '';
  }
}

/**
 * Finds the C++ compiler and, where they are asked for, Python and pip. If any are missing, it throws one error that
 * names all of them.
 */
export async function findTools({ needPython = false, needPip = false }) {
  const first = async (commands, args) => {
    for (const command of commands.filter(Boolean)) if ((await run(command, args)).ok) return command;
    return undefined;
  };
  const compiler = await first([process.env.CXX, 'g++', 'clang++', 'c++'], ['--version']);
  const python = needPython
    ? await first([process.env.PYTHON, 'python3', 'python'], ['-c', 'import sys; sys.exit(sys.version_info < (3, 8))'])
    : undefined;
  const pip = !needPip || (python !== undefined && (await run(python, ['-m', 'pip', '--version'])).ok);
  const missing = [!compiler && 'compiler', needPython && !python ? 'python' : !pip && 'pip'].filter(Boolean);
  if (missing.length > 0) {
    const names = {
      compiler: 'a C++ compiler (g++)',
      python: 'Python 3.8 or newer with pip',
      pip: `pip (for ${python})`,
    };
    throw new NativeError(
      `missing: ${missing.map((tool) => names[tool]).join(' and ')}. Install with:\n  ${installCommand(missing)}\nand run this again.`,
    );
  }
  return { compiler, python };
}
