import type { UnitWeights } from '../../agents/optimization/work-units.js';
import type { BackendName } from '../../backend/index.js';
import type { RunConfig } from '../config/run-config.js';

/** What a worker is made from: it makes a copy of the run's agent, and computes units of its work. */
export interface ReplicaTask {
  readonly config: RunConfig;
  readonly backend: BackendName;
}

/**
 * What a worker is asked. Plain messages of arrays, two of which lie in memory that both threads have, because they are
 * large and come often: the values of the weights, which stay as they are until the unit is answered, and a gradient,
 * which stays as it is until the next unit is sent. States come before the units that need them, and have no answer. */
export type UnitRequest =
  | { readonly kind: 'weights'; readonly weights: UnitWeights }
  | { readonly kind: 'batch'; readonly batch: unknown }
  | { readonly kind: 'sample'; readonly observations: readonly unknown[]; readonly explore: boolean }
  | { readonly kind: 'gradient'; readonly rows: Int32Array; readonly share: number };

/** What it answers: once when it is ready, and then to each unit. */
export type UnitReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'result'; readonly result: unknown }
  | { readonly kind: 'error'; readonly code: string; readonly message: string };
