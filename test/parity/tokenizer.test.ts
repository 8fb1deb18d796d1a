import { describe, expect, it } from 'vitest';
import { CLIPTokenizer } from '../../networks/clip-tokenizer.js';
import { fixturePath, readFixture, startBackend } from './fixtures.js';

interface Cases {
  model_max_length: number;
  cases: { text: string; ids: number[]; padded: number[]; attention_mask: number[] }[];
}

await startBackend();
const { model_max_length, cases } = await readFixture<Cases>('models', 'tokenizer', 'cases.json');
const tokenizer = await CLIPTokenizer.load(fixturePath('models', 'tokenizer'));

describe("the ids of transformers' CLIPTokenizer", () => {
  it('knows its maximal length', () => {
    expect(tokenizer.maxLength).toBe(model_max_length);
  });

  it.each(cases)('$text', ({ text, ids, padded, attention_mask }) => {
    expect(tokenizer.tokenize(text)).toEqual(ids);
    const { inputIds, attentionMask } = tokenizer.encode(text, { truncation: true });
    expect([...inputIds]).toEqual(padded);
    expect([...attentionMask]).toEqual(attention_mask);
    if (ids.length > model_max_length) expect(() => tokenizer.encode(text)).toThrow(`has ${ids.length} tokens`);
  });
});
