import { describe, expect, it } from 'vitest';
import type { RewardBatch, ScoreBatch } from '../../core/reward.js';
import { listRewards, makeReward, shapesPrompts } from '../../rewards/index.js';
import { assertReward, checkReward, describeFindings, type RewardSource, rewardChecks } from '../../testing/index.js';

const kinds = ['color', 'count', 'composition', 'location'] as const;

/** Those of packages' networks, which take long: their own tests check them. */
const networks = new Set(['safety', 'ocr']);
const names = listRewards().flatMap(({ name }) => (networks.has(name) ? [] : [name]));

describe('every registered reward', () => {
  it.each(names)('%s passes', async (name) => {
    const kind = kinds.find((k) => name === `shapes-${k}`);
    const prompts = kind && shapesPrompts(kind).slice(0, 8);
    const findings = await checkReward({ make: () => makeReward(name) }, { prompts });
    expect(describeFindings(findings.filter(({ severity }) => severity === 'error'))).toBe('nothing found');
    expect(findings.filter(({ check }) => check !== 'varies')).toEqual([]);
  });

  it('and an expression', async () => {
    expect(await checkReward(await makeReward('0.7*jpeg-incompressibility - 0.3*shapes'))).toEqual([]);
  });
});

/** The mean of each picture: nothing is wrong with it. */
function means({ images, prompts }: ScoreBatch): number[] {
  const size = images.data.length / prompts.length;
  return prompts.map((_, i) => {
    let sum = 0;
    for (let k = i * size; k < (i + 1) * size; k++) sum += images.data[k]!;
    return sum / size / 255;
  });
}

const later = (ms: number, signal?: AbortSignal) =>
  new Promise<void>((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
    if (signal?.aborted) reject(signal.reason);
  });

let calls = 0;

/** Each with just one defect: what it is, a reward that has it, who finds it, what they say. */
const defects: [string, unknown, string, RegExp][] = [
  ['is no reward', { scores: means }, 'scores', /reward: it must be a function or an object { name, score }/],
  [
    'cannot be made',
    {
      make: () => {
        throw new Error('no model');
      },
    },
    'scores',
    /make: it throws; actual: no model/,
  ],
  [
    'throws',
    () => {
      throw new Error('no server');
    },
    'scores',
    /score\(\): it throws; actual: no server/,
  ],
  [
    'rejects',
    async () => {
      throw new Error('no server');
    },
    'scores',
    /score\(\): it throws; actual: no server/,
  ],
  ['returns one number', () => 1, 'scores', /score\(\): scores: it must be a list of numbers; actual: 1/],
  [
    'returns too few scores',
    (batch: RewardBatch) => means(batch).slice(1),
    'scores',
    /scores: it must have 8 entries, one an image; actual: 7/,
  ],
  [
    'returns text',
    (batch: RewardBatch) => means(batch).map(String),
    'scores',
    /scores\[0\]: it must be a number; actual: "0\.\d+" \(string\)/,
  ],
  [
    'gives NaN',
    (batch: RewardBatch) => means(batch).map((x, i) => (i === 3 ? x / 0 - x / 0 : x)),
    'scores',
    /scores\[3\] \(prompt "four triangles"\): it must be finite; actual: NaN/,
  ],
  [
    'has details that are no object',
    (batch: RewardBatch) => ({ scores: means(batch), details: 3 }),
    'scores',
    /details: it must be an object of named lists; actual: 3/,
  ],
  [
    'has too few details',
    (batch: RewardBatch) => ({ scores: means(batch), details: { size: [1] } }),
    'scores',
    /details\.size: it must have 8 entries, one an image; actual: 1/,
  ],
  [
    'has infinite details',
    (batch: RewardBatch) => ({ scores: means(batch), details: { size: means(batch).map(() => Infinity) } }),
    'details',
    /details\.size\[0\]: it must be finite, or NaN/,
  ],
  [
    'has notes that are no object',
    (batch: RewardBatch) => ({ scores: means(batch), notes: 'bright' }),
    'scores',
    /notes: it must be an object of named lists; actual: "bright"\s+to do: return { name: texts/,
  ],
  [
    'has a note of its whole batch',
    (batch: RewardBatch) => ({ scores: means(batch), notes: { said: ['bright'] } }),
    'scores',
    /notes\.said: it must have 8 entries, one an image; actual: 1/,
  ],
  [
    'has a note that is no text',
    (batch: RewardBatch) => ({ scores: means(batch), notes: { said: means(batch) } }),
    'scores',
    /notes\.said\[0\]: it must be a text; actual: 0\.\d+ \(number\)/,
  ],
  [
    'says something else each time',
    (batch: RewardBatch) => ({ scores: means(batch), notes: { said: batch.prompts.map(() => `at ${calls++}`) } }),
    'same-again',
    /notes\.said\[0\]: the same pictures get another score/,
  ],
  [
    'notes places',
    (batch: RewardBatch) => ({
      scores: means(batch),
      notes: { said: batch.prompts.map((_, i) => (batch.prompts.length === 8 ? `picture ${i}` : 'picture')) },
    }),
    'order',
    /score\(\) backwards: notes\.said\[0\]: .*actual: picture 0 and picture 7/,
  ],
  [
    'is random',
    (batch: RewardBatch) => means(batch).map((x) => x + calls++),
    'same-again',
    /the same pictures get another score the second time/,
  ],
  [
    'differs from another of its kind',
    {
      make: () => {
        const own = calls++;
        return (batch: RewardBatch) => means(batch).map((x) => x + own);
      },
    },
    'same-again',
    /another reward of the kind scores otherwise/,
  ],
  [
    'normalises over the batch',
    (batch: RewardBatch) => {
      const all = means(batch);
      const most = Math.max(...all);
      return all.map((x) => x / most);
    },
    'split',
    /score\(\) of each picture alone: scores\[\d\]: the score depends on the other pictures/,
  ],
  [
    'has details of the batch',
    (batch: RewardBatch) => ({ scores: means(batch), details: { n: batch.prompts.map(() => batch.prompts.length) } }),
    'split',
    /details\.n\[0\]: .*actual: 8 and 1/,
  ],
  [
    'counts places',
    (batch: RewardBatch) => means(batch).map((x, i) => (batch.prompts.length === 8 ? x + (i === 0 ? 0 : 0.1) : x)),
    'order',
    /score\(\) backwards: scores\[\d\]: the score depends on the place/,
  ],
  ['sorts', (batch: RewardBatch) => means(batch).sort((a, b) => a - b), 'order', /the score depends on the place/],
  [
    'keeps its batch where another call finds it',
    (() => {
      let batch: RewardBatch;
      return async (given: RewardBatch) => {
        batch = given;
        await later(1);
        return means(batch);
      };
    })(),
    'concurrent',
    /the score differs when another batch is pending/,
  ],
  [
    'writes into images',
    ({ images, prompts }: RewardBatch) => {
      const result = means({ images, prompts });
      images.data[5] = images.data[5]! + 1;
      return result;
    },
    'inputs',
    /batch\.images\.data\[5\]: the call changes it/,
  ],
  [
    'sorts the prompts',
    (batch: RewardBatch) => {
      const result = means(batch);
      batch.prompts.sort();
      return result;
    },
    'inputs',
    /batch\.prompts\[\d\]: the call changes it/,
  ],
  [
    'is deaf to an abort',
    async (batch: RewardBatch) => {
      await later(150);
      return means(batch);
    },
    'abort',
    /score\(\) aborted after 10 ms: it is still pending 50 ms after the abort/,
  ],
  [
    'looks for an abort that comes later only',
    async (batch: RewardBatch) => {
      await new Promise((resolve, reject) => {
        setTimeout(resolve, 150);
        batch.signal?.addEventListener('abort', reject);
      });
      return means(batch);
    },
    'abort',
    /score\(\) with an aborted signal: it is still pending/,
  ],
  [
    'is the same for all',
    ({ prompts }: RewardBatch) => prompts.map(() => 1),
    'varies',
    /8 different pictures all get the same score; actual: 1/,
  ],
];

describe('checkReward', () => {
  it('finds nothing where nothing is wrong', async () => {
    expect(await checkReward(means)).toEqual([]);
    expect(await checkReward({ name: 'means', score: means })).toEqual([]);
    const slow = async (batch: RewardBatch) => {
      await later(30, batch.signal);
      const notes = { said: means(batch).map((x) => `it is ${x}`) };
      return { scores: Float64Array.from(means(batch)), details: { none: means(batch).map(() => Number.NaN) }, notes };
    };
    expect(await checkReward(slow, { abortMs: 20 })).toEqual([]);
    const careful = async (batch: RewardBatch) => {
      batch.signal.throwIfAborted(); // a signal is always there
      return means(batch);
    };
    expect(await checkReward(careful)).toEqual([]);
  });

  it.each(defects)('finds that a reward %s', async (_, reward, check, text) => {
    const findings = await checkReward(reward as RewardSource, { abortMs: 50 });
    expect(describeFindings(findings)).toMatch(text);
    expect(new Set(findings.map((finding) => finding.check))).toEqual(new Set([check]));
    expect(findings[0]!.severity).toBe(check === 'varies' ? 'warning' : 'error');
  });

  it('has a defect for each of its checks', () => {
    expect(new Set(defects.map(([, , check]) => check))).toEqual(new Set(rewardChecks.map(({ name }) => name)));
  });

  it('scores what it is given', async () => {
    const seen: RewardBatch[] = [];
    const images = { data: Uint8Array.from({ length: 4 * 12 }, (_, i) => i), shape: [4, 2, 2, 3] };
    const metadata = [1, 2, 3, 4];
    const look = (batch: RewardBatch) => {
      seen.push(batch);
      return means(batch);
    };
    expect(await checkReward(look, { images, prompts: ['a', 'b', 'c', 'd'], metadata })).toEqual([]);
    expect(seen[0]).toEqual({ images, prompts: ['a', 'b', 'c', 'd'], metadata, signal: expect.any(AbortSignal) });
    expect(seen.some((batch) => batch.prompts.length === 1 && batch.metadata?.[0] === 3)).toBe(true);
  });

  it('lets scores differ within the tolerance', async () => {
    const rough = (batch: RewardBatch) => means(batch).map((x) => x + batch.prompts.length * 1e-4);
    expect(describeFindings(await checkReward(rough))).toMatch(/\[split\]/);
    expect(await checkReward(rough, { tolerance: 1e-2 })).toEqual([]);
  });

  it('throws all that it found, in assertReward', async () => {
    await expect(assertReward(means)).resolves.toBeUndefined();
    await expect(assertReward(() => 1 as never)).rejects.toThrow(/checkReward: 1 finding\nerror \[scores\]/);
  });
});
