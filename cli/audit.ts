import { type Audit, auditRun } from '../training/audit/index.js';

/** Exit status of a run that looks wrong; 1 is that of a command that failed. */
const looksWrong = 3;

export async function auditCommand(run: string, { json }: { json?: boolean }): Promise<void> {
  const audit = await auditRun(run);
  process.stdout.write(json ? `${JSON.stringify({ run, ...audit })}\n` : textOf(run, audit));
  if (audit.findings.length > 0) process.exitCode = looksWrong;
}

function textOf(run: string, { epoch, state, findings, looked, png }: Audit): string {
  return [
    `${run}: ${state}, epoch ${epoch}. Looked at ${looked.join(', ')}.`,
    ...findings.map(({ text, pictures = [] }) => `✘ ${text}${pictures.length > 0 ? ` ${numbers(pictures)}` : ''}`),
    ...(findings.length === 0 ? ['✔ nothing looks wrong.'] : []),
    ...(png === undefined ? [] : [`The pictures, before training above and after it below: ${png}`]),
    '',
  ].join('\n');
}

/** How many numbers of pictures are told. */
const told = 8;

function numbers(pictures: readonly number[]): string {
  const some = pictures.slice(0, told).map((index) => index + 1);
  return `(${pictures.length === 1 ? 'picture' : 'pictures'} ${some.join(', ')}${pictures.length > told ? ', …' : ''})`;
}
