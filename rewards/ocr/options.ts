import * as z from 'zod';

/** The options of a reward that reads. */
export const ocrOptions = z.strictObject({
  detect: z
    .boolean()
    .default(true)
    .describe('whether lines of text are looked for; without, the whole picture (or its crop) is read as one line'),
  crop: z
    .tuple([z.number().min(0).max(1), z.number().min(0).max(1), z.number().min(0).max(1), z.number().min(0).max(1)])
    .refine(([left, top, right, bottom]) => left < right && top < bottom, 'must be left, top, right, bottom')
    .optional()
    .describe('the part of the picture that is read: left, top, right, bottom, each 0..1; default: all of it'),
});

/** The options of {@link ocrReward}: see there. */
export type OcrOptions = z.input<typeof ocrOptions>;
