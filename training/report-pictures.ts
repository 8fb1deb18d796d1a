import type { SampleRecord } from './evaluation/index.js';
import { number } from './progress.js';
import { type Html, html } from './report-html.js';
import { signed } from './report-sections.js';
import type { Evaluated, Story } from './report-story.js';

/** How many pairs are seen at once; the others are folded away. */
const pairsShown = 12;

/** How many pictures stand in each row of the best and of the worst. */
const extremesShown = 6;

function picture(uri: string | undefined, alt: string): Html {
  return uri === undefined ? html`` : html`<img class="sample" src="${uri}" alt="${alt}">`;
}

/** What a picture shows; where nobody has said it, its number. */
function captionOf({ record }: Evaluated, index: number): string {
  return record.samples[index]!.prompt ?? `no. ${index + 1}`;
}

/** What the reward said of a picture in words. */
function notesOf({ notes = {} }: SampleRecord): Html {
  return html`${Object.entries(notes).map(([name, text]) => html`<div class="note"><i>${name}:</i> ${text}</div>`)}`;
}

function rewardChange(before: SampleRecord, after: SampleRecord): Html {
  const change = after.reward - before.reward;
  const kind = change > 0 ? 'up' : change < 0 ? 'down' : '';
  return html`<div class="reward">${number(before.reward)} → ${number(after.reward)} <span class="${kind}">${change === 0 ? '±0' : signed(change)}</span></div>`;
}

/** The first pictures of the first and of the latest evaluation, side by side. */
export function gallery({ before, after, words }: Story): Html | undefined {
  if (!before || !after || before.pictures.length === 0) return undefined;
  const cards = after.pictures.map((uri, i) => {
    const caption = captionOf(after, i);
    return html`<figure class="pair"><div>${picture(before.pictures[i], caption)}<i>→</i>${picture(uri, caption)}</div>
      <figcaption>${caption}${rewardChange(before.record.samples[i]!, after.record.samples[i]!)}${notesOf(after.record.samples[i]!)}</figcaption></figure>`;
  });
  const more = cards.length - pairsShown;
  return html`<section><h2>Before training and after epoch ${after.record.epoch}</h2>
    <p>${words.pairs}</p>
    <div class="pairs">${cards.slice(0, pairsShown)}</div>
    ${more > 0 ? html`<details><summary>${more} more</summary><div class="pairs">${cards.slice(pairsShown)}</div></details>` : ''}
  </section>`;
}

/** How the first pictures came to be, step by step, before and after. */
export function animation({ before, after }: Story): Html | undefined {
  const shown = [before, after].flatMap((e) => (e?.animation === undefined ? [] : [e]));
  if (shown.length === 0) return undefined;
  return html`<section><h2>Step by step</h2>
    ${shown.map((e) => html`<figure class="strip"><img class="sample" src="${e.animation}" alt="pictures as they come to be, step by step"><figcaption>${e === before ? 'Before training' : `After epoch ${e.record.epoch}`}</figcaption></figure>`)}
  </section>`;
}

/** The pictures of the latest evaluation that the reward likes best and least. */
export function extremes({ before, after }: Story): Html | undefined {
  const last = after ?? before;
  if (!last || last.pictures.length < extremesShown + 2) return undefined;
  const order = last.pictures
    .map((_, i) => i)
    .sort((a, b) => last.record.samples[b]!.reward - last.record.samples[a]!.reward);
  const row = (title: string, indices: readonly number[]) =>
    html`<div><h3>${title}</h3><div class="row">${indices.map(
      (i) =>
        html`<figure>${picture(last.pictures[i], captionOf(last, i))}<figcaption><b>${number(last.record.samples[i]!.reward)}</b>${captionOf(last, i)}${notesOf(last.record.samples[i]!)}</figcaption></figure>`,
    )}</div></div>`;
  return html`<section><h2>Best and worst</h2>
    <p>By reward, among the ${last.pictures.length} pictures ${after ? `after epoch ${last.record.epoch}` : 'before training'}. Look at the best ones with distrust: a reward may like what a person does not.</p>
    <div class="extremes">${[row('Highest reward', order.slice(0, extremesShown)), row('Lowest reward', order.slice(-extremesShown).reverse())]}</div></section>`;
}
