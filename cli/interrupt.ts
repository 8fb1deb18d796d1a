/**
 * Calls `first` at the first Ctrl-C and ends the process at a second one. Signals within a second count once: a terminal
 * sends Ctrl-C to npm and to us, and npm passes its own on.
 * @returns a function that ends the watch.
 */
export function onInterrupt(first: () => void): () => void {
  let at: number | undefined;
  const listener = () => {
    const now = performance.now();
    if (at === undefined) {
      at = now;
      first();
    } else if (now - at > 1000) process.exit(130);
  };
  process.on('SIGINT', listener).on('SIGTERM', listener);
  return () => void process.off('SIGINT', listener).off('SIGTERM', listener);
}
