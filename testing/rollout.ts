import type { Agent, Rollout, RolloutStep } from '../agents/agent.js';
import type { Info } from '../core/types.js';
import type { VectorEnv } from '../envs/vector-env.js';

/**
 * Collects the rollout that an agent asks for in `collect`, from a reset with `seed` on, under any mode of autoreset.
 * Every environment contributes the same number of episodes; one that has given its share goes on with `valid` 0.
 */
export async function collectRollout<O, A>(
  agent: Agent<O, A>,
  env: VectorEnv<O, A>,
  seed: number,
): Promise<Rollout<O, A>> {
  const n = env.numEnvs;
  const wanted = agent.collect === 'nothing' ? { episodes: n } : agent.collect;
  const share = 'episodes' in wanted ? Math.ceil(wanted.episodes / n) : Number.POSITIVE_INFINITY;
  const episodes = new Int32Array(n);
  const steps: RolloutStep<O, A>[] = [];
  const more = () => ('steps' in wanted ? steps.length < wanted.steps : episodes.some((count) => count < share));
  let { observations, infos } = await env.reset({ seed });
  let starts: Uint8Array = new Uint8Array(n).fill(1);
  let resetting: Uint8Array = new Uint8Array(n);
  while (more()) {
    const { actions, extras = {} } = await agent.act(observations, { infos, starts });
    const result = await env.step(actions);
    const valid = Uint8Array.from({ length: n }, (_, i) => (resetting[i] === 1 || episodes[i]! >= share ? 0 : 1));
    const over = Uint8Array.from({ length: n }, (_, i) =>
      resetting[i] === 0 && (result.terminated[i] || result.truncated[i]) ? 1 : 0,
    );
    const finalObservations = result.observations.map((observation, i) => {
      if (over[i] === 0) return undefined;
      return env.autoreset === 'same-step' ? ((result.infos[i] as Info).finalObservation as O) : observation;
    });
    const { rewards, terminated, truncated } = result;
    steps.push({
      observations,
      actions,
      rewards,
      terminated,
      truncated,
      starts,
      valid,
      infos: result.infos,
      finalObservations,
      extras,
    });
    for (let i = 0; i < n; i++) episodes[i]! += over[i]!;
    ({ observations, infos } = result);
    if (env.autoreset === 'next-step') {
      // A member of a group that has ended waits for the others before it is reset.
      const waiting = resetting.map((one, i) => (one === 1 && result.infos[i]?.idle === true ? 1 : 0));
      starts = resetting.map((one, i) => one & (1 - waiting[i]!));
      resetting = over.map((one, i) => one | waiting[i]!);
    } else starts = over;
    if (env.autoreset === 'disabled' && over.includes(1))
      ({ observations, infos } = await env.reset(env.horizon === undefined ? { mask: over } : {}));
  }
  return { steps, lastObservations: observations };
}
