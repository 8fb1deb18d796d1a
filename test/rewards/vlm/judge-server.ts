import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import sharp from 'sharp';

/** What a request to /chat/completions asks. */
export interface Asked {
  readonly question: string;
  /** The mean colour of the picture, 0..255 each. */
  readonly colour: readonly [number, number, number];
  readonly body: Readonly<Record<string, unknown>>;
}

/** What the model says: a text, the alternatives of its first token, or another form of reply or of failure. */
export interface Said {
  readonly text?: string | null;
  readonly chances?: Readonly<Record<string, number>>;
  readonly refusal?: string;
  readonly finish?: string;
  readonly status?: number;
  /** The body of a failure, or of a reply of another form. */
  readonly raw?: unknown;
  readonly delayMs?: number;
}

/** How servers differ: in what errors look like, and in whether they tell what they serve. */
export type Manner = 'llama.cpp' | 'vllm';

/** An error as these servers write it. */
export function errorOf(manner: Manner, code: number, message: string): unknown {
  return manner === 'vllm'
    ? { object: 'error', message, type: 'BadRequestError', param: null, code }
    : { error: { code, message, type: code === 503 ? 'unavailable_error' : 'invalid_request_error' } };
}

/**
 * A server of the OpenAI protocol that behaves like llama.cpp's or vLLM's: it refuses a request that is none, a model that
 * it does not have, a picture that it cannot read and, as vLLM does, more than 20 alternatives.
 */
export class JudgeServer {
  readonly asked: Asked[] = [];
  /** While it is down, connections are closed without an answer. */
  down = false;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  static async start(say: (asked: Asked, nth: number) => Said, manner: Manner = 'vllm'): Promise<JudgeServer> {
    const server = createServer((request, response) => {
      const send = (status: number, value: unknown) => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(typeof value === 'string' ? value : JSON.stringify(value));
      };
      if (judge.down) {
        request.socket.destroy();
        return;
      }
      let text = '';
      request.on('data', (chunk) => {
        text += chunk;
      });
      request.on('end', async () => {
        if (request.url === '/v1/models') return send(200, { object: 'list', data: [{ id: 'sees', object: 'model' }] });
        if (request.url !== '/v1/chat/completions') return send(404, errorOf(manner, 404, 'Not Found'));
        const body = JSON.parse(text);
        if (body.model !== 'sees')
          return send(404, errorOf(manner, 404, `The model \`${body.model}\` does not exist.`));
        if (body.top_logprobs > 20) return send(400, errorOf(manner, 400, 'top_logprobs must be at most 20'));
        const [picture, words] = body.messages[0].content;
        const url = /^data:image\/png;base64,(.+)$/.exec(picture.image_url.url);
        if (!url) return send(400, errorOf(manner, 400, 'cannot identify image file'));
        const { channels } = await sharp(Buffer.from(url[1]!, 'base64')).stats();
        const colour = channels.map(({ mean }) => Math.round(mean)) as unknown as Asked['colour'];
        const asked = { question: words.text as string, colour, body };
        judge.asked.push(asked);
        const said = say(asked, judge.asked.length);
        if (said.delayMs !== undefined) await new Promise((done) => setTimeout(done, said.delayMs));
        if (said.raw !== undefined || said.status !== undefined) return send(said.status ?? 200, said.raw);
        const first = Object.entries(said.chances ?? {}).map(([token, p]) => ({ token, logprob: Math.log(p) }));
        send(200, {
          id: 'chatcmpl-1',
          object: 'chat.completion',
          model: body.model,
          choices: [
            {
              index: 0,
              message: {
                role: 'assistant',
                content: said.text ?? null,
                ...(said.refusal && { refusal: said.refusal }),
              },
              finish_reason: said.finish ?? 'stop',
              logprobs:
                body.logprobs && said.chances
                  ? { content: [{ ...first[0], top_logprobs: first.slice(0, body.top_logprobs) }] }
                  : null,
            },
          ],
        });
      });
    });
    const judge = new JudgeServer(server);
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    return judge;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }
}
