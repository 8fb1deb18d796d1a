import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { scoreImages } from '../../../core/score.js';
import { useBackend } from '../../../networks/backend.js';
import { makeReward, type VlmRewardOptions } from '../../../rewards/index.js';
import { BertScorer } from '../../../rewards/text/bert-score.js';
import { probeVlm } from '../../../rewards/vlm/probe.js';
import { marksIn, vlmReward, yesScore } from '../../../rewards/vlm/vlm.js';
import { assertReward } from '../../../testing/index.js';
import { parseConfig } from '../../../training/config/index.js';
import { errorOf, JudgeServer, type Said } from './judge-server.js';

let cache = '';
let server: JudgeServer | undefined;
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'vlm-'));
});
afterEach(async () => {
  await rm(cache, { recursive: true });
  await server?.close();
  server = undefined;
});

const colours = [
  [220, 0, 0],
  [0, 220, 0],
  [0, 0, 220],
];
const images = {
  data: Uint8Array.from(colours.flatMap((c) => Array.from({ length: 16 }, () => c).flat())),
  shape: [3, 4, 4, 3],
};
const prompts = ['a red circle', 'a green square', 'a red star'];
const names = ['red', 'green', 'blue'];
const nameOf = (colour: readonly number[]) => names[colour.indexOf(Math.max(...colour))]!;

const options = (more: Partial<VlmRewardOptions> = {}): VlmRewardOptions => ({
  url: server!.url,
  model: 'sees',
  cache,
  retryPause: 0.01,
  ...more,
});
const score = async (more: Partial<VlmRewardOptions> = {}, signal?: AbortSignal) => {
  const reward = await vlmReward('judge', options(more));
  try {
    return await scoreImages(reward, { images, prompts, ...(signal && { signal }) });
  } finally {
    reward.dispose!();
  }
};

/** It says yes with a probability of .7 where the question names the picture's colour, in several spellings. */
const yes: Said = { text: 'Yes', chances: { Yes: 0.4, ' yes': 0.2, YES: 0.1, No: 0.1, ' no': 0.1, Perhaps: 0.1 } };
const no: Said = { text: 'No.', chances: { No: 0.8, Maybe: 0.1, Yes: 0.05 } };

describe('the score of yes and no', () => {
  const chances = (p: Record<string, number>) =>
    Object.entries(p).map(([token, x]) => ({ token, logprob: Math.log(x) }));
  it('is the probability of yes among both, in all spellings or in one', () => {
    const first = chances(yes.chances!);
    expect(yesScore(first, 'sum')).toBeCloseTo(0.7 / 0.9, 12);
    // sigmoid(log .4 − log .1)
    expect(yesScore(first, 'first')).toBeCloseTo(0.8, 12);
    expect(yesScore(chances({ Yes: 0.9, Sure: 0.1 }), 'sum')).toBe(1);
    expect(yesScore(chances({ no: 0.9 }), 'sum')).toBe(0);
    expect(yesScore(chances({ no: 0.9 }), 'first')).toBeUndefined();
    expect(yesScore(chances({ '<think>': 1 }), 'sum')).toBeUndefined();
    expect(
      yesScore(
        [
          { token: 'Yes', logprob: -2000 },
          { token: 'No', logprob: -2001 },
        ],
        'sum',
      ),
    ).toBeCloseTo(1 / (1 + Math.exp(-1)), 12);
  });
  it('of marks is their mean', () => {
    const pattern = String.raw`Score(?: \(1-5\))?:\s*(\d(?:\.\d+)?)`;
    expect(marksIn('Alignment Score (1-5): 4\nCoherence Score (1-5): 3.5\nStyle Score (1-5): 3', pattern)).toBe(3.5);
    expect(marksIn('Score: 9', pattern)).toBe(5);
    expect(marksIn('I cannot say.', pattern)).toBeUndefined();
  });
});

describe('a vision-language model as judge', () => {
  it('is asked yes or no of each picture, greedily, and shows what it said', async () => {
    server = await JudgeServer.start(({ question, colour }) => (question.includes(nameOf(colour)) ? yes : no));
    const { scores, notes } = await score();
    const expected = [0.7 / 0.9, 0.7 / 0.9, 0.05 / 0.85];
    expected.forEach((x, i) => {
      expect(scores[i]).toBeCloseTo(x, 12);
    });
    expect(notes).toEqual({ answer: ['Yes', 'Yes', 'No.'] });
    expect(server.asked[0]!.body).toMatchObject({ temperature: 0, seed: 0, logprobs: true, top_logprobs: 20 });
    const { scores: first } = await score({ form: 'first', question: '{prompt}? $& {prompt}' });
    expect(first[0]).toBeCloseTo(0.8, 12);
    expect(server.asked.map(({ question }) => question)).toContain('a red circle? $& a red circle');
  });

  it('asks nothing twice: neither in a batch, nor after a restart', async () => {
    server = await JudgeServer.start(() => ({ ...yes, delayMs: 20 }));
    const reward = await vlmReward('judge', options({ concurrency: 8 }));
    const twice = { images: { data: new Uint8Array(2 * 48), shape: [2, 4, 4, 3] }, prompts: ['a', 'a'] };
    const before = await scoreImages(reward, twice);
    expect(server.asked).toHaveLength(1);
    await server.close();
    server = await JudgeServer.start(() => no);
    expect(await scoreImages(await vlmReward('judge', options()), twice)).toEqual(before);
    expect(server.asked).toHaveLength(0);
    await scoreImages(await vlmReward('judge', options({ cache: false })), { ...twice, prompts: ['a', 'b'] });
    expect(server.asked).toHaveLength(2);
    expect(await readdir(cache)).toHaveLength(1);
  });

  it('gives marks', async () => {
    server = await JudgeServer.start(({ colour }) => ({
      text: `It is ${nameOf(colour)}.\nScore: ${colour[0] > 0 ? 4.5 : 1}`,
    }));
    const { scores, details, notes } = await score({ task: 'rating' });
    expect([...scores]).toEqual([0.875, 0, 0]);
    expect([...details.rating!]).toEqual([4.5, 1, 1]);
    expect(notes.answer![0]).toBe('It is red.\nScore: 4.5');
    expect(server.asked[0]!.body.logprobs).toBeUndefined();
  });

  it('describes the picture, and BERTScore compares that with the prompt', async () => {
    server = await JudgeServer.start(({ colour }) => ({ text: ` a ${nameOf(colour)} circle ` }));
    await useBackend();
    const tensors = tf.memory().numTensors;
    const encoder = 'test/fixtures/rewards/bert';
    const { scores, details } = await score({ task: 'caption', encoder, layer: 2, pictureSize: 16 });
    expect(tf.memory().numTensors).toBe(tensors);
    const scorer = await BertScorer.load(encoder, { layer: 2 });
    const references = prompts.map((prompt) => `The image contains ${prompt}`);
    const expected = await scorer.score(['a red circle', 'a green circle', 'a blue circle'], references);
    scorer.dispose();
    expect([...scores]).toEqual(expected.recall);
    expect([...details.precision!]).toEqual(expected.precision);
    expect([...details.f1!]).toEqual(expected.f1);
    // DDPO's question; it is the same for all prompts.
    expect(server.asked[0]!.question).toBe('Answer concisely: what is going on in this image?');
    await expect(score({ task: 'caption' })).rejects.toThrow(/encoder: the task caption compares texts by BERTScore/);
  });

  it.each<[string, Said, RegExp]>([
    ['thinks aloud', { text: '<think>', chances: { '<think>': 1 } }, /no answer that can be read: it said "<think>"/],
    ['declines', { text: null, refusal: 'I cannot help with that.' }, /I cannot help with that/],
    ['is filtered', { text: '', finish: 'content_filter' }, /the server filtered the answer/],
    ['is silent', { text: ' ', finish: 'length' }, /the answer is empty \(finish_reason length\)/],
    ['tells no log-probabilities', { text: 'Yes' }, /"Yes" without log-probabilities/],
    ['answers in another form', { raw: { answer: 'yes' } }, /is none of a chat: choices/],
    ['answers in no JSON', { raw: 'yes' }, /is not JSON/],
    [
      'says that the request is bad',
      { status: 400, raw: errorOf('vllm', 400, 'at most 0 images') },
      /status 400: at most 0 images/,
    ],
    ['is another server', { status: 400, raw: errorOf('llama.cpp', 400, 'no mmproj') }, /status 400: no mmproj/],
  ])('one that %s gives no number', async (_, said, message) => {
    server = await JudgeServer.start(() => said);
    await expect(score()).rejects.toThrow(message);
  });

  it('an answer that cannot be read has the score that the user gives it', async () => {
    server = await JudgeServer.start(({ colour }) =>
      colour[0] > 0 ? { text: null, refusal: 'No comment.' } : { text: 'Score: 5' },
    );
    const { scores, details, notes } = await score({ task: 'rating', refusal: -1 });
    expect([...scores]).toEqual([-1, 1, 1]);
    expect(details.rating![0]).toBeNaN();
    expect(notes.answer![0]).toBe('(No comment.)');
  });

  it('one that is busy, slow or loading is asked again; a mistake is not', async () => {
    const ways: Said[] = [
      { status: 503, raw: errorOf('llama.cpp', 503, 'Loading model') },
      { status: 429, raw: errorOf('vllm', 429, 'busy') },
      { ...no, delayMs: 400 },
    ];
    server = await JudgeServer.start((_, nth) => ways[nth - 1] ?? yes, 'llama.cpp');
    expect((await score({ timeout: 0.2, concurrency: 1 })).scores[0]).toBeCloseTo(0.7 / 0.9, 12);
    expect(server.asked).toHaveLength(6);
    await expect(score({ model: 'blind' })).rejects.toThrow(/status 404: The model `blind` does not exist/);
  });

  it('gives up when the run stops', async () => {
    server = await JudgeServer.start(() => ({ ...yes, delayMs: 5000 }));
    const abort = new AbortController();
    const begun = performance.now();
    const waiting = score({}, abort.signal);
    setTimeout(() => abort.abort(), 50);
    await expect(waiting).rejects.toThrow(/the run was stopped/);
    expect(performance.now() - begun).toBeLessThan(2000);
  });

  it('passes the checks of a reward, and is made from a configuration', async () => {
    server = await JudgeServer.start(({ question, colour }) => (question.includes(nameOf(colour)) ? yes : no));
    const judge = { kind: 'vlm', url: server.url, model: 'sees', cache } as const;
    const { rewards } = parseConfig({ reward: 'judge', rewards: { judge } }) as unknown as {
      rewards: Parameters<typeof makeReward>[1];
    };
    await assertReward(await makeReward('judge', rewards));
    const both = await makeReward('judge + 1', rewards);
    expect((await scoreImages(both, { images, prompts })).notes).toEqual({ 'judge/answer': ['Yes', 'Yes', 'No.'] });
  });
});

describe('what a server can do', () => {
  it('is asked of it', async () => {
    server = await JudgeServer.start(({ colour }) => (nameOf(colour) === 'red' ? yes : no));
    const findings = await probeVlm(server.url);
    expect(findings.map(({ name, ok }) => [name, ok])).toEqual([
      ['server', true],
      ['pictures', true],
      ['log-probabilities', true],
      ['same again', true],
    ]);
    expect(findings[0]!.detail).toBe('models: sees');
    expect((await probeVlm(server.url, { model: 'other' }))[0]).toMatchObject({ ok: false });
  });

  it('of one that is blind, mute or not there, what is missing is said', async () => {
    server = await JudgeServer.start((_, nth) => ({ text: `Yes ${nth}` }));
    expect((await probeVlm(server.url)).map(({ name, ok }) => [name, ok])).toEqual([
      ['server', true],
      ['pictures', false],
      ['log-probabilities', false],
      ['same again', false],
    ]);
    expect(await probeVlm('http://127.0.0.1:1/v1')).toMatchObject([{ name: 'server', ok: false }]);
  });
});
