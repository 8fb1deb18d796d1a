import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Random } from '../../../core/random.js';
import { type PromptSource, promptFile, promptGenerator, promptList } from '../../../envs/denoising/index.js';

const prompts = (source: PromptSource, n: number) =>
  Array.from({ length: n }, (_, i) => source.at(i, new Random(i)).prompt);

async function fileOf(name: string, text: string | Buffer): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'prompts-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

describe('promptList', () => {
  it('goes through the list in order, or draws all of it', () => {
    expect(prompts(promptList(['a', 'b'], { order: 'sequential' }), 5)).toEqual(['a', 'b', 'a', 'b', 'a']);
    const drawn = prompts(promptList(['a', 'b', 'c']), 200);
    for (const prompt of ['a', 'b', 'c']) expect(drawn.filter((p) => p === prompt).length).toBeGreaterThan(40);
  });

  it('names an entry that is no prompt', () => {
    expect(() => promptList(['a', 5 as unknown as string])).toThrow(/prompts\[1\].*actual value 5/);
    expect(() => promptList(['a'.repeat(5000)])).toThrow(/5000 characters/);
    expect(() => promptList([])).toThrow(/empty/);
  });
});

describe('promptFile', () => {
  it('reads one prompt a line, without blanks and comments, whatever the line ends are', async () => {
    const path = await fileOf('p.txt', '\uFEFF# kinds\r\na red circle\r\n\r\n   two squares  \n# end\nÄpfel');
    const source = await promptFile(path, { order: 'sequential' });
    expect(prompts(source, 3)).toEqual(['a red circle', 'two squares', 'Äpfel']);
  });

  it('reads JSON with metadata', async () => {
    const path = await fileOf('p.json', '["a", {"prompt": "b", "metadata": {"count": 2}}]');
    const source = await promptFile(path, { order: 'sequential' });
    expect(source.at(1, new Random(0))).toEqual({ prompt: 'b', metadata: { count: 2 } });
  });

  it('reads JSON by lines, whose other keys are metadata', async () => {
    const lines = '{"prompt": "a", "metadata": [1]}\n\n"b"\n{"tag": "count", "n": 2, "prompt": "c"}\n';
    const source = await promptFile(await fileOf('p.jsonl', lines), { order: 'sequential' });
    expect([0, 1, 2].map((i) => source.at(i, new Random(0)))).toEqual([
      { prompt: 'a', metadata: [1] },
      { prompt: 'b' },
      { prompt: 'c', metadata: { tag: 'count', n: 2 } },
    ]);
    expect(source.listed!.map(({ where }) => /:\d+$/.exec(where)![0])).toEqual([':1', ':3', ':4']);
  });

  it('reads CSV, with quotes, and with the line ends of Windows and old Macs', async () => {
    for (const end of ['\n', '\r\n', '\r']) {
      const lines = ['n,prompt', '1,a red circle', '', '2,"a ""big"", blue', 'star"', '3,b', ''].join(end);
      const source = await promptFile(await fileOf('p.csv', lines), { order: 'sequential' });
      expect([0, 1, 2].map((i) => source.at(i, new Random(0)))).toEqual([
        { prompt: 'a red circle', metadata: { n: '1' } },
        { prompt: 'a "big", blue\nstar', metadata: { n: '2' } },
        { prompt: 'b', metadata: { n: '3' } },
      ]);
      expect(source.listed!.map(({ where }) => /:\d+$/.exec(where)![0])).toEqual([':2', ':4', ':6']);
      const text = await promptFile(await fileOf('p.txt', ['a', 'b'].join(end)), { order: 'sequential' });
      expect(prompts(text, 2)).toEqual(['a', 'b']);
    }
    const plain = await promptFile(await fileOf('p.csv', 'prompt\na\nb'), { order: 'sequential' });
    expect(plain.at(1, new Random(0))).toEqual({ prompt: 'b' });
  });

  it('names file and line of what is wrong', async () => {
    await expect(promptFile('/no/such/file.txt')).rejects.toMatchObject({ code: 'E_FILE' });
    const tries: [string, string | Buffer, RegExp][] = [
      ['p.txt', '# nothing\n\n', /p\.txt: no prompts/],
      ['p.txt', Buffer.from([97, 10, 98, 255, 10]), /p\.txt:2: .*UTF-8/],
      ['p.txt', `a\n${'b'.repeat(5000)}`, /p\.txt:2: .*5000 characters/],
      ['p.json', '["a",\n"b"\n"c"]', /p\.json:3: not valid JSON/],
      ['p.json', '["a",\n"b', /p\.json:2: not valid JSON/],
      ['p.json', '{"prompts": []}', /p\.json: must be a list/],
      ['p.json', '["a", 7]', /p\.json: entry 1: .*actual value 7/],
      ['p.jsonl', '"a"\n{"prompt": 5}', /p\.jsonl:2: .*actual value/],
      ['p.jsonl', '{"text": "a"}', /p\.jsonl:1: must be .*actual value \{"text":"a"\}/],
      ['p.jsonl', '"a"\n\n{"prompt"', /p\.jsonl:3: not valid JSON/],
      ['p.csv', 'text,n\na,1', /p\.csv:1: .*must be `prompt`; actual value text, n/],
      ['p.csv', 'prompt,n\na,1\nb, c,2', /p\.csv:3: has 3 columns, the first line 2/],
      ['p.csv', 'prompt\n"a\nb', /p\.csv:2: a quoted cell does not end/],
    ];
    for (const [name, text, message] of tries) {
      const path = await fileOf(name, text);
      await expect(promptFile(path)).rejects.toThrow(message);
      await expect(promptFile(path)).rejects.toMatchObject({ code: 'E_FILE' });
    }
  });
});

describe('promptGenerator', () => {
  it('checks what the function returns', () => {
    expect(
      prompts(
        promptGenerator((episode) => `p${episode}`),
        2,
      ),
    ).toEqual(['p0', 'p1']);
    expect(() => promptGenerator(() => undefined as unknown as string).at(3, new Random(0))).toThrow(/episode 3/);
  });
});
