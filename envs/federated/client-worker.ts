import { parentPort, workerData } from 'node:worker_threads';
import { describeError, GymError } from '../../core/errors.js';
import { packed } from '../../core/packed.js';
import { Random } from '../../core/random.js';
import { useBackend } from '../../networks/backend.js';
import { type ClientTask, ClientTrainer } from './client.js';
import { makeNetwork } from './network.js';
import type { TrainerReply, TrainerTask } from './trainers.js';

// The program of a worker thread in which clients train. It answers one task after the other.

const port = parentPort!;
const { network, options, backend } = workerData as TrainerTask;

function send(reply: TrainerReply): void {
  const { message, transfer } = packed(reply);
  port.postMessage(message, transfer);
}

function fail(error: unknown): void {
  send({ kind: 'error', code: GymError.is(error) ? error.code : 'E_STATE', message: describeError(error) });
}

try {
  await useBackend(backend);
  const trainer = new ClientTrainer(makeNetwork(network, new Random(0)), options);
  port.on('message', (task: ClientTask) => {
    trainer.train(task).then((update) => send({ kind: 'update', update }), fail);
  });
  send({ kind: 'ready' });
} catch (error) {
  fail(error);
  port.close();
}
