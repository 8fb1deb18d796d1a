import { GymError } from '../../core/errors.js';
import type { Reward, RewardBatch } from '../../core/reward.js';
import { shownJson } from '../../core/shown.js';
import { mapConcurrently } from '../concurrently.js';
import { pngOf } from '../pictures.js';
import { type HttpRewardOptions, httpRewardOptions } from './options.js';
import { postJson, tokenFrom } from './post.js';
import { type Answer, protocols, type Sample } from './protocols.js';

/**
 * A reward that a server computes: ours (`serve-reward`), Flow-Factory's, or UniRL's. Pictures are sent as PNG.
 * A failure never becomes a number: where a sample has no score, the batch has none, and the error says what the server said.
 * @param name what errors and logs call it.
 * @throws GymError E_CONFIG when an option is out of range or the token is not there.
 */
export function httpReward(name: string, options: HttpRewardOptions): Reward {
  const {
    url,
    protocol,
    names,
    timeout,
    retries,
    retryPause,
    batchSize,
    concurrency,
    token: variable,
  } = httpRewardOptions.parse(options);
  const spoken = protocols[protocol as keyof typeof protocols];
  if (names !== undefined && !spoken.named && names.length > 1)
    throw new GymError(
      'E_CONFIG',
      `reward ${name}: names: a server of the protocol ${protocol} has one reward, without a name.`,
    );
  const address = url.replace(/\/+$/, '') + spoken.path;
  const token = tokenFrom(variable);
  return {
    name,
    score: async ({ images, prompts, metadata, signal }: RewardBatch) => {
      const starts = Array.from({ length: Math.ceil(prompts.length / batchSize) }, (_, i) => i * batchSize);
      const answers = await mapConcurrently(starts, concurrency, async (start, stop) => {
        const indices = prompts.slice(start, start + batchSize).map((_, i) => start + i);
        const samples = await Promise.all(
          indices.map(
            async (i): Promise<Sample> => ({
              prompt: prompts[i]!,
              image: (await pngOf(images, i)).toString('base64'),
              metadata: metadata?.[i] ?? null,
            }),
          ),
        );
        const options = {
          timeoutMs: 1000 * timeout,
          pauseMs: 1000 * retryPause,
          retries,
          token,
          signal: AbortSignal.any([signal, stop]),
        };
        const reply = await postJson(address, spoken.request(samples, names ?? []), options);
        return spoken.answers(reply, samples.length);
      });
      return combined(answers.flat(), spoken.named ? names : undefined, prompts);
    },
  };
}

/** The sum of the rewards that are wanted, and each of them. */
function combined(answers: readonly Answer[], names: readonly string[] | undefined, prompts: readonly string[]) {
  const wanted = names ?? [
    ...new Set(answers.flatMap(({ scores, errors }) => [...Object.keys(scores), ...Object.keys(errors)])),
  ];
  if (wanted.length === 0)
    throw new GymError('E_REWARD', 'the server gave no reward at all; name those that it has (names).');
  const details = Object.fromEntries(wanted.map((name) => [name, new Float64Array(answers.length)]));
  const scores = new Float64Array(answers.length);
  answers.forEach(({ scores: given, errors }, i) => {
    for (const name of wanted) {
      const score = given[name];
      if (score === undefined)
        throw new GymError(
          'E_REWARD',
          `sample ${i} (prompt ${shownJson(prompts[i])}) has no ${name}: ${errors[name] ?? 'the server does not say why'}`,
        );
      details[name]![i] = score;
      scores[i]! += score;
    }
  });
  return wanted.length > 1 ? { scores, details } : scores;
}
