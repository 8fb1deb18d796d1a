import * as z from 'zod';
import { weightedSum } from '../../envs/federated/averages.js';
import { answered, parametersOf } from '../../envs/federated/spaces.js';
import { defineStrategy, weightsOf } from './strategy.js';

/**
 * Adaptive federated optimisation: Δ = Σ w_m θ_m − θ is taken for a gradient that points uphill, and an optimiser of the
 * server follows it (algorithm 2): SGD with momentum (FedAvgM), v ← βv + Δ; Adam, m ← β₁m + (1 − β₁)Δ and
 * v ← β₂v + (1 − β₂)Δ²; or Yogi, v ← v − (1 − β₂)Δ² sign(v − Δ²). There is no correction of the first steps' bias: v
 * starts from τ².
 */
export const fedopt = defineStrategy({
  name: 'fedopt',
  aliases: ['fedavgm'],
  summary: 'an optimiser of the server, fed with the mean update: SGD with momentum, Adam or Yogi',
  paper: 'Adaptive Federated Optimization, Reddi et al. 2021, https://arxiv.org/abs/2003.00295',
  options: {
    optimizer: z.enum(['sgd', 'adam', 'yogi']).describe('the optimiser of the server'),
    serverLearningRate: z.number().positive().max(10).describe('its step size η'),
    beta1: z.number().min(0).lt(1).describe('decay of the mean update; the momentum of sgd'),
    beta2: z.number().min(0).lt(1).describe('adam, yogi: decay of the squares'),
    tau: z.number().positive().describe('adam, yogi: how adaptive the steps are, less where it is more'),
  },
  defaults: { optimizer: 'sgd', serverLearningRate: 0.5, beta1: 0.9, beta2: 0.99, tau: 1e-3 },
  make: ({ optimizer, serverLearningRate: eta, beta1, beta2, tau, weightedBy }, memory) => ({
    aggregateTrain: (observation) => {
      const ok = answered(observation);
      if (ok.length === 0) return {};
      const weights = weightsOf(observation, { weightedBy });
      const average = weightedSum(
        ok.map((m) => parametersOf(observation, m)),
        ok.map((m) => weights[m]!),
      );
      const { data: theta } = observation.globalParameters;
      const delta = average.map((value, i) => value - theta[i]!);
      const fresh = optimizer === 'sgd' ? 1 : 1 - beta1;
      const [lastMean, lastSquares] = [memory.get('mean'), memory.get('squares')];
      const mean = delta.map((d, i) => beta1 * (lastMean?.[i] ?? 0) + fresh * d);
      memory.set('mean', mean);
      if (optimizer === 'sgd') return { parameters: theta.map((value, i) => value + eta * mean[i]!) };
      const squares = delta.map((d, i) => {
        const [v, square] = [lastSquares?.[i] ?? tau * tau, d * d];
        return optimizer === 'adam'
          ? beta2 * v + (1 - beta2) * square
          : v - (1 - beta2) * square * Math.sign(v - square);
      });
      memory.set('squares', squares);
      return { parameters: theta.map((value, i) => value + (eta * mean[i]!) / (Math.sqrt(squares[i]!) + tau)) };
    },
  }),
});
