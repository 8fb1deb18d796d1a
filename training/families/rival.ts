import * as z from 'zod';
import { listAgents } from '../../agents/registry.js';
import { nearest } from '../../core/errors.js';
import { isModulePath } from '../../core/user-module.js';
import type { RunConfig } from '../config/run-config.js';

/** The option `rival`, for families whose agents are compared on the spot. */
export const rivalOption = {
  rival: z
    .string()
    .min(1)
    .max(4096)
    .optional()
    .describe('another agent, which is run with its defaults on the same environment and shown beside in the report'),
};

/** What is wrong with a configuration's rival, a line each. */
export function rivalProblems({ rival, agent }: RunConfig): string[] {
  if (typeof rival !== 'string') return [];
  if (rival === agent.name) return [`rival: is ${rival}, the agent itself; name another one, or leave it out.`];
  const known = listAgents().flatMap(({ name, aliases = [] }) => [name, ...aliases]);
  if (isModulePath(rival) || known.includes(rival)) return [];
  const guess = nearest(rival, known);
  return [`rival: there is no agent \`${rival}\`.${guess === undefined ? '' : ` Did you mean \`${guess}\`?`}`];
}
