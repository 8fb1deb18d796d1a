import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readJson } from '../../core/files.js';
import { isTooDeep, mostLevels, parseJson, parsePythonJson } from '../../core/json.js';
import { shown, shownJson, shownName, shownShape } from '../../core/shown.js';

const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

describe('parseJson', () => {
  it('names the file of what is no JSON, and of what is nested too deeply', async () => {
    expect(parseJson(nested(mostLevels), 'x.json')).toBeInstanceOf(Array);
    expect(() => parseJson(nested(mostLevels + 1), 'x.json')).toThrow(/^x\.json: .*more than 200 levels/);
    expect(() => parseJson(nested(100_000), 'x.json')).toThrow(/^x\.json: .*more than 200 levels/);
    expect(() => parseJson('{"a": 1', 'x.json')).toThrow(/^x\.json: not valid JSON .*truncated/);
    const folder = await mkdtemp(join(tmpdir(), 'json-'));
    try {
      await writeFile(join(folder, 'deep.json'), nested(10_000));
      await expect(readJson(join(folder, 'deep.json'))).rejects.toThrow(/deep\.json: .*200 levels/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('takes for deep what contains itself, and for flat an array of numbers', () => {
    const circle: unknown[] = [];
    circle.push({ circle });
    expect(isTooDeep(circle)).toBe(true);
    expect(isTooDeep({ a: new Float32Array(1e6) }, 2)).toBe(false);
  });
});

describe('a value in an error', () => {
  it('is short, whatever it is', () => {
    const circle: Record<string, unknown> = {};
    circle.a = circle;
    const wide = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`k${i}`, i]));
    for (const value of [circle, JSON.parse(nested(10_000)), wide, 'x'.repeat(1e7), new Array(1e6).fill(1), 5n]) {
      expect(shownJson(value).length).toBeLessThanOrEqual(80);
      expect(shown(value).length).toBeLessThanOrEqual(303);
    }
    expect(shownJson({ a: [1, 'b', null, { c: true }] })).toBe('{"a":[1,"b",null,{"c":true}]}');
    expect(shownJson('x'.repeat(100))).toMatch(/^"x{76}\.\.\.$/);
    expect(shownName('x'.repeat(1e6))).toHaveLength(100);
    expect(shownShape([2, 3])).toBe('[2, 3]');
    expect(shownShape(new Array(1e5).fill(1)).length).toBeLessThan(100);
  });
});

describe('JSON of Python', () => {
  it('knows the names of numbers that JSON has not, but not inside of texts', () => {
    // As diffusers writes the configuration of a DPMSolverMultistepScheduler: "lambda_min_clipped": -Infinity.
    expect(parsePythonJson('{"a": -Infinity, "b": [Infinity, 1], "c": "NaN, \\"Infinity", "d": NaN}', 'x')).toEqual({
      ...{ a: Number.NEGATIVE_INFINITY, b: [Number.POSITIVE_INFINITY, 1], c: 'NaN, "Infinity', d: 'NaN' },
    });
    expect(() => parsePythonJson('{"a": Infinit}', 'x.json')).toThrow(/x\.json: not valid JSON/);
  });
});
