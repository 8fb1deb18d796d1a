import { join } from 'node:path';
import * as z from 'zod';
import type { Agent, Rollout } from '../../agents/agent.js';
import { readJson, writeFileAtomic } from '../../core/files.js';
import { principalPlane } from '../../core/projection.js';
import { checkedFile } from '../../core/schema.js';
import type { Info, Metrics } from '../../core/types.js';
import { type FederatedAction, type FederatedObservation, prototypesOf } from '../../envs/federated/spaces.js';
import type { Callback, TrainContext } from '../train.js';
import { prototypeGeometry } from './federated-geometry.js';

const point = z.object({
  /** The number of its class, and of its domain. */
  class: z.int().min(0),
  domain: z.int().min(0),
  x: z.number(),
  y: z.number(),
});

const schema = z.object({
  classes: z.int().min(1),
  domains: z.array(z.string()).min(1),
  /** The clients' prototypes after the first round and after the last, each in the plane in which they differ most. */
  first: z.array(point),
  last: z.array(point).optional(),
});

/** What `federated.json` holds: where the clients' prototypes lie at the beginning and at the end. */
export type FederatedRecord = z.output<typeof schema>;

/** Reads it. @throws GymError E_FILE where it is damaged. */
export async function readFederatedRecord(folder: string): Promise<FederatedRecord> {
  const path = recordFile(folder);
  return checkedFile(schema, await readJson(path), path);
}

export const recordFile = (folder: string) => join(folder, 'federated.json');

/** What a run logs of every round: the accuracies on the domains' test pictures. */
export const accuracyPrefix = 'federated/accuracy/';

/** The metrics of a step, from its info. */
export function metricsOf(info: Info): Metrics {
  const accuracy = info.accuracy as Record<string, number>;
  return {
    'federated/meanAccuracy': info.meanAccuracy as number,
    'federated/worstAccuracy': Math.min(...Object.values(accuracy)),
    'federated/spread': info.spread as number,
    'federated/seconds': info.time as number,
    ...(typeof info.epsilon === 'number' && { 'federated/epsilon': info.epsilon }),
    ...Object.fromEntries(Object.entries(accuracy).map(([domain, value]) => [accuracyPrefix + domain, value])),
  };
}

/**
 * A strategy as a run takes it: a rollout is one step, after which the accuracies are logged, and where the clients'
 * prototypes lie. The callback keeps a map of them at the beginning and at the end.
 */
export function byRounds(strategy: Agent<unknown, unknown>) {
  /** Of the last step: what the server knew before and after it, and its info. */
  let seen: { readonly before: FederatedObservation; readonly after: FederatedObservation; readonly info: Info };
  const agent: Agent<unknown, unknown> = {
    collect: { steps: 1 },
    act: (observations, options) => strategy.act(observations, options),
    learn: async (given, options) => {
      const own = await strategy.learn(undefined, options);
      const { steps, lastObservations } = given as Rollout<FederatedObservation, FederatedAction>;
      const [step] = steps;
      seen = { before: step!.observations[0]!, after: lastObservations[0]!, info: step!.infos[0]! };
      const { before, after, info } = seen;
      return { ...own, ...metricsOf(info), ...prototypeGeometry(after, before, info.domains as string[]) };
    },
    save: (folder) => strategy.save(folder),
    restore: (folder) => strategy.restore(folder),
    dispose: () => strategy.dispose(),
  };
  const callback: Callback<unknown, unknown> = {
    name: 'federated',
    epoch: async ({ folder, epoch, last }: TrainContext<unknown, unknown>) => {
      if (!folder || !(epoch === 1 || last)) return undefined;
      const domains = seen.info.domains as string[];
      const record: FederatedRecord =
        epoch === 1
          ? {
              classes: seen.after.prototypes.shape[1]!,
              domains: [...new Set(domains)],
              first: prototypeMap(seen.after, domains),
            }
          : // After the last step nobody trains: the last prototypes are those that it was made of.
            { ...(await readFederatedRecord(folder.path)), last: prototypeMap(seen.before, domains) };
      await writeFileAtomic(recordFile(folder.path), `${JSON.stringify(record)}\n`);
      return undefined;
    },
  };
  return { agent, callback };
}

/** The clients' prototypes in a plane; empty where clients are not shown one by one. */
function prototypeMap(observation: FederatedObservation, clientDomains: readonly string[]): FederatedRecord['first'] {
  const [clients, classes] = observation.prototypes.shape as [number, number, number];
  if (clients !== clientDomains.length) return [];
  const domains = [...new Set(clientDomains)];
  const list = Array.from({ length: classes }, (_, k) => {
    const owners = [...clientDomains.keys()].filter((m) => observation.counts.data[m * classes + k]! > 0);
    return prototypesOf(observation, k).map((vector, i) => ({
      vector,
      class: k,
      domain: domains.indexOf(clientDomains[owners[i]!]!),
    }));
  }).flat();
  const places = principalPlane(list.map(({ vector }) => vector));
  return list.map(({ vector: _, ...kind }, i) => ({ ...kind, x: places[i]![0], y: places[i]![1] }));
}
