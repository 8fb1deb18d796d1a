// Lets Node run this repository's TypeScript: `node --import ./register.mjs file.ts` (ts-node, transpile only; types are
// checked by `npm run types`). `ts-node --esm` does not work on Node 20. `denoise-gym` then means the sources.
import { register } from 'node:module';

register('./scripts/typescript-hooks.mjs', import.meta.url);
register('./core/user-module-hooks.ts', import.meta.url);
// Stacks then name the lines of the TypeScript. Only where they are printed: the maps take 24 MB in each thread.
if (process.argv.includes('--debug')) process.setSourceMapsEnabled(true);
