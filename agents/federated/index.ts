import type { AgentDescription } from '../define.js';
import { fedavg } from './fedavg.js';
import { feddyn } from './feddyn.js';
import { fedopt } from './fedopt.js';
import { fedproc } from './fedproc.js';
import { fedproto } from './fedproto.js';
import { fedprox } from './fedprox.js';
import { fpl } from './fpl.js';
import { krum } from './krum.js';
import { median } from './median.js';
import { moon } from './moon.js';
import { trimmedMeanAgent } from './trimmed-mean.js';

/** The federated strategies of this package, a line each. */
export const strategies: readonly AgentDescription[] = [
  fpl,
  fedproto,
  fedavg,
  fedprox,
  moon,
  fedproc,
  feddyn,
  fedopt,
  krum,
  trimmedMeanAgent,
  median,
];
