import { defineStrategy } from './strategy.js';

/** Federated averaging: clients train by the cross-entropy, and the next model is the weighted mean of theirs. */
export const fedavg = defineStrategy({
  name: 'fedavg',
  summary: "the mean of the clients' models, by their numbers of examples",
  paper: 'FedAvg, McMahan et al. 2017, https://arxiv.org/abs/1602.05629',
  options: {},
  defaults: {},
  make: () => ({}),
});
