const interval = 50;
let last = performance.now();

/**
 * Lets the process handle what has arrived: signals, timers, the progress bar's clock. Long loops whose promises resolve
 * at once never give Node's event loop a turn by themselves; they call this between two pieces of work. It costs a
 * comparison of clocks, and a turn of the loop at most every 50 milliseconds.
 * @param signal aborted: its reason is thrown.
 */
export function breathe(signal?: AbortSignal): Promise<void> | undefined {
  if (signal?.aborted) throw signal.reason;
  if (performance.now() - last < interval) return undefined;
  return turn(signal);
}

async function turn(signal?: AbortSignal): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  last = performance.now();
  if (signal?.aborted) throw signal.reason;
}

/**
 * What a promise gives, but no later than a signal's abort: then its reason is thrown, and what the promise does
 * afterwards is nobody's concern.
 */
export function orAborted<T>(promise: PromiseLike<T>, signal: AbortSignal | undefined): PromiseLike<T> {
  if (signal === undefined) return promise;
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort);
    promise.then(resolve, reject).then(() => signal.removeEventListener('abort', abort));
  });
}
