import { readFile } from 'node:fs/promises';
import { useBackend } from '../../backend/index.js';
import { mean } from '../../core/statistics.js';
import { disposeDenoiser, loadDenoiser } from '../../diffusion/index.js';
import { algorithmOf, grouped } from '../../training/benchmark/results.js';
import { evaluationFiles, readEvaluations } from '../../training/evaluation/index.js';
import { readGrid } from '../../training/images.js';
import { modelFolder } from '../../training/index.js';
import { RunFolder } from '../../training/run-folder/index.js';
import { readWatch } from '../../training/watch/index.js';
import type { NamedFigure, PaperBenchmark, PaperRun, Part } from '../paper/definition.js';
import { watched } from '../paper/watched.js';
import { denoisingLoss } from './fidelity.js';
import { collapseFindings, findingsOf, mixedFindings } from './findings.js';

/** The sweep over the weight of the KL; 0 is DPOK without it. */
const betas = [0, 0.01, 0.03, 0.1, 1, 10];

/** Epochs of the online agents, and samples of each. The supervised ones have one set of as many samples. */
const [epochs, samples] = [8, 64];

const common = {
  numEnvs: 32,
  'sampling.steps': 8,
  'evaluation.samples': 128,
  'evaluation.pictures': 128,
  'watch.every': 1000,
  checkpointEvery: 4,
};

type Options = Readonly<Record<string, unknown>>;
type Matrix = Part['matrices'][0];

const one = (agent: string, options: Options, vary: Matrix['vary'] = {}) => ({
  ...{ agents: [agent], envs: ['Denoising-v0'], vary, options },
});

/** DPOK with PPO's surrogate and the prompt's mean return as baseline. */
const ofOnline = (klCoefficients: readonly number[]) => ({
  ...{ 'agent.surrogate': ['clip'], 'agent.baseline': ['per-prompt'], 'agent.klCoefficient': klCoefficients },
});
const ofGradient = { 'agent.timestepFraction': 0.5, 'agent.minibatches': 4 };
const rate = { online: 5e-4, supervised: 3e-4 };

/** Epochs of a policy gradient on one task. */
const gradientOn = (task: Options) => ({ ...common, ...task, ...ofGradient, epochs, samplesPerEpoch: samples });

/** DPOK on the episodes of one rollout at a time: the clip range leaves those of older ones without a gradient. */
const dpokOn = (options: Options, vary: Matrix['vary']) => one('dpok', { ...options, 'agent.bufferRollouts': 0 }, vary);

/** What the paper compares, on one task. Learning rates are those that did best in the search that `about` tells of. */
function matrices(task: Options): Part['matrices'] {
  const gradient = { ...gradientOn(task), 'agent.learningRate': rate.online };
  const supervised = {
    ...{ ...common, ...task, epochs: 8, samplesPerEpoch: epochs * samples },
    ...{ 'agent.passes': 8, 'agent.batch': 32, 'agent.learningRate': rate.supervised },
  };
  return [
    one('ppo', gradient),
    dpokOn(gradient, ofOnline(betas)),
    one('sft', supervised),
    one('kl-d', supervised),
    one('kl-o', supervised),
  ];
}

/** A LoRA of rank 4, which is what DPOK trains, and DPOK's own surrogate and value function. */
function ownMatrices(task: Options): Part['matrices'] {
  const gradient = gradientOn(task);
  return [
    one('ppo', gradient, { 'adapter.rank': [4], 'agent.learningRate': [1e-3, 3e-3] }),
    // Ratios that have no gradient once they are outside, on the wrong side too.
    dpokOn({ ...gradient, 'agent.learningRate': rate.online }, { 'agent.klCoefficient': betas }),
  ];
}

/**
 * A part with one prompt, as DPOK's figures 2 and 3 have.
 * @param guidanceScale .5 for half of what the prompt adds to a prediction: with all of it, the embedded model draws nearly
 * every colour and place right.
 * @param own whether DPOK's own form is there too.
 */
function single(kind: string, prompt: string, { guidanceScale = 1, own = false }): Part {
  const task = {
    ...{ reward: `shapes-${kind}`, 'prompts.kind': 'list', 'prompts.list': [prompt] },
    ...{ 'watch.samples': 32, 'watch.perPrompt': 32, 'watch.guard': 'shapes-shape' },
    ...(guidanceScale !== 1 && { 'sampling.guidanceScale': guidanceScale }),
  };
  return {
    title: `${kind}: "${prompt}"`,
    about: `One prompt, ${guidanceScale === 1 ? 'unguided' : `a guidance scale of ${guidanceScale}`}; the reward is whether the picture shows it (\`shapes-${kind}\`), the guard whether its shapes are right.${guidanceScale === 1 ? '' : ' What supervised agents imitate was made with half of the prompt, and what they have learned is halved again, so that they lose some of it.'}`,
    score: 'right',
    matrices: [...matrices(task), ...(own ? ownMatrices(task) : [])],
  };
}

const mixedEpochs = 40;
const mixedTask = {
  ...{ ...common, reward: 'shapes', 'prompts.limit': 40, 'sampling.steps': 10 },
  ...{ epochs: mixedEpochs, samplesPerEpoch: samples, 'agent.learningRate': 1e-4 },
  ...{ 'evaluation.samples': 512, 'watch.samples': 256, 'watch.perPrompt': 2, 'watch.guard': 'shapes-shape' },
};
const mixedBetas = [0.1, 1];
const mixed = [one('ppo', mixedTask), dpokOn(mixedTask, ofOnline(mixedBetas))];

/** What happens at a learning rate that is too high: without help, with a watch that stops the run, and with DPOK's KL. */
function collapse(title: string, about: string, reward: string, kind: string, guard: string): Part {
  const options = {
    ...{ ...common, reward, 'prompts.kinds': [kind], epochs: 10, samplesPerEpoch: samples },
    ...{ 'evaluation.samples': 64, 'evaluation.pictures': 64 },
    ...{ 'watch.every': 2, 'watch.samples': 32, 'watch.perPrompt': 4, 'watch.guard': guard },
    ...{ ...ofGradient, 'agent.learningRate': 2e-3 },
  };
  return {
    ...{ title, about, score: 'reward' },
    matrices: [
      one('ppo', options, { 'watch.rule': ['warn', 'stop'] }),
      dpokOn(options, { 'agent.klCoefficient': [10] }),
    ],
  };
}

export const dpok: PaperBenchmark = {
  name: 'dpok',
  title: 'DPOK: reward against drift',
  about: `Fan et al., *DPOK: Reinforcement Learning for Fine-tuning Text-to-Image Diffusion Models* ([arXiv 2305.16381](https://arxiv.org/abs/2305.16381)), §5: DPOK with its KL weighed by β = ${betas.join(', ')}, with PPO's surrogate and a mean as baseline (\`surrogate: clip\`, \`baseline: per-prompt\`) and with its own (\`clamp\` and \`value\`, the defaults), DDPO-IS (\`ppo\`), and supervised fine-tuning on samples of the pretrained model, without a KL (\`sft\`), with KL-D and with KL-O; ${epochs * samples} reward queries each, on the embedded model of shapes, 8 steps of DDIM with η = 1. The score is the mean over 128 fixed noises after training, the same for all runs. KL is of whole chains, summed over steps, a mean over dimensions. The denoising loss is that of the finished pictures under the pretrained model: the lower, the likelier it finds them.

Learning rates were searched once on seed 100 and the composition prompt (.563 right before, 128 fixed noises): DDPO-IS 2e-4 → .625, 5e-4 → .797; \`sft\` 1e-4 → .781, 3e-4 → .813. DPOK took the one of DDPO-IS, at which its own surrogate with a value function runs away without a KL, and KL-D and KL-O took that of \`sft\`. The embedded model draws nearly every colour and place right (.97 and .98 at the least of the prompts of these kinds, 64 samples each), so that these two and the count have a guidance scale of .5, at which their prompts start at about .5, .8 and .4. Where the reward is yes or no, a set that it weighs is right throughout, and nothing can exceed that: whether online learning exceeds imitation is asked where it is a number.`,
  seeds: [0, 1, 2],
  parts: {
    composition: single('composition', 'a yellow star and a white star', { own: true }),
    count: single('count', 'three triangles', { guidanceScale: 0.5 }),
    color: single('color', 'a white star', { guidanceScale: 0.5 }),
    location: single('location', 'a star on the left', { guidanceScale: 0.5 }),
    size: {
      title: 'Size: a reward that is not yes or no',
      about:
        'One prompt, "a red star"; the reward is the size of the picture as a JPEG, in kB, the guard is whether a picture shows what its prompt says. A set of samples that is weighed by such a reward is hardly better than one that is not, which is as far as imitation goes.',
      score: 'JPEG, kB',
      matrices: matrices({
        ...{ reward: 'jpeg-incompressibility', 'prompts.kind': 'list', 'prompts.list': ['a red star'] },
        ...{ 'watch.samples': 32, 'watch.perPrompt': 32, 'watch.guard': 'shapes' },
      }),
    },
    blank: collapse(
      'Compressibility at a learning rate of 2e-3',
      'The reward is minus the size of the JPEG; an empty picture has the most of it. The guard is whether a picture shows what its prompt says.',
      'jpeg-compressibility',
      'color',
      'shapes',
    ),
    colours: collapse(
      'Count at a learning rate of 2e-3',
      'The reward is whether the number of objects is right, and says nothing of their colours. The guard is whether their shapes are right.',
      'shapes-count',
      'count',
      'shapes-shape',
    ),
    mixed: {
      title: 'All four kinds, and prompts that were held out',
      about: `Ten captions of each kind are trained on, with ${mixedEpochs * samples} queries of 10 steps, all of them trained, at a learning rate of 1e-4; the score is over 512 fixed samples of them. The reward is whether the picture shows what the caption is about; the watch looks at 256 pictures of captions that were held out.`,
      score: 'right',
      matrices: mixed,
    },
  },
  measures: {
    ...watched.measures,
    heldOutBefore: { title: 'held out, before' },
    heldOut: { title: 'held out' },
    lossBefore: { title: 'denoising loss before' },
    loss: { title: 'denoising loss' },
    weighted: { title: 'weighted mean of its set' },
  },
  measure: async (folder, config) => {
    const looks = config.prompts && (config.prompts as { limit?: number }).limit ? await readWatch(folder) : [];
    const weighted = (await RunFolder.open(folder).metrics()).flatMap((m) => m['train/weightedReward'] ?? []);
    const [lossBefore, loss] = await losses(folder, String(config.model));
    return {
      ...(await watched.measure(folder, config)),
      ...(looks.length > 1 && { heldOutBefore: looks[0]!.reward, heldOut: looks.at(-1)!.reward }),
      ...{ lossBefore: lossBefore!, loss: loss! },
      ...(weighted.length > 0 && { weighted: weighted[0]! }),
    };
  },
  figures: (part, runs) => [front(part, runs)],
  findings: (runs) =>
    Object.entries(dpok.parts)
      .filter(([part]) => runs.some((run) => run.part === part && run.state === 'finished'))
      .flatMap(([part, { title }]) =>
        part === 'blank' || part === 'colours'
          ? collapseFindings(runs, part, title)
          : part === 'mixed'
            ? mixedFindings(runs, part, mixedBetas)
            : findingsOf(runs, part, title, betas),
      ),
};

/** The denoising loss of the pictures of the first evaluation and of the last. */
async function losses(folder: string, model: string): Promise<number[]> {
  await useBackend();
  const denoiser = await loadDenoiser(modelFolder(model));
  const evaluations = await readEvaluations(folder);
  const results: number[] = [];
  for (const { epoch, grid, samples } of [evaluations[0]!, evaluations.at(-1)!]) {
    const images = await readGrid(await readFile(evaluationFiles(folder, epoch).png), grid!);
    const prompts = samples.slice(0, images.length).map(({ prompt }) => prompt!);
    results.push(await denoisingLoss(denoiser, images, prompts));
  }
  disposeDenoiser(denoiser);
  return results;
}

/** Whether a run is one of DPOK's with PPO's surrogate and a mean as baseline. */
const isOfSweep = ({ agent, varied }: PaperRun) => agent === 'dpok' && varied['agent.baseline'] !== undefined;

/** Short, for a legend. */
function nameOf(run: PaperRun): string {
  if (run.agent !== 'dpok') return algorithmOf(run);
  return `${isOfSweep(run) ? 'DPOK' : "DPOK's own"}, β ${run.varied['agent.klCoefficient']}`;
}

/** Reward against drift: a dot a run, and a line through the means of the sweep over β. */
function front(part: string, runs: readonly PaperRun[]): NamedFigure {
  const place = (run: PaperRun) => [run.measures.kl!, run.score!] as const;
  const finished = runs.filter((run) => run.state === 'finished' && run.measures.kl !== undefined);
  const groups = grouped(finished, algorithmOf);
  const line = groups
    .filter(([run]) => isOfSweep(run!))
    .map((group) => [mean(group.map((run) => place(run)[0])), mean(group.map((run) => place(run)[1]))] as const)
    .sort((a, b) => a[0] - b[0]);
  return {
    ...{ title: 'Reward against drift', unit: '', across: 'KL to the pretrained model, nats a dimension' },
    ...{ width: 460, height: 280, file: `${part}-front` },
    caption:
      "Reward against drift: a dot a run; the line goes through the means of DPOK with PPO's surrogate and a mean as baseline over β.",
    series: [
      ...groups.map((group) => ({ name: nameOf(group[0]!), points: group.map(place), dots: true })),
      ...(line.length > 1 ? [{ name: 'DPOK over β', points: line }] : []),
    ],
  };
}
