/** Text that is HTML already, and is put into a page as it is. */
export class Html {
  constructor(readonly text: string) {}
}

/** What a template of {@link html} takes as a value. */
export type Part = Html | string | number | undefined | readonly Part[];

/** Text with the characters that mean something in HTML, also within attributes, replaced. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** A part as the text of a page: HTML stays, everything else is escaped. */
export function render(part: Part): string {
  if (part === undefined) return '';
  if (part instanceof Html) return part.text;
  if (typeof part === 'object') return part.map(render).join('');
  return escapeHtml(String(part));
}

/** A template whose values are escaped unless they are HTML themselves: a prompt or the key of a metric may hold anything. */
export function html(strings: TemplateStringsArray, ...values: Part[]): Html {
  return new Html(strings.reduce((text, s, i) => `${text}${render(values[i - 1])}${s}`));
}

/** Text in which `**` stands before and after strong words. */
export function strong(text: string): Html {
  return html`${text.split(/\*\*(.+?)\*\*/).map((part, i) => (i % 2 === 1 ? html`<b>${part}</b>` : part))}`;
}

/** Binary data as a URI that holds it, so that a page needs no other file. */
export function dataUri(type: string, data: Buffer): string {
  return `data:${type};base64,${data.toString('base64')}`;
}
