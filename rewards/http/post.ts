import { setTimeout as pause } from 'node:timers/promises';
import { GymError, messageOf } from '../../core/errors.js';

/** What ends a connection that the server has closed in the meantime: nothing of an answer has come, and a new one helps. */
const staleCodes = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

function codeOf(error: unknown): string | undefined {
  for (let e = error; e instanceof Error; e = e.cause) {
    const { code } = e as NodeJS.ErrnoException;
    if (code !== undefined) return code;
  }
  return undefined;
}

/**
 * `fetch`, but for one thing: a connection that the server has closed since the last request is no failure. Learning keeps
 * Node's event loop from its turn for longer than servers keep idle connections open (5 s is common), so that the next
 * request goes out on one that is closed already. It is sent again at once, on a new connection.
 * @throws what `fetch` throws.
 */
export const steadyFetch: typeof fetch = async (input, init) => {
  // A body that is a stream can be sent once only, as can a Request that holds one.
  const repeatable = !(input instanceof Request) && !(init?.body instanceof ReadableStream);
  for (let attempt = 0; ; attempt++)
    try {
      return await fetch(input, init);
    } catch (error) {
      if (!repeatable || attempt === 3 || init?.signal?.aborted || !staleCodes.has(codeOf(error) ?? '')) throw error;
    }
};

/** The token that an environment variable holds. @throws GymError E_CONFIG when it holds none. */
export function tokenFrom(variable: string | undefined): string | undefined {
  if (variable === undefined) return undefined;
  const token = process.env[variable];
  if (!token)
    throw new GymError('E_CONFIG', `token: the environment variable ${variable} is not set; export it first.`);
  return token;
}

export interface PostOptions {
  /** Aborted: the request is given up, and so are the pauses. */
  readonly signal: AbortSignal;
  /** Milliseconds that a single request may take. */
  readonly timeoutMs: number;
  /** How often a request is made again that failed in a way that may pass. */
  readonly retries: number;
  /** Sent as `Authorization: Bearer`. */
  readonly token?: string | undefined;
  /** Milliseconds before the first request is made again; each further pause is twice as long. Default 500. */
  readonly pauseMs?: number | undefined;
}

/** Answers that may be others the next time. */
const mayPass = (status: number) => status === 408 || status === 429 || status >= 500;

/** The longest pause that a server can ask for. */
const longestPause = 60_000;

/** What a server says of an error: the `error` (or its `message`), `detail` or `message` of JSON, or the beginning of a text. */
async function saidBy(response: Response): Promise<string> {
  const text = (await response.text().catch(() => '')).trim();
  try {
    const { error, detail, message } = JSON.parse(text) as Record<'error' | 'detail' | 'message', unknown>;
    const said = (error as { message?: unknown } | undefined)?.message ?? error ?? detail ?? message;
    if (said !== undefined) return (typeof said === 'string' ? said : JSON.stringify(said)).slice(0, 300);
  } catch {}
  return text.slice(0, 300);
}

/**
 * Asks a server in JSON. What may pass (no connection, no answer in time, statuses 408, 429 and 5xx) is tried again after
 * doubling pauses, or those that `Retry-After` asks for; every other failure is one at once.
 * @returns the JSON of the answer.
 * @throws GymError E_REWARD that names the address, and what the server said; the signal's reason where it is aborted.
 */
export async function postJson(url: string, body: unknown, options: PostOptions): Promise<unknown> {
  const { signal, timeoutMs, retries, token, pauseMs = 500 } = options;
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
  const text = JSON.stringify(body);
  for (let attempt = 0; ; attempt++) {
    let failure: string;
    let wait = pauseMs * 2 ** attempt;
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
      const response = await steadyFetch(url, { method: 'POST', headers, body: text, signal: limit });
      if (response.ok) return await response.json();
      const said = await saidBy(response);
      failure = `the server answered with status ${response.status}${said === '' ? '' : `: ${said}`}`;
      if (!mayPass(response.status)) throw new GymError('E_REWARD', `${url}: ${failure}`);
      const asked = 1000 * Number(response.headers.get('retry-after') ?? Number.NaN);
      if (asked >= 0) wait = Math.max(wait, Math.min(asked, longestPause));
    } catch (error) {
      signal.throwIfAborted();
      if (GymError.is(error)) throw error;
      if (error instanceof SyntaxError)
        throw new GymError('E_REWARD', `${url}: the answer is not JSON (${error.message})`, { cause: error });
      failure =
        (error as Error).name === 'TimeoutError'
          ? `no answer within ${timeoutMs / 1000} s`
          : `no answer (${codeOf(error) ?? messageOf(error)})`;
    }
    if (attempt >= retries) throw new GymError('E_REWARD', `${url}: ${failure}, ${attempt + 1} times in all`);
    await pause(wait, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}
