import { tokenFrom } from '../rewards/http/post.js';
import { makeReward } from '../rewards/index.js';
import { serveReward } from '../rewards/serve/index.js';

interface ServeRewardOptions {
  readonly host: string;
  readonly port: number;
  readonly token?: string;
  readonly maxSamples: number;
  readonly maxMegabytes: number;
  readonly concurrency: number;
  readonly maxWaiting: number;
}

export async function serveRewardCommand(spec: string, options: ServeRewardOptions): Promise<void> {
  const { host, port, maxSamples, maxMegabytes, concurrency, maxWaiting } = options;
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const server = await serveReward(await makeReward(spec), {
    host,
    port,
    token: tokenFrom(options.token),
    maxSamples,
    maxBytes: maxMegabytes * 2 ** 20,
    concurrency,
    maxWaiting,
    log: say,
  });
  say(`serving ${spec} at ${server.url}; Ctrl-C ends it`);
  await new Promise<void>((stop) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop());
  });
  await server.close();
}
