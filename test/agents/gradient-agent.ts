import type { Policy } from '../../agents/policy.js';
import type { PolicyGradient } from '../../agents/policy-gradient.js';
import { makeAgent } from '../../agents/registry.js';
import type { Random } from '../../core/random.js';

/**
 * An agent on a policy with the options of a small diffusion model, whatever the policy's kind: so that a test on an MLP
 * tests what fine-tunes a denoiser. `ppo` and `reinforce` are policy gradients, which have more to show than an Agent.
 */
export async function gradientAgent<O, A>(
  name: string,
  policy: Policy<O, A>,
  { warn, ...options }: Record<string, unknown> & { warn?: (message: string) => void },
  random: Random,
): Promise<PolicyGradient<O, A>> {
  const collect = { episodes: 64 };
  const agent = await makeAgent(name, {
    policy: () => policy,
    kind: 'denoising',
    options: { collect, ...options },
    random,
    ...(warn && { warn }),
  });
  return agent as PolicyGradient<O, A>;
}
