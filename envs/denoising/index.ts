export {
  type Decode,
  Denoising,
  type DenoisingAction,
  type DenoisingObservation,
  type DenoisingOptions,
  identityDecode,
} from './denoising.js';
export { oneStepDenoising } from './one-step.js';
export {
  maxPromptLength,
  type Prompt,
  type PromptOrder,
  type PromptSource,
  promptFile,
  promptGenerator,
  promptList,
} from './prompts.js';
