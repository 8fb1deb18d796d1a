import * as z from 'zod';
import { meanOf } from '../../envs/federated/prototypes.js';
import { answered, parametersOf } from '../../envs/federated/spaces.js';
import { defineStrategy } from './strategy.js';

/**
 * Dynamic regularisation. Each client minimises L(θ) − ⟨h_m, θ⟩ + α/2 ‖θ − θ_g‖², and h_m ← h_m − α(θ_m − θ_g)
 * (equation 1, algorithm 1); the environment keeps h_m. The server keeps h ← h − α/M Σ(θ_m − θ_g), over those of all M
 * clients that have answered, and the next model is their mean less h/α.
 */
export const feddyn = defineStrategy({
  name: 'feddyn',
  summary: "corrects clients' losses so that their minima are the global one",
  paper: 'FedDyn, Acar et al. 2021, https://arxiv.org/abs/2111.04263',
  options: { alpha: z.number().min(1e-4).max(10).describe('α, the weight of the regularisation') },
  defaults: { alpha: 0.01 },
  make: ({ alpha }, memory) => ({
    aggregateTrain: (observation) => {
      const { data: start } = observation.globalParameters;
      const all = observation.status.data.length;
      const answers = answered(observation).map((m) => parametersOf(observation, m));
      const mean = meanOf(answers);
      if (mean === undefined) return {};
      // Σ(θ_m − θ_g) over the answers is their number times (mean − θ_g).
      const share = (alpha * answers.length) / all;
      const before = memory.get('h');
      const h = mean.map((value, i) => (before?.[i] ?? 0) - share * (value - start[i]!));
      memory.set('h', h);
      return { parameters: mean.map((value, i) => value - h[i]! / alpha) };
    },
    configureTrain: () => ({ local: { dynamic: alpha } }),
  }),
});
