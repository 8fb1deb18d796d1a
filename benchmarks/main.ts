#!/usr/bin/env node
import { Command, Option } from 'commander';
import { messageOf } from '../core/errors.js';
import { paperBenchmarks } from './paper/index.js';

const program = new Command('bench').description('Speed and learning, each benchmark a program that prints a table.');

const backend = () =>
  new Option('--backend <name>', 'what computes (default: the fastest that loads)').choices(['native', 'wasm', 'cpu']);
const json = () => new Option('--json', 'print JSON on stdout');
const list = (text: string) => text.split(',').map(Number);

program
  .command('denoising')
  .description('images sampled and transitions trained per second, and peak memory, by batch')
  .option('--model <folder>', 'a denoiser in the layout of diffusers', 'models/shapes')
  .option('--batches <list>', 'batch sizes', list, [1, 8, 64])
  .option('--steps <n>', 'denoising steps of an image', Number, 10)
  .option('--repeats <n>', 'runs of which the median counts', Number, 5)
  .addOption(backend())
  .addOption(json())
  .action(async (options) => (await import('./denoising.js')).denoising(options));

program
  .command('compare')
  .description(
    'sampling, training and whole epochs beside PyTorch on the same cores, one after the other in each round',
  )
  .requiredOption('--python <path>', 'a Python that has what benchmarks/pytorch/requirements.txt names')
  .option('--model <folder>', 'a denoiser in the layout of diffusers', 'models/shapes')
  .option('--batches <list>', 'batch sizes', list, [1, 8, 64])
  .option('--steps <n>', 'denoising steps of an image', Number, 10)
  .option('--rounds <n>', 'rounds of which the median counts', Number, 7)
  .option('--workers <list>', 'our worker threads, of which the fastest counts (default: none and one a core)', list)
  .option('--threads <list>', "PyTorch's threads, of which the fastest counts (default: 1 and one a core)", list)
  .option('--only <list>', 'sampling, training, epoch, ddpo-epoch', (text) => text.split(','))
  .addOption(backend())
  .addOption(json())
  .action(async (options) => (await import('./compare.js')).compare(options));

program
  .command('envs')
  .description('steps a second of the classic control environments: single, 64 in sync, 64 in threads')
  .option('--seconds <s>', 'how long each is run', Number, 1)
  .option('--repeats <n>', 'runs of which the median counts', Number, 3)
  .addOption(json())
  .action(async (options) => (await import('./envs.js')).envs(options));

program
  .command('memory')
  .description('the number of tensors and the resident memory over many updates')
  .option('--model <folder>', 'a denoiser in the layout of diffusers', 'models/shapes')
  .option('--updates <n>', 'updates, four a rollout', Number, 2000)
  .option('--samples <n>', 'samples of a rollout', Number, 4)
  .option('--steps <n>', 'denoising steps of a sample', Number, 3)
  .addOption(backend())
  .addOption(json())
  .action(async (options) => (await import('./memory.js')).memory(options));

program
  .command('size')
  .description(
    'time and memory of a model as large as Stable Diffusion 1.5; made with random weights where there is none',
  )
  .requiredOption('--model <folder>', 'where it is; if there is none, one is made there, and that is all')
  .option('--pixels <n>', 'height and width of the picture', Number, 256)
  .option('--rank <n>', 'rank of the LoRA', Number, 4)
  .addOption(backend())
  .addOption(json())
  .action(async (options) => (await import('./size.js')).size(options));

program
  .command('slow-reward')
  .description('an epoch with a reward that takes seconds a batch, with and without overlap, against an instant one')
  .option('--seconds <s>', 'what the reward takes for a batch', Number, 2)
  .option('--samples <n>', 'samples an epoch', Number, 64)
  .option('--batch <n>', 'samples in a batch', Number, 8)
  .option('--repeats <n>', 'runs of which the median counts', Number, 3)
  .addOption(backend())
  .addOption(json())
  .action(async (options) => (await import('./slow-reward.js')).slowReward(options));

program
  .command('model')
  .description('how often the embedded model gets its prompts right, by kind of prompt')
  .option('--model <folder>', 'the model', 'models/shapes')
  .option('--prompts <n>', 'fresh prompts a kind', Number, 512)
  .option('--steps <n>', 'DDIM steps, deterministic', Number, 20)
  .option('--guidance <list>', 'guidance scales', list, [1, 3])
  .option('--seed <n>', 'of prompts and noises', Number, 1)
  .option('--out <folder>', 'keep a PNG grid of each kind here')
  .addOption(backend())
  .addOption(json())
  .action(async (options) => (await import('./model.js')).model(options));

program
  .command('bert-score')
  .description("what BERTScore, DDPO's reward, says of right descriptions, wrong ones and those of noise")
  .requiredOption('--encoder <folder>', 'an encoder in the layout of Hugging Face')
  .option('--layer <n>', 'whose hidden states are compared; default: that of bert_score', Number)
  .option('--prompts <n>', 'prompts of the world of shapes', Number, 200)
  .option('--seed <n>', 'of prompts and words', Number, 0)
  .addOption(backend())
  .addOption(json())
  .action(async (options) => (await import('./bert-score.js')).bertScore(options));

program
  .command('fine-tuning')
  .description(
    'fine-tunes the embedded model with the defaults and scores 256 fixed prompts and noises before and after',
  )
  .requiredOption('--reward <name>', 'the reward')
  .option('--kinds <list>', 'kinds of prompts', (text) => text.split(','), ['composition'])
  .option('--seeds <list>', 'a run each', list, [0, 1, 2])
  .option('--epochs <n>', 'epochs', Number, 60)
  .option('--samples <n>', 'fixed prompts and noises', Number, 256)
  .option('--agent <name>', 'the agent', 'ppo')
  .option('--learning-rate <rate>', "AdamW's step size", Number)
  .option('--runs <folder>', 'where the runs go', 'runs/fine-tuning')
  .addOption(backend())
  .addOption(json())
  .action(async (options) => (await import('./fine-tuning.js')).fineTuning(options));

program
  .command('classic')
  .description('trains the agents on classic control with the settings of the package; the means of 100 fixed episodes')
  .option('--seeds <list>', 'a run each', list, [0, 1, 2, 3, 4])
  .option('--only <list>', 'rows, such as CartPole-v1/ppo', (text) => text.split(','))
  .option('--jobs <n>', 'processes at once (default: one for each core)', Number)
  .addOption(json())
  .action(async (options) => (await import('./classic.js')).classic(options));

program
  .command('sb3')
  .description('the wall time of PPO on CartPole-v1, here and in stable-baselines3 (Python), alternately')
  .requiredOption('--python <program>', 'a Python with sb3/requirements.txt installed')
  .option('--steps <n>', 'steps of all environments', Number, 100_000)
  .option('--rounds <n>', 'runs of each', Number, 3)
  .addOption(json())
  .action(async (options) => (await import('./sb3.js')).sb3(options));

program
  .command('example <file>')
  .description('runs a configuration file once a seed: the reward and its terms on fixed prompts before and after')
  .option('--seeds <list>', 'a run each', list, [0, 1, 2])
  .option('--runs <folder>', 'where the runs go', 'runs/examples')
  .addOption(backend())
  .addOption(json())
  .action(async (file, options) => (await import('./example.js')).example(file, options));

program
  .command('knobs')
  .description('PPO on the knobs of source-free adaptation: what it learns on one pair of domains, on another one')
  .option('--seeds <list>', 'a training each', list, [0])
  .option('--episodes <n>', 'adaptations that it learns from', Number, 96)
  .addOption(json())
  .action(async (options) => (await import('./knobs.js')).knobs(options));

for (const [name, { summary, load }] of Object.entries(paperBenchmarks))
  program
    .command(name)
    .description(summary)
    .option('--only <parts>', 'parts, with commas between; default: all', (text) => text.split(','))
    .option('--runs <texts>', 'only runs whose name has one of these in it, such as rank-4', (text) => text.split(','))
    .option('--seeds <list>', 'a run each; default: those of the committed results', list)
    .option(
      '--out <folder>',
      `where runs, results and the page go; the same folder goes on (default: benchmarks/${name})`,
    )
    .option('--jobs <n>', 'runs at once, each on one thread (default: one a core)', Number)
    .option('--data <folder>', 'data that do not come with the package, for the parts that need some')
    .option('--page', 'trains nothing, makes the page again out of results.json')
    .addOption(backend())
    .addOption(json())
    .action(async (options) => (await import('./paper/command.js')).paperCommand(await load(), options));

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`error: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
