import type { Target } from '../target.js';
import { registered } from './environments.js';
import { expressions, formulas, rewards } from './expressions.js';
import { commandLines, numbers } from './flags.js';
import { jsonFiles, runFolders, spacesInJson } from './json.js';
import { agents, modelFolders } from './models.js';
import { promptFiles, prompts } from './prompts.js';
import { reading, writing } from './safetensors.js';
import { environments, roundTrips, streams } from './snapshots.js';
import { configObjects, jsonAsYaml, yaml } from './yaml.js';

/** Everything that reads what others wrote. */
export const targets: readonly Target[] = [
  reading,
  writing,
  yaml,
  jsonAsYaml,
  configObjects,
  jsonFiles,
  spacesInJson,
  runFolders,
  modelFolders,
  agents,
  expressions,
  formulas,
  rewards,
  prompts,
  promptFiles,
  registered,
  environments,
  streams,
  roundTrips,
  commandLines,
  numbers,
];
