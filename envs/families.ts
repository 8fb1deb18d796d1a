// The families of environments that this package brings along, a line each. A family is a folder. Its
// `registrations.ts` tells the registry of its environments, declares the types of their ids, and loads the code of
// none of them: that is for `create`, by import(), when one is made. So `import 'denoise-gym/envs'` stays light,
// whatever a family needs. (Classes that are light themselves are exported by name too, from the family's `index.ts`.)
export { adaptation } from './adaptation/registrations.js';
export { classic } from './classic/registrations.js';
export { denoising } from './denoising/registrations.js';
export { federated } from './federated/registrations.js';
