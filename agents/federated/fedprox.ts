import * as z from 'zod';
import { defineStrategy } from './strategy.js';

/** FedAvg whose clients stay near the model that they were sent: μ/2 ‖θ − θ_g‖² is added to their loss (equation 2). */
export const fedprox = defineStrategy({
  name: 'fedprox',
  summary: 'FedAvg with a proximal term, which keeps clients near the global model',
  paper: 'FedProx, Li et al. 2020, https://arxiv.org/abs/1812.06127',
  options: { proximalMu: z.number().min(0).max(10).describe('μ, the weight of the proximal term') },
  defaults: { proximalMu: 0.01 },
  make: ({ proximalMu }) => ({ configureTrain: () => ({ local: { proximal: proximalMu } }) }),
});
