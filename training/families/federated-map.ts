import { Html, html } from '../report-html.js';
import type { FederatedRecord } from './federated-rounds.js';

/** The colour of a class: hues of one lightness, which are told apart on light and on dark ground. */
export const classHue = (k: number, classes: number) => `hsl(${Math.round((360 * k) / classes)} 65% 52%)`;

/** Shapes around 0, of a radius of about 5. */
const signs = [
  '<circle r="4.5"/>',
  '<rect x="-4" y="-4" width="8" height="8"/>',
  '<path d="M0-5.5 5 4H-5Z"/>',
  '<path d="M0-6 5 0 0 6-5 0Z"/>',
  '<path d="M0 5.5 5-4H-5Z"/>',
  '<path d="M-5-2H-2V-5H2V-2H5V2H2V5H-2V2H-5Z"/>',
];

/** SVG of the shape that stands for a domain, around 0. */
export const domainSign = (domain: number) => new Html(signs[domain % signs.length]!);

/** SVG of a map of prototypes, of this size: every point by the hue of its class and the shape of its domain. */
export function prototypeMarks(
  points: FederatedRecord['first'],
  { classes, domains }: FederatedRecord,
  width: number,
  height: number,
): Html[] {
  const rim = 12;
  const [left, right] = [Math.min(...points.map(({ x }) => x)), Math.max(...points.map(({ x }) => x))];
  const [low, high] = [Math.min(...points.map(({ y }) => y)), Math.max(...points.map(({ y }) => y))];
  // One scale for both axes, so that distances can be compared; points that are all alike stand in the middle.
  const scale = Math.min((width - 2 * rim) / (right - left || 1), (height - 2 * rim) / (high - low || 1));
  return points.map(({ x, y, ...point }) => {
    const [across, down] = [
      width / 2 + scale * (x - (left + right) / 2),
      height / 2 - scale * (y - (low + high) / 2),
    ].map((value) => value.toFixed(1));
    return html`<g transform="translate(${across} ${down})" fill="${classHue(point.class, classes)}"><title>${point.class}, ${domains[point.domain]!}</title>${domainSign(point.domain)}</g>`;
  });
}
