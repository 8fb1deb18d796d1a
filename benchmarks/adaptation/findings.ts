import type { PaperRun } from '../paper/definition.js';
import {
  bySeed,
  type Finding,
  paired,
  positive,
  type Select,
  seeds,
  shown,
  shownInterval,
  type Verdict,
} from '../paper/findings.js';

/** What the runs of one part say of the paper's statements. Shares, not per cent. */
export function findingsOf(runs: readonly PaperRun[], part: string): Finding[] {
  return part === 'ablations' ? ablationFindings(runs) : pairFindings(runs, part);
}

/** The difference of two selected numbers, tested against a margin. */
function difference(runs: readonly PaperRun[], statement: string, a: Select, b: Select, margin = 0): Finding {
  const values = paired(runs, [a, b], (x, y) => x - y);
  return {
    statement,
    verdict: positive(values.map((value) => value - margin)),
    evidence: `difference ${shownInterval(values)}, ${seeds(values)}`,
  };
}

function pairFindings(runs: readonly PaperRun[], part: string): Finding[] {
  const name = part.replace('-', ' → ');
  const guided = (rate: number, contrast = 0.2, of = 'score'): Select => ({
    ...{ part, of, algorithm: `guided-pseudo-labels (contrast ${contrast}, learningRate ${rate})` },
  });
  const naive = (rate: number, diversity: number): Select => ({
    ...{ part, algorithm: `naive-pseudo-labels (diversity ${diversity}, learningRate ${rate})` },
  });
  const [fast, gentle] = [0.02, 0.005];
  const fromDrawn = !/^(mnist|usps)-/.test(part);
  const findings: Finding[] = [];
  const ten = (of = 'score'): Select => ({
    ...{ part, of, algorithm: `guided-pseudo-labels (neighbours 10, learningRate ${fast})` },
  });
  if (part === 'texture-mnist')
    findings.push(
      reaches(runs, 'guided labels', guided(fast), guided(fast, 0.2, 'source')),
      reaches(runs, 'guided labels by ten neighbours', ten(), ten('source')),
    );
  if (fromDrawn)
    findings.push(
      difference(
        runs,
        `${name}: at rate ${fast} guided labels are better than naive ones by at least 20 points`,
        guided(fast),
        naive(fast, 0),
        0.2,
      ),
    );
  for (const rate of [fast, gentle])
    findings.push(
      difference(
        runs,
        `${name}: at rate ${rate} guided labels do not fall below the source network`,
        guided(rate),
        guided(rate, 0.2, 'source'),
      ),
      difference(
        runs,
        `${name}: at rate ${rate} guided labels are better than naive ones with diversity`,
        guided(rate),
        naive(rate, 1),
      ),
      difference(
        runs,
        `${name}: at rate ${rate} guided labels are better with the contrast than without`,
        guided(rate),
        guided(rate, 0),
      ),
    );
  findings.push(
    difference(
      runs,
      `${name}: right labels weigh more than wrong ones`,
      guided(fast, 0.2, 'weightRight'),
      guided(fast, 0.2, 'weightWrong'),
    ),
    difference(runs, `${name}: at rate ${fast} guided labels are better than AdaContrast's`, guided(fast), {
      ...{ part, algorithm: `adacontrast (learningRate ${fast})` },
    }),
    difference(runs, `${name}: at rate ${fast} guided labels are better than SHOT`, guided(fast), {
      ...{ part, algorithm: `shot (learningRate ${fast})` },
    }),
  );
  return findings;
}

/** The bar of this benchmark, seed by seed. */
function reaches(runs: readonly PaperRun[], which: string, score: Select, source: Select): Finding {
  const [scores, sources] = [bySeed(runs, score), bySeed(runs, source)];
  const met = [...scores.values()].filter((value) => value >= 0.88).length;
  const verdict: Verdict = scores.size === 0 ? 'not measured' : met === scores.size ? 'for' : 'against';
  const each = [...scores].map(([seed, value]) => `seed ${seed}: ${shown(sources.get(seed)!)} to ${shown(value)}`);
  return {
    statement: `texture → mnist: at rate 0.02 ${which} read at least 88 % of handwriting on every seed`,
    verdict,
    evidence: `${met} of ${scores.size}: ${each.join(', ')}`,
  };
}

function ablationFindings(runs: readonly PaperRun[]): Finding[] {
  const part = 'ablations';
  const without = (option: string, of = 'score'): Select => ({
    ...{ part, of, algorithm: `guided-pseudo-labels (${option})` },
  });
  const whole = (of = 'score') => without('history 5', of);
  const best = (of = 'score') => without('contrast 1', of);
  return [
    reaches(runs, 'guided labels with a contrast of 1', best(), best('source')),
    difference(runs, 'the vote of neighbours helps', whole(), without('neighbours 0')),
    difference(runs, 'weights by certainty help', whole(), without('sharpness 0')),
    difference(runs, 'the contrast helps', whole(), without('contrast 0')),
    difference(runs, 'a contrast of .2 is better than one of 1', whole(), without('contrast 1')),
    difference(
      runs,
      "exclusion by labels leaves fewer false negatives: kept negatives of the anchor's own class",
      without('exclusion false', 'falseNegatives'),
      whole('falseNegatives'),
    ),
    difference(
      runs,
      'T = 5 leaves fewer false negatives than T = 1',
      without('history 1', 'falseNegatives'),
      whole('falseNegatives'),
    ),
    difference(runs, 'exclusion by labels helps accuracy', whole(), without('exclusion false')),
    difference(runs, 'T = 5 is more accurate than T = 1', whole(), without('history 1')),
    difference(runs, 'T = 10 is more accurate than T = 5', without('history 10'), whole()),
    difference(runs, 'negative learning is better than cross-entropy on so few passes', without('negative 1'), whole()),
  ];
}
