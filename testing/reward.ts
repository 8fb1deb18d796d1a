import { type NdArray, stack } from '../core/ndarray.js';
import { Random } from '../core/random.js';
import { type Awaitable, isPromiseLike } from '../core/types.js';
import { drawScene, sceneOf } from '../rewards/shapes/world.js';
import {
  assertNoFindings,
  type Check,
  type CheckOptions,
  type Finding,
  needsOf,
  type Report,
  runChecks,
  selectChecks,
} from './findings.js';
import {
  type Batch,
  joined,
  type RewardSource,
  reportUnequal,
  reversed,
  type Score,
  type Scored,
  scored,
  scorer,
  select,
} from './scoring.js';
import { copied, difference } from './values.js';

export type { RewardSource };

/** Options of {@link checkReward}. */
export interface RewardCheckOptions extends CheckOptions {
  /**
   * What to score: uint8 [n, height, width, channels], at least 4 pictures that differ. Default: 16×16 pictures of
   * `prompts`, if these are captions of the world of shapes, with noise on every second one; else noise.
   */
  readonly images?: NdArray;
  /** One prompt an image. Default: 8 captions of the world of shapes. */
  readonly prompts?: readonly string[];
  /** What the prompts' source says beside each prompt, where the reward needs it. */
  readonly metadata?: readonly unknown[];
  /** How far scores of one picture may be apart, absolutely or relatively. Default 1e-6. */
  readonly tolerance?: number;
  /** Milliseconds after an abort within which the reward must have given up. Default 500. */
  readonly abortMs?: number;
}

/** What the checks of a reward are about. */
export interface RewardSubject {
  readonly source: RewardSource;
  readonly batch: Batch;
  readonly tolerance: number;
  readonly abortMs: number;
}

const captions = [
  'a green circle',
  'a red square',
  'two stars',
  'four triangles',
  'a red circle and a blue square',
  'a yellow star and a green triangle',
  'a circle on the left',
  'a square on the top',
];

function pictures(prompts: readonly string[]): NdArray {
  const random = new Random('checkReward');
  const noise = () => ({
    data: Uint8Array.from({ length: 16 * 16 * 3 }, () => random.integer(256)),
    shape: [16, 16, 3],
  });
  return stack(
    prompts.map((prompt, i) => {
      try {
        const { data, shape } = drawScene(sceneOf(prompt, random));
        return { data: i % 2 === 0 ? data : data.map((x) => Math.min(255, x + random.integer(40))), shape };
      } catch {
        return noise(); // no caption of that world
      }
    }),
  );
}

export function rewardSubject(source: RewardSource, options: RewardCheckOptions): RewardSubject {
  const { images, metadata, tolerance = 1e-6, abortMs = 500 } = options;
  const n = images?.shape[0] ?? captions.length;
  const prompts = options.prompts ?? Array.from({ length: n }, (_, i) => captions[i % captions.length]!);
  const batch = {
    images: images ?? pictures(prompts),
    prompts: [...prompts],
    ...(metadata === undefined ? {} : { metadata: [...metadata] }),
  };
  return { source, batch, tolerance, abortMs };
}

type Use = (score: Score, report: Report, subject: RewardSubject) => Promise<void>;

function check(name: string, title: string, use: Use): Check<RewardSubject> {
  return {
    name,
    title,
    needs: needsOf(['scores', 'details', 'same-again', 'order', 'split'], name),
    run: async (subject, report) => use(await scorer(report, subject.source), report, subject),
  };
}

/** The checks of a reward, in order; those after the first ones rely on them. */
export const rewardChecks: readonly Check<RewardSubject>[] = [
  check('scores', 'gives one finite number an image', async (score, report, { batch }) => {
    const { scores } = await scored(report, 'score()', score, batch);
    const odd = scores.findIndex((x) => !Number.isFinite(x));
    if (odd >= 0)
      report.error(
        `score(): scores[${odd}] (prompt ${JSON.stringify(batch.prompts[odd])})`,
        'it must be finite',
        String(scores[odd]),
        'find the division or logarithm that gives this, and decide what such a picture is worth',
      );
  }),

  check('details', 'names its terms, if any, with one number an image each', async (score, report, { batch }) => {
    const { details } = await scored(report, 'score()', score, batch);
    for (const [name, values] of Object.entries(details)) {
      const odd = values.findIndex((x) => !Number.isFinite(x) && !Number.isNaN(x));
      if (odd >= 0)
        report.error(
          `score(): details.${name}[${odd}]`,
          'it must be finite, or NaN where the term does not apply',
          String(values[odd]),
          'return a number',
        );
    }
  }),

  check('same-again', 'gives the same pictures the same scores again', async (score, report, subject) => {
    const { batch, source, tolerance } = subject;
    const todo = 'use no randomness, or a stream that each call begins anew; keep nothing from call to call';
    const first = await scored(report, 'score()', score, batch);
    const again = await scored(report, 'the second score()', score, batch);
    const what = 'the same pictures get another score the second time';
    reportUnequal(report, 'the second score()', what, todo, first, again, tolerance);
    if (report.findings.length > 0 || typeof source !== 'object' || !('make' in source)) return;
    const other = await scored(report, "another one's score()", await scorer(report, source), batch);
    reportUnequal(
      report,
      "another one's score()",
      'another reward of the kind scores otherwise',
      todo,
      first,
      other,
      tolerance,
    );
  }),

  check('order', 'scores a picture alike in any place', async (score, report, { batch, tolerance }) => {
    const whole = await scored(report, 'score()', score, batch);
    const n = batch.prompts.length;
    const backwards = Array.from({ length: n }, (_, i) => n - 1 - i);
    const turned = reversed(await scored(report, 'score() backwards', score, select(batch, backwards)));
    const todo = 'return scores in the order of the pictures, and let none depend on its place';
    reportUnequal(
      report,
      'score() backwards',
      'the score depends on the place in the batch',
      todo,
      whole,
      turned,
      tolerance,
    );
  }),

  check('split', 'scores a picture alike in any batch', async (score, report, { batch, tolerance }) => {
    const whole = await scored(report, 'score()', score, batch);
    const n = batch.prompts.length;
    const all = Array.from({ length: n }, (_, i) => i);
    const half = Math.ceil(n / 2);
    const sizes: [string, number[][]][] = [
      ['each picture alone', all.map((i) => [i])],
      ['two halves', [all.slice(0, half), all.slice(half)]],
    ];
    for (const [name, groups] of sizes) {
      const parts: Scored[] = [];
      for (const places of groups)
        if (places.length > 0) parts.push(await scored(report, `score() of ${name}`, score, select(batch, places)));
      const todo = 'score each picture for itself; agents normalise over batches';
      const what = 'the score depends on the other pictures of the batch';
      reportUnequal(report, `score() of ${name}`, what, todo, whole, joined(parts), tolerance);
      if (report.findings.length > 0) return;
    }
  }),

  check('concurrent', 'scores alike while another batch is pending', async (score, report, { batch, tolerance }) => {
    const n = batch.prompts.length;
    const backwards = select(
      batch,
      Array.from({ length: n }, (_, i) => n - 1 - i),
    );
    const alone = await scored(report, 'score()', score, batch);
    const [together] = await Promise.all([
      scored(report, 'score() beside another', score, batch),
      scored(report, 'score() beside another', score, backwards),
    ]);
    const what = 'the score differs when another batch is pending';
    const todo = 'keep the state of a call in the call: batches are scored while the next one is sampled';
    reportUnequal(report, 'score() beside another', what, todo, alone, together, tolerance);
  }),

  check('inputs', 'leaves images, prompts and metadata as they were', async (score, report, { batch }) => {
    const given = copied(batch);
    await report.attempt('score()', () => score(given));
    const changed = difference(batch, given);
    if (changed)
      report.error(`batch.${changed.path}`, 'the call changes it', changed.actual, 'copy it before you change it');
  }),

  check('abort', 'gives up when it is aborted', async (score, report, { batch, abortMs }) => {
    for (const already of [false, true]) {
      const stop = new AbortController();
      if (already) stop.abort();
      let pending: Awaitable<unknown>;
      try {
        pending = score(copied(batch), stop.signal);
      } catch {
        continue; // gave up at once
      }
      if (!isPromiseLike(pending)) continue;
      const settled = Promise.resolve(pending).then(
        () => true,
        () => true,
      );
      // The abort comes in the middle of the reward's work, not before it.
      if (!already) await new Promise((resolve) => setTimeout(resolve, 10));
      stop.abort();
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<boolean>((resolve) => {
        timer = setTimeout(() => resolve(false), abortMs);
      });
      const inTime = await Promise.race([settled, late]);
      clearTimeout(timer);
      if (!inTime)
        report.fail(
          already ? 'score() with an aborted signal' : 'score() aborted after 10 ms',
          `it is still pending ${abortMs} ms after the abort`,
          'pending',
          'hand `signal` to fetch and timers, or call signal.throwIfAborted() between pictures',
        );
    }
  }),

  check('varies', 'tells pictures apart', async (score, report, { batch }) => {
    const { scores } = await scored(report, 'score()', score, batch);
    if (scores.length > 1 && scores.every((x) => x === scores[0]))
      report.warning(
        'score(): scores',
        `${scores.length} different pictures all get the same score`,
        String(scores[0]),
        "nothing can be learned from such rewards; hand in `images` and `prompts` of your task, or skip 'varies'",
      );
  }),
];

/**
 * Checks a reward against the contract: it gives each image one finite number, whatever else is in the batch, leaves
 * its inputs alone, and gives up when it is aborted.
 *
 * @param source an object with `score`, its function, or `{ make }`.
 * @throws GymError E_NAME on an unknown name to skip.
 */
export function checkReward(source: RewardSource, options: RewardCheckOptions = {}): Promise<Finding[]> {
  return runChecks(selectChecks(rewardChecks, options), rewardSubject(source, options));
}

/**
 * {@link checkReward} for tests without a suite.
 * @throws GymError E_CHECK with everything that was found, when there is an error among it.
 */
export async function assertReward(source: RewardSource, options: RewardCheckOptions = {}): Promise<void> {
  assertNoFindings('checkReward', await checkReward(source, options));
}
