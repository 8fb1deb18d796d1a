import { classHue, domainSign, prototypeMarks } from '../../training/families/federated-map.js';
import { readFederatedRecord } from '../../training/families/federated-rounds.js';
import { type Html, html } from '../../training/report-html.js';

/** Where the clients' prototypes lie after the first round and after the last: SVG that stands alone. */
export async function mapDrawing(folder: string): Promise<string> {
  const record = await readFederatedRecord(folder);
  const { first, last = [], classes, domains } = record;
  const [width, height, gap, head, foot] = [420, 320, 24, 28, 30];
  const [whole, high] = [2 * width + gap, head + height + foot];
  const map = (title: string, points: typeof first, left: number) =>
    html`<g transform="translate(${left} 0)"><text x="12" y="18">${title}</text><g transform="translate(0 ${head})" fill-opacity=".8">${prototypeMarks(points, record, width, height)}</g></g>`;
  let left = 16;
  /** An entry of the legend, beside the one before. */
  const entry = (name: string, color: string, sign?: Html) => {
    const at = left;
    const text = sign ? 10 : 0;
    left += text + 8 * name.length + 16;
    return html`<g transform="translate(${at} ${high - 14})" fill="${color}">${sign}<text x="${text}" y="4">${name}</text></g>`;
  };
  const legend = [
    ...domains.map((domain, i) => entry(domain, '#687083', domainSign(i))),
    ...Array.from({ length: classes }, (_, k) => entry(String(k), classHue(k, classes))),
  ];
  const maps = [map('After the first round', first, 0), map('After the last round', last, width + gap)];
  const svg = html`<svg xmlns="http://www.w3.org/2000/svg" width="${whole}" height="${high}" viewBox="0 0 ${whole} ${high}" font-family="system-ui, sans-serif" font-size="13" font-weight="bold"><rect width="${whole}" height="${high}" fill="#fff"/>${maps}${legend}</svg>`;
  return `${svg.text}\n`;
}
