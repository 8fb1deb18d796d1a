import { join } from 'node:path';
import * as z from 'zod';
import type { Agent, Rollout } from '../../agents/agent.js';
import { readJson, writeFileAtomic } from '../../core/files.js';
import { unstack } from '../../core/ndarray.js';
import { checkedFile } from '../../core/schema.js';
import type { Info, Metrics } from '../../core/types.js';
import type { SourceFreeAdaptation } from '../../envs/adaptation/adaptation.js';
import { accuracyOf, confusion } from '../../envs/adaptation/measures.js';
import { argmaxRows, labelsOf } from '../../envs/adaptation/rules.js';
import { evaluated } from '../../envs/adaptation/source.js';
import type { AdaptationAction, AdaptationObservation } from '../../envs/adaptation/spaces.js';
import { gridPng } from '../images.js';
import type { Callback, TrainContext } from '../train.js';

/** What an info has at the end of a pass that becomes a metric. */
const logged = [
  'accuracy',
  'neighbourAccuracy',
  'pseudoLabelAccuracy',
  'streamAccuracy',
  'weightRight',
  'weightWrong',
  'falseNegatives',
  'wrongExclusions',
  'excludedNegatives',
  'labelsChanged',
  'informationScore',
] as const;

/** The metrics of a pass, from the info of its last step. Accuracies are means over classes. */
export function metricsOf(info: Info): Metrics {
  const named: Info = { ...info, accuracy: info.perClassAccuracy, neighbourAccuracy: info.neighbourPerClassAccuracy };
  const metrics: Metrics = {};
  for (const name of logged) {
    const value = named[name];
    if (typeof value === 'number') metrics[`adaptation/${name}`] = value;
  }
  return metrics;
}

/** Why an adaptation is at its end before its last pass, if it is. */
function failure({ collapsed, diverged }: Info): string | undefined {
  if (collapsed === true) return 'the network reads almost everything as one class';
  return diverged === true ? 'numbers are no longer finite' : undefined;
}

/** How many pictures of each kind are kept. */
const shownPictures = 24;

const index = z.int().min(0);
const size = z.int().min(1).max(65_536);
const share = z.number().min(0).max(1);
const reading = z.object({
  /** Mean over classes. */
  accuracy: share,
  /** [C · C], a row for each true class. */
  confusion: z.array(index),
  /** Of the first pictures of the probe: the class, and how probable it is to the network. */
  read: z.array(z.object({ label: index, probability: share })),
});

const schema = z.object({
  classes: z.array(z.string()).min(1),
  domain: z.string(),
  /** Which split of the target is learned from, without its labels, and which is measured on. */
  splits: z.object({ learned: z.string(), measured: z.string() }),
  /** True classes of the pictures of the probe that are kept. */
  truths: z.array(index),
  before: reading,
  after: reading.optional(),
  /** Where the pictures lie in `samples/adaptation.png`: the probe's, then those of labelled samples. */
  grid: z.object({ count: size, columns: size, width: size, height: size, scale: size, gap: index }).optional(),
  /** Samples of the last pass with the label that the agent gave them, the first half right and the others wrong. */
  labelled: z.array(z.object({ truth: index, label: index, weight: z.number() })).optional(),
});

/** What `adaptation.json` holds: how the network reads before and after, and which labels the agent gave. */
export type AdaptationRecord = z.output<typeof schema>;

/** Reads it. @throws GymError E_FILE where it is damaged. */
export async function readAdaptationRecord(folder: string): Promise<AdaptationRecord> {
  const path = join(folder, 'adaptation.json');
  return checkedFile(schema, await readJson(path), path);
}

/** The pictures of a record. */
export const picturesFile = (folder: string) => join(folder, 'samples', 'adaptation.png');

/**
 * A rule as a run takes it: a rollout is one pass over the target, after which its metrics are logged; an episode, the
 * whole adaptation, goes on from epoch to epoch of the run. The callback keeps how the network reads before and after.
 */
export function byPasses(rule: Agent<unknown, unknown>, env: SourceFreeAdaptation) {
  /** What was last decided for a sample, by its index. */
  let decided = new Map<number, { readonly label: number; readonly weight: number }>();
  /** What the last step of the last pass said: the environment itself may have begun anew since. */
  let ended: Info = {};
  const agent: Agent<unknown, unknown> = {
    collect: { steps: env.stepsPerEpoch },
    act: (observations, options) => rule.act(observations, options),
    learn: async (rollout) => {
      await rule.learn();
      const { steps } = rollout as Rollout<AdaptationObservation, AdaptationAction>;
      decided = new Map();
      for (const { observations, actions } of steps) {
        const [observation, action] = [observations[0]!, actions[0]!];
        const labels = labelsOf(action.pseudoLabels);
        observation.index.data.forEach((sample, i) => {
          if (labels[i]! >= 0) decided.set(sample, { label: labels[i]!, weight: action.weights.data[i]! });
        });
      }
      // What comes after the end of a failed adaptation is of another one, which begins anew.
      ended = (steps.find(({ infos }) => failure(infos[0]!)) ?? steps.at(-1)!).infos[0]!;
      return metricsOf(ended);
    },
    save: (folder) => rule.save(folder),
    restore: (folder) => rule.restore(folder),
    dispose: () => rule.dispose(),
  };
  const { train, probe } = env.targets.at(-1)!;
  const kept = Math.min(shownPictures, probe.labels.length);
  const classes = probe.classes.length;
  const readings = (predicted: ArrayLike<number>, confidence: ArrayLike<number>): AdaptationRecord['before'] => ({
    accuracy: accuracyOf(predicted, probe.labels, classes).perClass,
    confusion: confusion(predicted, probe.labels, classes),
    read: Array.from({ length: kept }, (_, i) => ({
      label: predicted[i]!,
      probability: Math.min(1, confidence[i]!),
    })),
  });
  const before = async () => {
    const { probs } = await evaluated(env.network, probe.images);
    const predicted = argmaxRows(probs);
    return readings(
      predicted,
      Array.from(predicted, (label, i) => probs.data[i * classes + label]!),
    );
  };
  const write = (folder: string, record: AdaptationRecord) =>
    writeFileAtomic(join(folder, 'adaptation.json'), `${JSON.stringify(record)}\n`);
  const callback: Callback<unknown, unknown> = {
    name: 'adaptation',
    start: async ({ folder }) => {
      if (!folder) return;
      await write(folder.path, {
        classes: [...probe.classes],
        domain: probe.domain,
        splits: { learned: train.split, measured: probe.split },
        truths: [...probe.labels.subarray(0, kept)],
        before: await before(),
      });
    },
    stop: () => failure(ended),
    epoch: async ({ folder, last }: TrainContext<unknown, unknown>) => {
      if (!folder || !(last || failure(ended))) return undefined;
      const all = [...decided].map(([sample, { label, weight }]) => ({
        sample,
        truth: train.labels[sample]!,
        label,
        weight,
      }));
      const right = all.filter(({ truth, label }) => truth === label).slice(0, shownPictures / 2);
      const wrong = all.filter(({ truth, label }) => truth !== label).slice(0, shownPictures / 2);
      const chosen = [...right, ...wrong];
      const pictures = [
        ...unstack(probe.images).slice(0, kept),
        ...chosen.map(({ sample }) => unstack(train.images)[sample]!),
      ];
      const { png, layout } = await gridPng(pictures, { columns: 12 });
      await writeFileAtomic(picturesFile(folder.path), png);
      await write(folder.path, {
        ...(await readAdaptationRecord(folder.path)),
        after: readings(ended.predicted as number[], ended.confidence as number[]),
        grid: layout,
        labelled: chosen.map(({ truth, label, weight }) => ({ truth, label, weight })),
      });
      return undefined;
    },
  };
  return { agent, callback };
}
