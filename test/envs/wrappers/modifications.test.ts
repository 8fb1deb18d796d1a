import { describe, expect, expectTypeOf, it } from 'vitest';
import { type NdArray, ndarray } from '../../../core/ndarray.js';
import {
  type Autoreset,
  Box,
  CartPole,
  clipAction,
  clipReward,
  Denoising,
  type DenoisingAction,
  type DenoisingObservation,
  Dict,
  Discrete,
  delayObservation,
  discretizeAction,
  discretizeObservation,
  dtypeObservation,
  type Env,
  type EpisodeStatistics,
  filterObservation,
  flattenObservation,
  frameStackObservation,
  grayscaleObservation,
  type Modification,
  MountainCar,
  make,
  makeVec,
  normalizeObservation,
  normalizeReward,
  Pendulum,
  type ResetResult,
  recordEpisodeStatistics,
  rescaleAction,
  rescaleObservation,
  reshapeObservation,
  resizeObservation,
  SyncVectorEnv,
  stickyAction,
  TimeLimit,
  timeAwareObservation,
  transformAction,
  transformObservation,
  transformReward,
  type VectorEnv,
  type VectorResetResult,
  type VectorStepResult,
  wrap,
} from '../../../envs/index.js';
import { Counter } from '../counter.js';

type Any = Modification<unknown, unknown, unknown, unknown>;
type Obs = NdArray<Float32Array>;

const image = transformObservation<NdArray, unknown, Obs>(
  ({ data }) =>
    ndarray(
      Uint8Array.from({ length: 4 * 6 * 3 }, (_, i) => (i * 37 + 5 * data[0]!) % 256),
      [4, 6, 3],
    ),
  new Box(0, 255, [4, 6, 3], 'uint8'),
);
const dict = transformObservation<{ a: NdArray; b: number }, unknown, Obs>(
  (observation) => ({ a: observation, b: observation.data[0]! }),
  new Dict({ a: new Box(0, 1000, [1]), b: new Discrete(1001) }),
);
/** An action space with more than one number to a Box action. */
const boxed = transformAction<unknown, NdArray, number>(
  ({ data }) => Math.round(data[0]! + data[1]!) % 9,
  new Box([0, -1], [8, 1]),
);

const finite = rescaleObservation(0, 1) as Any;
const all: [string, Any[]][] = [
  ['transformObservation', [image as Any]],
  ['filterObservation', [dict as Any, filterObservation(['b']) as Any]],
  ['flattenObservation', [dict as Any, flattenObservation() as Any]],
  ['grayscaleObservation', [image as Any, grayscaleObservation() as Any]],
  ['resizeObservation', [image as Any, resizeObservation([2, 3]) as Any]],
  ['reshapeObservation', [image as Any, reshapeObservation([12, 6]) as Any]],
  ['rescaleObservation', [finite]],
  ['dtypeObservation', [dtypeObservation('float64') as Any]],
  ['discretizeObservation', [discretizeObservation(500) as Any]],
  ['delayObservation', [delayObservation(2) as Any]],
  ['timeAwareObservation', [timeAwareObservation({ maxEpisodeSteps: 50 }) as Any]],
  [
    'timeAwareObservation of a dict',
    [dict as Any, timeAwareObservation({ maxEpisodeSteps: 50, flatten: false, key: 'now' }) as Any],
  ],
  ['frameStackObservation', [frameStackObservation<unknown, Obs>(3, { padding: 'zero' }) as Any]],
  ['frameStackObservation of a dict', [dict as Any, frameStackObservation(2) as Any]],
  ['transformAction', [transformAction((a: number) => (a + 1) % 9, new Discrete(9)) as Any]],
  ['clipAction', [boxed as Any, clipAction() as Any]],
  ['rescaleAction', [boxed as Any, rescaleAction(-1, 1) as Any]],
  ['discretizeAction', [boxed as Any, discretizeAction([3, 2]) as Any]],
  ['discretizeAction, multidiscrete', [boxed as Any, discretizeAction(4, { multidiscrete: true }) as Any]],
  ['stickyAction', [stickyAction(0.6, { duration: [1, 2] }) as Any]],
  [
    'transformReward',
    [transformReward((r, { action, previous }) => r + Number(action) + (previous as Obs).data[0]!) as Any],
  ],
  ['clipReward', [clipReward({ high: 2 }) as Any]],
  ['recordEpisodeStatistics', [recordEpisodeStatistics({ key: 'stats' }) as Any]],
];

const counters = () => [new Counter(2), new Counter(3), new Counter(4, { truncates: true })];
const around = (env: Env<unknown, unknown>, modifications: Any[]) =>
  modifications.reduce<Env<unknown, unknown>>((e, m) => wrap(e, m), env);
const withoutTime = (value: unknown) =>
  JSON.parse(
    JSON.stringify(value, (key, v) =>
      key === 't' && typeof v === 'number' && v < 0.5 && v % 1 !== 0
        ? 0
        : ArrayBuffer.isView(v)
          ? [...(v as Float32Array)]
          : v,
    ),
  );

describe.each(all)('%s', (_, modifications) => {
  it.each([
    'next-step',
    'same-step',
    'disabled',
  ] as Autoreset[])('does to each environment of a vector one what it does to it alone (%s)', (autoreset) => {
    const inside = new SyncVectorEnv<unknown, unknown>(
      counters().map((env) => around(env as Env<unknown, unknown>, modifications)),
      { autoreset },
    );
    const outside = modifications.reduce<VectorEnv<unknown, unknown>>(
      (env, m) => wrap(env, m),
      new SyncVectorEnv<unknown, unknown>(counters() as Env<unknown, unknown>[], { autoreset }),
    );
    expect(outside.observationSpace.equals(inside.observationSpace)).toBe(true);
    expect(outside.actionSpace.equals(inside.actionSpace)).toBe(true);
    const same = (a: unknown, b: unknown) => expect(withoutTime(a)).toEqual(withoutTime(b));
    same(outside.reset({ seed: 4 }), inside.reset({ seed: 4 }));
    outside.actionSpace.seed(1);
    for (let t = 0; t < 14; t++) {
      const actions = [1, 2, 3].map(() => outside.actionSpace.sample());
      const [a, b] = [outside.step(actions), inside.step(actions)] as VectorStepResult<unknown>[];
      same(a, b);
      for (const observation of a!.observations) expect(outside.observationSpace.contains(observation)).toBe(true);
      const mask = Uint8Array.from(a!.terminated, (end, i) => end | a!.truncated[i]!);
      if (autoreset === 'disabled' && mask.includes(1)) same(outside.reset({ mask }), inside.reset({ mask }));
    }
  });

  it('goes on from a snapshot in the middle of an episode, alone and in a vector', () => {
    const make = () => around(new Counter(9) as Env<unknown, unknown>, modifications);
    const [env, other] = [make(), make()];
    env.actionSpace.seed(2);
    env.reset({ seed: 1 });
    for (let t = 0; t < 4; t++) env.step(env.actionSpace.sample());
    const present = env.step(env.actionSpace.sample()) as { observation: unknown };
    other.reset({ seed: 8 });
    const restored = other.restore!(JSON.parse(JSON.stringify(env.snapshot!()))) as { observation: unknown };
    expect(withoutTime(restored.observation)).toEqual(withoutTime(present.observation));
    for (let t = 0; t < 4; t++) {
      const action = env.actionSpace.sample();
      expect(withoutTime(other.step(action))).toEqual(withoutTime(env.step(action)));
    }
    const vector = () =>
      modifications.reduce<VectorEnv<unknown, unknown>>(
        (e, m) => wrap(e, m),
        new SyncVectorEnv<unknown, unknown>(counters() as Env<unknown, unknown>[]),
      );
    const [a, b] = [vector(), vector()];
    a.reset({ seed: 1 });
    const act = () => [1, 2, 3].map(() => env.actionSpace.sample());
    for (let t = 0; t < 2; t++) a.step(act());
    b.restore!(JSON.parse(JSON.stringify(a.snapshot!())));
    for (let t = 0; t < 5; t++) {
      const actions = act();
      expect(withoutTime(b.step(actions))).toEqual(withoutTime(a.step(actions)));
    }
  });
});

describe("with NumPy's numbers, the outputs are Gymnasium 1.4's", () => {
  // env = Wrapper(gym.make(id)); env.reset(seed=3); env.step(...)
  const cartPole = () => new CartPole({ random: 'numpy' });
  const pendulum = () => new TimeLimit(new Pendulum({ random: 'numpy' }), 200);
  const car = () => new MountainCar({ random: 'numpy' });
  const torque = (a: number) => ndarray(Float32Array.of(a), [1]);

  function run<O, A>(env: Env<O, A>, actions: A[]): { observations: number[][]; rewards: number[] } {
    const numbers = (o: unknown) => (typeof o === 'number' ? [o] : [...(o as NdArray).data]);
    const observations = [numbers((env.reset({ seed: 3 }) as { observation: O }).observation)];
    const rewards: number[] = [];
    for (const action of actions) {
      const { observation, reward } = env.step(action) as { observation: O; reward: number };
      observations.push(numbers(observation));
      rewards.push(reward);
    }
    return { observations, rewards };
  }
  function expectClose(got: number[][], want: number[][], digits = 6): void {
    expect(got.length).toBe(want.length);
    got.forEach((row, i) => {
      row.forEach((x, k) => {
        expect(x, `${i}, ${k}`).toBeCloseTo(want[i]![k]!, digits);
      });
    });
  }

  it('NormalizeObservation', () => {
    const { observations } = run(wrap(cartPole(), normalizeObservation()), [0, 1, 1]);
    expectClose(observations, [
      [-0.00041389724356122315, -0.0002631006937008351, 0.0003012393426615745, 8.213988621719182e-5],
      [-0.03745417669415474, -0.9974424839019775, 0.011826175265014172, 0.9989551305770874],
      [-0.5061753392219543, 0.700995683670044, 0.6456509828567505, -0.6364130973815918],
      [-0.4930744171142578, 1.411543369293213, 0.5936072468757629, -1.3860770463943481],
    ]);
  });

  it('NormalizeReward', () => {
    const { rewards } = run(wrap(pendulum(), normalizeReward({ gamma: 0.9 })), [0.5, 0.5, 0.5, 0.5].map(torque));
    expectClose([rewards], [[-98.94740479772959, -2.212631668632582, -1.4553155852361346, -1.145029646394898]], 9);
  });

  it('RescaleObservation and RescaleAction', () => {
    const observed = run(wrap(pendulum(), rescaleObservation(0, 1)), [torque(0.5)]);
    expectClose(observed.observations, [
      [0.0706707239151001, 0.24372601509094238, 0.4671013057231903],
      [0.06033909320831299, 0.26188597083091736, 0.4477631151676178],
    ]);
    expect(run(wrap(pendulum(), rescaleAction(-1, 1)), [torque(0.5)]).rewards[0]).toBeCloseTo(-6.806623276627695, 9);
  });

  it('DiscretizeObservation and DiscretizeAction', () => {
    expect(run(wrap(pendulum(), discretizeObservation(4)), [torque(0.5), torque(0.5)]).observations).toEqual([
      [1],
      [5],
      [5],
    ]);
    const { rewards } = run(wrap(pendulum(), discretizeAction(5)), [0, 4] as (number | NdArray<Int32Array>)[]);
    expectClose([rewards], [[-6.808183276981188, -7.2158199717476315]], 9);
  });

  it('TimeAwareObservation', () => {
    const env = wrap(cartPole(), timeAwareObservation({ normalize: true, maxEpisodeSteps: 500 }));
    expectClose(run(env as Env<unknown, number>, [0, 1]).observations, [
      [-0.041435081511735916, -0.026318948715925217, 0.030127447098493576, 0.008216203190386295, 0],
      [-0.041961461305618286, -0.22185972332954407, 0.03029177151620388, 0.3102504014968872, 0.002],
      [-0.04639865830540657, -0.027182159945368767, 0.03649677708745003, 0.027272429317235947, 0.004],
    ]);
  });

  it('DelayObservation and FrameStackObservation', () => {
    expectClose(run(wrap(car(), delayObservation(2)), [0, 1, 2]).observations, [
      [0, 0],
      [0, 0],
      [-0.5828701853752136, 0],
      [-0.5834279656410217, -0.000557803432457149],
    ]);
    const start = [-0.5828701853752136, 0];
    expectClose(run(wrap(car(), frameStackObservation(3)), [0, 1]).observations, [
      [...start, ...start, ...start],
      [...start, ...start, -0.5834279656410217, -0.000557803432457149],
      [...start, -0.5834279656410217, -0.000557803432457149, -0.5835394859313965, -0.00011148988414788619],
    ]);
  });

  it('ClipAction', () => {
    expect(run(wrap(pendulum(), clipAction()), [torque(5)]).rewards[0]).toBeCloseTo(-6.809623276770187, 9);
  });

  it('GrayscaleObservation and ResizeObservation', () => {
    const env = wrap(new Counter(5) as Env<Obs, unknown>, image);
    const first = (modified: Env<NdArray, unknown>) => [
      ...(modified.reset() as { observation: NdArray }).observation.data,
    ];
    expect(first(wrap(env, grayscaleObservation()))).toEqual([
      31, 142, 52, 108, 201, 74, 185, 40, 151, 61, 117, 210, 83, 194, 49, 160, 70, 126, 219, 92, 203, 58, 169, 79,
    ]);
    // cv2.resize(img, (3, 2), interpolation=cv2.INTER_AREA), then (4, 3); cv2 rounds halves and float32 otherwise
    const near = (got: number[], want: number[]) => {
      expect(got).toHaveLength(want.length);
      got.forEach((x, i) => {
        expect(Math.abs(x - want[i]!)).toBeLessThanOrEqual(1);
      });
    };
    near(
      first(wrap(env, resizeObservation([2, 3]))),
      [69, 106, 143, 163, 72, 109, 129, 166, 75, 121, 158, 131, 87, 124, 161, 181, 90, 127],
    );
    near(
      first(wrap(env, resizeObservation([3, 4]))),
      [
        54, 91, 128, 160, 68, 106, 131, 126, 98, 108, 146, 76, 97, 134, 171, 75, 112, 149, 174, 83, 120, 152, 146, 98,
        140, 178, 86, 118, 155, 192, 90, 105, 142, 195, 82, 120,
      ],
    );
  });
});

describe('statistics', () => {
  it('of episodes are in the info of the last step, and the last ones are kept', () => {
    const recorder = recordEpisodeStatistics<Obs, number>({ bufferLength: 2 });
    const env = wrap(new Counter(3), recorder);
    for (let episode = 0; episode < 3; episode++) {
      env.reset();
      env.step(0);
      const before = env.step(0) as { info: object };
      expect(before.info).toEqual({ t: 2 });
      const { info } = env.step(0) as unknown as { info: { episode: EpisodeStatistics } };
      expect(info.episode).toMatchObject({ r: 6, l: 3 });
      expect(info.episode.t).toBeLessThan(1);
    }
    expect([recorder.returns, recorder.lengths]).toEqual([
      [6, 6],
      [3, 3],
    ]);
    expect(recorder.times).toHaveLength(2);
  });

  it('of a masked reset begin anew for the environments that were reset, and only for these', () => {
    const vector = new SyncVectorEnv([new Counter(2), new Counter(3)], { autoreset: 'disabled' });
    const env = wrap(vector, recordEpisodeStatistics());
    const step = () => env.step([0, 0]) as VectorStepResult<Obs>;
    env.reset();
    step();
    expect(step().infos[0]).toMatchObject({ episode: { r: 3, l: 2 } });
    env.reset({ mask: Uint8Array.of(1, 0) });
    expect(step().infos[1]).toMatchObject({ episode: { r: 6, l: 3 } });
  });

  it('refuse to write over an info', () => {
    const env = wrap(new Counter(1), recordEpisodeStatistics({ key: 't' }));
    env.reset();
    expect(() => env.step(0)).toThrow(/has a `t` already/);
  });

  it('of normalisation are shared by the environments of a vector, a batch at a time, and can be frozen', () => {
    // obs_rms.update([[0], [0]]), update([[1], [1]]); (x - mean) / sqrt(var + 1e-8)
    const normalization = normalizeObservation<number>();
    const env = wrap(new SyncVectorEnv([new Counter(5), new Counter(5)]), normalization);
    const first = env.reset() as VectorResetResult<NdArray>;
    expect(first.observations.map((o) => o.data[0])).toEqual([0, 0]);
    const values = () => (env.step([0, 0]) as VectorStepResult<NdArray>).observations.map((o) => o.data[0]!);
    const [a, b] = values();
    expect(a).toBe(b);
    expect(a).toBeCloseTo(1, 3);
    normalization.updating = false;
    const c = values()[0]!;
    expect(c).toBeCloseTo(3, 3);
    normalization.updating = true;
    expect(values()[0]!).toBeLessThan(2);
  });

  it('of normalisation can be those of another one, which an evaluation takes and does not change', () => {
    const training = normalizeObservation<number>();
    expect(training.statistics).toBeUndefined();
    const env = wrap(new Counter(5), training);
    env.reset();
    for (let t = 0; t < 4; t++) env.step(0);
    const { statistics } = training;
    const before = statistics!.state();
    expect(before.mean[0]).toBeCloseTo(2, 3); // of 0, 1, 2, 3, 4
    const evaluation = normalizeObservation<number>({ statistics });
    evaluation.updating = false;
    const other = wrap(new Counter(5), evaluation);
    const first = other.reset() as { observation: NdArray };
    expect(first.observation.data[0]).toBeCloseTo(-2 / Math.sqrt(2), 3);
    other.step(0);
    expect(statistics!.state()).toEqual(before);
    env.reset();
    expect(evaluation.statistics!.state().count).toBeCloseTo(6, 3);

    const paid = normalizeReward<NdArray, number>();
    const earning = wrap(new Counter(5), paid);
    earning.reset();
    for (let t = 0; t < 4; t++) earning.step(0);
    const { statistics: returns } = paid;
    const rewards = normalizeReward<NdArray, number>({ statistics: returns });
    rewards.updating = false;
    const alike = wrap(new Counter(5), rewards);
    alike.reset();
    expect((alike.step(0) as { reward: number }).reward).toBeLessThan(0.9);
    expect(() => wrap(new CartPole(), normalizeObservation({ statistics }))).toThrow(
      /the statistics are of 1 numbers, an observation has 4/,
    );
  });

  it('cut what they normalise, where they are told to', () => {
    const env = wrap(new Counter(50), normalizeObservation<number>({ clip: 1.5 }));
    env.reset();
    const seen = Array.from({ length: 30 }, () => (env.step(0) as { observation: NdArray }).observation.data[0]!);
    expect(Math.max(...seen)).toBe(1.5);
    const paid = wrap(new Counter(50), normalizeReward<NdArray, number>({ gamma: 0, clip: 2 }));
    paid.reset();
    const rewards = Array.from({ length: 30 }, () => (paid.step(0) as { reward: number }).reward);
    expect(Math.max(...rewards)).toBe(2);
    expect(Math.min(...rewards)).toBeGreaterThan(1);
  });

  it('of returns begin anew with an episode', () => {
    const env = wrap(new Counter(2, { truncates: true }), normalizeReward({ gamma: 1 }));
    const rewards = () => {
      env.reset();
      return [env.step(0), env.step(0)].map((r) => (r as { reward: number }).reward);
    };
    // G = 1, 3, 1, 3: a variance of 1 in the end; a G that ran on would have one of 2
    let last: number[] = [];
    for (let i = 0; i < 500; i++) last = rewards();
    expect(last[0]).toBeCloseTo(1, 1);
    expect(last[1]).toBeCloseTo(2, 1);
  });
});

describe('around a slow native vector environment', () => {
  const denoising = (reward: (n: number) => Promise<number[]>) =>
    new Denoising({
      timesteps: [2, 1],
      latentShape: [1, 1, 3],
      prompts: ['a'],
      numEnvs: 2,
      reward: ({ prompts }) => reward(prompts.length),
    });
  const late = (n: number) => new Promise<number[]>((resolve) => setTimeout(resolve, 2, new Array(n).fill(4)));
  const act = (env: VectorEnv<unknown, NdArray<Float32Array>>) => [env.actionSpace.sample(), env.actionSpace.sample()];

  it('the end of an episode is the end of that episode, though the next one is asked for before', async () => {
    const context: unknown[] = [];
    const env = wrap(
      wrap(
        denoising(late),
        transformReward<DenoisingObservation, DenoisingAction>((r, { previous }) => {
          context.push(previous.step);
          return r / 2;
        }),
      ),
      recordEpisodeStatistics(),
    );
    for (let batch = 0; batch < 2; batch++) {
      if (batch === 0) expect(env.reset()).not.toBeInstanceOf(Promise);
      expect(env.step(act(env))).not.toBeInstanceOf(Promise);
      const last = env.step(act(env));
      const [{ infos: begun }, { infos }] = await Promise.all([env.reset(), last]);
      expect(infos[1]).toMatchObject({ episode: { r: 2, l: 2 }, episodeNumber: 2 * batch + 1 });
      expect(begun[1]).toEqual({ episodeNumber: 2 * batch + 3 });
    }
    expect(context).toEqual([0, 0, 1, 1, 0, 0, 1, 1]);
  });

  it('a snapshot waits for the end, and a reset goes on after a reward that failed', async () => {
    let fails = true;
    const env = wrap(
      denoising(async (n) => {
        if (fails) throw new Error('no reward');
        return await late(n);
      }),
      recordEpisodeStatistics<DenoisingObservation, DenoisingAction>(),
    );
    env.reset();
    env.step(act(env));
    const last = env.step(act(env));
    const reset = env.reset();
    await expect(last).rejects.toThrow(/no reward/);
    expect((await reset).infos[0]).toEqual({ episodeNumber: 2 });
    fails = false;
    env.step(act(env));
    const end = env.step(act(env));
    const snapshot = env.snapshot!();
    await end;
    expect(((await snapshot) as { own: { l: number }[] }).own[0]!.l).toBe(2);
  });
});

describe('actions', () => {
  const pair = () => wrap(new Counter(9), boxed) as Env<NdArray, NdArray>;
  const array = (...values: number[]) => ndarray(Float32Array.from(values), [values.length]);
  const square = ndarray(new Float32Array(4), [2, 2]);
  it.each<[string, unknown, unknown[], unknown]>([
    [
      'transformAction',
      wrap(
        new Counter(9),
        transformAction((a: number) => a, new Discrete(2)),
      ),
      [-1, 2, 0.5],
      1,
    ],
    ['discretizeAction', wrap(pair(), discretizeAction([3, 2])), [9, -1, 0.5, array(1, 1)], 5],
    [
      'discretizeAction, multidiscrete',
      wrap(pair(), discretizeAction(3, { multidiscrete: true })),
      [4, array(1, 1), ndarray(Int32Array.of(3, 0), [2])],
      ndarray(Int32Array.of(2, 0), [2]),
    ],
    ['rescaleAction', wrap(pair(), rescaleAction(-1, 1)), [square, array(1), array(Number.NaN, 0), 1], array(-1, 1)],
    ['clipAction', wrap(pair(), clipAction()), [square, array(1), array(Number.NaN, 0), undefined], array(50, -50)],
  ])('that are none are refused by %s', (name, made, bad, good) => {
    const env = made as Env<unknown, unknown>;
    env.reset();
    const modification = name.split(',')[0];
    for (const action of bad) {
      const message = new RegExp(`^${modification}\\.step: the action must be of .*actual value`, 'i');
      expect(() => env.step(action), String(action)).toThrow(message);
    }
    expect(() => env.step(good)).not.toThrow();
  });

  it('beyond the new bounds go beyond the old ones, which the environment refuses', () => {
    const env = wrap(pair(), rescaleAction(0, 1));
    env.reset();
    expect(() => env.step(array(3, 0))).toThrow(/^TransformAction\.step: .*actual value Float32Array \[2\] of 24, -1/);
  });

  it('that the environment refuses do not stick', () => {
    const env = wrap(new Counter(50), stickyAction(0.9, { duration: [1, 3] }));
    const refusing = new Counter(50);
    const step = refusing.step.bind(refusing);
    const checked = Object.assign(refusing, {
      step: (action: number) => {
        if (!refusing.actionSpace.contains(action)) throw new Error('no action');
        return step(action);
      },
    });
    const other = wrap(checked, stickyAction(0.9, { duration: [1, 3] }));
    env.reset({ seed: 3 });
    other.reset({ seed: 3 });
    expect(() => other.step(77)).toThrow(/no action/);
    for (let t = 0; t < 20; t++) {
      const action = t % 10;
      expect(other.step(action)).toEqual(env.step(action));
    }
    expect(checked.actions.slice(0, 1)).toEqual([0]);
    expect(new Set(checked.actions).size).toBeLessThan(10);
  });
});

it('the limit of a TimeLimit that was put around by hand is the time that observations tell', () => {
  const options = { normalize: true, flatten: false } as const;
  const limited = new TimeLimit(new Counter(50), 4);
  const env = wrap(wrap(limited, clipReward({ low: 0 })), timeAwareObservation(options));
  env.reset();
  const { observation } = env.step(0) as { observation: { time: NdArray } };
  expect([...observation.time.data]).toEqual([0.25]);
  expect(env.spec).toBeUndefined();
});

describe('mistakes', () => {
  const counter = () => new Counter(3) as Env<NdArray, unknown>;
  it.each<[string, () => unknown, RegExp]>([
    ['wrap what is no environment', () => wrap(5 as never, flattenObservation()), /first argument.*actual value 5/],
    ['wrap a promise', () => wrap(make('CartPole-v1') as never, flattenObservation()), /await it/],
    ['wrap by nothing', () => wrap(counter(), undefined as never), /second argument.*actual value undefined/],
    [
      'wrap by a function that was not called',
      () => wrap(counter(), flattenObservation as never),
      /the function flattenObservation; call it/,
    ],
    ['filter nothing', () => wrap(counter(), filterObservation([])), /at least one key/],
    [
      'filter an unknown key',
      () => wrap(wrap(counter() as Env<Obs, unknown>, dict), filterObservation(['c'])),
      /unknown key `c`/,
    ],
    ['filter an array', () => wrap(counter(), filterObservation(['c'])), /needs a Tuple space/],
    ['grey no image', () => wrap(counter(), grayscaleObservation()), /uint8 images/],
    ['resize to nothing', () => resizeObservation([0, 3]), /\[height, width\]/],
    ['reshape to another size', () => wrap(counter(), reshapeObservation([2])), /has 2 elements/],
    [
      'rescale what has no bound',
      () => wrap(new CartPole() as Env<NdArray, unknown>, rescaleObservation(0, 1)),
      /infinite bounds/,
    ],
    ['rescale to a point', () => wrap(counter(), rescaleObservation(1, 1)), /must rise/],
    [
      'discretize what has no bound',
      () => wrap(new CartPole() as Env<NdArray, unknown>, discretizeObservation(3)),
      /finite bounds/,
    ],
    ['no bins', () => wrap(counter(), discretizeObservation(0)), /bins/],
    ['a delay before time', () => delayObservation(-1), /delay/],
    ['a stack of none', () => frameStackObservation(0), /size/],
    [
      'a padding of another kind',
      () => wrap(counter(), frameStackObservation(2, { padding: { element: 3 as never } })),
      /padding/,
    ],
    ['time without a limit', () => wrap(counter(), timeAwareObservation()), /no limit/],
    [
      'a key twice',
      () => wrap(wrap(counter() as Env<Obs, unknown>, dict), timeAwareObservation({ key: 'a', maxEpisodeSteps: 3 })),
      /key `a`/,
    ],
    ['a sure stick', () => stickyAction(1), /\[0, 1\)/],
    ['a stick of no time', () => stickyAction(0.5, { duration: 0 }), /duration/],
    ['clip to nothing', () => clipReward({}), /low <= high/],
    ['clip backwards', () => clipReward({ low: 2, high: 1 }), /low <= high/],
    ['epsilon 0', () => normalizeObservation({ epsilon: 0 }), /epsilon/],
    ['clip 0', () => normalizeObservation({ clip: 0 }), /clip must be above 0, actual value 0/],
    ['clip -1', () => normalizeReward({ clip: -1 }), /clip must be above 0, actual value -1/],
    ['gamma 2', () => normalizeReward({ gamma: 2 }), /gamma/],
    ['clip a Discrete', () => wrap(new Counter(3) as never, clipAction()), /needs a Box space/],
    [
      'too few actions',
      () => {
        const env = wrap(new SyncVectorEnv([counter()]), clipReward({ low: 0 }));
        env.reset();
        return env.step([]);
      },
      /0 actions for 1/,
    ],
  ])('%s', (_, run, message) => {
    expect(run).toThrow(message);
  });
});

it('keys that look like integers are kept by name, and in the order of their space', () => {
  const numbered = new Dict([
    ['10', new Box(0, 1000, [1])] as const,
    ['b', new Discrete(9)],
    ['2', new Discrete(1001)],
  ]);
  const env = wrap(
    new Counter(3),
    transformObservation<unknown, number, Obs>((o) => ({ 2: o.data[0]!, 10: o, b: 4 }), numbered),
  );
  const some = wrap(env as Env<Record<string, unknown>, number>, filterObservation([2, 10]));
  expect((some.observationSpace as Dict).keys).toEqual(['10', '2']);
  const { observation } = some.reset() as ResetResult<unknown>;
  expect(some.observationSpace.contains(observation)).toBe(true);
  expect(() => wrap(env as Env<Record<string, unknown>, number>, filterObservation([2, '2']))).toThrow(/each once/);
});

it('wrap keeps types and promises apart, and takes what make and makeVec give', async () => {
  const env = wrap(await make('CartPole-v1'), flattenObservation());
  expectTypeOf(env).toEqualTypeOf<Env<NdArray, number>>();
  expect(env.reset({ seed: 0 })).not.toBeInstanceOf(Promise);
  expect(String(env)).toBe('<FlattenObservation<OrderEnforcing<TimeLimit<CartPole<CartPole-v1>>>>>');
  expect(env.spec?.id).toBe('CartPole-v1');
  const vector = wrap(await makeVec('CartPole-v1', 2), frameStackObservation(4));
  expectTypeOf(vector).toEqualTypeOf<VectorEnv<NdArray<Float32Array>, number>>();
  expect(vector.observationSpace.shape).toEqual([4, 4]);
});

/** A user's own: nothing is declared, and it has members of which the contract knows nothing. */
class Thermostat {
  readonly observationSpace = new Dict({ room: new Box(-50, 50, [1]), heating: new Discrete(2) });
  readonly actionSpace = new Discrete(2);
  temperature = 15;
  #heating = 0;

  #observe() {
    return { room: ndarray(Float32Array.of(this.temperature), [1]), heating: this.#heating };
  }

  reset() {
    this.temperature = 15;
    return { observation: this.#observe(), info: {} };
  }

  step(action: number) {
    this.#heating = action;
    this.temperature += action === 1 ? 1 : -1;
    return { observation: this.#observe(), reward: 1, terminated: false, truncated: false, info: {} };
  }
}

it("wrap keeps the types of a user's own class, single and vector", () => {
  type Room = { room: Obs; heating: number };
  const stacked = wrap(new Thermostat(), frameStackObservation(4));
  expectTypeOf(stacked).toEqualTypeOf<Env<Room[], number>>();
  expectTypeOf(wrap(new Thermostat(), clipReward({ low: 0 }))).toEqualTypeOf<Env<Room, number>>();
  expectTypeOf(wrap(stacked, stickyAction(0.1))).toEqualTypeOf<Env<Room[], number>>();
  const vector = new SyncVectorEnv([new Thermostat(), new Thermostat()]);
  expectTypeOf(wrap(vector, delayObservation(2))).toEqualTypeOf<VectorEnv<Room, number>>();
  expectTypeOf(wrap(new CartPole(), frameStackObservation(4))).toEqualTypeOf<Env<Obs, number>>();
  const { observation } = stacked.reset() as ResetResult<Room[]>;
  expect(observation.map(({ room }) => room.data[0])).toEqual([15, 15, 15, 15]);
});

it('the end of a slow native vector environment is awaited', async () => {
  const env = wrap(
    await makeVec('Denoising-v0', 2, {
      timesteps: [1],
      latentShape: [2, 2, 3],
      prompts: ['a'],
      reward: async () => [3, 4],
    }),
    clipReward({ high: 3.5 }),
  );
  expect(env.horizon).toBe(1);
  await env.reset();
  const pending = env.step([env.actionSpace.sample(), env.actionSpace.sample()]);
  expect(pending).toBeInstanceOf(Promise);
  expect([...(await pending).rewards]).toEqual([3, 3.5]);
});
