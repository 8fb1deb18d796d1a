export { httpReward } from './http.js';
export { type HttpRewardOptions, httpRewardOptions } from './options.js';
export { steadyFetch } from './post.js';
