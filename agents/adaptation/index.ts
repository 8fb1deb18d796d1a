import type { AgentDescription } from '../define.js';
import { adacontrast } from './adacontrast.js';
import { batchNorm, oracle, randomLabels } from './bounds.js';
import { guidedPseudoLabels } from './guided-pseudo-labels.js';
import { naivePseudoLabels } from './naive-pseudo-labels.js';
import { shot } from './shot.js';
import { threshold } from './threshold.js';

/** The rules of source-free adaptation, a line each. */
export const adaptationAgents = [
  guidedPseudoLabels,
  naivePseudoLabels,
  threshold,
  adacontrast,
  shot,
  batchNorm,
  oracle,
  randomLabels,
] as unknown as readonly AgentDescription[];
