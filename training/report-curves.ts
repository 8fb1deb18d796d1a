import { mean } from '../core/statistics.js';
import type { Metrics } from '../core/types.js';
import type { Figure } from './figures.js';
import { number } from './progress.js';
import type { Story } from './report-story.js';
import { rollingWindow } from './reward-metrics.js';

/** How the mean reward changed, over the epochs in which episodes ended. */
export interface Rise {
  /** The metrics of the first of these epochs. */
  readonly start: Readonly<Metrics>;
  readonly first: number;
  /** The mean of the last fifth of these epochs. */
  readonly last: number;
  /** The change, in standard deviations of the first of these epochs; undefined where its rewards were all alike. */
  readonly deviations: number | undefined;
}

/** The metrics of the epochs that have a reward. In an epoch in which no episode ended there is none. */
export function rewarded(metrics: readonly Metrics[]): readonly Metrics[] {
  return metrics.filter((m) => Number.isFinite(m['reward/mean']));
}

/** The rise of the mean reward, where at least two epochs have one. */
export function rise(metrics: readonly Metrics[]): Rise | undefined {
  const epochs = rewarded(metrics);
  if (epochs.length < 2) return undefined;
  const [start] = epochs;
  const first = start!['reward/mean']!;
  const last = mean(epochs.slice(-Math.max(1, Math.floor(epochs.length / 5))).map((m) => m['reward/mean']!));
  const deviations = (last - first) / start!['reward/std']!;
  return { start: start!, first, last, deviations: Number.isFinite(deviations) ? deviations : undefined };
}

function points(metrics: readonly Metrics[], key: string): [number, number][] {
  return metrics.flatMap((m) => (m[key] === undefined ? [] : [[m.epoch!, m[key]] as [number, number]]));
}

/** The curve of the reward, or undefined where nothing has a reward yet. */
export function rewardFigure({ metrics, evaluations, words }: Story): Figure | undefined {
  const curve = points(metrics, 'reward/mean');
  const rolling = points(metrics, 'reward/rolling');
  const dots = evaluations.map((e) => [e.epoch, e.mean] as [number, number]);
  const band = metrics.flatMap((m) => {
    const [at, spread] = [m['reward/mean'], m['reward/std']];
    return Number.isFinite(at) && Number.isFinite(spread) ? [[m.epoch!, at! - spread!, at! + spread!] as const] : [];
  });
  const series = [
    { name: `${words.episodes} of an epoch: mean ± standard deviation`, points: curve, band },
    { name: `the last ${rollingWindow} ${words.episodes}: mean`, points: rolling },
    { name: `${words.fixed}: mean`, points: dots, dots: true },
  ].filter(({ points }) => points.some(([, value]) => Number.isFinite(value)));
  return series.length === 0 ? undefined : { title: 'Reward', unit: '', series };
}

/** Metrics that belong together, with what is to be said of them. */
interface Diagnostic {
  readonly title: string;
  readonly unit: string;
  /** Empty where nobody has described them. */
  readonly about: string;
  /** Key and name of each curve. */
  readonly curves: readonly (readonly [string, string])[];
  readonly stacked?: boolean;
}

/** A curve for the page. */
export interface Plot {
  readonly figure: Figure;
  readonly about: string;
}

/** A metric that had the same value wherever it was logged: the number says more than a straight line. */
export interface Constant {
  readonly title: string;
  readonly value: string;
  readonly about: string;
}

/** What was logged beside the reward: the terms of the reward, what the agent logged, the episodes' length, and the time. */
export function diagnostics(story: Story): {
  readonly plots: readonly Plot[];
  readonly constants: readonly Constant[];
} {
  const { metrics } = story;
  const plots: Plot[] = [];
  const constants: Constant[] = [];
  for (const { title, unit, about, curves, stacked } of diagnosticsOf(story)) {
    const series = curves
      .map(([key, name]) => ({ name, points: points(metrics, key) }))
      .filter((s) => s.points.length > 0);
    if (series.some((s) => varies(s.points)))
      plots.push({ figure: { title, unit, series, ...(stacked && { stacked }) }, about });
    else
      for (const { name, points } of series)
        constants.push({
          title: curves.length > 1 ? `${title}: ${name}` : title,
          value: number(points.at(-1)![1]),
          about,
        });
  }
  return { plots, constants };
}

/** Whether there is a curve to be drawn: several values, and not all of them NaN or infinite. */
function varies(points: readonly (readonly [number, number])[]): boolean {
  const values = new Set(points.map(([, value]) => value));
  return values.size > 1 && [...values].some(Number.isFinite);
}

/** Keys that the page tells in its own words, or elsewhere. */
const own = /^(epoch|envSteps|episodes|rewardQueries|updates|(reward|term|episode|eval|time|watch)\/.*)$/;

/** What the watch sees, on prompts and noises that are always the same. */
const watched: readonly Diagnostic[] = [
  {
    title: 'Watch: trained reward',
    unit: 'mean',
    about:
      'Training samples with noise; a model is often used without. A wide gap says that what was learned needs the noise.',
    curves: [
      ['watch/reward', 'with the noise of training'],
      ['watch/rewardDeterministic', 'without noise (η = 0)'],
    ],
  },
  {
    title: 'Watch: guard',
    unit: 'mean',
    about: 'A reward that is not trained on. That it falls while the trained one rises is over-optimisation.',
    curves: [
      ['watch/guard', 'with the noise of training'],
      ['watch/guardDeterministic', 'without noise (η = 0)'],
    ],
  },
  {
    title: 'Watch: diversity',
    unit: 'root mean square difference, 0 to 1',
    about: 'How far pictures of one prompt are apart. Towards 0, they are all the same.',
    curves: [['watch/diversity', 'diversity']],
  },
  {
    title: 'Watch: features',
    unit: '1 less the cosine, 0 to 1',
    about:
      'As a vision network sees them: how far pictures of one prompt are apart, and how far all are from those before training.',
    curves: [
      ['watch/featureDiversity', 'diversity'],
      ['watch/featureDrift', 'drift'],
    ],
  },
  {
    title: 'Watch: pictures',
    unit: 'of 1',
    about: 'What pictures look like, whatever they show. None of it should run away.',
    curves: [
      ['watch/brightness', 'brightness'],
      ['watch/saturation', 'saturation'],
      ['watch/highFrequency', 'high frequencies'],
      ['watch/blank', 'share that is blank'],
    ],
  },
  {
    title: 'Watch: KL to the start',
    unit: "nats a chain, mean over a latent's dimensions",
    about: 'How far sampling has gone from what it was when the run began.',
    curves: [['watch/kl', 'KL']],
  },
];

const whyNothingIsClipped =
  'Here an epoch has one update: its samples were made by the very weights that it starts from, so every ratio is exactly 1, and nothing can be clipped. That is as it must be.';

/** Whether each epoch had a single update, which is made where the samples come from. */
function isOnPolicy(metrics: readonly Metrics[]): boolean {
  const updates = metrics.flatMap((m) => m.updates ?? []);
  return updates.length > 0 && updates.every((count, i) => count - (updates[i - 1] ?? 0) === 1);
}

function diagnosticsOf({ metrics, agent, words: { groups = [] } }: Story): Diagnostic[] {
  const keys = [...new Set(metrics.flatMap((m) => Object.keys(m)))];
  const grouped = (key: string) => groups.some(({ prefix }) => key.startsWith(prefix));
  const undescribed = keys.filter((key) => !own.test(key) && !Object.hasOwn(agent.metrics, key) && !grouped(key));
  const terms = { prefix: 'term/', title: 'Terms of the reward', unit: 'mean', about: 'What the reward is made of.' };
  return [
    ...[...groups, ...(groups.some(({ prefix }) => prefix === terms.prefix) ? [] : [terms])].map(
      ({ prefix, ...described }) => ({
        ...described,
        curves: keys.filter((key) => key.startsWith(prefix)).map((key) => [key, key.slice(prefix.length)] as const),
      }),
    ),
    ...watched,
    ...Object.entries(agent.metrics).map(([key, { title, unit, about }]) => ({
      title,
      unit,
      about: key === 'train/clipFraction' && isOnPolicy(metrics) ? `${about} ${whyNothingIsClipped}` : about,
      curves: [[key, title] as const],
    })),
    ...undescribed.map((key) => ({ title: key, unit: '', about: '', curves: [[key, key] as const] })),
    {
      title: 'Episode length',
      unit: 'steps',
      about: 'Mean over the episodes that ended.',
      curves: [['episode/length', 'length']],
    },
    {
      title: 'Time',
      unit: 'seconds an epoch',
      about: 'What an epoch is spent on.',
      curves: [
        ['time/sample', 'sampling'],
        ['time/learn', 'learning'],
      ],
      stacked: true,
    },
  ];
}
