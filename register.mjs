// Lets Node run this repository's TypeScript: `node --import ./register.mjs file.ts` (ts-node, transpile only;
// types are checked by `npm run types`). `ts-node --esm` does not work on Node 20.
import { register } from 'node:module';
import { pathToFileURL } from 'node:url';

register('ts-node/esm', pathToFileURL('./'));
