import sharp from 'sharp';
import { describeError } from '../../core/errors.js';
import { steadyFetch, tokenFrom } from '../http/post.js';
import { Chat } from './chat.js';
import { chatOptions } from './options.js';

/** What a server of the OpenAI protocol can do, or not. */
export interface ProbeFinding {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

async function getJson(url: string, token: string | undefined): Promise<unknown> {
  const response = await steadyFetch(url, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(10_000),
  });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return await response.json();
}

/** A picture of one colour, as a judge's test. */
const plain = (background: string) =>
  sharp({ create: { width: 224, height: 224, channels: 3, background } })
    .png()
    .toBuffer();

/**
 * Asks a server what a `vlm` reward needs of it: whether it answers, which models it has, whether it sees pictures, gives
 * log-probabilities, and says the same again. Nothing is kept on disk.
 * @param url up to what stands before /chat/completions
 * @param model default: the first that the server names
 * @param token the environment variable with the token that the server asks for
 * @throws GymError E_CONFIG where the token is not there
 */
export async function probeVlm(
  url: string,
  { model, token }: { model?: string; token?: string } = {},
): Promise<ProbeFinding[]> {
  const base = url.replace(/\/+$/, '');
  const secret = tokenFrom(token);
  const findings: ProbeFinding[] = [];
  const add = (name: string, ok: boolean, detail: string) => findings.push({ name, ok, detail });
  let names: string[];
  try {
    const { data } = (await getJson(`${base}/models`, secret)) as { data: { id: string }[] };
    names = data.map(({ id }) => id);
  } catch (error) {
    add('server', false, `${base}/models: ${describeError(error)}; is the address right, up to /v1?`);
    return findings;
  }
  const known = model === undefined ? names.length > 0 : names.includes(model);
  add('server', known, `models: ${names.join(', ') || 'none'}${known ? '' : `; there is no ${model ?? 'model'}`}`);
  if (!known) return findings;

  const chat = new Chat(
    chatOptions.parse({ url: base, model: model ?? names[0]!, token, retries: 1, cache: false, timeout: 120 }),
  );
  const { signal } = new AbortController();
  const [red, blue] = [await plain('#e00000'), await plain('#0000e0')];
  const question = 'Is this picture red? Answer Yes or No.';
  const ask = (png: Buffer) => chat.ask({ png, question, maxTokens: 8, logprobs: true }, signal);
  try {
    const [yes, no] = [await ask(red), await ask(blue)];
    const sees = /^\W*yes/i.test(yes.text) && /^\W*no/i.test(no.text);
    const said = `asked whether a red and a blue picture are red, it says ${JSON.stringify(yes.text)} and ${JSON.stringify(no.text)}`;
    add(
      'pictures',
      sees,
      sees ? said : `${said}; does the model see pictures (llama.cpp: --mmproj), and does it think aloud first?`,
    );
    const count = yes.first?.length ?? 0;
    add(
      'log-probabilities',
      count > 0,
      count > 0
        ? `${count} alternatives of the first token: ${yes
            .first!.slice(0, 3)
            .map(({ token: text, logprob }) => `${JSON.stringify(text)} ${logprob.toFixed(2)}`)
            .join(', ')}`
        : 'none; task yes-no cannot work, rating and caption can',
    );
    const again = await ask(red);
    const same = JSON.stringify(again) === JSON.stringify(yes);
    add(
      'same again',
      same,
      same
        ? 'the same question has the same answer, to the bit'
        : 'the same question has another answer; the cache of answers keeps a resumed run the same all the same',
    );
  } catch (error) {
    add('pictures', false, describeError(error));
  }
  return findings;
}
