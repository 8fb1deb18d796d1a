import { describe, expect, it } from 'vitest';
import type { NdArray } from '../../core/ndarray.js';
import { Random, type RandomState } from '../../core/random.js';
import type { Snapshot } from '../../core/snapshot.js';
import {
  Box,
  Dict,
  Discrete,
  type Env,
  type ResetOptions,
  type ResetResult,
  type StepResult,
  Tuple,
} from '../../envs/index.js';
import { assertEnv, checkEnv, describeFindings, envChecks } from '../../testing/index.js';

type Vector = NdArray<Float32Array>;

/** A walk on a line: nothing is wrong with it. A defect overrides one of its parts. */
class Walk implements Env<Vector, number> {
  observationSpace: Env<Vector, number>['observationSpace'] = new Box(-10, 10, [2]);
  actionSpace: Env<Vector, number>['actionSpace'] = new Discrete(2);
  random = new Random(0);
  position = 0;
  t = 0;
  running = false;

  observe(): Vector {
    return { data: Float32Array.of(this.position, this.t), shape: [2] };
  }

  reset({ seed }: ResetOptions = {}): ResetResult<Vector> {
    if (seed !== undefined) this.random = new Random(seed);
    this.position = this.random.uniform(-1, 1);
    this.t = 0;
    this.running = true;
    return { observation: this.observe(), info: { steps: { taken: 0 } } };
  }

  step(action: number): StepResult<Vector> {
    if (!this.running) throw new Error('call reset() first');
    if (!this.actionSpace.contains(action)) throw new Error(`no action: ${String(action)}`);
    this.position += (action - 0.5) * this.random.next();
    this.t++;
    const terminated = Math.abs(this.position) > 2;
    const truncated = this.t === 10;
    this.running = !terminated && !truncated;
    return {
      observation: this.observe(),
      reward: this.position,
      terminated,
      truncated,
      info: { steps: { taken: this.t } },
    };
  }

  render(): NdArray | string {
    return { data: new Uint8Array(2 * 3 * 3), shape: [2, 3, 3] };
  }

  snapshot(): Snapshot {
    const { position, t, running } = this;
    return { position, t, running, random: this.random.state() as unknown as Snapshot };
  }

  restore(snapshot: Snapshot): ResetResult<Vector> {
    const { position, t, running, random } = snapshot as unknown as Walk & { random: RandomState };
    Object.assign(this, { position, t, running, random: Random.restore(random) });
    return { observation: this.observe(), info: {} };
  }

  close(): void {}
}

/** A walk whose parts are replaced. */
function walk(parts: object): Env<Vector, number> {
  return Object.assign(new Walk(), parts);
}

/** A walk whose step results are changed. */
function stepped(change: (result: StepResult<Vector>, env: Walk) => unknown): Env<Vector, number> {
  const env = new Walk();
  const step = env.step.bind(env);
  return Object.assign(env, { step: (action: number) => change(step(action), env) });
}

/** A walk whose reset is replaced; the original is handed in. */
function resetting(reset: (original: Walk['reset'], options?: ResetOptions) => unknown): Env<Vector, number> {
  const env = new Walk();
  const original = env.reset.bind(env);
  return Object.assign(env, { reset: (options?: ResetOptions) => reset(original, options) });
}

/** One continuous action, taken as it is. */
function continuous(step: (action: NdArray, env: Walk) => number, space = new Box(-1, 1, [1])): Env<Vector, number> {
  const env = new Walk();
  return Object.assign(env, {
    actionSpace: space,
    step: (action: NdArray) => {
      if (!env.running) throw new Error('call reset() first');
      const reward = step(action, env);
      env.t++;
      env.running = env.t < 10;
      return { observation: env.observe(), reward, terminated: false, truncated: !env.running, info: {} };
    },
  });
}

/** A walk on the spot, of 100 steps, whose step results are changed from a step on: more steps than a check plays. */
function long(change: (result: StepResult<Vector>) => unknown, from = 100): Env<Vector, number> {
  const env = new Walk();
  const observe = (): Vector => ({ data: Float32Array.of(env.position, 0), shape: [2] });
  return Object.assign(env, {
    observe,
    step: (action: number) => {
      if (!env.running || !env.actionSpace.contains(action)) throw new Error('not now');
      env.t++;
      env.running = env.t < 100;
      const result = { observation: observe(), reward: action, terminated: false, truncated: !env.running, info: {} };
      return env.t >= from ? change(result) : result;
    },
  });
}

const buffer = { data: new Float32Array(2), shape: [2] };
const nothing = { steps: {} };
let made = 0;
/** State of the module, which all environments of a kind share. */
const common = { position: 0 };

/** The info of a node that knows its own place in a tree. */
function circular(): object {
  const node: Record<string, unknown> = { depth: 1 };
  node.parent = { children: [node] };
  return node;
}

/** Each with just one defect: what it is, an environment that has it, who finds it, and what they say. */
const defects: [string, () => unknown, string, 'error' | 'warning', RegExp][] = [
  ['is no object', () => 3, 'interface', 'error', /must give an Env; actual: 3/],
  [
    'throws when it is made',
    () => {
      throw new Error('no data');
    },
    'interface',
    'error',
    /make: it throws; actual: no data/,
  ],
  [
    'has no space',
    () => walk({ actionSpace: undefined }),
    'interface',
    'error',
    /actionSpace: it must be a space; actual: undefined/,
  ],
  [
    'has a list for a space',
    () => walk({ observationSpace: [-1, 1] }),
    'interface',
    'error',
    /observationSpace: it must be a space; actual: \[-1, 1\]/,
  ],
  ['has no step', () => walk({ step: undefined }), 'interface', 'error', /step: it must be a method/],
  [
    'has a render that is none',
    () => walk({ render: 'rgb' }),
    'interface',
    'error',
    /render: it must be a method or absent; actual: "rgb"/,
  ],
  [
    'saves and cannot restore',
    () => walk({ restore: undefined }),
    'interface',
    'error',
    /snapshot: it is there and restore\(\) is not/,
  ],
  ['has a spec without id', () => walk({ spec: {} }), 'interface', 'error', /spec: it must be absent, or have an `id`/],
  ['has null as spec', () => walk({ spec: null }), 'interface', 'error', /spec: it must be absent.*actual: null/],
  [
    "has Gym's old method of seeding",
    () => walk({ seed: () => [1] }),
    'interface',
    'warning',
    /seed: it is a method of Gym before 0\.26/,
  ],
  [
    'has a getter that throws',
    () =>
      Object.defineProperty(new Walk(), 'render', {
        get: () => {
          throw new Error('no display');
        },
      }),
    'interface',
    'error',
    /it throws where it is only looked at; actual: no display\n.*thrown at /,
  ],
  [
    'has actions that cannot be sampled',
    () =>
      walk({
        actionSpace: Object.assign(new Discrete(2), {
          sample: () => {
            throw new Error('no sample');
          },
        }),
      }),
    'spaces',
    'error',
    /actionSpace\.sample\(\): it throws; actual: no sample/,
  ],
  [
    'samples outside its space',
    () => walk({ actionSpace: Object.assign(new Discrete(2), { sample: () => 7 }) }),
    'spaces',
    'error',
    /actionSpace\.sample\(\): the sample is no element.*actual: 7/,
  ],
  [
    'samples whatever the seed',
    () => walk({ actionSpace: Object.assign(new Discrete(2), { sample: () => made++ % 2 }) }),
    'spaces',
    'error',
    /actionSpace\.seed\(0\): the same seed gives another sample/,
  ],
  [
    'has a contains that throws',
    () =>
      walk({
        actionSpace: Object.assign(new Discrete(2), {
          contains: (x: unknown) => (x as number).toFixed(0) === String(x),
        }),
      }),
    'spaces',
    'error',
    /actionSpace\.contains\(undefined\): it throws/,
  ],
  [
    'has a space that JSON brings back as another one',
    () =>
      walk({ observationSpace: Object.assign(new Box(-10, 10, [2]), { toJson: () => new Box(-1, 1, [2]).toJson() }) }),
    'spaces',
    'error',
    /observationSpace\.toJson\(\): it comes back from JSON as another space; actual: Box.* and Box/,
  ],
  [
    'has a space whose JSON lacks a part',
    () => walk({ actionSpace: Object.assign(new Discrete(2), { toJson: () => ({ kind: 'Discrete', n: 2 }) }) }),
    'spaces',
    'error',
    /actionSpace\.toJson\(\): spaceFromJson\(\) cannot read it; actual: .*needs `start`/,
  ],
  [
    'has an empty Dict',
    () => walk({ observationSpace: new Dict({}) }),
    'spaces',
    'error',
    /observationSpace: the space has no part/,
  ],
  [
    'has an empty Tuple in a Dict',
    () => walk({ observationSpace: new Dict({ a: new Tuple([]) }) }),
    'spaces',
    'error',
    /observationSpace\.a: the space has no part/,
  ],
  [
    'has an infinite bound of actions',
    () => continuous((action) => clipped(action), new Box(-1, Infinity, [1])),
    'spaces',
    'warning',
    /actionSpace: a bound is infinite.*\n.*give actions finite bounds/,
  ],
  [
    'has images of 0 and 1',
    () =>
      walk({
        observationSpace: new Box(0, 1, [2, 2, 3], 'uint8'),
        observe: () => ({ data: new Uint8Array(12), shape: [2, 2, 3] }),
      }),
    'spaces',
    'warning',
    /observationSpace: it has the form of an image, whose bounds are 0 and 255/,
  ],
  [
    'has an infinite bound',
    () => walk({ observationSpace: new Box([-10, -Infinity], [10, Infinity]) }),
    'spaces',
    'warning',
    /observationSpace: a bound is infinite/,
  ],
  [
    'has equal bounds',
    () =>
      walk({
        observationSpace: new Box([-10, 0, 3], [10, 10, 3]),
        observe(this: Walk) {
          return { data: Float32Array.of(this.position, this.t, 3), shape: [3] };
        },
      }),
    'spaces',
    'warning',
    /element 2 can take one value only.*actual: 3/,
  ],
  [
    'has actions that are not normalised',
    () => continuous((action) => clipped(action), new Box(-2, 2, [1])),
    'spaces',
    'warning',
    /continuous actions are not in -1\.\.1/,
  ],
  [
    "resets in Python's form",
    () =>
      resetting((original, options) => {
        const { observation, info } = original(options);
        return [observation, info];
      }),
    'reset',
    'error',
    /reset\(\): it must give { observation, info };.*\n.*Python/,
  ],
  [
    'returns nothing from reset',
    () => resetting(() => undefined),
    'reset',
    'error',
    /reset\(\): it must give { observation, info }; actual: undefined/,
  ],
  [
    'has no info at reset',
    () => resetting((original, options) => ({ observation: original(options).observation })),
    'reset',
    'error',
    /reset\(\): it lacks info/,
  ],
  [
    'throws without options',
    () => resetting((original, options) => original({ seed: (options as ResetOptions).seed })),
    'reset',
    'error',
    /reset\(\): it throws; actual: Cannot read/,
  ],
  [
    'throws on a seed',
    () =>
      resetting((original, options) => {
        if (options?.seed !== undefined) throw new Error('no seeds');
        return original(options);
      }),
    'reset',
    'error',
    /reset\({ seed: 1 }\): it throws; actual: no seeds/,
  ],
  [
    "steps in Gym's old form",
    () => stepped(({ observation, reward, terminated, info }) => ({ observation, reward, done: terminated, info })),
    'step',
    'error',
    /step 1: it lacks terminated, truncated.*\n.*`done` is of Gym before 0\.26/,
  ],
  [
    "steps in Python's form",
    () => stepped((r) => [r.observation, r.reward, r.terminated, r.truncated, r.info]),
    'step',
    'error',
    /step 1: it must give .*\n.*not a list/,
  ],
  [
    'has no info at a step',
    () => stepped(({ info: _, ...rest }) => rest),
    'step',
    'error',
    /step 1: it lacks info; actual: keys observation, reward, terminated, truncated/,
  ],
  [
    'throws in a later step',
    () =>
      stepped((result) => {
        if (result.info.steps && (result.info.steps as { taken: number }).taken === 3) throw new Error('three');
        return result;
      }),
    'step',
    'error',
    /step 3: it throws; actual: three/,
  ],
  [
    'observes out of bounds',
    () =>
      stepped((result, env) => {
        result.observation.data[1] = env.t === 4 ? 11 : env.t;
        return result;
      }),
    'observation',
    'error',
    /step 4: observation\.data\[1\]: it must be within -10 and 10; actual: 11/,
  ],
  [
    'observes NaN at reset',
    () =>
      resetting((original, options) => {
        const result = original(options);
        result.observation.data[0] = Number.NaN;
        return result;
      }),
    'observation',
    'error',
    /reset: observation\.data\[0\]: it must be within -10 and 10; actual: NaN/,
  ],
  [
    'observes a plain list',
    () => stepped((result) => ({ ...result, observation: [...result.observation.data] })),
    'observation',
    'error',
    /step 1: observation: it must be an array { data, shape } of float32 \[2\]/,
  ],
  [
    'observes another shape',
    () => stepped((result) => ({ ...result, observation: { data: result.observation.data, shape: [1, 2] } })),
    'observation',
    'error',
    /its shape must be \[2\]; actual: .* of shape \[1, 2\]/,
  ],
  [
    'observes another type',
    () =>
      stepped((result) => ({
        ...result,
        observation: { data: Float64Array.from(result.observation.data), shape: [2] },
      })),
    'observation',
    'error',
    /its type must be float32.*Float64Array/,
  ],
  [
    'observes a smaller type',
    () => walk({ observe: () => ({ data: new Int8Array(2), shape: [2] }), ...nothing }),
    'observation',
    'warning',
    /its type is not the space's own, float32; actual: Int8Array/,
  ],
  [
    'observes a smaller type in a Tuple in a Dict',
    () =>
      walk({
        observationSpace: new Dict({ a: new Tuple([new Discrete(2), new Box(-10, 10, [2])]) }),
        observe: () => ({ a: [1, { data: new Int8Array(2), shape: [2] }] }),
      }),
    'observation',
    'warning',
    /reset: observation\.a\[1\]: its type is not the space's own, float32; actual: Int8Array/,
  ],
  [
    'observes less than its Tuple',
    () => walk({ observationSpace: new Tuple([new Discrete(2), new Discrete(3)]), observe: () => [1] }),
    'observation',
    'error',
    /reset: observation: it must be a list of 2 elements; actual: \[1\]/,
  ],
  [
    'is wrong deep in its Tuple',
    () => walk({ observationSpace: new Tuple([new Discrete(2), new Discrete(3)]), observe: () => [1, 3] }),
    'observation',
    'error',
    /reset: observation\[1\]: it must be an integer from 0 to 2; actual: 3/,
  ],
  [
    'lacks a key of its Dict',
    () =>
      walk({
        observationSpace: new Dict({ a: new Box(-10, 10, [2]), b: new Discrete(3) }),
        observe: () => ({ a: { data: new Float32Array(2), shape: [2] } }),
      }),
    'observation',
    'error',
    /it lacks the keys b/,
  ],
  [
    'is wrong deep in its Dict',
    () => walk({ observationSpace: new Dict({ a: new Discrete(3) }), observe: () => ({ a: 3 }) }),
    'observation',
    'error',
    /reset: observation\.a: it must be an integer from 0 to 2; actual: 3/,
  ],
  [
    'gives NaN as reward',
    () => stepped((result, env) => ({ ...result, reward: env.t === 2 ? Number.NaN : 1 })),
    'reward',
    'error',
    /step 2: reward: it must be finite; actual: NaN/,
  ],
  [
    'gives infinite rewards',
    () => stepped((result) => ({ ...result, reward: Infinity })),
    'reward',
    'error',
    /step 1: reward: it must be finite; actual: Infinity/,
  ],
  [
    'gives an array as reward',
    () => stepped((result) => ({ ...result, reward: [1] })),
    'reward',
    'error',
    /step 1: reward: it must be a number; actual: \[1\] \(object\)/,
  ],
  [
    'gives a text as reward',
    () => stepped((result) => ({ ...result, reward: '1' })),
    'reward',
    'error',
    /step 1: reward: it must be a number; actual: "1" \(string\)/,
  ],
  [
    'gives undefined as reward',
    () => stepped((result) => ({ ...result, reward: undefined })),
    'reward',
    'error',
    /step 1: reward: it must be a number; actual: undefined \(undefined\)/,
  ],
  [
    'gives a boolean as reward',
    () => stepped((result) => ({ ...result, reward: true })),
    'reward',
    'error',
    /actual: true \(boolean\)/,
  ],
  [
    'gives 0 and 1 as flags',
    () => stepped((result) => ({ ...result, terminated: Number(result.terminated) })),
    'flags',
    'error',
    /step 1: terminated: it must be true or false; actual: 0 \(number\)/,
  ],
  [
    'has no truncated',
    () => stepped((result) => ({ ...result, terminated: result.terminated || result.truncated, truncated: undefined })),
    'flags',
    'error',
    /step 1: truncated: it must be true or false; actual: undefined/,
  ],
  [
    'is cut at its first step',
    () =>
      stepped((result, env) => {
        env.running = false;
        return { ...result, terminated: false, truncated: true };
      }),
    'flags',
    'error',
    /an episode is cut at its first step/,
  ],
  [
    'has null as info',
    () => stepped((result) => ({ ...result, info: null })),
    'info',
    'error',
    /step 1: info: it must be a plain object; actual: null/,
  ],
  [
    'has a Map as info',
    () => stepped((result) => ({ ...result, info: new Map() })),
    'info',
    'error',
    /actual: an instance of Map/,
  ],
  [
    'has an info that contains itself',
    () => stepped((result) => ({ ...result, info: circular() })),
    'info',
    'warning',
    /step 1: info\.parent\.children\.0: it contains itself.*actual: { depth: 1, parent: { children: \[\(itself\)\] } }/,
  ],
  [
    'keeps its state in the module',
    () => {
      const env = new Walk();
      const { reset, step, restore } = {
        reset: env.reset.bind(env),
        step: env.step.bind(env),
        restore: env.restore.bind(env),
      };
      const stored = <R>(result: R) => {
        common.position = env.position;
        return result;
      };
      return Object.assign(env, {
        reset: (options?: ResetOptions) => stored(reset(options)),
        step: (action: number) => {
          env.position = common.position;
          return stored(step(action));
        },
        restore: (snapshot: Snapshot) => stored(restore(snapshot)),
      });
    },
    'isolation',
    'error',
    /step 1: observation\.data\[0\]: it goes another way while another of its kind is stepped/,
  ],
  [
    'is random beyond its seed',
    () => stepped((result) => ({ ...result, reward: made++ })),
    'determinism',
    'error',
    /step 1: reward: seed 0 gives another episode the second time/,
  ],
  [
    'takes seed 0 for none',
    () => resetting((original, options) => original(options?.seed ? options : {})),
    'determinism',
    'error',
    /reset: observation\.data\[0\]: seed 0 gives another episode/,
  ],
  [
    'keeps state over a reset',
    () => {
      let all = 0;
      return stepped((result) => ({ ...result, reward: all++ }));
    },
    'determinism',
    'error',
    /step 1: reward: seed 0 gives another episode the second time; actual: 0 and 60/,
  ],
  [
    'differs from another of its kind',
    () => {
      const own = made++;
      return stepped((result) => ({ ...result, reward: own }));
    },
    'determinism',
    'error',
    /seed 0 gives another episode in another environment of the kind/,
  ],
  [
    'differs by rounding',
    () => stepped((result) => ({ ...result, reward: result.reward + made++ * 1e-9 })),
    'determinism',
    'warning',
    /seed 0 gives another episode the second time \(by rounding\)/,
  ],
  [
    'says the time in info',
    () => stepped((result) => ({ ...result, info: { time: made++ } })),
    'determinism',
    'warning',
    /step 1: info\.time: .*\n.*or leave it out of info/,
  ],
  [
    'ignores its seed',
    () => resetting((original) => original({ seed: 5 })),
    'seeds',
    'warning',
    /seeds 1 to 8 give one and the same episode/,
  ],
  [
    'begins the stream anew without a seed',
    () => resetting((original, options) => original({ seed: options?.seed ?? 5 })),
    'seeds',
    'error',
    /ten resets without a seed give the same episode/,
  ],
  [
    'takes any action',
    () =>
      walk({
        step(this: Walk) {
          if (!this.running) throw new Error('over');
          this.t++;
          this.running = this.t < 10;
          return { observation: this.observe(), reward: 0, terminated: !this.running, truncated: false, info: {} };
        },
      }),
    'bad-action',
    'warning',
    /step\(undefined\): an action outside the space is taken silently/,
  ],
  [
    'gives nonsense for a bad action',
    () =>
      continuous((action, env) => {
        env.position += action.data?.[0] ?? Number.NaN;
        env.position = Math.min(9, Math.max(-9, env.position));
        return env.position;
      }),
    'bad-action',
    'error',
    /an action outside the space gives nonsense/,
  ],
  [
    'is broken by a bad action',
    () => {
      const env = new Walk();
      const step = env.step.bind(env);
      return Object.assign(env, {
        step: (action: number) => {
          if (!env.actionSpace.contains(action)) env.running = false;
          return step(action);
        },
      });
    },
    'bad-action',
    'error',
    /step 1: it throws; actual: call reset\(\) first/,
  ],
  [
    'steps before the first reset',
    () => {
      const env = new Walk();
      env.position = Number.NaN;
      env.running = true;
      return env;
    },
    'before-reset',
    'error',
    /step\(\) before reset\(\): it gives nonsense/,
  ],
  [
    'forgets the reward at the end of a long episode',
    () => long(({ reward, ...result }) => ({ ...result, reward: result.truncated ? undefined : reward })),
    'after-end',
    'error',
    /step 100: reward: it must be a number; actual: undefined/,
  ],
  [
    'leaves its space late in a long episode',
    () => long((result) => ({ ...result, observation: { data: Float32Array.of(0, 99), shape: [2] } }), 80),
    'after-end',
    'error',
    /step 80: observation\.data\[1\]: it must be within -10 and 10; actual: 99/,
  ],
  [
    'goes on after the end',
    () => {
      const env = new Walk();
      const step = env.step.bind(env);
      return Object.assign(env, {
        step: (action: number) => {
          if (env.t === 10) {
            env.t = 0;
            env.position = 0;
            env.running = true;
          }
          return step(action);
        },
      });
    },
    'after-end',
    'warning',
    /the ended episode goes on/,
  ],
  [
    'gives nonsense after the end',
    () => {
      const env = new Walk();
      const step = env.step.bind(env);
      return Object.assign(env, {
        step: (action: number) => {
          if (env.t > 0 && !env.running)
            return { observation: undefined, reward: 0, terminated: true, truncated: false, info: {} };
          return step(action);
        },
      });
    },
    'after-end',
    'error',
    /step\(\) after the end: it gives nonsense/,
  ],
  [
    'fills one buffer again',
    () =>
      walk({
        observe(this: Walk) {
          buffer.data.set([this.position, this.t]);
          return buffer;
        },
      }),
    'fresh-objects',
    'error',
    /step 1 of the first episode: observation(\.data)?: it is the very object that the first reset returned/,
  ],
  [
    'returns one result again',
    () => {
      const result = {};
      return stepped((fresh) => Object.assign(result, fresh));
    },
    'fresh-objects',
    'error',
    /step 2 of the first episode: the result: it is the very object that step 1 of the first episode returned/,
  ],
  [
    'returns one info again',
    () => stepped((result) => ({ ...result, info: nothing })),
    'fresh-objects',
    'error',
    /step 2 of the first episode: info: it is the very object that step 1/,
  ],
  [
    'writes into its options',
    () =>
      resetting((original, options) => {
        delete options?.options;
        return original(options);
      }),
    'inputs',
    'error',
    /options of reset\(\): options: the call changes it/,
  ],
  [
    'takes out of its options what it knows',
    () =>
      resetting((original, options) => {
        if (options?.options) delete options.options.probe;
        return original(options);
      }),
    'inputs',
    'error',
    /options of reset\(\): options\.probe: the call changes it/,
  ],
  [
    'writes into its actions',
    () =>
      continuous((action) => {
        const value = clipped(action);
        action.data[0] = 0;
        return value;
      }),
    'inputs',
    'error',
    /action of step\(\) data\[0\]: the call changes it/,
  ],
  [
    'returns nothing from restore',
    () => {
      const env = new Walk();
      const restore = env.restore.bind(env);
      return Object.assign(env, { restore: (snapshot: Snapshot) => void restore(snapshot) });
    },
    'snapshot',
    'error',
    /restore\(\): it must give { observation, info }; actual: undefined/,
  ],
  [
    'takes anything for a snapshot',
    () => {
      const env = new Walk();
      const restore = env.restore.bind(env);
      const start = env.snapshot();
      return Object.assign(env, {
        restore: (snapshot: object) => restore({ ...(start as object), ...snapshot } as never),
      });
    },
    'snapshot',
    'warning',
    /restore\(null\): what is no snapshot is taken silently/,
  ],
  [
    'is half restored when it refuses a snapshot',
    () => {
      const env = new Walk();
      const restore = env.restore.bind(env);
      return Object.assign(env, {
        restore: (snapshot: Snapshot) => {
          env.position = 0;
          return restore(snapshot);
        },
      });
    },
    'snapshot',
    'warning',
    /restore\({ {2}}\): it is refused, and yet changes the environment; actual: /,
  ],
  [
    'saves less than its state',
    () => {
      const env = new Walk();
      const snapshot = env.snapshot.bind(env);
      return Object.assign(env, { snapshot: () => ({ ...(snapshot() as object), t: 0 }) });
    },
    'snapshot',
    'error',
    /it is not the observation at the snapshot/,
  ],
  [
    'saves without its stream',
    () => {
      const env = new Walk();
      const restore = env.restore.bind(env);
      return Object.assign(env, { restore: (s: object) => restore({ ...s, random: new Random(3).state() } as never) });
    },
    'snapshot',
    'error',
    /after restore\(\) it goes another way/,
  ],
  [
    'saves what it goes on to change',
    () => {
      const env = new Walk();
      const snapshot = env.snapshot.bind(env);
      const live = { t: 0 };
      const step = env.step.bind(env);
      return Object.assign(env, {
        step: (a: number) => {
          const r = step(a);
          live.t = env.t;
          return r;
        },
        snapshot: () => ({ ...(snapshot() as object), live }),
      });
    },
    'snapshot',
    'error',
    /snapshot\(\): live\.t: later steps change the snapshot/,
  ],
  [
    'saves what is no JSON',
    () => {
      const env = new Walk();
      const snapshot = env.snapshot.bind(env);
      return Object.assign(env, { snapshot: () => ({ ...(snapshot() as object), at: new Date(0) }) });
    },
    'snapshot',
    'error',
    /snapshot\(\)\.at: a snapshot is JSON values.*actual: an instance of Date/,
  ],
  [
    'saves what contains itself',
    () => {
      const env = new Walk();
      const snapshot = env.snapshot.bind(env);
      return Object.assign(env, { snapshot: () => ({ ...(snapshot() as object), tree: circular() }) });
    },
    'snapshot',
    'error',
    /snapshot\(\)\.tree\.parent\.children\.0: a snapshot is JSON.*actual: it contains itself/,
  ],
  [
    'renders nothing',
    () => walk({ render: () => undefined }),
    'render',
    'error',
    /render\(\): it must be a picture or a text; actual: undefined/,
  ],
  ['renders an empty text', () => walk({ render: () => '' }), 'render', 'error', /the text is empty/],
  [
    'renders floats',
    () => walk({ render: () => ({ data: new Float32Array(12), shape: [2, 2, 3] }) }),
    'render',
    'error',
    /a picture is uint8 \[height, width, 3\]; actual: Float32Array \[2, 2, 3\]/,
  ],
  [
    'renders in grey',
    () => walk({ render: () => ({ data: new Uint8Array(4), shape: [2, 2] }) }),
    'render',
    'error',
    /actual: Uint8Array \[2, 2\]/,
  ],
  [
    'renders into one array',
    () => {
      const picture = { data: new Uint8Array(12), shape: [2, 2, 3] };
      return walk({ render: () => picture });
    },
    'render',
    'error',
    /the second call returns the same array/,
  ],
  [
    'draws from its stream to render',
    () =>
      walk({
        render(this: Walk) {
          return String(this.random.next());
        },
      }),
    'render',
    'error',
    /rendering changes the episode/,
  ],
  [
    'cannot be closed twice',
    () => {
      let closed = 0;
      return walk({
        close: () => {
          if (closed++ === 1) throw new Error('closed already');
        },
      });
    },
    'close',
    'error',
    /the second close\(\): it throws; actual: closed already/,
  ],
];

function clipped(action: NdArray): number {
  if (action?.data?.length !== 1 || Number.isNaN(action.data[0])) throw new Error('no action');
  return Math.min(1, Math.max(-1, action.data[0]!));
}

describe('checkEnv', () => {
  it('finds nothing where nothing is wrong', async () => {
    expect(describeFindings(await checkEnv(() => new Walk()))).toBe('nothing found');
    expect(describeFindings(await checkEnv(() => continuous((action) => clipped(action))))).toBe('nothing found');
  });

  it.each(defects)('finds that an environment %s', async (_, make, check, severity, text) => {
    const findings = await checkEnv(make as () => Env<unknown, unknown>);
    const found = findings.filter((finding) => finding.check === check && text.test(describeFindings([finding])));
    expect(describeFindings(found.length > 0 ? found : findings)).toMatch(text);
    expect(found[0]!.severity).toBe(severity);
    // and tells one defect as one
    const others = findings.filter((finding) => finding.check !== check && finding.severity === 'error');
    expect(describeFindings(others)).toBe('nothing found');
    if (severity === 'error') expect(new Set(findings.map((finding) => finding.check))).toEqual(new Set([check]));
  });

  it('has a defect for each of its checks', () => {
    expect(new Set(defects.map(([, , check]) => check))).toEqual(new Set(envChecks.map(({ name }) => name)));
  });

  it('takes an environment itself, and promises', async () => {
    expect(await checkEnv(new Walk())).toEqual([]);
    const env = new Walk();
    const slow = Object.assign(new Walk(), {
      reset: async (options?: ResetOptions) => env.reset(options),
      step: async (action: number) => env.step(action),
      snapshot: async () => env.snapshot(),
      restore: async (snapshot: Snapshot) => env.restore(snapshot),
    });
    expect(describeFindings(await checkEnv(slow))).toBe('nothing found');
  });

  it('leaves out what it is told to, and says so of names that are none', async () => {
    const loud = () => walk({ render: () => '' });
    expect(await checkEnv(loud, { skip: ['render'] })).toEqual([]);
    expect(() => checkEnv(loud, { skip: ['rendr'] })).toThrow(/unknown check `rendr`\. Did you mean `render`/);
  });

  it('asks for actions that are legal', async () => {
    const env = () => {
      const own = new Walk();
      const step = own.step.bind(own);
      return Object.assign(own, {
        step: (action: number) => {
          if (action === 1 && own.t % 2 === 0) throw new Error('not now');
          return step(action);
        },
        reset: (options?: ResetOptions) => ({ ...Walk.prototype.reset.call(own, options) }),
      });
    };
    expect(describeFindings(await checkEnv(env))).toMatch(/it throws; actual: not now/);
    expect(await checkEnv(env, { chooseAction: () => 0 })).toEqual([]);
  });

  it('throws all that it found, in assertEnv', async () => {
    await expect(assertEnv(() => new Walk())).resolves.toBeUndefined();
    const error = await assertEnv(() =>
      walk({
        render: () => '',
        close: () => {
          throw new Error('never');
        },
      }),
    ).catch((e) => e);
    expect(error.code).toBe('E_CHECK');
    expect(error.message).toMatch(
      /^checkEnv: 2 findings\nerror \[render\] render\(\)[\s\S]*error \[close\] close\(\): it throws; actual: never/,
    );
  });
});
