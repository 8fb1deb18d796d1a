import * as tf from '@tensorflow/tfjs';

/** What one kernel has cost. */
export interface KernelCost {
  readonly kernel: string;
  readonly calls: number;
  /** Milliseconds in it alone, without kernels that it called. */
  readonly milliseconds: number;
}

/** One span of time for a trace. */
export interface TraceSpan {
  readonly name: string;
  /** Milliseconds since the profiler was started. */
  readonly start: number;
  readonly duration: number;
}

/** More spans than this make a trace that no viewer opens. */
const mostSpans = 200_000;

/**
 * Times every kernel of the active backend, by phase. Kernels of native, wasm and cpu compute before they return, so the
 * time of a call is the time of its work; on a GPU it would be that of its submission.
 */
export class KernelProfiler {
  readonly #started = performance.now();
  readonly #costs = new Map<string, Map<string, { calls: number; milliseconds: number }>>();
  readonly #spans: TraceSpan[] = [];
  readonly #restore: (() => void)[] = [];
  /** Time of the kernels that the present ones have called, from the outermost inwards. */
  readonly #inner: number[] = [];
  #phase = 'start';
  #left = 0;

  /** Puts itself around all kernels of the active backend, until {@link stop}. */
  start(): void {
    const backendName = tf.getBackend();
    for (const config of tf.getKernelsForBackend(backendName)) {
      const { kernelName, kernelFunc } = config;
      tf.unregisterKernel(kernelName, backendName);
      tf.registerKernel({ ...config, kernelFunc: (params) => this.#timed(kernelName, () => kernelFunc(params)) });
      this.#restore.push(() => {
        tf.unregisterKernel(kernelName, backendName);
        tf.registerKernel(config);
      });
    }
  }

  /** Takes itself away again. */
  stop(): void {
    for (const restore of this.#restore.splice(0)) restore();
  }

  /** Kernels count for this phase from now on. */
  enter(phase: string): void {
    this.#phase = phase;
  }

  /** Notes a span that is no kernel. @param start as `performance.now()` gave it. */
  note(name: string, start: number, end = performance.now()): void {
    this.#span(name, start, end - start);
  }

  /** What the kernels of each phase have cost, the dearest first. */
  costs(): Map<string, KernelCost[]> {
    return new Map(
      [...this.#costs].map(([phase, kernels]) => [
        phase,
        [...kernels].map(([kernel, cost]) => ({ kernel, ...cost })).sort((a, b) => b.milliseconds - a.milliseconds),
      ]),
    );
  }

  /** All spans, in the form that chrome://tracing and Perfetto open. */
  trace(): { traceEvents: object[]; otherData: Record<string, unknown> } {
    return {
      traceEvents: this.#spans.map(({ name, start, duration }) => ({
        name,
        ph: 'X',
        pid: 1,
        tid: 1,
        ts: start * 1000,
        dur: duration * 1000,
      })),
      otherData: { spansLeftOut: this.#left },
    };
  }

  #timed<T>(kernel: string, run: () => T): T {
    const start = performance.now();
    this.#inner.push(0);
    try {
      return run();
    } finally {
      const duration = performance.now() - start;
      const own = duration - this.#inner.pop()!;
      if (this.#inner.length > 0) this.#inner[this.#inner.length - 1]! += duration;
      let kernels = this.#costs.get(this.#phase);
      if (kernels === undefined) {
        kernels = new Map();
        this.#costs.set(this.#phase, kernels);
      }
      const cost = kernels.get(kernel) ?? { calls: 0, milliseconds: 0 };
      cost.calls++;
      cost.milliseconds += own;
      kernels.set(kernel, cost);
      this.#span(kernel, start, duration);
    }
  }

  #span(name: string, start: number, duration: number): void {
    if (this.#spans.length < mostSpans) this.#spans.push({ name, start: start - this.#started, duration });
    else this.#left++;
  }
}
