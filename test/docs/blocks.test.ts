import { describe, expect, it } from 'vitest';
import { blocksOf, readPage } from './blocks.js';

const page = (...lines: string[]) => lines.join('\n');
const fence = (language: string, ...lines: string[]) => page(`\`\`\`${language}`, ...lines, '```');

describe('reading a page', () => {
  it('finds blocks, their lines and the comments right before them', () => {
    const text = page(
      '<!-- test: --far 1 -->',
      'words',
      '<!-- a note -->',
      '<!-- test: --near 1 -->',
      fence('sh', 'a', '', 'b'),
      '- item',
      '',
      '  ```',
      '  output',
      '  ```',
    );
    expect(blocksOf('x.md', text)).toEqual([
      { place: 'x.md:5', language: 'sh', text: 'a\n\nb\n', markers: ['--near 1'] },
      { place: 'x.md:12', language: '', text: 'output\n', markers: [] },
    ]);
  });

  it('reads commands without set-up and comments, with the flags that shorten them', () => {
    const { commands } = readPage(
      'x.md',
      page(
        fence('ts', '// my-env.ts', 'export {};'),
        '<!-- test: train --epochs 1 -->',
        '<!-- test: --quiet -->',
        fence(
          'sh',
          'npm install denoise-gym   # sets up',
          "npm run --silent cli -- train --env ./my-env.ts:Mine-v0 --note 'a # b'   # a comment",
          '',
          'npx denoise-gym sample --prompt "a # b" \\',
          '  --count 3',
        ),
      ),
    );
    expect(commands.map(({ place: _, ...command }) => command)).toEqual([
      { args: "train --env ./my-env.ts:Mine-v0 --note 'a # b'", added: '--epochs 1 --quiet', ownFile: true },
      { args: 'sample --prompt "a # b" --count 3', added: '--quiet', ownFile: false },
    ]);
  });

  it('reads programs, files of the user, and configurations', () => {
    const { programs, configs } = readPage(
      'x.md',
      page(
        fence('ts', '// my-env.ts', 'const epochs = 20;'),
        '<!-- test: continue -->',
        '<!-- test: replace `20` by `1` -->',
        fence('ts', 'console.log(epochs);'),
        '<!-- test: before',
        'const a = 1;',
        '-->',
        fence('js', 'console.log(a);'),
        fence('ts', "import { it } from 'vitest';"),
        '<!-- test: skip it takes a day -->',
        fence('ts', 'while (true) {}'),
        '<!-- test: --epochs 1 -->',
        fence('yaml', 'env: CartPole-v1'),
      ),
    );
    expect(programs.map(({ file, named, source }) => [file, named, source])).toEqual([
      ['my-env.ts', true, '// my-env.ts\nconst epochs = 1;\n\nconsole.log(epochs);\n'],
      ['block-13.js', false, 'const a = 1;\nconsole.log(a);\n'],
      ['block-16.test.ts', false, "import { it } from 'vitest';\n"],
    ]);
    expect(configs).toEqual([
      {
        file: 'block-24.yaml',
        source: 'env: CartPole-v1\n',
        command: { place: 'x.md:24', args: 'train block-24.yaml', added: '--epochs 1', ownFile: false },
      },
    ]);
  });

  it.each([
    [fence('sh', 'rm -rf /'), /x\.md:1: `rm -rf \/` is no call of the command line/],
    [fence('rust', 'fn main() {}'), /does not say how to run rust/],
    [page('<!-- test: skip -->', fence('sh', 'npx denoise-gym list')), /what is `test: skip`/],
    [page('<!-- test: fast -->', fence('ts', 'a')), /what is `test: fast`/],
    [page('<!-- test: replace `b` by `c` -->', fence('ts', 'a')), /there is no `b` to replace/],
    [page('<!-- test: continue -->', fence('ts', 'a')), /no program that it could continue/],
  ])('refuses what it does not know: %s', (text, message) => {
    expect(() => readPage('x.md', text)).toThrow(message);
  });
});
