import type { PaperBenchmark, PaperRun, Part } from '../paper/definition.js';
import {
  bySeed,
  type Finding,
  paired,
  positiveFinding,
  type Select,
  seeds,
  separated,
  shownInterval,
  shownShare,
} from '../paper/findings.js';
import { watched } from '../paper/watched.js';

type Options = Readonly<Record<string, unknown>>;
type Matrix = Part['matrices'][0];

/** Epochs of the policy gradients, of 64 samples each; the other agents have as many reward queries. */
const samples = 64;
const epochs = { short: 8, long: 60 } as const;

/** What all runs have in common. Initial noises and prompts of the evaluation are the same for all. */
const common = { numEnvs: 32, 'evaluation.pictures': 32, 'watch.samples': 32 };
const short = { ...common, 'sampling.steps': 8, 'evaluation.samples': 128, 'watch.every': 1000, checkpointEvery: 4 };
const long = { ...common, 'evaluation.samples': 1024, 'watch.every': 20, checkpointEvery: 10 };

/** Those at which GRPO's surrogates are compared: what did best for DDPO-IS on one prompt, and twice that. */
const surrogateRates = [5e-4, 1e-3];

/** The rate of a LoRA: ten times that of all weights, or thirty times. */
const loraRates = [1e-3, 3e-3] as const;
const loraRanks = [4, 16];

const one = (agent: string, learningRate: number, options: Options, vary: Matrix['vary'] = {}) => ({
  ...{ agents: [agent], envs: ['Denoising-v0'], vary },
  options: { ...options, 'agent.learningRate': learningRate },
});

/** The size of files: few prompts, few queries. Learning rates did best in the search that `about` tells of. */
function ofJpeg(title: string, about: string, reward: string): Part {
  const task = { ...short, reward, 'prompts.kinds': ['color'], 'watch.guard': 'shapes' };
  const gradient = {
    ...{ ...task, epochs: epochs.short, samplesPerEpoch: samples },
    ...{ 'agent.advantage': 'per-prompt', 'agent.perPromptMinCount': 4, 'agent.timestepFraction': 0.5 },
  };
  // An epoch of these is a pass over a set of samples, of which there are two; each has 5 passes, or 20.
  const sets = { ...task, samplesPerEpoch: 256, 'agent.batch': 32 };
  const matrices = [
    one('ppo', 5e-4, { ...gradient, 'agent.minibatches': 4 }),
    one('reinforce', 1e-3, gradient),
    one('rwr', 3e-4, { ...sets, epochs: 10 }),
    one('rwr-sparse', 3e-4, { ...sets, epochs: 40 }),
  ];
  return { title, about, score: `${reward.includes('incompress') ? '' : '−'}JPEG, kB`, matrices };
}

/**
 * Whether pictures are right: hundreds of prompts, of which most are drawn right already, so that it takes thousands of
 * queries and the defaults of the package: 10 steps, all of them trained, advantages of the whole batch.
 */
function ofShapes(kind: string, about: string, lora = false): Part {
  const task = { ...long, reward: `shapes-${kind}`, 'prompts.kinds': [kind], 'watch.guard': 'shapes-shape' };
  const gradient = { ...task, epochs: epochs.long, samplesPerEpoch: samples };
  // Four sets, with 5 passes each, or 20.
  const sets = { ...task, samplesPerEpoch: (epochs.long * samples) / 4, 'agent.batch': 32 };
  return {
    title: kind[0]!.toUpperCase() + kind.slice(1),
    about: `${about} The guard is whether ${kind === 'composition' || kind === 'count' ? 'their shapes are' : 'its shape is'} right.`,
    score: 'right',
    matrices: [
      one('ppo', 1e-4, gradient),
      ...(lora ? loras(gradient) : []),
      one('reinforce', 1e-4, gradient),
      one('rwr', 1e-4, { ...sets, epochs: 20 }),
      one('rwr-sparse', 1e-4, { ...sets, epochs: 80 }),
    ],
  };
}

const loras = (gradient: Options): Matrix[] => [
  one('ppo', loraRates[0], gradient, { 'adapter.rank': loraRanks }),
  one('ppo', loraRates[1], gradient, { 'adapter.rank': loraRanks.slice(0, 1), 'agent.learningRate': [loraRates[1]] }),
];

/** GRPO on one prompt. */
const ofSurrogates = (surrogates: readonly string[], more: Options = {}): Matrix => ({
  agents: ['grpo'],
  envs: ['Denoising-v0'],
  vary: { 'agent.learningRate': surrogateRates, 'agent.surrogate': surrogates },
  options: {
    ...{ ...short, reward: 'shapes-composition', 'watch.guard': 'shapes-shape', 'watch.perPrompt': 32 },
    ...{ 'prompts.kind': 'list', 'prompts.list': ['a yellow star and a white star'] },
    ...{ epochs: epochs.short, samplesPerEpoch: samples },
    ...{ 'agent.timestepFraction': 0.5, 'agent.minibatches': 4, ...more },
  },
});

const guardAbout = 'The guard, which is not trained on, is whether a picture still shows what its prompt says.';

export const ddpo: PaperBenchmark = {
  name: 'ddpo',
  title: 'DDPO: policy gradients against reward-weighted regression',
  about: `Black et al., *Training Diffusion Models with Reinforcement Learning* ([arXiv 2305.13301](https://arxiv.org/abs/2305.13301)), §6.1: DDPO-IS (\`ppo\`), DDPO-SF (\`reinforce\`), RWR (\`rwr\`) and RWR-sparse (\`rwr-sparse\`) on the embedded model of shapes, at the same number of reward queries, DDIM with η = 1, unguided: ${epochs.short * samples} queries of 8 steps on the size of files, ${epochs.long * samples} of 10 steps on whether pictures are right. The score is the mean over 128 fixed prompts and noises after training, or 1,024 of them, the same for all runs. JPEG rewards are of the prompts of colours ("a red star").

Learning rates were searched once on seed 100, with 512 queries; 128 fixed samples, before → after. Incompressibility (.836 kB before): DDPO-IS 5e-4 → .863, 1e-3 → .862; DDPO-SF 3e-4 → .869, 1e-3 → .886 (the end of its grid, and, as the pictures show, of its pictures); RWR 3e-4 → .842, 1e-3 → .838; RWR-sparse 3e-4 → .849. JPEG rates were taken for compressibility too. Composition (.781 before): DDPO-IS 1e-4 → .711, 5e-4 → .625, 1e-3 → .391; DDPO-SF 1e-4 → .805, 3e-4 → .594, 1e-3 → .055; RWR 3e-4 → .656, 1e-3 → .688; RWR-sparse 3e-4 → .656, 1e-3 → .672: 480 captions have hardly one of 512 queries each, so that 3,840 and the lowest rate were taken, for all four agents.`,
  seeds: [0, 1, 2],
  parts: {
    incompressibility: ofJpeg(
      'Incompressibility',
      `The reward is the size of the picture as a JPEG, in kB. ${guardAbout}`,
      'jpeg-incompressibility',
    ),
    compressibility: ofJpeg(
      'Compressibility',
      `The reward is the same size, negative. ${guardAbout}`,
      'jpeg-compressibility',
    ),
    composition: ofShapes(
      'composition',
      'The reward is 1 where the two objects have the colours of the prompt ("a red circle and a blue square"). `rank` is that of a LoRA on the attention projections, trained by DDPO-IS at a rate of 1e-3 where none is named.',
      true,
    ),
    count: ofShapes('count', 'The reward is 1 where there are as many objects as the prompt says.'),
    color: ofShapes('color', 'The reward is 1 where the object has the colour of the prompt.'),
    location: ofShapes('location', 'The reward is 1 where the object is where the prompt says.'),
    surrogates: {
      title: 'What keeps the policy near the one that sampled',
      about:
        'GRPO in groups of eight with its three surrogates, at the rate that did best for DDPO-IS on this prompt and at twice that: PPO\'s clip at 1e-3, the ratios of GRPO-Guard at 1e-4, and the mask of Flow-DPPO by a step\'s exact divergence, at 1e-5 nats a dimension. One prompt, "a yellow star and a white star"; 512 queries, 8 steps. The range of GRPO-Guard was searched on seeds 0 and 1 at the lower rate: 1e-2 leaves nothing, 1e-3 comes to .51 and .67, 1e-4 to .72 and .95, 1e-5 to .64 and .86.',
      score: 'right',
      matrices: [
        ofSurrogates(['clip', 'divergence']),
        // By its own unit: the ratio's logarithm is multiplied by a step's deviation.
        ofSurrogates(['guard'], { 'agent.clipRange': 1e-4 }),
      ],
    },
  },
  measures: watched.measures,
  measure: watched.measure,
  findings: (runs) => [
    ...Object.entries(ddpo.parts).flatMap(([name, { title }]) => findingsOf(runs, name, title)),
    ...compositionFindings(runs),
    ...surrogateFindings(runs),
  ],
};

/** What a LoRA reaches of all weights' gain, and whether the audit leaves a run alone that has nothing wrong. */
function compositionFindings(runs: readonly PaperRun[]): Finding[] {
  const select = (algorithm: string, of: string): Select => ({ part: 'composition', algorithm, of });
  const alarms = [...bySeed(runs, select('ppo', 'alarms')).values()];
  if (alarms.length === 0) return [];
  const lora = [
    ...loraRanks.map((rank) => ({ name: `rank ${rank} at ${loraRates[0]}`, algorithm: `ppo (rank ${rank})` })),
    {
      name: `rank ${loraRanks[0]} at ${loraRates[1]}`,
      algorithm: `ppo (rank ${loraRanks[0]}, learningRate ${loraRates[1]})`,
    },
  ];
  return [
    ...lora.map(({ name, algorithm }) => {
      const [own, whole] = [select(algorithm, 'rise'), select('ppo', 'rise')];
      return positiveFinding(
        `Composition: DDPO-IS with a LoRA of ${name} has at least 80 % of the gain that it has with all weights`,
        `${shownShare(runs, own, whole)} of the gain; gain above 80 % of it`,
        paired(runs, [own, whole], (lora, full) => lora - 0.8 * full),
      );
    }),
    {
      statement: 'Composition: the audit finds nothing wrong with the runs of DDPO-IS',
      verdict: alarms.every((count) => count === 0) ? 'for' : 'against',
      evidence: `findings of \`audit\` by seed: ${alarms.join(', ')}`,
    },
  ];
}

/** Whether limits on a step's exact divergence are worth more than PPO's clip and GRPO-Guard's ratios. */
function surrogateFindings(runs: readonly PaperRun[]): Finding[] {
  return surrogateRates.flatMap((rate) => {
    const select = (surrogate: string, of: string): Select => ({
      ...{ part: 'surrogates', of, algorithm: `grpo (learningRate ${rate}, surrogate "${surrogate}")` },
    });
    const rise = (surrogate: string) => shownInterval([...bySeed(runs, select(surrogate, 'rise')).values()]);
    return ['clip', 'guard'].flatMap((other) => {
      const more = paired(runs, [select('divergence', 'rise'), select(other, 'rise')], (a, b) => a - b);
      if (more.length === 0) return [];
      return [
        positiveFinding(
          `GRPO, rate ${rate}: the mask by divergence raises the reward more than ${other}`,
          `rise ${rise('divergence')} against ${rise(other)}, more by`,
          more,
        ),
        positiveFinding(
          `GRPO, rate ${rate}: the mask by divergence drifts less than ${other}`,
          'KL to the pretrained model lower by',
          paired(runs, [select(other, 'kl'), select('divergence', 'kl')], (a, b) => a - b),
        ),
      ];
    });
  });
}

/** DDPO-IS ≥ DDPO-SF > RWR (figure 4 of the paper), by how far each raised the score. */
function findingsOf(runs: readonly PaperRun[], part: string, title: string): Finding[] {
  const select = (algorithm: string): Select => ({ part, algorithm, of: 'rise' });
  const rise = (algorithm: string) => [...bySeed(runs, select(algorithm)).values()];
  const [is, sf, rwr, sparse] = ['ppo', 'reinforce', 'rwr', 'rwr-sparse'].map(rise) as [
    number[],
    number[],
    number[],
    number[],
  ];
  if (is.length === 0) return [];
  const guard = paired(
    runs,
    ['ppo', 'reinforce'].map((algorithm) => ({ part, algorithm, of: 'guard' })),
    (ppo, reinforce) => ppo - reinforce,
  );
  const against = (first: number[], second: number[]) =>
    `rise ${shownInterval(first)} against ${shownInterval(second)}, ${seeds(first)}`;
  return [
    positiveFinding(`${title}: DDPO-IS raises the reward`, 'rise', is),
    {
      statement: `${title}: DDPO-IS is above DDPO-SF, and their 95 % intervals do not overlap`,
      verdict: separated(is, sf),
      evidence: against(is, sf),
    },
    positiveFinding(`${title}: DDPO-IS keeps more of the guard than DDPO-SF`, 'guard higher by', guard),
    {
      statement: `${title}: DDPO-SF is above RWR, and their 95 % intervals do not overlap`,
      verdict: separated(sf, rwr),
      evidence: against(sf, rwr),
    },
    ...Object.entries({ RWR: rwr, 'RWR-sparse': sparse }).map(([name, values]) => ({
      statement: `${title}: DDPO-IS is above ${name}, and their 95 % intervals do not overlap`,
      verdict: separated(is, values),
      evidence: against(is, values),
    })),
  ];
}
