// A wrapper of a user's own, as docs/envs.md describes it.
import { type Env, transformReward, wrap } from '../../../envs/index.js';

export default ({ scale = 1 } = {}) =>
  (env: Env<unknown, unknown>) =>
    wrap(
      env,
      transformReward((reward) => scale * reward),
    );
