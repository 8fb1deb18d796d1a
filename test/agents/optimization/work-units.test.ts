import * as tf from '@tensorflow/tfjs';
import { beforeAll, expect, it } from 'vitest';
import { makeAgent } from '../../../agents/index.js';
import { assignFlatWeights, flatWeights } from '../../../agents/optimization/flat-weights.js';
import type { HostGradient, UnitReplica, WorkUnits } from '../../../agents/optimization/work-units.js';
import { useBackend } from '../../../backend/index.js';
import { Random } from '../../../core/random.js';
import { collectRollout } from '../../../testing/rollout.js';
import { tinyDenoising, tinyPolicy } from '../denoising-toys.js';

beforeAll(async () => {
  await useBackend('cpu');
});

it('weights come back from one array as they were, and the array is not kept', async () => {
  const variables = [
    tf.variable(tf.tensor2d([[1, 2, 3]])),
    tf.variable(tf.scalar(4)),
    tf.variable(tf.tensor1d([5, 6])),
  ];
  const tensors = tf.memory().numTensors;
  const values = await flatWeights(variables);
  expect(values).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
  const shared = new Float32Array(new SharedArrayBuffer(values.byteLength));
  shared.set(values.map((value) => 10 * value));
  assignFlatWeights(variables, shared);
  shared.fill(0);
  expect(variables.map((variable) => variable.arraySync())).toEqual([[[10, 20, 30]], 40, [50, 60]]);
  expect(tf.memory().numTensors).toBe(tensors);
  tf.dispose(variables);
});

/** An agent on the toy of denoising; with `minibatches`, the 12 trained steps of its rollout of 4 chains are split. */
async function agentWith(minibatches: number) {
  const agent = await makeAgent('ppo', {
    policy: tinyPolicy(),
    options: { collect: { episodes: 4 }, advantage: 'batch', minibatches, microBatch: 4, learningRate: 1e-2 },
    random: new Random('units'),
    warn: () => {},
  });
  return agent as typeof agent & UnitReplica & { computeWith(units: WorkUnits): void };
}

/** Units computed by another agent, which writes all gradients to the same memory, as a worker thread does. */
function unitsOf(replica: UnitReplica): WorkUnits & { gradients: number } {
  let memory: Float32Array<SharedArrayBuffer> | undefined;
  let last: Promise<unknown> = Promise.resolve();
  let [weights, batch] = [-1, -1];
  return {
    gradients: 0,
    lanes: 2,
    took: () => {},
    sample: async (observations, explore, state) => {
      await replica.setWeights(await state.weights.read());
      return await replica.sampleUnit(observations, explore);
    },
    gradient<T>(...[rows, share, state, take]: Parameters<WorkUnits['gradient']>): Promise<T> {
      this.gradients++;
      const unit = async () => {
        if (weights !== state.weights.version) await replica.setWeights(await state.weights.read());
        if (batch !== state.batch!.version) await replica.setBatch(await state.batch!.read());
        [weights, batch] = [state.weights.version, state.batch!.version];
        const { gradient, ...rest }: HostGradient = await replica.gradientUnit(rows, share);
        memory ??= new Float32Array(new SharedArrayBuffer(gradient.byteLength));
        memory.set(gradient);
        return take({ gradient: memory, ...rest }) as T;
      };
      const result = last.then(unit);
      last = result.catch(() => {});
      return result;
    },
  };
}

it.each([
  { minibatches: 1, passes: 3 },
  { minibatches: 2, passes: 4 },
  // A minibatch of one pass is not given away.
  { minibatches: 3, passes: 0 },
])('computed by others: the same bits, $minibatches minibatches', async ({ minibatches, passes }) => {
  const [alone, helped, helper] = [
    await agentWith(minibatches),
    await agentWith(minibatches),
    await agentWith(minibatches),
  ];
  const units = unitsOf(helper);
  helped.computeWith(units);
  for (let rollouts = 1; rollouts <= 2; rollouts++) {
    const expected = await alone.learn(await collectRollout(alone, tinyDenoising({ numEnvs: 4 }), rollouts));
    expect(await helped.learn(await collectRollout(helped, tinyDenoising({ numEnvs: 4 }), rollouts))).toEqual(expected);
    expect(expected['train/transitions']).toBe(12);
    expect(units.gradients).toBe(rollouts * passes);
  }
  for (const agent of [alone, helped, helper]) agent.dispose();
});
