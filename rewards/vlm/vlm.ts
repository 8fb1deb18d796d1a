import { GymError } from '../../core/errors.js';
import type { Reward, RewardBatch } from '../../core/reward.js';
import { shownJson } from '../../core/shown.js';
import { mapConcurrently } from '../concurrently.js';
import { pngOf } from '../pictures.js';
import { Chat, type ChatAnswer, type TokenChance } from './chat.js';
import { type VlmRewardOptions, type VlmSettings, vlmRewardOptions } from './options.js';

/** The logarithm of the sum of the probabilities of some tokens; −Infinity of none. */
function logSum(chances: readonly TokenChance[]): number {
  const most = Math.max(...chances.map(({ logprob }) => logprob));
  if (chances.length === 0 || most === Number.NEGATIVE_INFINITY) return Number.NEGATIVE_INFINITY;
  return most + Math.log(chances.reduce((sum, { logprob }) => sum + Math.exp(logprob - most), 0));
}

/**
 * How likely a model is to say yes rather than no, 0..1, from the alternatives of its first token:
 * `p(yes) / (p(yes) + p(no)) = sigmoid(log p(yes) − log p(no))`. What is not among the alternatives counts as impossible.
 * @param form `sum`: all tokens that are yes or no without their spaces and in lower case; `first`: `Yes` and `No` alone.
 * @returns undefined where neither is among the alternatives: then the model says something else.
 */
export function yesScore(first: readonly TokenChance[], form: 'sum' | 'first'): number | undefined {
  const chances = (word: 'Yes' | 'No') =>
    first.filter(({ token }) =>
      form === 'first' ? token === word : token.trim().toLowerCase() === word.toLowerCase(),
    );
  const [yes, no] = [logSum(chances('Yes')), logSum(chances('No'))];
  if (yes === Number.NEGATIVE_INFINITY && no === Number.NEGATIVE_INFINITY) return undefined;
  return 1 / (1 + Math.exp(no - yes));
}

/** The mean of the marks in an answer, held to 1..5; undefined where there is none. */
export function marksIn(text: string, pattern: string): number | undefined {
  const marks = Array.from(text.matchAll(new RegExp(pattern, 'g')), ([, mark]) => Number(mark));
  if (marks.length === 0 || marks.some((mark) => !Number.isFinite(mark))) return undefined;
  return Math.min(5, Math.max(1, marks.reduce((a, b) => a + b, 0) / marks.length));
}

/** What a task makes of answers: a number for each, or undefined where the answer is none. */
interface Task {
  readonly question: string;
  readonly maxTokens: number;
  readonly logprobs: boolean;
  /** The names of its details. */
  readonly details: readonly string[];
  judge(answers: readonly ChatAnswer[], prompts: readonly string[]): Promise<(Judged | undefined)[]>;
  dispose?(): void;
}

interface Judged {
  readonly score: number;
  readonly details: readonly number[];
}

const withPrompt = (template: string, prompt: string) => template.replaceAll('{prompt}', () => prompt);

function yesNo(name: string, { form }: VlmSettings): Task {
  return {
    question: 'Does this picture show the following: {prompt}? Answer Yes or No.',
    maxTokens: 8,
    logprobs: true,
    details: [],
    judge: async (answers) =>
      answers.map(({ first, text }) => {
        if (first === undefined || first.length === 0)
          throw new GymError(
            'E_REWARD',
            `reward ${name}: the server said ${shownJson(text)} without log-probabilities; start it so that it gives them (vLLM: --max-logprobs 20), or take task: rating.`,
          );
        const score = yesScore(first, form);
        return score === undefined ? undefined : { score, details: [] };
      }),
  };
}

/** Marks from 1 to 5 become 0..1: (mark − 1) / 4, as with UnifiedReward 2.0. */
function rating({ pattern }: VlmSettings): Task {
  return {
    question:
      'You are given a caption and a picture that was made for it. Rate how well the picture fits the caption, from 1 (not at all) to 5 (in every detail), also by halves. Say in one sentence why, then write a last line of the form "Score: X".\nCaption: {prompt}',
    maxTokens: 512,
    logprobs: false,
    details: ['rating'],
    judge: async (answers) =>
      answers.map(({ text }) => {
        const mark = marksIn(text, pattern);
        return mark === undefined ? undefined : { score: (mark - 1) / 4, details: [mark] };
      }),
  };
}

/** DDPO's reward (Black et al. 2023, §5.3): BERTScore's recall of the prompt in what the model says of the picture. */
async function caption(name: string, { encoder, layer, reference }: VlmSettings): Promise<Task> {
  if (encoder === undefined)
    throw new GymError(
      'E_CONFIG',
      `reward ${name}: encoder: the task caption compares texts by BERTScore; give the folder of an encoder.`,
    );
  const { BertScorer } = await import('../text/bert-score.js');
  const scorer = await BertScorer.load(encoder, { layer });
  return {
    question: 'Answer concisely: what is going on in this image?',
    maxTokens: 64,
    logprobs: false,
    details: ['precision', 'f1'],
    judge: async (answers, prompts) => {
      const references = prompts.map((prompt) => withPrompt(reference, prompt));
      const texts = answers.map(({ text }) => text);
      const { precision, recall, f1 } = await scorer.score(texts, references);
      return recall.map((score, i) => ({ score, details: [precision[i]!, f1[i]!] }));
    },
    dispose: () => scorer.dispose(),
  };
}

/**
 * A vision-language model as judge, behind any server of the OpenAI protocol (vLLM, llama.cpp, SGLang, Ollama, hosted). It is asked about each
 * picture; what it said is the note `answer`. A failure never becomes a number: where the model gives no answer that can be
 * read, the batch fails with what it said, unless `refusal` says what such a picture is worth.
 * - `yes-no`: the probability of yes at the first token, 0..1 ({@link yesScore}).
 * - `rating`: marks from 1 to 5, as 0..1; the detail `rating` is the mark.
 * - `caption`: BERTScore's recall of the prompt in the model's description, as in DDPO; details `precision` and `f1`.
 * @param name what errors and logs call it.
 * @throws GymError E_CONFIG when an option is out of range or does not fit the task, or the token is not there; E_FILE when
 *   the encoder cannot be read.
 */
export async function vlmReward(name: string, options: VlmRewardOptions): Promise<Reward> {
  const settings = vlmRewardOptions.parse(options);
  const { concurrency, refusal, pictureSize } = settings;
  const chat = new Chat(settings);
  const task =
    settings.task === 'yes-no'
      ? yesNo(name, settings)
      : settings.task === 'rating'
        ? rating(settings)
        : await caption(name, settings);
  const { logprobs } = task;
  const template = settings.question ?? task.question;
  const maxTokens = settings.maxTokens ?? task.maxTokens;
  return {
    name,
    score: async ({ images, prompts, signal }: RewardBatch) => {
      const answers = await mapConcurrently([...prompts.keys()], concurrency, async (i, stop) => {
        const png = await pngOf(images, i, pictureSize);
        const question = withPrompt(template, prompts[i]!);
        return await chat.ask({ png, question, maxTokens, logprobs }, AbortSignal.any([signal, stop]));
      });
      const answered = [...answers.keys()].filter((i) => answers[i]!.refusal === undefined);
      const judged = await task.judge(
        answered.map((i) => answers[i]!),
        answered.map((i) => prompts[i]!),
      );
      const byImage = new Map(answered.map((i, k) => [i, judged[k]]));
      const results = answers.map(({ refusal: why, text }, i): Judged => {
        const own = byImage.get(i);
        if (own) return own;
        if (refusal !== undefined) return { score: refusal, details: task.details.map(() => Number.NaN) };
        throw new GymError(
          'E_REWARD',
          `sample ${i} (prompt ${shownJson(prompts[i])}): the judge gives no answer that can be read: ${why ?? `it said ${shownJson(text)}`}; change the question, or say by \`refusal\` what such a picture is worth.`,
        );
      });
      return {
        scores: results.map(({ score }) => score),
        details: Object.fromEntries(task.details.map((detail, k) => [detail, results.map((r) => r.details[k]!)])),
        notes: { answer: answers.map(({ text, refusal: why }) => (why === undefined ? text.trim() : `(${why})`)) },
      };
    },
    dispose: () => task.dispose?.(),
  };
}
