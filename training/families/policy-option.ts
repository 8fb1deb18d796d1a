import * as z from 'zod';

/** The option `policy` of a run with a small network. */
export const policyOption = z.strictObject({
  hidden: z.array(z.int().min(1).max(8192)).max(32).default([64, 64]).describe('widths of the hidden layers'),
  activation: z.enum(['tanh', 'relu']).default('tanh').describe('what ends each hidden layer'),
  bounds: z
    .enum(['rescale', 'squash', 'clip'])
    .default('rescale')
    .describe(
      'how Gaussian actions keep to the bounds of a Box: -1..1 is mapped onto them and the rest clipped, tanh is, or the draw itself is clipped',
    ),
  engine: z
    .enum(['auto', 'arrays', 'tensors'])
    .default('auto')
    .describe(
      'what computes: plain arrays with vector instructions of WebAssembly, tensors on the backend, or what is faster (arrays up to 256 units a layer)',
    ),
});
