import { mean } from '../../core/statistics.js';
import { algorithmOf, grouped } from '../../training/benchmark/results.js';
import { meanAndRange, type Series } from '../../training/figures.js';
import { RunFolder } from '../../training/run-folder/index.js';
import type { NamedFigure, PaperBenchmark, PaperRun, Part } from '../paper/definition.js';
import { mapDrawing } from './drawings.js';
import { findingsOf } from './findings.js';

type One = Part['matrices'][0];

const envs = ['FederatedPrototypes-v0'];
const one = (agent: string, options: One['options'], vary: One['vary'] = {}): One => ({
  agents: [agent],
  ...{ envs, options, vary },
});

/** Each half of FPL alone. */
const halves = (options: One['options']): One[] => [
  one('fpl', options, { 'agent.consistency': [0] }),
  one('fpl', options, { 'agent.contrastive': [0] }),
];
const withGlobal = (options: One['options']) => one('fpl', options, { 'agent.consistentWith': ['global'] });

const agents = 'fpl fedproto fedavg fedprox moon fedproc feddyn fedopt krum trimmed-mean median'.split(' ');
const everything = (options: One['options']): One[] => {
  const all = (names: readonly string[]): One => ({ agents: names, envs, options, vary: {} });
  // With its own weight of 1 MOON's contrast keeps these small networks from learning at all.
  const gentleMoon = one('moon', options, { 'agent.mu': [0.1] });
  return [all(agents.slice(0, 3)), ...halves(options), all(agents.slice(3)), gentleMoon];
};

/** Two clients of ten send their update times −4. */
const attacked = [
  { domain: 'clean', clients: 2, samples: 40 },
  { domain: 'lowres', clients: 3, samples: 20 },
  { domain: 'street', clients: 2, samples: 60 },
  { domain: 'street', clients: 1, samples: 60, attack: 'sign-flip' },
  { domain: 'texture', clients: 1, samples: 20 },
  { domain: 'texture', clients: 1, samples: 20, attack: 'sign-flip' },
];

const score = 'return of the episode';

/** What the domains are called in the allocations of this benchmark. */
const domains = ['clean', 'lowres', 'street', 'texture', 'invert', 'mnist', 'usps'] as const;

const drawn = { 'federated.clients': 'drawn', workers: 0 };
const real = { 'federated.clients': 'real', 'federated.testSamples': 400, workers: 0 };
const failing = { ...drawn, 'federated.failureRate': 0.2, 'federated.stragglerRate': 0.2, 'federated.deadline': 8 };
const attackers = { ...drawn, 'federated.clients': attacked };
const dominant = { ...drawn, 'federated.clients': 'dominant' };
const paper = { ...drawn, 'federated.clients': 'paper' };
const short = {
  ...{ ...drawn, 'federated.clients': 'random', 'federated.rounds': 6, 'federated.localEpochs': 2 },
  ...{ 'federated.testSamples': 100, 'evaluation.samples': 8 },
};
const learned = {
  ...{ ...short, knobs: true, epochs: 10, 'agent.collect.steps': 28, 'agent.learningRate': 3e-3, 'agent.gamma': 1 },
};

/** FPL's comparison. */
export const federated: PaperBenchmark = {
  name: 'federated',
  title: 'FPL: federated prototypes under domain shift',
  about: `Huang et al., *Rethinking Federated Learning with Domain Shift: A Prototype View*, CVPR 2023. Ten clients with 20 to 60 pictures each of one domain, 16 rounds of 4 local epochs, batches of 16, SGD with a learning rate of .05 and momentum .9, gradients clipped at 5, a network of three convolutions without batch normalisation; the paper has ResNet-10, hundreds of pictures a client, and 100 rounds of 10 epochs. \`accuracy\` is what the paper reports: the mean over domains and over the last rounds (here 3), on test pictures that no client has. All strategies have the defaults of this package (τ = .1, μ = .01 for FedProx and so on), which were not searched for on these runs, but for MOON, whose own weight of 1 keeps these small networks from learning, so that .1 stands beside it. A seed decides who has which pictures, the first weights and all that happens. \`fpl (consistency 0)\` is the contrast with clusters alone (CPCL), \`fpl (contrastive 0)\` the pull to unbiased prototypes alone (UPCR).`,
  seeds: [0, 1, 2],
  curves: false,
  parts: {
    drawn: {
      title: 'Drawn domains',
      about: 'clean 2 × 40, lowres 3 × 20, street 3 × 60, texture 2 × 20 pictures. All agents, and both halves of FPL.',
      score,
      matrices: everything(drawn),
    },
    real: {
      title: 'Real handwriting beside drawn digits',
      about: 'MNIST 3 × 40, USPS 2 × 20, street 3 × 60, texture 2 × 20.',
      score,
      data: { what: 'USPS', options: ['federated.folders.usps'] },
      matrices: everything(real),
    },
    'real-without-usps': {
      title: 'The same where USPS is not at hand',
      about:
        'MNIST 3 × 40, street 3 × 60, texture 2 × 20, and two drawn domains more, lowres 2 × 20 and invert 2 × 20.',
      score,
      matrices: everything({ ...real, 'federated.clients': 'real-without-usps' }),
    },
    ablations: {
      title: 'What of FPL counts',
      about:
        "On the drawn domains: the global prototype instead of the unbiased one; FINCH's finest partition; one prototype a class in the contrast; and other temperatures.",
      score,
      matrices: [
        withGlobal(drawn),
        one('fpl', drawn, { 'agent.level': [0] }),
        one('fpl', drawn, { 'agent.contrastWith': ['global'] }),
        one('fpl', drawn, { 'agent.temperature': [0.02, 0.05, 0.5] }),
      ],
    },
    rounds: {
      title: 'Federated averaging with twice the rounds',
      about: 'On the drawn domains, 32 rounds.',
      score,
      matrices: [one('fedavg', drawn, { 'federated.rounds': [32] })],
    },
    failures: {
      title: 'Failures and stragglers',
      about:
        'A fifth of the answers fails, another fifth takes ten times as long, and the server waits 8 virtual seconds.',
      score,
      matrices: [one('fpl', failing), one('fedavg', failing), one('fedprox', failing)],
    },
    attackers: {
      title: 'Attackers',
      about: 'Two of ten clients, one of street and one of texture, send their update times −4.',
      score,
      matrices: ['fpl', 'fedavg', 'krum', 'trimmed-mean', 'median'].map((agent) => one(agent, attackers)),
    },
    dominant: {
      title: 'A dominant domain, 7/1/1/1',
      about: 'clean 7 × 40, lowres 1 × 20, street 1 × 60, texture 1 × 20.',
      score,
      matrices: [one('fpl', dominant), withGlobal(dominant), ...halves(dominant), one('fedavg', dominant)],
    },
    paper: {
      title: "The paper's numbers of clients, 3/7/6/4",
      about: 'clean 3 × 40, lowres 7 × 20, street 6 × 60, texture 4 × 20.',
      score,
      matrices: [one('fpl', paper), withGlobal(paper), one('fedavg', paper)],
    },
    knobs: {
      title: 'PPO on the knobs',
      about:
        'Episodes of 6 rounds of 2 local epochs, in each of which the numbers of clients of the four drawn domains are drawn anew (`random`). `ppo` sets the seven knobs of each round, and learns from 40 episodes; `fpl` is what the default knobs do. The score is the mean return of eight fixed episodes, whose allocations PPO has not trained on.',
      score: 'return, held out',
      matrices: [one('ppo', learned), one('fpl', short)],
    },
  },
  measures: {
    accuracy: { title: 'accuracy' },
    worst: { title: 'weakest domain' },
    ...Object.fromEntries(domains.map((domain) => [domain, { title: domain }])),
    clusters: { title: 'clusters a class' },
    gapGlobal: { title: 'G: far less near' },
    gapUnbiased: { title: 'U: far less near' },
    movementGlobal: { title: 'G moves' },
    movementUnbiased: { title: 'U moves' },
  },
  measure,
  byEpoch: async (folder) => {
    const metrics = await RunFolder.open(folder).metrics();
    const keys = Object.keys(metrics[1] ?? {}).filter(
      (key) => key.startsWith('federated/') && !key.endsWith('seconds'),
    );
    return Object.fromEntries(
      keys.map((key) => [
        key.slice('federated/'.length),
        metrics.flatMap((m) => (m[key] === undefined ? [] : [Number(m[key].toPrecision(4))])),
      ]),
    );
  },
  figures,
  drawings: ['fpl', 'fedavg'].map((algorithm) => ({
    file: `map-${algorithm}`,
    title: `Prototypes with ${algorithm}`,
    caption: `What each client's network makes of each class with ${algorithm}, in the plane in which these differ most, for the first seed: a point is the mean feature of one class at one client. Colours are classes, shapes are domains.`,
    algorithm,
    draw: mapDrawing,
  })),
  findings: findingsOf,
};

/** The numbers of a run: accuracies as papers give them, and where prototypes lie in the second half of the rounds. */
async function measure(folder: string): Promise<Record<string, number>> {
  const metrics = await RunFolder.open(folder).metrics();
  // A learning agent's episodes are many.
  if (metrics.at(-1)!['federated/meanAccuracy'] === undefined) return {};
  const settled = (key: string) => mean(metrics.slice(-3).map((m) => m[key]!));
  const prefix = 'federated/accuracy/';
  const accuracies = Object.keys(metrics.at(-1)!)
    .filter((key) => key.startsWith(prefix))
    .map((key) => [key.slice(prefix.length), settled(key)] as const);
  const late = metrics.slice(Math.floor(metrics.length / 2), -1);
  const over = (key: string) => mean(late.flatMap((m) => m[key] ?? []));
  const gap = (kind: string) => {
    const distances = accuracies.map(([domain]) => over(`federated/distance/${kind}/${domain}`));
    return Math.max(...distances) - Math.min(...distances);
  };
  return {
    accuracy: mean(accuracies.map(([, value]) => value)),
    worst: Math.min(...accuracies.map(([, value]) => value)),
    ...Object.fromEntries(accuracies),
    clusters: over('federated/clusters'),
    ...{ gapGlobal: gap('global'), gapUnbiased: gap('unbiased') },
    ...{ movementGlobal: over('federated/movement/global'), movementUnbiased: over('federated/movement/unbiased') },
  };
}

/**
 * Accuracy by rounds: the mean over domains of each strategy, and every domain of the ones that are compared most; of FPL how
 * many clusters a class has, and how its two kinds of one prototype a class move, and lie to the domains'.
 */
function figures(part: string, runs: readonly PaperRun[]): NamedFigure[] {
  const finished = runs.filter((run) => run.state === 'finished' && run.byEpoch?.meanAccuracy !== undefined);
  if (finished.length === 0) return [];
  const some = finished.filter(({ agent }) => ['fpl', 'fedproto', 'fedavg'].includes(agent));
  const fpl = finished.filter((run) => algorithmOf(run) === 'fpl');
  const named = (prefix: string, own: readonly PaperRun[]) => {
    const keys = own.flatMap(({ byEpoch }) => Object.keys(byEpoch!).filter((key) => key.startsWith(prefix)));
    return [...new Set(keys)].map((key) => [key, key.slice(prefix.length)] as const);
  };
  const byAlgorithm = (key: string, own: readonly PaperRun[]) =>
    grouped(own, algorithmOf).flatMap((group) => curve(algorithmOf(group[0]!), key, group));
  const ofFpl = (keys: readonly (readonly [key: string, name: string])[]) =>
    keys.flatMap(([key, name]) => curve(name, key, fpl));
  const figure = (title: string, unit: string, file: string, series: Series[]): NamedFigure => ({
    ...{ title, unit, series, across: 'round', width: 460, height: 240, file: `${part}-${file}` },
    caption: `${title}, by rounds: mean and range over seeds.`,
  });
  const share = 'share of test pictures';
  const lengths = 'lengths of a prototype';
  return [
    figure('Accuracy, mean over domains', share, 'accuracy', byAlgorithm('meanAccuracy', finished)),
    ...named('accuracy/', some).map(([key, name]) =>
      figure(`Accuracy on ${name}`, share, name, byAlgorithm(key, some)),
    ),
    figure('FPL: clusters a class', 'number', 'clusters', ofFpl([['clusters', 'fpl']])),
    figure('FPL: how far prototypes move in a round', lengths, 'movement', ofFpl(named('movement/', fpl))),
    figure(
      'FPL: distance of global prototypes to those of a domain',
      lengths,
      'global-prototypes',
      ofFpl(named('distance/global/', fpl)),
    ),
    figure(
      'FPL: distance of unbiased prototypes to those of a domain',
      lengths,
      'unbiased-prototypes',
      ofFpl(named('distance/unbiased/', fpl)),
    ),
  ].filter(({ series }) => series.length > 0);
}

/** A number of several runs by rounds; none where a run lacks it. */
function curve(name: string, key: string, runs: readonly PaperRun[]): Series[] {
  const curves = runs.map(({ byEpoch }) => byEpoch![key] ?? []);
  const length = Math.min(...curves.map((values) => values.length));
  if (curves.length === 0 || length === 0) return [];
  // What rests on answers begins with the first round, and what rests on those of two rounds with the second.
  const first = Math.min(...runs.map(({ byEpoch }) => byEpoch!.meanAccuracy!.length)) - length;
  const rounds = [...Array(length).keys()];
  const places = rounds.map((i) => first + i);
  return [
    meanAndRange(
      name,
      places,
      rounds.map((i) => curves.map((values) => values[i]!)),
    ),
  ];
}
