export { type RewardServer, rewardApp, type ServeOptions, serveReward } from './server.js';
