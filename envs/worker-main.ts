import { parentPort, workerData } from 'node:worker_threads';
import { describeError, GymError } from '../core/errors.js';
import { packed } from '../core/packed.js';
import { makeVec } from './registry.js';
import { SyncVectorEnv } from './sync-vector-env.js';
import type { VectorEnv } from './vector-env.js';
import { bundled, type Reply, type Request, type WorkerTask } from './worker-protocol.js';

// The program of a worker thread of a WorkerVectorEnv. It makes its environments and answers one request after another.

const port = parentPort!;
const { id, numEnvs, options, maxEpisodeSteps, autoreset, last } = workerData as WorkerTask;

function send(reply: Reply): void {
  const { message, transfer } = packed(reply);
  port.postMessage(message, transfer);
}

function fail(error: unknown): void {
  send({ kind: 'error', code: GymError.is(error) ? error.code : 'E_STATE', message: describeError(error) });
}

async function answer(env: VectorEnv<unknown, unknown>, request: Request): Promise<unknown> {
  switch (request.kind) {
    case 'reset':
      return bundled(await env.reset(request.options));
    case 'step':
      return bundled(await env.step(request.actions));
    case 'render':
      return env.render!();
    case 'snapshot':
      return env.snapshot!();
    case 'restore':
      return bundled(await env.restore!(request.snapshot));
    case 'close':
      return env.close?.();
  }
}

try {
  const env = await makeVec(id, numEnvs, options, { maxEpisodeSteps, autoreset });
  const replaceable = env instanceof SyncVectorEnv;
  if (last !== undefined && replaceable) env.succeed(last);
  port.on('message', async (request: Request) => {
    try {
      const result = await answer(env, request);
      send({ kind: 'result', result });
      if (request.kind === 'close') port.close();
    } catch (error) {
      fail(error);
    }
  });
  send({
    kind: 'ready',
    ready: {
      observationSpace: env.observationSpace.toJson(),
      actionSpace: env.actionSpace.toJson(),
      spec: env.spec,
      renders: env.render !== undefined,
      snapshots: env.snapshot !== undefined && env.restore !== undefined,
      replaceable,
    },
  });
} catch (error) {
  fail(error);
  port.close();
}
