export { type HttpRewardOptions, httpReward, httpRewardOptions } from './http.js';
export { steadyFetch } from './post.js';
