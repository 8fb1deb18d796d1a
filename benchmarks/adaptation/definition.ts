import { readAdaptationRecord } from '../../training/families/adaptation-passes.js';
import { RunFolder } from '../../training/run-folder/index.js';
import type { PaperBenchmark, Part } from '../paper/definition.js';
import { confusionDrawing, labelDrawing, readingDrawing } from './drawings.js';
import { accuracyFigures } from './figures.js';
import { findingsOf } from './findings.js';

/** The aggressive step size and the gentle one. */
export const rates = [0.02, 0.005];

type Options = Readonly<Record<string, unknown>>;
type Matrices = Part['matrices'];

/** What every run has. The reward is what is compared here; no rule sees it. */
const common = { 'adaptation.reward': 'sparse', epochs: 12 };

/** Every agent, first at one rate and then at the other; what says most comes first, so that a part that is cut short says it. */
function everyAgent(pair: Options): Matrices {
  const options = { ...common, ...pair };
  const one = (agents: readonly string[], vary: Matrices[0]['vary'], more: Options = {}) => ({
    ...{ agents, envs: ['SourceFreeAdaptation-v0'], vary, options: { ...options, ...more } },
  });
  const at = (learningRate: number) => {
    const rate = { 'adaptation.learningRate': [learningRate] };
    return [
      one(['guided-pseudo-labels'], { 'agent.contrast': [0.2], ...rate }),
      one(['naive-pseudo-labels'], { 'agent.diversity': [0, 1], ...rate }),
      one(['oracle', 'shot'], rate),
      // As much contrast as the guided labels have: the weight of 1 of its paper slows both down on so few passes.
      one(['adacontrast'], rate, { 'agent.contrast': 0.2 }),
      one(['guided-pseudo-labels'], { 'agent.contrast': [0], ...rate }),
      // As many neighbours as the released code has for 55,000 samples; the default is for 1,500.
      one(['guided-pseudo-labels'], { 'agent.neighbours': [10], ...rate }),
      one(['threshold', 'random'], rate),
    ];
  };
  // The statistics alone take no steps, and so have no rate.
  return [...rates.slice(0, 1).flatMap(at), one(['batch-norm'], {}), ...rates.slice(1).flatMap(at)];
}

/** The guided labels without one of their parts each, at the aggressive rate. */
function ablations(pair: Options): Matrices {
  const one = (vary: Matrices[0]['vary'], more: Options = {}) => ({
    ...{ agents: ['guided-pseudo-labels'], envs: ['SourceFreeAdaptation-v0'], vary },
    options: { ...common, ...pair, 'adaptation.learningRate': rates[0], ...more },
  });
  return [
    // T = 10 needs an environment that shows as much; with fewer, the whole method is the T = 5 of this line.
    one({ 'agent.history': [1, 5, 10] }, { 'adaptation.history': 10 }),
    one({ 'agent.neighbours': [0] }),
    one({ 'agent.sharpness': [0] }),
    one({ 'agent.exclusion': [false] }),
    one({ 'agent.contrast': [0, 1] }),
    one({ 'agent.negative': [1] }),
  ];
}

const score = 'accuracy (mean over classes)';
const usps = 'USPS in one of its common forms (IDX, libsvm text, HDF5)';
const handwriting = { 'adaptation.sourceSize': 1500, 'adaptation.targetSize': 1500 };
const drawn = { 'adaptation.sourceSize': 800, 'adaptation.targetSize': 800, 'adaptation.probeSize': 400 };

/** What an independent prototype in PyTorch reached with the same settings, one seed a cell, in per cent. */
function prototype(columns: readonly string[], values: readonly (readonly [string, ...(string | number)[]])[]): string {
  const row = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  return [
    'For comparison, an independent prototype in PyTorch (the same settings, one seed a cell, so that less than 3 points are noise; per cent at rate .02 / .005):',
    [row(['method', ...columns]), row(['---', ...columns.map(() => '---')]), ...values.map(row)].join('\n'),
  ].join('\n\n');
}

const pair = (source: string, target: string, more: Options = handwriting) => ({ source, target, ...more });

const parts: Readonly<Record<string, Part>> = {
  'texture-mnist': {
    title: 'Digits drawn on patterns → real handwriting (MNIST)',
    about: [
      'A network that has only seen digits drawn by code reads handwriting, without a label of it. 1,500 pictures each, 12 passes, measured on 500 pictures of the test set that are never learned from.',
      prototype(
        ['texture → MNIST'],
        [
          ['source only (statistics of the target batch)', '52.5 (68.1)'],
          ['naive', '37.7 / 55.4'],
          ['naive + diversity', '86.7 / 91.3'],
          ['neighbours + weights + diversity, no contrast', '93.7 / 93.2'],
          ['AdaContrast-like', '93.8 / 93.0'],
          ['whole method with cross-entropy', '93.5 / 92.3'],
          ['whole method with negative learning', '82.3 / 78.6'],
        ],
      ),
      'What it comes to hangs on the source network: what is missed is mostly one or two classes that are taken for another, not some samples of each. A second implementation in PyTorch, from the source network and the pictures of seed 1 here, came to 81 and 86 % with five neighbours, weights and diversity and without the contrast (two orders of the samples), and to 55 % with naive labels and diversity, at rate .02.',
    ].join('\n\n'),
    score,
    matrices: everyAgent(pair('texture', 'mnist')),
  },
  'texture-street': {
    title: 'Digits drawn on patterns → drawn street numbers of little contrast',
    about: [
      '800 pictures each, 12 passes, measured on 400 others.',
      prototype(
        ['texture → street_hard'],
        [
          ['source only', '49.8'],
          ['naive', '10.2 / –'],
          ['naive + diversity', '14.0 / 79.1'],
          ['neighbours + diversity, no weights', '12.0 / –'],
          ['neighbours + weights + diversity, no contrast', '89.1 / –'],
          ['whole method with cross-entropy', '80.1 / –'],
          ['whole method with negative learning', '79.5 / 76.9'],
        ],
      ),
    ].join('\n\n'),
    score,
    matrices: everyAgent(pair('texture', 'street_hard', drawn)),
  },
  ablations: {
    title: 'The guided labels without one of their parts each (texture → MNIST, rate .02)',
    about:
      'T (`history`) is how many previous passes exclude negatives; `exclusion false` keeps all of the queue; `neighbours 0` is no refinement, `sharpness 0` no weights, `contrast 0` no contrast and no queue; `negative 1` is negative learning instead of cross-entropy, as the released code has it. The whole method is `history 5`.',
    score,
    matrices: ablations(pair('texture', 'mnist')),
  },
  'clean-mnist': {
    title: 'Digits drawn white on black → real handwriting (MNIST)',
    about: [
      '1,500 pictures each, 12 passes.',
      prototype(
        ['clean → MNIST'],
        [
          ['source only (statistics of the target batch)', '61.0 (64.7)'],
          ['naive', '23.6 / 64.1'],
          ['naive + diversity', '73.1 / 86.6'],
          ['neighbours + weights + diversity, no contrast', '87.0 / 88.8'],
          ['AdaContrast-like', '87.1 / 89.0'],
          ['whole method with cross-entropy', '87.2 / 90.3'],
        ],
      ),
    ].join('\n\n'),
    score,
    matrices: everyAgent(pair('clean', 'mnist')),
  },
  'clean-texture': {
    title: 'Digits drawn white on black → digits drawn on patterns',
    about: [
      '800 pictures each, 12 passes, measured on 400 others.',
      prototype(
        ['clean → texture'],
        [
          ['source only', '22.0'],
          ['naive', '46.4'],
          ['naive + diversity', '83.6'],
          ['neighbours + diversity, no weights', '93.6'],
          ['whole method with cross-entropy', '77.0'],
        ],
      ),
    ].join('\n\n'),
    score,
    matrices: everyAgent(pair('clean', 'texture', drawn)),
  },
  'mnist-usps': {
    title: 'MNIST → USPS',
    about: '1,500 pictures each, 12 passes.',
    score,
    data: { what: usps, options: ['targetFolder'] },
    matrices: everyAgent(pair('mnist', 'usps')),
  },
  'usps-mnist': {
    title: 'USPS → MNIST',
    about: '1,500 pictures each, 12 passes.',
    score,
    data: { what: usps, options: ['sourceFolder'] },
    matrices: everyAgent(pair('usps', 'mnist')),
  },
};

/** Metrics of the last pass that become measures, by the measure's name. */
const ofLastPass = {
  vote: 'neighbourAccuracy',
  labels: 'pseudoLabelAccuracy',
  weightRight: 'weightRight',
  weightWrong: 'weightWrong',
  falseNegatives: 'falseNegatives',
  wrongExclusions: 'wrongExclusions',
} as const;

export const adaptation: PaperBenchmark = {
  name: 'adaptation',
  title: 'Guided pseudo-labels against their rivals: a network in a domain without labels',
  about: [
    'Litrico, Del Bue, Morerio, *Guiding Pseudo-labels with Uncertainty Estimation for Source-free Unsupervised Domain Adaptation*, CVPR 2023 ([arXiv 2303.03770](https://arxiv.org/abs/2303.03770)), on small data that needs no download, with a small convolutional network. On VisDA-C with a ResNet-101 the paper reports 90.0 % against 86.8 % of AdaContrast and 83.0 % of SHOT; here it is its mechanisms that are tested, at an aggressive step size (.02) and a gentle one (.005).',
    "Defaults are this project's own where the paper's values suit a ResNet and hundreds of epochs: step sizes, momentum .9, the momentum network's .99, five neighbours (the released code has ten, for 55,000 samples), a weight of .2 for the contrast, cross-entropy instead of negative learning, 12 passes. T = 5, α = 1, τ = .07 and the weight 1 of the diversity are those of the released code. The settings were found on other seeds than those of the tables. The seed fixes the drawn pictures, which pictures of MNIST are taken, the source network, and the adaptation.",
  ].join('\n\n'),
  seeds: [0, 1, 2],
  parts,
  curves: false,
  measures: {
    source: { title: 'source only' },
    vote: { title: "neighbours' vote" },
    labels: { title: 'right labels' },
    weightRight: { title: 'weight of right labels' },
    weightWrong: { title: 'of wrong ones' },
    falseNegatives: { title: 'false negatives' },
    wrongExclusions: { title: 'wrong exclusions' },
  },
  measure: async (path) => {
    const metrics = await RunFolder.open(path).metrics();
    const { before } = await readAdaptationRecord(path);
    const last = metrics.at(-1)!;
    const measures: Record<string, number> = { source: before.accuracy, pass0: before.accuracy };
    for (const [name, metric] of Object.entries(ofLastPass)) {
      const value = last[`adaptation/${metric}`];
      if (value !== undefined) measures[name] = value;
    }
    for (const m of metrics) measures[`pass${m.epoch}`] = m['adaptation/accuracy']!;
    return measures;
  },
  figures: accuracyFigures,
  drawings: [
    {
      file: 'read',
      title: 'How pictures are read before and after',
      caption:
        'The first pictures that are measured on: how they are read before and after, by guided labels at rate .02.',
      algorithm: 'guided-pseudo-labels (contrast 0.2, learningRate 0.02)',
      draw: readingDrawing,
    },
    {
      file: 'labels',
      title: 'Samples with their labels and weights',
      caption:
        'Guided labels at rate .02 in the last pass, and how much each counts: right ones above, wrong ones below with the true class in brackets.',
      algorithm: 'guided-pseudo-labels (contrast 0.2, learningRate 0.02)',
      draw: labelDrawing,
    },
    {
      file: 'confusion',
      title: 'What is taken for what',
      caption: 'Guided labels at rate .02: true classes in rows, read ones in columns, before and after.',
      algorithm: 'guided-pseudo-labels (contrast 0.2, learningRate 0.02)',
      draw: confusionDrawing,
    },
  ],
  findings: (runs) =>
    Object.entries(parts)
      .filter(([part]) => runs.some((run) => run.part === part && run.state === 'finished'))
      .flatMap(([part]) => findingsOf(runs, part)),
};
