import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { useBackend } from '../../backend/index.js';
import { readText, writeFileAtomic } from '../../core/files.js';
import { stack } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { mean } from '../../core/statistics.js';
import { makeDefined, scoreImages } from '../../rewards/index.js';
import type { PaperBenchmark, PaperRun, Part, PrepareOptions } from '../paper/definition.js';
import { type Finding, paired, positiveFinding } from '../paper/findings.js';
import { areaUnderCurve, exactReward, foolingDrawing, judged, onePrompt, rewardAgainstTruth } from '../paper/judged.js';
import { watched } from '../paper/watched.js';
import { drawnFor, modelPictures, prompts, type Ranked } from './pictures.js';
import { trainRewardModel } from './train.js';

/** Pictures of the embedded model that stand in pairs. */
const ofModel = 384;
/** Pictures of each kind on which the trained network is tested. */
const tested = 256;

const [epochs, samples] = [6, 64];
const learningRate = 1e-3;
/** The weights of DPOK's KL; 0 is without. */
const betas = [0, 10] as const;

const common = {
  ...{ reward: 'learned', 'rewards.learned.kind': 'image-reward', 'rewards.learned.batchSize': 32 },
  ...{ 'prompts.kind': 'list', 'prompts.list': [onePrompt] },
  ...{ numEnvs: 32, epochs, samplesPerEpoch: samples, checkpointEvery: 3, 'sampling.steps': 8 },
  ...{ 'evaluation.samples': 128, 'evaluation.pictures': 128 },
  ...{ 'watch.every': 2, 'watch.samples': 32, 'watch.perPrompt': 32, 'watch.guard': exactReward },
  ...{ 'agent.timestepFraction': 0.5, 'agent.minibatches': 4, 'agent.learningRate': learningRate },
};

/** DDPO-IS with a watch that says so, or ends the run, once the reward has risen and the guard has fallen. */
const watching = (rule: 'warn' | 'stop'): Part['matrices'][0] => ({
  ...{ agents: ['ppo'], envs: ['Denoising-v0'], vary: { 'watch.rule': [rule] } },
  options: common,
});

/** DPOK with PPO's surrogate and the prompt's mean return as baseline: see the benchmark of DPOK itself. */
const dpokMatrix: Part['matrices'][0] = {
  ...{ agents: ['dpok'], envs: ['Denoising-v0'], vary: { 'agent.klCoefficient': betas } },
  options: {
    ...common,
    ...{ 'agent.bufferRollouts': 0, 'agent.surrogate': 'clip', 'agent.baseline': 'per-prompt' },
  },
};

const ppo = (rule: string) => `ppo (rule "${rule}")`;
const dpok = (beta: number) => `dpok (klCoefficient ${beta})`;

/** How the network tells pictures apart that it has not seen. Markdown. */
async function quality(folder: string, seed = 1): Promise<string> {
  const random = new Random(seed).child('quality');
  const reward = await makeDefined('learned', { kind: 'image-reward', model: folder, batchSize: 64 });
  const drawn: Ranked[] = Array.from({ length: tested }, () => drawnFor(random.choice(prompts), random));
  const lines = ['| pictures | right | reward of right ones | of wrong ones | AUC |', '|---|---|---|---|---|'];
  for (const [name, pictures] of [
    ['drawn, most of them wrong in one way', drawn],
    ['of the embedded model, made as in training', await modelPictures(tested, random, [8])],
    ['of the embedded model in three steps', await modelPictures(tested, random, [3])],
  ] as const) {
    const images = stack(pictures.map(({ image }) => image));
    const { scores } = await scoreImages(reward, { images, prompts: pictures.map(({ prompt }) => prompt) });
    const ranks = pictures.map(({ rank }, i) => ({ reward: scores[i]!, right: rank === 2 }));
    const average = (which: boolean) => {
      const values = ranks.flatMap((one) => (one.right === which ? [one.reward] : []));
      return values.length === 0 ? '–' : mean(values).toFixed(2);
    };
    const share = mean(ranks.map(({ right }) => Number(right))).toFixed(3);
    const area = areaUnderCurve(ranks);
    lines.push(
      `| ${name} | ${share} | ${average(true)} | ${average(false)} | ${Number.isFinite(area) ? area.toFixed(3) : '–'} |`,
    );
  }
  await reward.dispose?.();
  return lines.join('\n');
}

/** The learned reward, trained where there is none yet. */
async function prepare({ folder, backend, say }: PrepareOptions) {
  await useBackend(backend);
  const model = join(folder, 'model');
  if (!existsSync(model))
    await trainRewardModel(model, {
      ofModel: await modelPictures(ofModel, new Random('pairs')),
      onStep: (step, steps, loss) => {
        if (step % 250 === 0) say(`learned reward: step ${step} of ${steps}, loss ${loss.toFixed(3)}`);
      },
    });
  const path = join(folder, 'quality.md');
  if (!existsSync(path)) await writeFileAtomic(path, await quality(model));
  return {
    options: { 'rewards.learned.model': model },
    about: `The reward is a small network of ImageReward's form (Xu et al., [arXiv 2304.05977](https://arxiv.org/abs/2304.05977)), read by the reward \`image-reward\`: two layers of a vision transformer on 4×4 pixels, two layers of BERT that read the prompt while they see the picture, 64 wide, and a linear head. It is trained by the paper's loss on pairs of pictures of one composition prompt, of which the exact scorers rank one higher (all right; colours right; neither): drawn pictures that are right, have one word wrong, lack an object, are of another prompt, shine through each other or are noisy, and ${ofModel} of the embedded model itself, of which a third are broken. On pictures that it has not seen:\n\n${await readText(path)}`,
  };
}

export const learnedReward: PaperBenchmark = {
  name: 'learned-reward',
  title: 'A learned reward, and how it is exploited',
  about: `DPOK (Fan et al., [arXiv 2305.16381](https://arxiv.org/abs/2305.16381)) and DDPO-IS fine-tune on a reward that was learned from preferences. Here the preferences are those of the exact scorers, which know the truth of this small world: they rank the pairs that the reward is trained on, judge the pictures afterwards, and are the watch's guard. DDPO-IS (\`ppo\`) alone, and with a watch that ends the run once the reward has risen and the guard has fallen; DPOK without its KL and with it. ${epochs * samples} reward queries, learning rate ${learningRate}, which is high for this model so that there is something to be seen, 8 steps of DDIM with η = 1, unguided, one prompt, "${onePrompt}", as in DPOK's figures.`,
  seeds: [0, 1, 2],
  parts: {
    composition: {
      title: 'Composition',
      about:
        'The reward is what the network thinks. "Right" is the share of pictures that show all that the prompt says, by the exact scorers, on 128 fixed noises.',
      score: 'learned reward',
      matrices: [watching('warn'), dpokMatrix, watching('stop')],
    },
  },
  ...judged,
  measures: { ...judged.measures, epoch: watched.measures.epoch! },
  prepare,
  figures: (name, runs) => rewardAgainstTruth(name, runs, 'learned reward'),
  drawings: [ppo('warn'), dpok(betas[1])].map((algorithm, i) =>
    foolingDrawing(`exploits-${i === 0 ? 'ppo' : 'kl'}`, algorithm, {
      title: `Pictures that fool the reward, by ${algorithm}`,
      ...{ by: `by ${algorithm}`, judge: 'learned reward', below: 'its reward' },
      line: ({ reward }) => reward.toFixed(2),
    }),
  ),
  findings,
};

function findings(runs: readonly PaperRun[]): Finding[] {
  const part = 'composition';
  const select = (algorithm: string, of: string) => ({ part, algorithm, of });
  const rise = (algorithm: string) => paired(runs, [select(algorithm, 'rise')], (value) => value);
  const gain = (algorithm: string) =>
    paired(runs, [select(algorithm, 'exact'), select(algorithm, 'exactBefore')], (after, before) => after - before);
  const more = (a: string, b: string, of: string) =>
    paired(runs, [select(a, of), select(b, of)], (first, second) => first - second);
  const [without, held] = [dpok(betas[0]), dpok(betas[1])];
  const higher = 'share of right pictures higher by';
  return [
    positiveFinding('DDPO-IS raises the learned reward', 'rise', rise(ppo('warn'))),
    positiveFinding('DDPO-IS raises the share of right pictures', higher, gain(ppo('warn'))),
    positiveFinding(
      'After DDPO-IS the reward tells right from wrong worse than before',
      'AUC lower by',
      paired(runs, [select(ppo('warn'), 'areaBefore'), select(ppo('warn'), 'area')], (before, after) => before - after),
    ),
    positiveFinding(
      'More pictures fool the reward after DDPO-IS',
      'share higher by',
      paired(
        runs,
        [select(ppo('warn'), 'fooling'), select(ppo('warn'), 'foolingBefore')],
        (after, before) => after - before,
      ),
    ),
    positiveFinding('DPOK without a KL raises the learned reward', 'rise', rise(without)),
    positiveFinding('DPOK without a KL raises the share of right pictures', higher, gain(without)),
    positiveFinding(`DPOK with β = ${betas[1]} raises the learned reward`, 'rise', rise(held)),
    positiveFinding(`DPOK with β = ${betas[1]} raises the share of right pictures`, higher, gain(held)),
    positiveFinding(
      'With the KL more pictures are right at the end than without',
      'share higher by',
      more(held, without, 'exact'),
    ),
    positiveFinding(
      'A watch that ends the run leaves more right pictures than the run that goes on',
      'share higher by',
      more(ppo('stop'), ppo('warn'), 'exact'),
    ),
  ];
}
