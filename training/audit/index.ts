import { join } from 'node:path';
import { GymError, messageOf } from '../../core/errors.js';
import { readBytes, writeFileAtomic } from '../../core/files.js';
import type { NdArray } from '../../core/ndarray.js';
import { type EvaluationRecord, evaluationFiles, readEvaluations } from '../evaluation/index.js';
import { gridPng, readGrid } from '../images.js';
import { RunFolder, type RunStatus } from '../run-folder/index.js';
import { readWatch } from '../watch/index.js';
import type { Finding } from './findings.js';
import { judgeMetrics, judgeReward, judgeWatch } from './numbers.js';
import { judgePictures, type Pairs } from './pictures.js';

export type { Finding } from './findings.js';

/** What an audit of a run has come to. */
export interface Audit {
  /** Finished epochs. */
  readonly epoch: number;
  readonly state: RunStatus['state'] | 'killed';
  /** Empty where nothing looks wrong. */
  readonly findings: readonly Finding[];
  /** What was looked at, a few words each; where this is short, so is what the audit can know. */
  readonly looked: readonly string[];
  /** The PNG of pictures that show what is wrong: those before training in the upper row, the same ones after in the lower. */
  readonly png?: string;
}

/** How many pictures are shown of each finding. */
const shown = 8;

async function picturesOf(run: string, record: EvaluationRecord): Promise<readonly NdArray[]> {
  if (!record.grid) return [];
  const { png } = evaluationFiles(run, record.epoch);
  try {
    return await readGrid(await readBytes(png), record.grid);
  } catch (error) {
    throw new GymError('E_FILE', `${png}: ${messageOf(error)}`, { cause: error });
  }
}

async function pairsOf(run: string, before: EvaluationRecord, after: EvaluationRecord): Promise<Pairs | undefined> {
  const [first, second] = [await picturesOf(run, before), await picturesOf(run, after)];
  const count = Math.min(first.length, second.length);
  if (count === 0) return undefined;
  const prompts = after.samples.slice(0, count).map(({ prompt }) => prompt ?? '');
  return { before: first.slice(0, count), after: second.slice(0, count), prompts };
}

/**
 * Looks for what is wrong with a run, finished or not, by its folder alone: with its log, with the reward of its fixed
 * samples, with what the watch has seen, and with the pictures of its first and its latest evaluation. None of the
 * run's code is executed.
 * @param run the run's folder. `audit.png` is written into it where pictures show what is wrong.
 * @throws GymError E_FILE when there is no run, or a file of it is damaged.
 */
export async function auditRun(run: string): Promise<Audit> {
  const folder = RunFolder.open(run);
  const [status, metrics, evaluations, watch] = [
    await folder.status(),
    await folder.metrics(),
    await readEvaluations(run),
    await readWatch(run),
  ];
  const state = (await folder.wasKilled()) ? 'killed' : (status?.state ?? 'running');
  const findings: Finding[] = [];
  const looked = [`the log of ${metrics.length} epochs`];
  if (state === 'diverged' || state === 'failed')
    findings.push({ name: state, text: `the run has ${state}: ${status?.message ?? 'nobody said why'}` });
  findings.push(...judgeMetrics(metrics));
  const [before, after] = [evaluations[0], evaluations.at(-1)];
  let pairs: Pairs | undefined;
  if (before !== undefined && after !== undefined && before !== after) {
    looked.push(`${after.samples.length} fixed samples before training and after epoch ${after.epoch}`);
    findings.push(...judgeReward(before, after));
    pairs = await pairsOf(run, before, after);
    if (pairs) {
      looked.push(`${pairs.after.length} pairs of pictures`);
      findings.push(...judgePictures(pairs));
    }
  }
  if (watch.length > 1) {
    looked.push(`${watch.length} looks of the watch`);
    findings.push(...judgeWatch(watch));
  }
  const png = pairs && (await drawFindings(join(run, 'audit.png'), pairs, findings));
  return { epoch: metrics.length, state, findings, looked, ...(png !== undefined && { png }) };
}

/** Draws the pictures that findings name. @returns the path, or undefined where they name none. */
async function drawFindings(path: string, pairs: Pairs, findings: readonly Finding[]): Promise<string | undefined> {
  const wanted = [...new Set(findings.flatMap(({ pictures = [] }) => pictures.slice(0, shown)))].sort((a, b) => a - b);
  if (wanted.length === 0) return undefined;
  const rows = [pairs.before, pairs.after].map((images) => wanted.map((i) => images[i]!));
  await writeFileAtomic(path, (await gridPng(rows.flat(), { columns: wanted.length })).png);
  return path;
}
