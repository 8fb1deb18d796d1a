// The parts of the native build that run without building. The build checks its own result whenever it runs.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const run = promisify(execFile);
const { installCommand, run: runTool } = (await import('../../backend/native/tools.mjs' as string)) as {
  installCommand(missing: string[], os?: string, release?: string): string;
  run(command: string, args: string[], options: { limit?: number }): Promise<{ ok: boolean; output: string }>;
};

describe('what installs the missing tools', () => {
  it.each([
    [['compiler', 'python'], 'linux', 'ID=ubuntu ID_LIKE=debian', 'sudo apt-get install -y g++ python3 python3-pip'],
    [['pip'], 'linux', 'ID=debian', 'sudo apt-get install -y python3-pip'],
    [['compiler', 'pip'], 'linux', 'ID=fedora', 'sudo dnf install -y gcc-c++ python3-pip'],
    [['compiler'], 'linux', 'ID="rocky" ID_LIKE="rhel centos fedora"', 'sudo dnf install -y gcc-c++'],
    [['compiler', 'python'], 'darwin', '', 'xcode-select --install && brew install python'],
  ])('%j on %s %s', (missing, os, release, command) => {
    expect(installCommand(missing, os, release)).toBe(command);
  });
});

it('names the arguments that it does not know', async () => {
  const error = await run(process.execPath, ['backend/build-native.mjs', '--fast']).catch((e: unknown) => e);
  expect(error).toMatchObject({ code: 1, stderr: expect.stringContaining("Unknown option '--fast'") });
});

it('ends a program that takes longer than its limit', async () => {
  const result = await runTool(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'], { limit: 200 });
  expect(result).toEqual({ ok: false, output: '\nended by SIGTERM' });
});
