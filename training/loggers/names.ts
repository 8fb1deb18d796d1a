/** The loggers that a configuration can name. */
export const loggerNames = ['csv', 'tensorboard', 'trackio'] as const;
