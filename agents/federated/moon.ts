import * as z from 'zod';
import { defineStrategy } from './strategy.js';

/**
 * Model-contrastive federated learning: a client's features are to be like those of the global model, and unlike those of
 * the model that it had the last time (equation 3). A client's first previous model is the global one, and the term is then
 * constant at first.
 */
export const moon = defineStrategy({
  name: 'moon',
  summary: "FedAvg with a contrast between the global and the previous model's features",
  paper: 'MOON, Li et al. 2021, https://arxiv.org/abs/2103.16257',
  options: {
    mu: z.number().min(0).max(10).describe('weight of the contrast'),
    temperature: z.number().min(0.001).max(10).describe('its temperature τ'),
  },
  defaults: { mu: 1, temperature: 0.5 },
  make: ({ mu, temperature }) => ({
    configureTrain: () => ({ local: { modelContrastive: mu, modelTemperature: temperature } }),
  }),
});
