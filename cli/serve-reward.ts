import { GymError } from '../core/errors.js';
import { readText } from '../core/files.js';
import { parseSchema } from '../core/schema.js';
import { tokenFrom } from '../rewards/http/post.js';
import { makeReward, type RewardDefinition, rewardDefinitions } from '../rewards/index.js';
import { serveReward } from '../rewards/serve/index.js';
import { parseYaml } from '../training/config/index.js';
import { flagOf, givenFlags } from './flags.js';

interface ServeRewardOptions extends Readonly<Record<string, unknown>> {
  readonly host: string;
  readonly port: number;
  readonly config?: string;
  readonly token?: string;
  readonly maxSamples: number;
  readonly maxMegabytes: number;
  readonly concurrency: number;
  readonly maxWaiting: number;
}

export async function serveRewardCommand(spec: string, options: ServeRewardOptions): Promise<void> {
  const { host, port, maxSamples, maxMegabytes, concurrency, maxWaiting } = options;
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const reward = await makeReward(spec, await definitionsOf(options));
  const server = await serveReward(reward, {
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
  reward.dispose?.();
}

/** The rewards with options that flags (`--rewards.judge.kind vlm`) and a configuration's `rewards` define. */
async function definitionsOf(options: ServeRewardOptions): Promise<Readonly<Record<string, RewardDefinition>>> {
  const flags = Object.entries(await givenFlags(options));
  const file = options.config === undefined ? {} : parseYaml(await readText(options.config), options.config);
  const { value, problems } = parseSchema(rewardDefinitions, merged((file as { rewards?: object }).rewards, flags));
  if (problems.length > 0) throw new GymError('E_CONFIG', `rewards: ${problems[0]}`);
  return value!;
}

/** Definitions with what the flags say in the place of what a file does. */
function merged(file: object | undefined, flags: readonly (readonly [string, unknown])[]): unknown {
  const result = structuredClone(file ?? {}) as Record<string, Record<string, unknown>>;
  for (const [path, value] of flags) {
    const [section, name, option, ...rest] = path.split('.');
    if (section !== 'rewards' || option === undefined || rest.length > 0)
      throw new GymError(
        'E_CONFIG',
        `${flagOf(path)}: is no option of a reward; write --rewards.NAME.OPTION VALUE, as in --rewards.judge.kind vlm.`,
      );
    result[name!] = { ...result[name!], [option]: value };
  }
  return result;
}
