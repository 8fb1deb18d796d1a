import { parentPort, workerData } from 'node:worker_threads';
import { hasUnits, type UnitReplica } from '../../agents/optimization/work-units.js';
import { useBackend } from '../../backend/index.js';
import { describeError, GymError } from '../../core/errors.js';
import { packed } from '../../core/packed.js';
import { completeConfig } from '../config/index.js';
import { familyOf } from '../families/index.js';
import type { ReplicaTask, UnitReply, UnitRequest } from './protocol.js';

// The program of a worker thread that computes units of an agent's work: it makes a copy of the agent from the run's
// configuration, and answers one request after the other.

const port = parentPort!;
const { config: given, backend } = workerData as ReplicaTask;

function send(reply: UnitReply): void {
  const { message, transfer } = packed(reply);
  port.postMessage(message, transfer);
}

async function answer(replica: UnitReplica, request: UnitRequest): Promise<void> {
  switch (request.kind) {
    case 'weights':
      await replica.setWeights(request.weights);
      return;
    case 'batch':
      await replica.setBatch(request.batch);
      return;
    case 'sample':
      send({ kind: 'result', result: await replica.sampleUnit(request.observations, request.explore) });
      return;
    case 'gradient': {
      const result = await replica.gradientUnit(request.rows, request.share);
      send({ kind: 'result', result: { ...result, gradient: shared(result.gradient) } });
    }
  }
}

let gradients: Float32Array<SharedArrayBuffer> | undefined;

/** A gradient in the memory that the main thread reads it from before it sends the next unit. */
function shared(gradient: Float32Array): Float32Array {
  gradients ??= new Float32Array(new SharedArrayBuffer(gradient.byteLength));
  gradients.set(gradient);
  return gradients;
}

function fail(error: unknown): void {
  send({ kind: 'error', code: GymError.is(error) ? error.code : 'E_STATE', message: describeError(error) });
}

try {
  await useBackend(backend);
  const config = await completeConfig(given, 'worker');
  const { agent } = await familyOf(config.env).replica!(config);
  if (!hasUnits(agent))
    throw new GymError('E_STATE', `worker: the agent ${config.agent.name} has no units to compute.`);
  let last = Promise.resolve();
  // A state that cannot be taken over fails the unit that follows it.
  let broken: { error: unknown } | undefined;
  port.on('message', (request: UnitRequest) => {
    last = last.then(async () => {
      const isUnit = request.kind === 'sample' || request.kind === 'gradient';
      try {
        if (broken) throw broken.error;
        await answer(agent, request);
      } catch (error) {
        if (isUnit) {
          broken = undefined;
          fail(error);
        } else broken = { error };
      }
    });
  });
  send({ kind: 'ready' });
} catch (error) {
  fail(error);
  port.close();
}
