import { GymError, messageOf } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import { isTooDeep, mostLevels } from '../../core/json.js';
import { checkPrompt, type ListedPrompt, type PromptOrder, type PromptSource, promptList } from './prompts.js';

/** The line in which JSON is wrong, if the error says at which position. */
function lineOf(text: string, error: unknown): number {
  const position = /position (\d+)/.exec(messageOf(error));
  return text.slice(0, position ? Number(position[1]) : text.length).split('\n').length;
}

/**
 * Prompts from a file.
 *
 * - A text file has a prompt in each line; empty lines and lines that begin with # are skipped.
 * - `.json` is a list of strings or of `{ prompt, metadata }`.
 * - `.jsonl` has one of these in each line. Where an object has no `metadata`, its other keys are that.
 * - `.csv` has a line of names, of which one is `prompt`; the other columns are the metadata, as an object of texts.
 * @throws GymError E_FILE that names the file and the line.
 */
export async function promptFile(
  path: string,
  options: { order?: PromptOrder | undefined } = {},
): Promise<PromptSource> {
  return promptList(await readPrompts(path), options);
}

/** The prompts in a file of a form that {@link promptFile} takes. There is at least one. @throws GymError E_FILE. */
export async function readPrompts(path: string): Promise<ListedPrompt[]> {
  // Windows' line ends and those of old Macs are those of all others from here on.
  const text = (await readText(path)).replace(/^\uFEFF/, '').replace(/\r\n?/g, '\n');
  const form = /\.(json|jsonl|csv)$/i.exec(path)?.[1]?.toLowerCase();
  const read = form === 'json' ? jsonEntries : form === 'jsonl' ? jsonLines : form === 'csv' ? csvRows : textLines;
  const list = Array.from(read(path, text), ({ where, value }): ListedPrompt => {
    try {
      return { ...checkPrompt(where, value), where };
    } catch (error) {
      throw new GymError('E_FILE', messageOf(error), { cause: error });
    }
  });
  if (list.length === 0) throw new GymError('E_FILE', `${path}: no prompts in it; write one a line.`);
  return list;
}

/** A prompt as it stands in a file, not checked yet. */
interface Entry {
  readonly where: string;
  readonly value: unknown;
}

function* textLines(path: string, text: string): Iterable<Entry> {
  for (const [i, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    checkText(`${path}:${i + 1}`, line);
    yield { where: `${path}:${i + 1}`, value: line };
  }
}

function checkText(where: string, text: string): void {
  if (/[\0\uFFFD]/.test(text))
    throw new GymError('E_FILE', `${where}: this is not UTF-8 text; save the file as UTF-8.`);
}

function* jsonEntries(path: string, text: string): Iterable<Entry> {
  const parsed = parseEntry(text, path, (error) => `${path}:${lineOf(text, error)}`);
  if (!Array.isArray(parsed))
    throw new GymError('E_FILE', `${path}: must be a list of prompts, actual value is ${typeof parsed}.`);
  for (const [i, value] of parsed.entries()) yield { where: `${path}: entry ${i}`, value };
}

function* jsonLines(path: string, text: string): Iterable<Entry> {
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const where = `${path}:${i + 1}`;
    const value = parseEntry(line, where, () => where);
    const isFlat = typeof value === 'object' && value !== null && 'prompt' in value && !('metadata' in value);
    if (!isFlat) yield { where, value };
    else {
      const { prompt, ...metadata } = value as Record<string, unknown>;
      yield { where, value: Object.keys(metadata).length === 0 ? value : { prompt, metadata } };
    }
  }
}

/** @param place of an error of the syntax */
function parseEntry(text: string, where: string, place: (error: unknown) => string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new GymError('E_FILE', `${place(error)}: not valid JSON (${messageOf(error)}).`, { cause: error });
  }
  if (isTooDeep(value))
    throw new GymError('E_FILE', `${where}: lists and objects are nested by more than ${mostLevels} levels.`);
  return value;
}

function* csvRows(path: string, text: string): Iterable<Entry> {
  const [names, ...rows] = csv(path, text);
  const column = names?.cells.indexOf('prompt') ?? -1;
  if (column < 0)
    throw new GymError(
      'E_FILE',
      `${path}:1: the first line of a CSV file names its columns, of which one must be \`prompt\`; actual value ${names?.cells.join(', ') ?? 'nothing'}.`,
    );
  for (const { line, cells } of rows) {
    const where = `${path}:${line}`;
    if (cells.length !== names!.cells.length)
      throw new GymError(
        'E_FILE',
        `${where}: has ${cells.length} columns, the first line ${names!.cells.length}; a cell with a comma in it needs quotes.`,
      );
    const prompt = cells[column]!;
    checkText(where, prompt);
    const others = names!.cells.flatMap((name, i) => (i === column ? [] : [[name, cells[i]!]]));
    yield { where, value: others.length === 0 ? prompt : { prompt, metadata: Object.fromEntries(others) } };
  }
}

/** The rows of a CSV file (RFC 4180): cells may be quoted, and a quote in one is written twice. Empty lines are skipped. */
function csv(path: string, text: string): { line: number; cells: string[] }[] {
  const rows: { line: number; cells: string[] }[] = [];
  const cell = /(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n|$)/y;
  let line = 1;
  let cells: string[] = [];
  while (cell.lastIndex < text.length || cells.length > 0) {
    const match = cell.exec(text);
    if (!match)
      throw new GymError('E_FILE', `${path}:${line}: a quoted cell does not end where the next comma or line end is.`);
    const [whole, quoted, plain, end] = match;
    cells.push(quoted === undefined ? plain!.trim() : quoted.replaceAll('""', '"'));
    if (end !== ',') {
      if (cells.length > 1 || cells[0] !== '') rows.push({ line, cells });
      cells = [];
    }
    line += whole.split('\n').length - 1;
    if (end === '') break;
  }
  return rows;
}
