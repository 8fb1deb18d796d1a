export {
  type Decode,
  Denoising,
  type DenoisingAction,
  type DenoisingObservation,
  type DenoisingOptions,
  identityDecode,
} from './denoising.js';
export { oneStepDenoising } from './one-step.js';
export { promptFile, readPrompts } from './prompt-files.js';
export {
  type ListedPrompt,
  maxPromptLength,
  type Prompt,
  type PromptOrder,
  type PromptSource,
  promptGenerator,
  promptList,
} from './prompts.js';
