import { algorithmOf, grouped } from '../../training/benchmark/results.js';
import { meanAndRange } from '../../training/figures.js';
import type { NamedFigure, PaperRun } from '../paper/definition.js';

/** The accuracies of a run from before the first pass on. */
function passes({ measures }: PaperRun): number[] {
  const values: number[] = [];
  for (let pass = 0; measures[`pass${pass}`] !== undefined; pass++) values.push(measures[`pass${pass}`]!);
  return values;
}

/** The rate of a run, as its name says it; those without one belong to all. */
const rateOf = ({ varied }: PaperRun) => varied['adaptation.learningRate'];

/** Accuracy by passes, a figure for each rate: the mean over seeds, and their range. A run that collapsed stays where it was. */
export function accuracyFigures(part: string, runs: readonly PaperRun[]): NamedFigure[] {
  const finished = runs.filter(({ state }) => state === 'finished');
  const rates = [...new Set(finished.map(rateOf))].filter((rate) => rate !== undefined);
  return (rates.length > 0 ? rates : [undefined]).map((rate) => {
    const own = finished.filter((run) => [rate, undefined].includes(rateOf(run) as never));
    const series = grouped(own, algorithmOf).map((group) => {
      const curves = group.map(passes);
      const length = Math.max(...curves.map((curve) => curve.length));
      const at = (pass: number) => curves.map((curve) => curve[Math.min(pass, curve.length - 1)]!);
      const places = Array.from({ length }, (_, pass) => pass);
      const name = algorithmOf(group[0]!)
        .replace(/,? ?learningRate [\d.]+/, '')
        .replace(' ()', '');
      return meanAndRange(name, places, places.map(at));
    });
    return {
      title: 'Accuracy on the target',
      unit: 'share, mean over classes',
      across: 'pass over the target',
      ...{ width: 520, height: 320, file: rate === undefined ? part : `${part}-${rate}`, series },
      caption: `Accuracy by passes${rate === undefined ? '' : ` at rate ${rate}`}: mean and range over seeds.`,
    };
  });
}
