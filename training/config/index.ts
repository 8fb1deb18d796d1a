export { completeConfig, loadConfig, parseYaml, setPath, withFlags } from './load.js';
export { type ParseConfigOptions, parseConfig, settingsOf } from './parse.js';
export type { EvaluationConfig, RunConfig, RunConfigInput } from './run-config.js';
export { type RunOptionInfo, runOptions, schemaOf } from './schema.js';
