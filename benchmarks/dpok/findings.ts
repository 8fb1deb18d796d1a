import type { PaperRun } from '../paper/definition.js';
import {
  all,
  any,
  bySeed,
  type Finding,
  paired,
  positive,
  positiveFinding,
  type Select,
  seeds,
  shownInterval,
  shownShare,
} from '../paper/findings.js';

/** What DPOK with PPO's surrogate and a mean as baseline is called. */
const sweptBy = (beta: number) => `dpok (surrogate "clip", baseline "per-prompt", klCoefficient ${beta})`;

/** DPOK's findings on one part of its benchmark; `betas` starts with 0. */
export function findingsOf(
  runs: readonly PaperRun[],
  part: string,
  title: string,
  betas: readonly number[],
): Finding[] {
  const select = (algorithm: string, of: string): Select => ({ part, algorithm, of });
  const online = (beta: number, of: string) => select(sweptBy(beta), of);
  const clamped = (beta: number, of: string) => select(`dpok (klCoefficient ${beta})`, of);
  const without = (of: string) => online(0, of);
  const values = (one: Select) => [...bySeed(runs, one).values()];
  const difference = (a: Select, b: Select) => paired(runs, [a, b], (x, y) => x - y);
  const some = betas.slice(1);

  /** What a β keeps of the gain without a KL, at which share of the drift, and by how much likelier its pictures are. */
  const sweep = some.map((beta) => {
    const gain = paired(runs, [online(beta, 'rise'), without('rise')], (own, free) => own - 0.85 * free);
    const drift = paired(runs, [without('kl'), online(beta, 'kl')], (free, own) => free / 2 - own);
    const likelier = difference(without('loss'), online(beta, 'loss'));
    const share = (of: string) => shownShare(runs, online(beta, of), without(of));
    const evidence = `β ${beta}: ${share('rise')} of the gain, ${share('kl')} of the drift, denoising loss lower by ${shownInterval(likelier, 2)}, ${seeds(gain)}`;
    return { beta, verdict: all(positive(gain), positive(drift), positive(likelier)), evidence, n: gain.length };
  });
  const measured = sweep.filter(({ n }) => n > 0);
  /** Where online and supervised agents are compared: the least weight of the KL. */
  const beta = some[0]!;
  const better = (supervised: string) => difference(online(beta, 'score'), select(supervised, 'score'));
  const likelier = (supervised: string) => difference(select('sft', 'loss'), select(supervised, 'loss'));
  const overWeighted = difference(select('sft', 'score'), select('sft', 'weighted'));
  const exceeds = difference(online(beta, 'score'), select('sft', 'weighted'));
  const last = some.at(-1)!;
  const held = difference(without('kl'), online(last, 'kl'));
  const clampHeld = difference(clamped(0, 'kl'), clamped(beta, 'kl'));
  const clampBetter = difference(clamped(beta, 'score'), clamped(0, 'score'));

  const lora = [0.001, 0.003].map((rate) =>
    paired(
      runs,
      [select(`ppo (rank 4, learningRate ${rate})`, 'rise'), select('ppo', 'rise')],
      (adapter, full) => adapter - 0.8 * full,
    ),
  );

  // Weighed by a reward of yes or no, a set is right throughout: its mean is 1.
  const reachable = values(select('sft', 'weighted')).some((value) => Math.abs(value - 1) > 1e-6);
  const imitation: Finding = {
    statement: `${title}: supervised fine-tuning ends near the weighted mean of its set, which is all that imitation yields, and DPOK (β ${beta}) exceeds both`,
    verdict: all(positive(exceeds), positive(better('sft'))),
    evidence: `supervised above set by ${shownInterval(overWeighted)}; DPOK above set by ${shownInterval(exceeds)}, above supervised by ${shownInterval(better('sft'))}, ${seeds(exceeds)}`,
  };
  const own: Finding[] = [
    {
      statement: `${title}: DDPO-IS with a LoRA of rank 4 has at least 80 % of the gain that it has with all weights`,
      verdict: any(...lora.map(positive)),
      evidence: `gain above 80 %, at learning rates 1e-3 and 3e-3: ${lora.map((values) => shownInterval(values)).join(' and ')}, ${seeds(lora[0]!)}`,
    },
    {
      statement: `${title}: with DPOK's own surrogate and value function too the KL (β ${beta}) holds the policy nearer, and its reward is higher than without`,
      verdict: all(positive(clampHeld), positive(clampBetter)),
      evidence: `drift less by ${shownInterval(clampHeld)}, reward more by ${shownInterval(clampBetter)}; without, ${shownInterval(values(clamped(0, 'score')))}, ${seeds(clampHeld)}`,
    },
  ];

  return [
    ...(lora[0]!.length > 0 ? own : []),
    positiveFinding(`${title}: DPOK without a KL raises the reward`, 'rise', values(without('rise'))),
    positiveFinding(
      `${title}: a KL of weight ${last} holds the policy nearer`,
      'drift without it less drift with it',
      held,
    ),
    {
      statement: `${title}: at some β at least 85 % of the gain without a KL is kept, with at most half of the drift and likelier pictures`,
      verdict: any(...sweep.map(({ verdict }) => verdict)),
      evidence: measured.length === 0 ? 'no runs' : measured.map(({ evidence }) => evidence).join('; '),
    },
    {
      statement: `${title}: DPOK (β ${beta}) has more reward than KL-D and KL-O`,
      verdict: all(positive(better('kl-d')), positive(better('kl-o'))),
      evidence: `more by ${shownInterval(better('kl-d'))} and ${shownInterval(better('kl-o'))}, ${seeds(better('kl-d'))}`,
    },
    {
      statement: `${title}: reward-weighted fine-tuning raises the reward and makes pictures less likely`,
      verdict: all(
        positive(values(select('sft', 'rise'))),
        positive(difference(select('sft', 'loss'), select('sft', 'lossBefore'))),
      ),
      evidence: `rise ${shownInterval(values(select('sft', 'rise')))}, denoising loss higher by ${shownInterval(difference(select('sft', 'loss'), select('sft', 'lossBefore')), 2)}, ${seeds(values(select('sft', 'rise')))}`,
    },
    {
      statement: `${title}: KL-D and KL-O give part of that likelihood back`,
      verdict: all(positive(likelier('kl-d')), positive(likelier('kl-o'))),
      evidence: `denoising loss lower than without by ${shownInterval(likelier('kl-d'), 2)} and ${shownInterval(likelier('kl-o'), 2)}, ${seeds(likelier('kl-d'))}`,
    },
    ...(reachable ? [imitation] : []),
  ];
}

/** What becomes of the guard where the learning rate is too high, and what the watch and DPOK's KL do about it. */
export function collapseFindings(runs: readonly PaperRun[], part: string, title: string): Finding[] {
  const select = (algorithm: string, of: string): Select => ({ part, algorithm, of });
  const [alone, stopped, held] = ['ppo (rule "warn")', 'ppo (rule "stop")', 'dpok (klCoefficient 10)'] as const;
  const difference = (a: Select, b: Select) => paired(runs, [a, b], (x, y) => x - y);
  const alarms = [...bySeed(runs, select(alone, 'alarms')).values()];
  return [
    {
      statement: `${title}: the audit finds something wrong with every run that had no help`,
      verdict: alarms.length === 0 ? 'not measured' : alarms.every((count) => count > 0) ? 'for' : 'against',
      evidence: `findings of \`audit\` by seed: ${alarms.join(', ')}`,
    },
    positiveFinding(
      `${title}: without help the guard falls`,
      'guard before less guard after',
      difference(select(alone, 'guardBefore'), select(alone, 'guard')),
    ),
    positiveFinding(
      `${title}: the watch ends the run sooner (watch.rule: stop)`,
      'epochs fewer',
      difference(select(alone, 'epoch'), select(stopped, 'epoch')),
    ),
    positiveFinding(
      `${title}: DPOK's KL (β 10) keeps more of the guard`,
      'guard higher by',
      difference(select(held, 'guard'), select(alone, 'guard')),
    ),
    positiveFinding(
      `${title}: DPOK's KL (β 10) leaves fewer pictures blank`,
      'share of blank pictures lower by',
      difference(select(alone, 'blank'), select(held, 'blank')),
    ),
  ];
}

/** Whether what was learned on some prompts of all kinds holds for them, and for those that were held out. */
export function mixedFindings(runs: readonly PaperRun[], part: string, betas: readonly number[]): Finding[] {
  const agents = {
    'DDPO-IS': 'ppo',
    ...Object.fromEntries(betas.map((beta) => [`DPOK (β ${beta})`, sweptBy(beta)])),
  };
  return Object.entries(agents).flatMap(([name, algorithm]) => {
    const select = (of: string): Select => ({ part, algorithm, of });
    return [
      positiveFinding(`All kinds: ${name} raises the reward of the prompts it learns on`, 'rise', [
        ...bySeed(runs, select('rise')).values(),
      ]),
      positiveFinding(
        `All kinds: ${name} raises the reward of prompts that were held out`,
        'rise',
        paired(runs, [select('heldOut'), select('heldOutBefore')], (after, before) => after - before),
      ),
      ...(algorithm === 'ppo' ? [] : [held(runs, part, name, algorithm)]),
    ];
  });
}

/** What the KL costs of the reward that DDPO-IS has without one, and what it holds. */
function held(runs: readonly PaperRun[], part: string, name: string, algorithm: string): Finding {
  const against = (of: string, difference: (free: number, own: number) => number) =>
    paired(
      runs,
      ['ppo', algorithm].map((one) => ({ part, algorithm: one, of })),
      difference,
    );
  const drift = against('kl', (free, own) => free / 2 - own);
  const likelier = against('loss', (free, own) => free - own);
  const more = against('score', (free, own) => own - free);
  return {
    statement: `All kinds: ${name} drifts at most half as far as DDPO-IS, and its pictures are likelier`,
    verdict: all(positive(drift), positive(likelier)),
    evidence: `half of the drift of DDPO-IS less its own ${shownInterval(drift, 2)}; denoising loss lower by ${shownInterval(likelier, 2)}; reward more by ${shownInterval(more, 2)}; ${seeds(drift)}`,
  };
}
