import type { PaperRun } from '../paper/definition.js';
import { all, type Finding, paired, positive, positiveFinding, seeds, shownInterval } from '../paper/findings.js';

/** Differences in FPL's tables 1 to 3, in points of the mean over domains: on Digits and on Office-Caltech. */
const published: readonly (readonly [of: string, algorithm: string, less: string, digits: number, office: number])[] = [
  ['FPL over FedAvg (table 2)', 'fpl', 'fedavg', 2.98, 7.27],
  ['CPCL alone over FedAvg (table 1)', 'fpl (consistency 0)', 'fedavg', 1.3, 2.83],
  ['UPCR alone over FedAvg (table 1)', 'fpl (contrastive 0)', 'fedavg', 1.84, 4.85],
  ['FedProto over FedAvg (table 2)', 'fedproto', 'fedavg', 1.02, 4.11],
  ['FedProx over FedAvg (table 2)', 'fedprox', 'fedavg', 0.36, 1.54],
  ['MOON, with a weight of .1, over FedAvg (table 2)', 'moon (mu 0.1)', 'fedavg', -3.64, -4.62],
  ['FedDyn over FedAvg (table 2)', 'feddyn', 'fedavg', 0.4, 0.89],
  ['FedOPT over FedAvg (table 2)', 'fedopt', 'fedavg', -0.42, 1.95],
  ['FedProc over FedAvg (table 2)', 'fedproc', 'fedavg', -2.25, -3.19],
  [
    'UPCR alone over the same with global prototypes, FedProto (table 3)',
    'fpl (contrastive 0)',
    'fedproto',
    0.82,
    0.73,
  ],
];

const settings = {
  drawn: 'Drawn domains',
  real: 'Real handwriting',
  'real-without-usps': 'Real handwriting, without USPS',
} as const;

/** The statements of the paper, and of those who would use it, on the runs that there are. */
export function findingsOf(runs: readonly PaperRun[]): Finding[] {
  const points = (part: string, algorithm: string, of = 'accuracy') => ({ part, algorithm, of });
  const difference = (part: string, a: string, b: string, of = 'accuracy', other = part) =>
    paired(runs, [points(part, a, of), points(other, b, of)], (x, y) => 100 * (x - y));
  const rivals = ['fedproto', 'fedavg', 'fpl (consistency 0)', 'fpl (contrastive 0)'];
  const measured = (part: string) => runs.some((run) => run.part === part && run.state === 'finished');

  const main = Object.entries(settings).flatMap(([part, title]): Finding[] => {
    if (!measured(part)) return [];
    const leads = rivals.map((rival) => difference(part, 'fpl', rival));
    const fedavg = runs.filter((run) => run.part === part && run.agent === 'fedavg' && run.state === 'finished');
    // The gain on the domain that FedAvg serves worst, less the mean gain.
    const skew = fedavg.flatMap(({ seed, measures, byEpoch = {} }) => {
      const names = Object.keys(byEpoch).flatMap((key) => key.match(/^accuracy\/(.*)$/)?.[1] ?? []);
      const own = runs.find(
        (run) => run.part === part && run.seed === seed && run.agent === 'fpl' && Object.keys(run.varied).length === 0,
      );
      if (own?.state !== 'finished' || names.length === 0) return [];
      const gains = names.map((name) => 100 * (own.measures[name]! - measures[name]!));
      const weakest = names.reduce((a, b) => (measures[b]! < measures[a]! ? b : a));
      return [gains[names.indexOf(weakest)]! - gains.reduce((a, b) => a + b, 0) / gains.length];
    });
    return [
      {
        statement: `${title}: FPL is above FedProto, FedAvg and both of its halves`,
        verdict: all(...leads.map(positive)),
        evidence: `${rivals.map((rival, i) => `points over ${rival}: ${shownInterval(leads[i]!)}, above it on ${leads[i]!.filter((lead) => lead > 0).length} of ${seeds(leads[i]!)}`).join('; ')}`,
      },
      positiveFinding(
        `${title}: FPL gains most on the domain that FedAvg serves worst`,
        'points of gain there, less the mean gain',
        skew,
      ),
    ];
  });

  const tables = published.map(([of, algorithm, less, digits, office]): Finding => {
    const here = Object.keys(settings).map((part) => difference(part, algorithm, less));
    // Of a loss it is that of the rival which is to be found again.
    const sign = digits + office < 0 ? -1 : 1;
    return {
      statement: `${of}: ${digits} points on Digits, ${office} on Office-Caltech`,
      verdict: all(
        ...here.filter((list) => list.length > 0).map((list) => positive(list.map((value) => sign * value))),
      ),
      evidence: Object.values(settings)
        .map((title, i) => `${title.toLowerCase()}: ${shownInterval(here[i]!)}`)
        .join('; '),
    };
  });

  const spread = ['dominant', 'paper'].flatMap((part): Finding[] => {
    if (!measured(part)) return [];
    const title = part === 'dominant' ? 'A dominant domain' : '3/7/6/4 clients';
    const less = (a: string, b: string) =>
      paired(runs, [points(part, 'fpl', a), points(part, 'fpl', b)], (x, y) => x - y);
    return [
      positiveFinding(
        `${title}: pulling to unbiased prototypes is better than to global ones`,
        'points of accuracy',
        difference(part, 'fpl', 'fpl (consistentWith "global")'),
      ),
      positiveFinding(
        `${title}: unbiased prototypes are about as far from every domain, global ones nearer to the one with most clients`,
        'difference of the farthest and the nearest domain, of global ones less of unbiased ones',
        less('gapGlobal', 'gapUnbiased'),
      ),
      positiveFinding(
        `${title}: unbiased prototypes move less from round to round than global ones`,
        'way in a round, in lengths of a prototype, of global ones less of unbiased ones',
        less('movementGlobal', 'movementUnbiased'),
      ),
    ];
  });

  const others: Finding[] = [
    positiveFinding(
      'Drawn domains: federated averaging with twice the rounds does not close the gap',
      'points of FPL above it',
      difference('drawn', 'fpl', 'fedavg (rounds 32)', 'accuracy', 'rounds'),
    ),
    positiveFinding(
      'Drawn domains: pulling to unbiased prototypes is better than to global ones',
      'points of accuracy',
      difference('drawn', 'fpl', 'fpl (consistentWith "global")', 'accuracy', 'ablations'),
    ),
    positiveFinding(
      'Drawn domains: contrast with clusters is better than with one prototype a class',
      'points of accuracy',
      difference('drawn', 'fpl', 'fpl (contrastWith "global")', 'accuracy', 'ablations'),
    ),
    positiveFinding(
      'Failures and stragglers: FPL stays above FedAvg',
      'points of accuracy',
      difference('failures', 'fpl', 'fedavg'),
    ),
    positiveFinding(
      'PPO on the knobs beats the default knobs on held-out allocations',
      'return above that of the default knobs',
      paired(runs, [points('knobs', 'ppo', 'score'), points('knobs', 'fpl', 'score')], (x, y) => x - y),
    ),
    ...['krum', 'trimmed-mean', 'median'].map((robust) =>
      positiveFinding(
        `Attackers: ${robust} is above FedAvg`,
        'points of accuracy',
        difference('attackers', robust, 'fedavg'),
      ),
    ),
  ];
  return [...main, ...others, ...spread, ...tables].filter(({ verdict }) => verdict !== 'not measured');
}
