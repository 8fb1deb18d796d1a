import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';

/** What a strict project of a user's own writes against the types of a reward. */
const program = `
import type { Reward, RewardBatch, ScoreBatch } from '${resolve('core/reward.js')}';
import { scoreImages } from '${resolve('core/score.js')}';

// A reward hands its signal on, where \`undefined\` would not be taken.
export const remote: Reward = {
  name: 'remote',
  async score({ images, prompts, signal }: RewardBatch) {
    const body = JSON.stringify({ shape: images.shape, prompts });
    const answer = await fetch('http://localhost/score', { method: 'POST', body, signal });
    return (await answer.json()) as number[];
  },
};
export const loose = async ({ prompts, signal }: RewardBatch) => {
  await fetch('http://localhost/ready', { signal });
  return prompts.map(() => 0);
};

// Who asks for scores may have a signal, or none, or perhaps one.
export async function scores({ images, prompts }: ScoreBatch, signal: AbortSignal, perhaps?: AbortSignal) {
  await scoreImages(remote, { images, prompts });
  await scoreImages(loose, { images, prompts, signal });
  return await scoreImages(remote, { images, prompts, signal: perhaps });
}
`;

it('a reward may hand its signal to fetch, in a project of exact optional properties', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reward-types-'));
  try {
    const file = join(folder, 'reward.mts');
    await writeFile(file, program);
    const checked = ts.createProgram([file], {
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      skipLibCheck: true,
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      types: ['node'],
      typeRoots: [resolve('node_modules/@types')],
    });
    const faults = ts.getPreEmitDiagnostics(checked, checked.getSourceFile(file));
    expect(faults.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '))).toEqual([]);
  } finally {
    await rm(folder, { recursive: true });
  }
}, 60_000);
