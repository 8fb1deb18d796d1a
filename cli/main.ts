#!/usr/bin/env node
import { writeSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { describeError } from '../core/errors.js';
import { packageVersion } from '../training/package-root.js';
import { whileUnfinished } from '../training/unfinished.js';
import { addRunFlags, withSetFlags } from './flags.js';
import { decimal, positive, whole } from './numbers.js';

// Every command is loaded when it is called: `--help` should not wait for TensorFlow.js.

const backend = () =>
  new Option('--backend <name>', 'what computes (default: the fastest that loads)').choices(['native', 'wasm', 'cpu']);
const fromCheckpoint = () =>
  new Option('--from-checkpoint <epoch>', 'an older checkpoint than the latest one').argParser(
    whole('--from-checkpoint', 0),
  );
const best = () =>
  new Option('--best', 'the best agent that the run keeps (keepBest), instead of the latest checkpoint');
const trust = () =>
  new Option('--trust', "the code that somebody else's run names is trusted, and may be executed from now on");
const json = () => new Option('--json', 'print JSON for programs on stdout');

const program = new Command('denoise-gym')
  .description('Reinforcement learning for diffusion models and other sequential decisions.')
  .version(packageVersion(), '--version', 'print the version')
  .option('--debug', 'print the stack of an error')
  .configureHelp({ showGlobalOptions: true })
  .showHelpAfterError('(add --help for what there is)')
  // Its own way out is process.exit, which cuts what is still to be written to a pipe.
  .exitOverride();

const asksForHelp = process.argv.some((argument) => argument === '--help' || argument === '-h');
const help = asksForHelp ? process.argv : undefined;

const train = program
  .command('train')
  .description('train an agent: fine-tune a diffusion model, or learn any other environment')
  .argument('[config]', "a YAML or JSON file, or with --resume a run's folder")
  .option('--resume', 'go on with a run that was stopped, killed or failed')
  .addOption(fromCheckpoint())
  .option('--overwrite', 'start afresh where a run of that name exists')
  .option('--profile', 'print and save where the time went: phases, kernels, rewards, and a trace for chrome://tracing')
  .addOption(trust())
  .addOption(json())
  .action(async (config, options) => (await import('./train.js')).trainCommand(config, options));

program
  .command('sample')
  .description('make pictures with a model, or with what a run has learned')
  .option('--model <folder>', 'a denoiser in the layout of diffusers; default models/shapes')
  .option('--lora <file>', 'a LoRA for the model, in any format in use')
  .option('--run <folder>', "a run: its model with its latest checkpoint's weights")
  .addOption(fromCheckpoint())
  .addOption(best())
  .addOption(trust())
  .option(
    '--prompt <text...>',
    'one or more prompts; a model of classes takes their numbers, an unconditional one none',
  )
  .option('--negative-prompt <text>', 'what guidance leads away from')
  .option('--truncate', 'prompts that are too long for the model are cut, and no error')
  .option('--count <n>', 'pictures of each prompt', whole('--count', 1, 10_000), 1)
  .option('--steps <n>', "denoising steps; default 20, or the run's own", whole('--steps', 1))
  .option(
    '--guidance <scale>',
    "classifier-free guidance, 1 is none; default 3, or the run's own",
    decimal('--guidance'),
  )
  .addOption(
    new Option(
      '--spacing <name>',
      "which timesteps are used; default as the model's scheduler says, or the run's own",
    ).choices(['leading', 'trailing', 'linspace']),
  )
  .option('--size <pixels>', "height and width; default as the model's configuration says", whole('--size', 1, 65_536))
  .option(
    '--tile <pixels>',
    'decode latents in overlapping tiles of this size, for less memory',
    whole('--tile', 1, 65_536),
  )
  .option('--eta <number>', "DDIM's η: 0 is deterministic", decimal('--eta'), 0)
  .option('--seed <n>', 'fixes the noise', whole('--seed', 0), 0)
  .option('--out <file>', 'where the PNG goes', 'sample.png')
  .option('--animation <file>', 'also an animated WebP of how the first pictures came to be')
  .addOption(backend())
  .addOption(json())
  .action(async (options) => (await import('./sample.js')).sampleCommand(options));

const evaluate = program
  .command('evaluate')
  .description('score a model or a rule, or a run before and after, on fixed prompts and noises or fixed episodes')
  .argument('[config]', 'a YAML or JSON file, as for train')
  .option('--run <folder>', 'a run: its agent as it was and with the latest checkpoint')
  .addOption(fromCheckpoint())
  .addOption(best())
  .addOption(trust())
  .option('--samples <n>', 'how many samples or episodes', whole('--samples', 1, 1_000_000), 256)
  .option('--out <folder>', 'keep the pictures here')
  .addOption(json())
  .action(async (config, options) => (await import('./evaluate.js')).evaluateCommand(config, options));

const benchmarks = program
  .command('benchmark')
  .description('compare agents over environments, options and seeds; a run that is there already is not made again')
  .option('--agents <names>', 'agents, with commas between: ppo,reinforce,./mine.ts', 'ppo')
  .option('--envs <ids>', 'environments, with commas between', 'CartPole-v1')
  .option('--seeds <n or list>', 'how many seeds, or which: 5 is 0,1,2,3,4', '3')
  .option('--vary <option=values...>', 'a dimension more: agent.kl-coefficient=0,0.1; may be given again')
  .requiredOption('--out <folder>', 'where runs, results and the page go; the same folder goes on where it was')
  .option('--jobs <n>', 'runs at once; default: one a core', whole('--jobs', 1))
  .addOption(json())
  .action(async (options) => (await import('./benchmark.js')).benchmarkCommand(options));

program
  .command('compare')
  .description('lay any runs over each other: a page with their curves and what they came to')
  .argument('<runs...>', "the runs' folders")
  .option('--out <file>', 'the page', 'compare.html')
  .addOption(json())
  .action(async (runs, options) => (await import('./compare.js')).compareCommand(runs, options));

program
  .command('export')
  .description(
    "write a run's fine-tuned model as a folder that diffusers reads, or its small policy as one for loadPolicy",
  )
  .argument('<run>', "the run's folder; with --lora, a model's")
  .argument('<out>', 'the folder to write')
  .option('--lora <file>', 'not a run, but the model with this LoRA, in any format in use')
  .option('--adapter', "only the LoRA, as the file that diffusers' load_lora_weights reads")
  .addOption(fromCheckpoint())
  .addOption(best())
  .option('--overwrite', 'also where there are files in it')
  .addOption(trust())
  .addOption(backend())
  .action(async (run, out, options) => (await import('./export.js')).exportCommand(run, out, options));

program
  .command('report')
  .description("write a run's report.html again; works while it runs, and after it was killed")
  .argument('<run>', "the run's folder")
  .addOption(trust())
  .action(async (run, options) => (await import('./report.js')).reportCommand(run, options));

program
  .command('audit')
  .description("look for what is wrong with a run's numbers and pictures; the exit status is 3 if something is")
  .argument('<run>', "the run's folder")
  .addOption(json())
  .action(async (run, options) => (await import('./audit.js')).auditCommand(run, options));

program
  .command('pretrain')
  .description('train the embedded model of shapes from nothing')
  .requiredOption('--out <folder>', 'where the model goes')
  .addOption(
    new Option('--objective <name>', 'what the network learns to predict (default velocity)').choices([
      'velocity',
      'flow-matching',
    ]),
  )
  .option('--from <folder>', 'goes on from this model, of whatever objective, and not from nothing')
  .option('--seed <n>', 'fixes everything random', whole('--seed', 0))
  .option('--steps <n>', 'optimiser steps', whole('--steps', 1))
  .option('--batch-size <n>', 'pictures a step', whole('--batch-size', 1, 65_536))
  .option('--images <n>', 'pictures drawn ahead', whole('--images', 1, 1_000_000))
  .option('--learning-rate <number>', "AdamW's step size at its highest", positive('--learning-rate'))
  .option('--checkpoint-every <n>', 'steps between checkpoints', whole('--checkpoint-every', 1))
  .option('--resume', 'go on from the last checkpoint')
  .option('--overwrite', 'also where there are files in the folder')
  .addOption(backend())
  .action(async (options) => (await import('./pretrain.js')).pretrainCommand(options));

program
  .command('serve-reward')
  .description('serve a reward over HTTP, to trainers in other languages and on other machines')
  .argument('<reward>', "a reward's name, a file with your own (./reward.ts), or an expression over names")
  .option('--config <file>', 'a configuration whose `rewards` the reward may name')
  .addOption(new Option('--set <path=value...>').hideHelp())
  .addHelpText(
    'after',
    '\nA reward with options: --rewards.NAME.kind clip-score --rewards.NAME.model FOLDER (list rewards).',
  )
  .option('--port <n>', 'where it listens; 0 for any free port', whole('--port', 0, 65_535), 8000)
  .option('--host <address>', 'from where it can be reached; 0.0.0.0 for everywhere', '127.0.0.1')
  .option('--token <variable>', 'the environment variable with the token that requests must bring')
  .option('--max-samples <n>', 'samples of one request', whole('--max-samples', 1, 65_536), 256)
  .option('--max-megabytes <n>', 'size of one request', whole('--max-megabytes', 1, 4096), 64)
  .option('--concurrency <n>', 'requests that are scored at once', whole('--concurrency', 1, 1024), 1)
  .option('--max-waiting <n>', 'requests that may wait for their turn', whole('--max-waiting', 0, 65_536), 64)
  .action(async (reward, options) => (await import('./serve-reward.js')).serveRewardCommand(reward, options));

program
  .command('list')
  .description('every environment, agent, reward and option, with a line each')
  .argument('[what]', 'environments, agents, settings, rewards, wrappers, options; default: all')
  .addOption(json())
  .action(async (what, options) => (await import('./list.js')).listCommand(what, options));

program
  .command('doctor')
  .description('what is there, what is missing, and how to get it')
  .option('--config <file>', 'a configuration: whether each of the rewards that it defines can be made')
  .option('--vlm <url>', 'ask a server of the OpenAI protocol what it can do as a judge: http://127.0.0.1:8000/v1')
  .option('--vlm-model <name>', 'its model; default: the first that it names')
  .option('--token <variable>', 'the environment variable with the token that the server asks for')
  .addOption(json())
  .action(async (options) => (await import('./doctor.js')).doctorCommand(options));

program
  .command('native')
  .description('build the native backend: the fastest; needs g++ and pip')
  .option('--wheel <file>', 'a TensorFlow wheel that is here already, instead of downloading one')
  .option('--gpu', "with TensorFlow's library for NVIDIA's GPUs, 2.5 GB more (not verified on a GPU)")
  .action(async ({ wheel, gpu }) => {
    const { buildNative } = await import('../backend/index.js');
    await buildNative({ wheel, gpu, log: (line) => process.stderr.write(`${line}\n`) });
  });

const done = whileUnfinished((status) => {
  // In this state nothing is printed that is not written at once.
  if (status === 0)
    writeSync(
      2,
      'error: ended before it was done: something has called process.exit, or waits for what never comes.\n',
    );
});
try {
  for (const command of [train, evaluate, benchmarks]) await addRunFlags(command, help);
  await program.parseAsync(asksForHelp ? process.argv : withSetFlags(process.argv));
} catch (error) {
  // What commander ends with, it has said: help, the version, or what is wrong with a flag.
  if (error instanceof CommanderError) process.exitCode = error.exitCode;
  else {
    process.stderr.write(`error: ${describeError(error, { debug: program.opts().debug === true })}\n`);
    process.exitCode = 1;
  }
}
done();
// What a user's reward file has open (a timer, a pool of connections) must not keep the process; what is printed first must out.
for (const stream of [process.stdout, process.stderr]) await new Promise((done) => stream.write('', done));
process.exit();
