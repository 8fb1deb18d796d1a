import { describe, expect, it } from 'vitest';
import { isNdArray, type NdArray, ndarray } from '../../../core/ndarray.js';
import {
  Acrobot,
  Bandit,
  Canvas,
  CartPole,
  type ClassicEnv,
  Identity,
  MountainCar,
  MountainCarContinuous,
  Pendulum,
  Probe,
  probeKinds,
  type RandomKind,
} from '../../../envs/index.js';

type Any = ClassicEnv<NdArray<Float32Array>, unknown>;
const torque = (a: number) => ndarray(Float32Array.of(a), [1]);

const makers: [string, (random?: RandomKind) => Any][] = [
  ['CartPole', (random) => new CartPole({ random }) as Any],
  ['MountainCar', (random) => new MountainCar({ random }) as Any],
  ['MountainCarContinuous', (random) => new MountainCarContinuous({ random }) as Any],
  ['Pendulum', (random) => new Pendulum({ random }) as Any],
  ['Acrobot', (random) => new Acrobot({ random, torqueNoise: 0.5 }) as Any],
  ['Bandit', (random) => new Bandit({ random, std: 1 }) as Any],
  ...(['discrete', 'multidiscrete', 'multibinary', 'box'] as const).map(
    (kind): [string, (random?: RandomKind) => Any] => [
      `Identity ${kind}`,
      (random) => new Identity({ kind, size: 3, random }) as unknown as Any,
    ],
  ),
  ...probeKinds.map((kind): [string, (random?: RandomKind) => Any] => [
    `Probe ${kind}`,
    (random) => new Probe({ kind, random }) as Any,
  ]),
  ['Probe policy, continuous', (random) => new Probe({ kind: 'policy', continuous: true, random }) as Any],
];

describe.each(makers)('%s', (_, make) => {
  it('gives members of its spaces and fresh objects', () => {
    const env = make();
    env.actionSpace.seed(0);
    let { observation, info } = env.reset({ seed: 0 });
    for (let i = 0; i < 100; i++) {
      expect(env.observationSpace.contains(observation)).toBe(true);
      const result = env.step(env.actionSpace.sample());
      if (isNdArray(observation)) expect(result.observation.data.buffer).not.toBe(observation.data.buffer);
      expect(result.info).not.toBe(info);
      expect(Number.isFinite(result.reward)).toBe(true);
      ({ observation, info } = result.terminated ? env.reset() : result);
    }
  });

  it.each(['seedrandom', 'numpy'] as const)('does the same again with the same seed (%s)', (random) => {
    const run = (seed: number) => {
      const env = make(random);
      env.actionSpace.seed(1);
      const log: unknown[] = [env.reset({ seed })];
      for (let i = 0; i < 20; i++) {
        const result = env.step(env.actionSpace.sample());
        log.push(result);
        if (result.terminated) log.push(env.reset());
      }
      return log;
    };
    expect(run(5)).toEqual(run(5));
  });

  it('goes on from a snapshot, random numbers included', () => {
    const env = make();
    env.actionSpace.seed(2);
    env.reset({ seed: 3 });
    env.step(env.actionSpace.sample());
    const saved = JSON.parse(JSON.stringify(env.snapshot()));
    const other = make();
    other.restore(saved);
    for (let i = 0; i < 10; i++) {
      const action = env.actionSpace.sample();
      const [a, b] = [env.step(action), other.step(action)];
      expect(b).toEqual(a);
      if (a.terminated) expect(other.reset()).toEqual(env.reset());
    }
    expect(() => other.restore({ ...saved, state: [1, 2, 3, 4, 5] })).toThrow(/5 numbers/);
  });

  it('names an action that is none', () => {
    const env = make();
    env.reset({ seed: 0 });
    for (const bad of [7, -1, 0.5, Number.NaN, 'left', undefined]) expect(() => env.step(bad)).toThrow(/action/);
  });
});

describe("with NumPy's numbers, reset(seed=42) is Gymnasium's", () => {
  it.each<[string, Any, number[]]>([
    ['CartPole', new CartPole({ random: 'numpy' }) as Any, [0.027395604, -0.006112156, 0.035859793, 0.019736802]],
    ['MountainCar', new MountainCar({ random: 'numpy' }) as Any, [-0.44520879, 0]],
    ['Pendulum', new Pendulum({ random: 'numpy' }) as Any, [-0.14995256, 0.98869318, -0.12224312]],
    [
      'Acrobot',
      new Acrobot({ random: 'numpy' }) as Any,
      [0.99849933, 0.0547638, 0.99992526, -0.012224007, 0.071719587, 0.039473604],
    ],
  ])('%s', (_, env, first) => {
    const { data } = env.reset({ seed: 42 }).observation;
    first.forEach((x, i) => {
      expect(data[i]).toBeCloseTo(x, 8);
    });
  });
});

describe('CartPole', () => {
  it('falls, and gives 1 for that step too and 0 after', () => {
    const env = new CartPole();
    env.reset({ seed: 0 });
    env.state = [0, 0, 0.2, 1];
    expect(env.step(1)).toMatchObject({ reward: 1, terminated: true, truncated: false });
    expect(env.step(1)).toMatchObject({ reward: 0, terminated: true });
  });

  it("has the book's reward on request", () => {
    const env = new CartPole({ suttonBartoReward: true });
    env.reset({ seed: 0 });
    expect(env.step(1).reward).toBe(0);
    env.state = [2.39, 5, 0, 0];
    expect(env.step(1).reward).toBe(-1);
  });

  it('starts within the bounds of the reset', () => {
    const env = new CartPole();
    for (let i = 0; i < 20; i++)
      for (const x of env.reset({ seed: i }).observation.data) expect(Math.abs(x)).toBeLessThanOrEqual(0.05);
    env.reset({ options: { low: 0.1, high: 0.2 } });
    for (const x of env.state) expect(x >= 0.1 && x <= 0.2).toBe(true);
    expect(() => env.reset({ options: { low: 'x' } })).toThrow(/low/);
  });

  it('refuses an unknown kind of random numbers at once', () => {
    expect(() => new CartPole({ random: 'mersenne' as RandomKind })).toThrow(/numpy/);
  });
});

describe('reset options', () => {
  const bounded = { low: 0.1, high: 0.2 };
  const known: [string, () => Any, Record<string, number>][] = [
    ['CartPole', () => new CartPole() as Any, bounded],
    ['Acrobot', () => new Acrobot() as Any, bounded],
    ['MountainCar', () => new MountainCar() as Any, bounded],
    ['MountainCarContinuous', () => new MountainCarContinuous() as Any, bounded],
    ['Pendulum', () => new Pendulum() as Any, { x_init: 0.5, y_init: 0.2 }],
    ['Bandit', () => new Bandit() as Any, {}],
    ['Identity', () => new Identity() as Any, {}],
    ['Probe', () => new Probe({ kind: 'action' }) as Any, {}],
  ];

  it.each(known)('of %s that it has not are named, with those that it has', (name, create, options) => {
    const env = create();
    env.reset({ options });
    const before = env.state;
    for (const unknown of ['lov', 'toString', '__proto__']) {
      const refused = () => env.reset({ seed: 3, options: Object.fromEntries([[unknown, 1]]) });
      expect(refused).toThrow(`${name}.reset: unknown option \`${unknown}\`.`);
      expect(refused).toThrow(`Known: ${Object.keys(options).join(', ') || '(none)'}.`);
    }
    for (const option of Object.keys(options))
      for (const bad of ['x', Number.NaN, Number.POSITIVE_INFINITY, null])
        expect(() => env.reset({ options: { [option]: bad } })).toThrow(`option \`${option}\` must be a number`);
    expect(env.state).toEqual(before);
  });

  it.each(known.slice(0, 4))('of %s with low above high are refused, and equal ones are a point', (_, create) => {
    const env = create();
    expect(() => env.reset({ options: { low: 0.5, high: -0.5 } })).toThrow(/`low` is 0.5, above `high`, -0.5/);
    expect(() => env.reset({ options: { low: 3 } })).toThrow(/`low` is 3, above `high`/);
    env.reset({ options: { low: 0.25, high: 0.25 } });
    expect(env.state[0]).toBe(0.25);
  });

  it('of Pendulum below 0 are refused', () => {
    for (const options of [{ x_init: -1 }, { y_init: -0.5 }])
      expect(() => new Pendulum().reset({ options })).toThrow(/at least 0; actual values/);
  });
});

it('Pendulum and the continuous car clip what they are asked for, and pay for it as Gymnasium does', () => {
  // env.unwrapped.state = np.array([3, .5]); env.step(np.array([1], dtype=np.float32)), then [-2.5]
  const pendulum = new Pendulum();
  pendulum.reset({ seed: 0 });
  pendulum.state = [3, 0.5];
  expect(pendulum.step(torque(1)).reward).toBeCloseTo(-9.026000000047498, 14);
  expect(pendulum.step(torque(-2.5)).reward).toBeCloseTo(-9.2893096487641, 12);
  const car = new MountainCarContinuous();
  car.reset({ seed: 0 });
  car.state = [-0.5, 0];
  expect(car.step(torque(3)).reward).toBeCloseTo(-0.9, 12); // the unclipped action's square
});

describe('Bandit', () => {
  it('pays each arm its mean', () => {
    const env = new Bandit({ arms: [3, -1] });
    env.reset({ seed: 0 });
    expect([env.step(0).reward, env.step(1).reward]).toEqual([3, -1]);
    const noisy = new Bandit({ arms: [5], std: 2 });
    noisy.reset({ seed: 0 });
    const x = Array.from({ length: 4000 }, () => noisy.step(0).reward);
    const mean = x.reduce((a, b) => a + b) / x.length;
    expect(mean).toBeCloseTo(5, 0);
    expect(Math.sqrt(x.reduce((a, b) => a + (b - mean) ** 2, 0) / x.length)).toBeCloseTo(2, 0);
    expect(() => new Bandit({ arms: [] })).toThrow(/arms/);
    expect(() => new Bandit({ std: -1 })).toThrow(/std/);
  });
});

describe('Probe', () => {
  const first = (env: Probe, seed: number) => env.reset({ seed }).observation.data[0]!;

  it('observation: the reward is what is seen', () => {
    const env = new Probe({ kind: 'observation' });
    const seen = new Set<number>();
    for (let seed = 0; seed < 20; seed++) {
      const x = first(env, seed);
      seen.add(x);
      expect(env.step(0)).toMatchObject({ reward: x, terminated: true });
    }
    expect([...seen].sort()).toEqual([-1, 1]);
  });

  it('discount: the reward is two steps away', () => {
    const env = new Probe({ kind: 'discount' });
    expect(first(env, 0)).toBe(0);
    expect(env.step(0)).toMatchObject({ reward: 0, terminated: false, observation: { data: Float32Array.of(1) } });
    expect(env.step(0)).toMatchObject({ reward: 1, terminated: true });
  });

  it('action and policy: there is a right action', () => {
    const action = new Probe({ kind: 'action' });
    action.reset({ seed: 0 });
    expect([action.step(0).reward, action.step(1).reward]).toEqual([-1, 1]);
    const policy = new Probe({ kind: 'policy' });
    for (let seed = 0; seed < 10; seed++) {
      const right = first(policy, seed) > 0 ? 1 : 0;
      expect([policy.step(right).reward, policy.step(1 - right).reward]).toEqual([1, -1]);
    }
    const continuous = new Probe({ kind: 'policy', continuous: true });
    const x = first(continuous, 1);
    expect(continuous.step(torque(x)).reward).toBe(1);
    expect(continuous.step(torque(0)).reward).toBe(0);
    expect(continuous.step(torque(-5 * x)).reward).toBe(-3);
    expect(() => new Probe({ kind: 'polcy' as 'policy' })).toThrow(/Did you mean `policy`/);
  });
});

describe('Identity', () => {
  it.each([
    'discrete',
    'multidiscrete',
    'multibinary',
    'box',
  ] as const)('rewards repeating what is seen (%s)', (kind) => {
    const env = new Identity({ kind, size: 4 });
    let { observation } = env.reset({ seed: 1 });
    const seen = new Set<string>();
    for (let i = 0; i < 30; i++) {
      seen.add(JSON.stringify(observation));
      const result = env.step(observation);
      expect(result.reward).toBe(1);
      observation = result.observation;
    }
    expect(seen.size).toBeGreaterThan(3);
    env.actionSpace.seed(0);
    const others = Array.from({ length: 30 }, () => env.step(env.actionSpace.sample()).reward);
    expect(others).toContain(0);
    expect(() => new Identity({ kind: 'bax' as 'box' })).toThrow(/Did you mean `box`/);
    expect(() => new Identity({ size: 0 })).toThrow(/size/);
  });
});

describe('pictures', () => {
  /** The mean place of the pixels that are not white, in pixels. */
  function centre({ data, shape }: NdArray): [number, number] {
    const [height = 0, width = 0] = shape;
    let [sum, sx, sy] = [0, 0, 0];
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const dark = 765 - data[3 * (y * width + x)]! - data[3 * (y * width + x) + 1]! - data[3 * (y * width + x) + 2]!;
        sum += dark;
        sx += dark * x;
        sy += dark * y;
      }
    return [sx / sum, sy / sum];
  }
  const drawn = (env: Any, state: number[]) => {
    env.reset({ seed: 0 });
    env.state = state;
    return env.render() as NdArray;
  };

  it('show the cart where it is and the pole as it leans', () => {
    const env = new CartPole() as Any;
    const [left, middle, right] = [-1, 0, 1].map((x) => centre(drawn(env, [x, 0, 0, 0]))[0]) as [
      number,
      number,
      number,
    ];
    expect(drawn(env, [0, 0, 0, 0]).shape).toEqual([400, 600, 3]);
    expect(middle).toBeCloseTo(299.5, 0);
    expect(right - middle).toBeGreaterThan(40);
    expect(middle - left).toBeGreaterThan(40);
    expect(centre(drawn(env, [0, 0, 0.2, 0]))[0]).toBeGreaterThan(middle + 2);
  });

  it('show the pendulum up at 0, and turning left with a positive angle, as Gymnasium', () => {
    const env = new Pendulum() as Any;
    const [x, y] = centre(drawn(env, [0, 0]));
    expect([Math.round(x), y < 230]).toEqual([250, true]);
    expect(centre(drawn(env, [Math.PI, 0]))[1]).toBeGreaterThan(270);
    expect(centre(drawn(env, [Math.PI / 2, 0]))[0]).toBeLessThan(230);
  });

  it('show the car move right, and the acrobot hang at 0', () => {
    const car = new MountainCar() as Any;
    expect(centre(drawn(car, [0.3, 0]))[0]).toBeGreaterThan(centre(drawn(car, [-1, 0]))[0] + 20);
    const acrobot = new Acrobot() as Any;
    expect(centre(drawn(acrobot, [0, 0, 0, 0]))[1]).toBeGreaterThan(centre(drawn(acrobot, [Math.PI, 0, 0, 0]))[1] + 50);
  });

  it('are text on request, and where there is nothing to draw', () => {
    const env = new CartPole({ render: 'text' });
    env.reset({ seed: 0 });
    env.state = [0, 0, 0, 1.5];
    const lines = env.render().toString().split('\n');
    expect(lines.at(-1)).toBe('0.000 0.000 0.000 1.500');
    expect(lines.some((line) => line.includes('@@@'))).toBe(true);
    const probe = new Probe({ kind: 'discount' });
    probe.reset({ seed: 0 });
    expect(probe.render()).toBe('0.000');
    expect(() => new CartPole({ render: 'human' as 'rgb' })).toThrow(/render/);
  });

  it('are drawn in shapes of the right size', () => {
    const ink = (canvas: Canvas) => canvas.picture().data.reduce((a, b) => a + 255 - b, 0) / 255 / 3;
    const blank = () => new Canvas(50, 40);
    const black = [0, 0, 0] as const;
    expect(ink(blank())).toBe(0);
    expect(ink(blank().circle([25, 20], 8, black)) / (Math.PI * 64)).toBeCloseTo(1, 1);
    expect(ink(blank().line([10, 20], [30, 20], 4, black)) / (20 * 4 + Math.PI * 4)).toBeCloseTo(1, 1);
    const square = [
      [10, 10],
      [30, 10],
      [30, 30],
      [10, 30],
    ] as const;
    expect(ink(blank().polygon(square, black))).toBeCloseTo(400, 0);
    expect(ink(blank().polygon([...square].reverse(), black))).toBeCloseTo(400, 0);
    expect(
      ink(
        blank().polygon(
          [
            [-100, -100],
            [200, -100],
            [200, 200],
            [-100, 200],
          ],
          black,
        ),
      ),
    ).toBeCloseTo(2000, 5);
  });
});
