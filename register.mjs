// Lets Node run this repository's TypeScript: `node --import ./register.mjs file.ts` (ts-node, transpile only; types are
// checked by `npm run types`). `ts-node --esm` does not work on Node 20. `denoise-gym` then means the sources.
import { register } from 'node:module';
import { fileURLToPath } from 'node:url';

// ts-node looks for it in the folder that the program is started in, which may be any.
process.env.TS_NODE_PROJECT ??= fileURLToPath(new URL('./tsconfig.json', import.meta.url));
register('ts-node/esm', import.meta.url);
register('./core/user-module-hooks.ts', import.meta.url);
