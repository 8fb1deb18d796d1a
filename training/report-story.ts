import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentDescription, MetricDescription } from '../agents/define.js';
import { loadAgent } from '../agents/registry.js';
import { GymError, messageOf } from '../core/errors.js';
import { readBytes, readText } from '../core/files.js';
import type { Metrics } from '../core/types.js';
import { isModulePath } from '../core/user-module.js';
import { type EvaluationRecord, evaluationFiles, readEvaluations } from './evaluation/index.js';
import type { FamilyWords, ReportedRun } from './families/family.js';
import { familyOf } from './families/index.js';
import { cutGrid, type GridLayout } from './images.js';
import { dataUri } from './report-html.js';
import { RunFolder, type RunStatus } from './run-folder/index.js';
import { type RunRecord, readShownRecord } from './run-record.js';
import { isTrusted } from './trust.js';

/** What a run's folder says, read once. */
export interface Story extends ReportedRun {
  readonly name: string;
  readonly record: RunRecord;
  /** The words of the family of the run's environment. */
  readonly words: FamilyWords;
  readonly agent: ReportedAgent;
  readonly state: RunStatus['state'] | 'killed';
  /** Why the run failed, if it did. */
  readonly failure: string | undefined;
  /** Why the run ended before its last epoch, where a callback has ended it. */
  readonly why: string | undefined;
  /** How many epochs the run is to have. */
  readonly epochs: number;
  /** One entry for each finished epoch. */
  readonly metrics: readonly Metrics[];
  readonly evaluations: readonly EvaluationRecord[];
  /** The first evaluation, with its pictures. */
  readonly before: Evaluated | undefined;
  /** The latest evaluation, where it is not the first one. */
  readonly after: Evaluated | undefined;
  readonly warnings: readonly string[];
}

/** What is known of the run's agent. */
interface ReportedAgent {
  readonly name: string;
  /** What the agent says of its metrics; nothing where it could not be loaded. */
  readonly metrics: Readonly<Record<string, MetricDescription>>;
  /** Why it could not be loaded. */
  readonly problem?: string;
}

/** An evaluation and what it has to show. */
export interface Evaluated {
  readonly record: EvaluationRecord;
  /** One PNG for each of the first samples, as data URIs. */
  readonly pictures: readonly string[];
  readonly animation?: string;
}

/**
 * Reads everything that a report tells.
 * @param path the run's folder.
 * @param agent the agent's description, where the caller has it; else it is looked up by the name in the configuration.
 * @throws GymError E_FILE when there is no run in the folder.
 */
export async function readStory(path: string, agent: AgentDescription | undefined): Promise<Story> {
  const folder = RunFolder.open(path);
  const record = await readShownRecord(folder);
  const { config } = record;
  const status = await folder.status();
  const evaluations = await readEvaluations(path);
  const log = join(path, 'log.txt');
  return {
    path,
    name: config.name,
    record,
    words: familyOf(config.env).words,
    agent: agent ? { name: agent.name, metrics: agent.metrics ?? {} } : await reportedAgent(path, record),
    state: (await folder.wasKilled()) ? 'killed' : (status?.state ?? 'running'),
    failure: status?.state === 'failed' || status?.state === 'diverged' ? status.message : undefined,
    why: status?.state === 'finished' ? status.message : undefined,
    epochs: status?.epochs ?? config.epochs,
    metrics: await folder.metrics(),
    evaluations,
    before: await evaluated(path, evaluations[0]),
    after: evaluations.length > 1 ? await evaluated(path, evaluations.at(-1)) : undefined,
    warnings: existsSync(log) ? (await readText(log)).trim().split('\n') : [],
    rival: await rivalOf(path),
  };
}

async function rivalOf(path: string): Promise<Story['rival']> {
  const place = join(path, 'rival');
  if (!existsSync(join(place, 'config.json'))) return undefined;
  const folder = RunFolder.open(place);
  const { config } = await readShownRecord(folder);
  return { path: place, agent: config.agent.name, metrics: await folder.metrics() };
}

/** The file of an agent may be gone or broken by now: the run is reported all the same, and the report says why it explains less. */
async function reportedAgent(path: string, record: RunRecord): Promise<ReportedAgent> {
  const { name } = record.config.agent;
  if (isModulePath(name) && !(await isTrusted(path, record))) {
    const problem = 'the run was not made by this user, and its code is not executed unless `report` is given --trust';
    return { name, metrics: {}, problem };
  }
  try {
    const description = await loadAgent(name);
    return { name: description.name, metrics: description.metrics ?? {} };
  } catch (error) {
    return { name, metrics: {}, problem: messageOf(error) };
  }
}

async function evaluated(folder: string, record: EvaluationRecord | undefined): Promise<Evaluated | undefined> {
  if (!record) return undefined;
  const files = evaluationFiles(folder, record.epoch);
  const tiles = record.grid ? await cutPictures(files.png, record.grid) : [];
  return {
    record,
    pictures: tiles.map((tile) => dataUri('image/png', tile)),
    ...(record.animation && { animation: dataUri('image/webp', await readBytes(files.webp)) }),
  };
}

async function cutPictures(path: string, grid: GridLayout): Promise<Buffer[]> {
  const png = await readBytes(path);
  try {
    return await cutGrid(png, grid);
  } catch (error) {
    const message = `${path}: cannot be cut into its pictures: ${messageOf(error)}; restore it from a copy.`;
    throw new GymError('E_FILE', message, { cause: error });
  }
}
