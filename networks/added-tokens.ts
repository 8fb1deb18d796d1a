/** A token that stands for a text as a whole, whatever is around it: of a learnt concept such as `<cat-toy>`, for example. */
export interface AddedToken {
  readonly content: string;
  readonly id: number;
  /** Whether it is found in the normalised text, so that upper and lower case are the same (default), or as it is written. */
  readonly normalized?: boolean;
  /** Whether it is found only where no letter or digit is next to it. Default false. */
  readonly singleWord?: boolean;
  /** Whether it is left out when ids are decoded. Default false. */
  readonly special?: boolean;
}

/** Tokens that are found in a text as a whole. */
export interface Found {
  readonly ids: ReadonlyMap<string, number>;
  /** Finds the longest of them; undefined where there are none. */
  readonly pattern: RegExp | undefined;
}

/** @param tokens with their texts in the form in which they are looked for */
export function finder(tokens: readonly Pick<AddedToken, 'content' | 'id' | 'singleWord'>[]): Found {
  const wordCharacter = String.raw`[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]`;
  const patterns = [...tokens]
    .sort((a, b) => b.content.length - a.content.length)
    .map(({ content, singleWord }) => {
      const literal = content.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
      return singleWord ? `(?<!${wordCharacter})${literal}(?!${wordCharacter})` : literal;
    });
  return {
    ids: new Map(tokens.map(({ content, id }) => [content, id])),
    pattern: patterns.length === 0 ? undefined : new RegExp(patterns.join('|'), 'gu'),
  };
}

/** The tokens of a text as their ids, and what is between them. */
export function* split(text: string, { ids, pattern }: Found): Iterable<number | string> {
  let end = 0;
  for (const match of pattern ? text.matchAll(pattern) : []) {
    yield text.slice(end, match.index);
    yield ids.get(match[0])!;
    end = match.index + match[0].length;
  }
  yield text.slice(end);
}
