import { describe, expect, it } from 'vitest';
import { type NdArray, ndarray } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import type { Snapshot } from '../../core/snapshot.js';
import {
  type Autoreset,
  Box,
  Discrete,
  type Env,
  type ResetOptions,
  SyncVectorEnv,
  type VectorEnv,
  type VectorResetOptions,
  type VectorResetResult,
  type VectorStepResult,
} from '../../envs/index.js';
import { assertVectorEnv, checkVectorEnv, describeFindings, vectorEnvChecks } from '../../testing/index.js';

type Vector = NdArray<Float32Array>;
type Sync = SyncVectorEnv<Vector, number>;

/** Three to six steps; the observation is a random place, and the steps taken. */
class Short implements Env<Vector, number> {
  readonly observationSpace = new Box(-10, 10, [2]);
  readonly actionSpace = new Discrete(3);
  random = new Random(0);
  place = 0;
  t = 0;
  length = 3;

  observe(): Vector {
    return ndarray(Float32Array.of(this.place, this.t), [2]);
  }

  reset({ seed }: ResetOptions = {}) {
    if (seed !== undefined) this.random = new Random(seed);
    this.place = this.random.uniform(-1, 1);
    this.length = 3 + this.random.integer(4);
    this.t = 0;
    return { observation: this.observe(), info: {} };
  }

  step(action: number) {
    if (!this.actionSpace.contains(action)) throw new Error('no action');
    this.place += (action - 1) * this.random.next();
    this.t++;
    return {
      observation: this.observe(),
      reward: this.place,
      terminated: this.t === this.length,
      truncated: false,
      info: {},
    };
  }

  render(): string {
    return `at ${this.place}`;
  }

  snapshot(): Snapshot {
    const { place, t, length } = this;
    return { place, t, length, random: this.random.state() as unknown as Snapshot };
  }

  restore(snapshot: Snapshot) {
    const { place, t, length, random } = snapshot as unknown as Short;
    Object.assign(this, { place, t, length, random: Random.restore(random as never) });
    return { observation: this.observe(), info: {} };
  }
}

function sound(autoreset: Autoreset = 'next-step', numEnvs = 3): Sync {
  return new SyncVectorEnv(
    Array.from({ length: numEnvs }, () => new Short()),
    { autoreset },
  );
}

/** One of three whose parts are replaced. */
function having(parts: object, autoreset?: Autoreset): Sync {
  return Object.assign(sound(autoreset), parts);
}

/** One whose step results are changed. */
function stepped(change: (result: VectorStepResult<Vector>) => unknown, autoreset?: Autoreset): Sync {
  const env = sound(autoreset);
  const step = env.step.bind(env);
  return Object.assign(env, { step: (actions: number[]) => change(step(actions) as VectorStepResult<Vector>) });
}

/** One whose resets are changed. */
function resetting(
  change: (
    original: (options?: VectorResetOptions) => VectorResetResult<Vector>,
    options?: VectorResetOptions,
  ) => unknown,
  autoreset?: Autoreset,
): Sync {
  const env = sound(autoreset);
  const reset = env.reset.bind(env) as (options?: VectorResetOptions) => VectorResetResult<Vector>;
  return Object.assign(env, { reset: (options?: VectorResetOptions) => change(reset, options) });
}

let made = 0;
/** State of the module, which all vector environments share. */
let common = 0;
const over = ({ terminated }: VectorStepResult<Vector>) => terminated.indexOf(1);

/** Each with just one defect: what it is, one that has it, who finds it, what they say. */
const defects: [string, () => unknown, string, RegExp][] = [
  [
    'has no numEnvs',
    () => having({ numEnvs: undefined }),
    'interface',
    /numEnvs: it must be an integer of at least 1; actual: undefined/,
  ],
  [
    'has an unknown mode',
    () => having({ autoreset: 'always' }),
    'interface',
    /autoreset: it must be 'next-step'.*actual: "always"/,
  ],
  [
    'has a horizon that is none',
    () => having({ horizon: 2.5 }),
    'interface',
    /horizon: it must be an integer.*actual: 2\.5/,
  ],
  [
    'samples outside its space',
    () => having({ actionSpace: Object.assign(new Discrete(3), { sample: () => 7 }) }),
    'spaces',
    /actionSpace\.sample\(\)/,
  ],
  [
    'resets to one observation',
    () => resetting((reset, options) => ({ ...reset(options), observations: reset(options).observations[0] })),
    'reset',
    /reset\(\): observations: it must be a list of 3/,
  ],
  [
    'resets to too few infos',
    () => resetting((reset, options) => ({ ...reset(options), infos: [] })),
    'reset',
    /reset\(\): infos: it must be a list of 3, one entry an environment; actual: \[\]/,
  ],
  [
    'gives rewards as a list',
    () => stepped((result) => ({ ...result, rewards: [...result.rewards] })),
    'step',
    /step 1: rewards: it must be a Float64Array of 3/,
  ],
  [
    'gives flags as booleans',
    () => stepped((result) => ({ ...result, terminated: [false, false, false] })),
    'step',
    /step 1: terminated: it must be a Uint8Array of 3.*actual: \[false, false, false\]/,
  ],
  [
    'gives too many rewards',
    () => stepped((result) => ({ ...result, rewards: new Float64Array(4) })),
    'step',
    /step 1: rewards: .*actual: Float64Array \[0, 0, 0, 0\]/,
  ],
  [
    'observes out of bounds',
    () =>
      stepped((result) => {
        result.observations[1]!.data[0] = 11;
        return result;
      }),
    'observation',
    /step 1: observations\[1\]\.data\[0\]: it must be within -10 and 10; actual: 11/,
  ],
  [
    'gives NaN as a reward',
    () =>
      stepped((result) => {
        result.rewards[2] = Number.NaN;
        return result;
      }),
    'reward',
    /step 1: rewards\[2\]: it must be finite; actual: NaN/,
  ],
  [
    'gives NaN as a reward late in a long episode',
    () => {
      const env = sound();
      for (const one of env.envs as Short[]) {
        const { reset, step } = Short.prototype;
        Object.assign(one, {
          reset: (options?: ResetOptions) => {
            const result = reset.call(one, options);
            one.length = 100; // more steps than a check plays
            return result;
          },
          step: (action: number) => ({ ...step.call(one, 1), reward: one.t >= 80 ? Number.NaN : action }),
          observe: () => ndarray(Float32Array.of(one.place, 0), [2]),
        });
      }
      return env;
    },
    'autoreset',
    /step 80: rewards\[0\]: it must be finite; actual: NaN/,
  ],
  [
    'gives 2 as a flag',
    () =>
      stepped((result) => {
        result.truncated[0] = 2;
        return result;
      }),
    'flags',
    /step 1: truncated\[0\]: it must be 0 or 1; actual: 2/,
  ],
  [
    'has undefined as an info',
    () =>
      stepped((result) => {
        result.infos[1] = undefined as never;
        return result;
      }),
    'info',
    /step 1: infos\[1\]: it must be a plain object; actual: undefined/,
  ],
  [
    'takes any number of actions',
    () => {
      const env = sound();
      const step = env.step.bind(env);
      return Object.assign(env, { step: (actions: number[]) => step([...actions, 1, 1, 1].slice(0, 3)) });
    },
    'actions',
    /step\(\) with 2 actions: it must throw/,
  ],
  [
    'is random beyond its seed',
    () =>
      stepped((result) => {
        result.rewards[0] = made++;
        return result;
      }),
    'determinism',
    /step 1: rewards\[0\]: seed 0 gives other episodes the second time/,
  ],
  [
    'keeps its state in the module',
    () => {
      const env = sound();
      const [reset, step] = [env.reset.bind(env), env.step.bind(env)];
      const stored = <R>(result: R) => {
        common = (env.envs[0] as Short).place;
        return result;
      };
      return Object.assign(env, {
        reset: (options?: VectorResetOptions) => stored(reset(options)),
        step: (actions: number[]) => {
          (env.envs[0] as Short).place = common;
          return stored(step(actions));
        },
      });
    },
    'isolation',
    /observations\[0\]\.data\[0\]: it goes another way while another of its kind is stepped/,
  ],
  [
    'gives all environments one seed',
    () =>
      resetting((reset, options) =>
        reset(
          typeof options?.seed === 'number'
            ? { ...options, seed: [options.seed, options.seed, options.seed] }
            : options,
        ),
      ),
    'seeds',
    /reset\({ seed: 6 }\): observations\[0\].*: it is not what seed 5 gives environment 1, whose seed is 6/,
  ],
  [
    'ignores a list of seeds',
    () => resetting((reset, options) => reset(Array.isArray(options?.seed) ? { ...options, seed: 77 } : options)),
    'seeds',
    /reset\({ seed: \[5, 6, 7\] }\): observations\[0\]/,
  ],
  [
    'takes too long a list of seeds',
    () =>
      resetting((reset, options) =>
        reset(Array.isArray(options?.seed) ? { ...options, seed: options.seed.slice(0, 3) } : options),
      ),
    'seeds',
    /reset\(\) with 4 seeds: it must throw/,
  ],
  [
    'seeds itself without a seed',
    () => resetting((reset, options) => reset({ ...options, seed: options?.seed ?? (options?.mask ? undefined : 3) })),
    'seeds',
    /ten resets without a seed give the same observations/,
  ],
  [
    'resets all whatever the mask',
    () =>
      resetting((reset, options) => {
        if (options?.mask) reset(options);
        return reset(options?.mask ? {} : options);
      }),
    'mask',
    /reset\({ mask: \[1,0,0\] }\): observations\[1\].*: it is not the last observation/,
  ],
  [
    'takes an empty mask',
    () =>
      resetting((reset, options) =>
        reset(options?.mask?.includes(1) === false && options.mask.length === 3 ? {} : options),
      ),
    'mask',
    /reset\({ mask: \[0,0,0\] }\): it must throw/,
  ],
  [
    'disturbs others by a mask',
    () => {
      const env = sound();
      const reset = env.reset.bind(env);
      return Object.assign(env, {
        reset: (options?: VectorResetOptions) => {
          const result = reset(options);
          if (options?.mask?.includes(0)) for (const one of env.envs) (one as Short).random = new Random(9);
          return result;
        },
      });
    },
    'mask',
    /environment 1, .*: an environment that the mask leaves out goes another way/,
  ],
  [
    'gives a reward with a reset',
    () => {
      let ended = -1;
      return stepped((result) => {
        if (ended >= 0) result.rewards[ended] = 5;
        ended = over(result);
        return result;
      });
    },
    'autoreset',
    /the step after the end of environment \d: reward: under 'next-step' this step is a reset.*actual: 0 and 5/,
  ],
  [
    'acts in the step of a reset',
    () => {
      const env = sound();
      const step = env.step.bind(env);
      let ended = -1;
      return Object.assign(env, {
        step: (actions: number[]) => {
          const result = step(actions) as VectorStepResult<Vector>;
          if (ended >= 0) result.observations[ended] = ndarray(Float32Array.of(actions[ended]!, 0), [2]);
          ended = over(result);
          return result;
        },
        reset: (options?: VectorResetOptions) => {
          ended = -1;
          return SyncVectorEnv.prototype.reset.call(env, options);
        },
      });
    },
    'autoreset',
    /under 'next-step' this step ignores its action, and it does not/,
  ],
  [
    'says no final observation',
    () =>
      stepped((result) => {
        for (const info of result.infos as Record<string, unknown>[]) delete info.finalObservation;
        return result;
      }, 'same-step'),
    'autoreset',
    /infos\[\d\]: under 'same-step' it must have finalObservation and finalInfo/,
  ],
  [
    'says a final observation that is none',
    () =>
      stepped((result) => {
        for (const info of result.infos as Record<string, unknown>[])
          if (info.finalObservation) info.finalObservation = null;
        return result;
      }, 'same-step'),
    'autoreset',
    /finalObservation: it must be an array.*actual: null/,
  ],
  [
    'says final observations where nothing ends',
    () =>
      stepped((result) => {
        for (const info of result.infos as Record<string, unknown>[]) {
          info.finalObservation ??= null;
          info.finalInfo ??= {};
        }
        return result;
      }, 'same-step'),
    'autoreset',
    /the episode goes on, and it has finalObservation,finalInfo/,
  ],
  [
    'goes on after the end',
    () => {
      const env = sound('disabled');
      const step = env.step.bind(env);
      let mask: Uint8Array | undefined;
      return Object.assign(env, {
        step: (actions: number[]) => {
          if (mask?.includes(1)) env.reset({ mask });
          const result = step(actions) as VectorStepResult<Vector>;
          mask = result.terminated;
          return result;
        },
      });
    },
    'autoreset',
    /step\(\) after the end of an episode: it must throw/,
  ],
  [
    'resets once more after a reset',
    () => {
      const env = sound();
      const { step, reset } = SyncVectorEnv.prototype;
      let pending: Uint8Array | undefined;
      return Object.assign(env, {
        step: (actions: number[]) => {
          const result = step.call(env, actions) as VectorStepResult<Vector>;
          if (pending)
            for (const [i, flag] of pending.entries())
              if (flag) {
                result.rewards[i] = 0;
                result.observations[i] = ndarray(new Float32Array(2), [2]);
              }
          pending = undefined;
          if (result.terminated.includes(1)) last = result.terminated;
          return result;
        },
        reset: (options?: VectorResetOptions) => {
          if (last && options?.seed === 2) pending = last;
          last = undefined;
          return reset.call(env, options);
        },
      });
      var last: Uint8Array | undefined;
    },
    'pending-reset',
    /after an episode ended, reset\({ seed }\) is followed by another episode/,
  ],
  [
    'promises too short a horizon',
    () => having({ horizon: 2 }),
    'horizon',
    /its episode must end after 2 steps, the horizon; actual: it goes on after 2/,
  ],
  ['promises too long a horizon', () => having({ horizon: 9 }), 'horizon', /actual: it ended after \d/],
  [
    'differs from single ones',
    () =>
      stepped((result) => {
        for (let i = 0; i < 3; i++) result.rewards[i]! *= 2;
        return result;
      }),
    'single',
    /step 1, environment 0: reward: it is not what a single environment gives/,
  ],
  [
    'resets before the last observation is seen',
    () =>
      stepped((result) => {
        const i = over(result);
        if (i >= 0) result.observations[i] = ndarray(new Float32Array(2), [2]);
        return result;
      }),
    'single',
    /observation\.data\[\d\]: it is not what a single environment gives/,
  ],
  [
    'steps before the first reset',
    () => {
      const env = sound();
      const { reset, step } = SyncVectorEnv.prototype;
      let begun = false;
      return Object.assign(env, {
        reset: (options?: VectorResetOptions) => {
          begun = true;
          return reset.call(env, options);
        },
        step: (actions: number[]) => {
          if (!begun) reset.call(env);
          const result = step.call(env, actions) as VectorStepResult<Vector>;
          if (!begun) result.rewards[1] = Number.NaN;
          return result;
        },
      });
    },
    'before-reset',
    /step\(\) before reset\(\): it gives nonsense; actual: .*NaN/,
  ],
  [
    'fills one array of rewards again',
    () => {
      const rewards = new Float64Array(3);
      return stepped((result) => {
        rewards.set(result.rewards);
        return { ...result, rewards };
      });
    },
    'fresh-objects',
    /step 2 after the first reset: rewards: it is the very object that step 1/,
  ],
  [
    'keeps its list of observations',
    () => {
      const observations: Vector[] = [];
      return stepped((result) => {
        result.observations.forEach((o, i) => {
          observations[i] = o;
        });
        return { ...result, observations };
      });
    },
    'fresh-objects',
    /observations: it is the very object/,
  ],
  [
    'takes the options out',
    () =>
      resetting((reset, options) => {
        if (options?.mask) delete options.options;
        return reset(options);
      }),
    'inputs',
    /options of reset\(\): options: the call changes it/,
  ],
  [
    'takes out of the options what it knows',
    () =>
      resetting((reset, options) => {
        if (options?.options) delete options.options.probe;
        return reset(options);
      }),
    'inputs',
    /options of reset\(\): options\.probe: the call changes it/,
  ],
  [
    'writes into the list of actions',
    () => {
      const env = sound();
      const step = env.step.bind(env);
      return Object.assign(env, {
        step: (actions: number[]) => {
          const result = step([...actions]);
          actions[0] = 0;
          actions[1] = 0;
          return result;
        },
      });
    },
    'inputs',
    /actions of step\(\) \[\d\]: the call changes it/,
  ],
  [
    'saves without what is pending',
    () => {
      const env = sound();
      const restore = env.restore!;
      return Object.assign(env, {
        restore: (s: object) => restore({ ...s, ended: [0, 0, 0] } as never),
        reset: (o?: VectorResetOptions) => SyncVectorEnv.prototype.reset.call(env, o),
      });
    },
    'snapshot',
    /after restore\(\) it goes another way/,
  ],
  [
    'draws from its streams to render',
    () => {
      const env = sound();
      return Object.assign(env, { render: () => env.envs.map((one) => String((one as Short).random.next())) });
    },
    'render',
    /step 1: observations\[\d\]\.data\[0\]: rendering changes the episode/,
  ],
  [
    'renders into the same arrays',
    () => {
      const pictures = [0, 1, 2].map(() => ({ data: new Uint8Array(12), shape: [2, 2, 3] }));
      return having({ render: () => [...pictures] });
    },
    'render',
    /the second call returns the same array/,
  ],
  [
    'renders one picture',
    () => having({ render: () => 'all' }),
    'render',
    /render\(\): it must be a list of 3 pictures or texts; actual: "all"/,
  ],
  [
    'renders nothing for one',
    () => having({ render: () => ['a', undefined, 'c'] }),
    'render',
    /render\(\)\[1\]: it must be a picture or a text/,
  ],
  [
    'cannot be closed twice',
    () => {
      let closed = 0;
      return having({
        close: () => {
          if (closed++ === 1) throw new Error('closed already');
        },
      });
    },
    'close',
    /the second close\(\): it throws; actual: closed already/,
  ],
];

describe('checkVectorEnv', () => {
  it.each(['next-step', 'same-step', 'disabled'] as const)('finds nothing where nothing is wrong: %s', async (mode) => {
    const options = { single: () => new Short() };
    expect(describeFindings(await checkVectorEnv(() => sound(mode), options))).toBe('nothing found');
    expect(describeFindings(await checkVectorEnv(() => sound(mode, 1), options))).toBe('nothing found');
    expect(describeFindings(await checkVectorEnv(sound(mode), options))).toBe('nothing found');
  });

  // a defect is often one to several checks: where steps are wrong, they are not those of a single environment either
  it.each(defects)('finds that a vector environment %s', async (_, make, check, text) => {
    const single = check === 'single' ? { single: () => new Short() } : {};
    const findings = await checkVectorEnv(make as () => VectorEnv<Vector, number>, single);
    const found = findings.filter((finding) => finding.check === check && text.test(describeFindings([finding])));
    expect(describeFindings(found.length > 0 ? found : findings)).toMatch(text);
    expect(found[0]!.severity).toBe('error');
  });

  it('warns of an info that contains itself', async () => {
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    const make = () =>
      stepped((result) => {
        result.infos[2] = circular;
        return result;
      });
    expect(describeFindings(await checkVectorEnv(make, { skip: ['fresh-objects'] }))).toMatch(
      /^warning \[info\] step 1: infos\[2\]\.self: it contains itself.*\n.*$/,
    );
  });

  it('has a defect for each of its checks', () => {
    expect(new Set(defects.map(([, , check]) => check))).toEqual(new Set(vectorEnvChecks.map(({ name }) => name)));
  });

  it('throws all that it found, in assertVectorEnv', async () => {
    await expect(assertVectorEnv(() => sound())).resolves.toBeUndefined();
    await expect(assertVectorEnv(() => having({ render: () => 'all' }))).rejects.toThrow(
      /checkVectorEnv: 1 finding\nerror \[render\]/,
    );
  });
});
