/** Lets a number of callers in at once; others wait for their turn, up to a number. */
export class Turns {
  #free: number;
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];

  /** @param atOnce how many are in at once. @param most how many may wait. */
  constructor(atOnce: number, most: number) {
    this.#free = atOnce;
    this.#most = most;
  }

  /** Waits for a turn. @returns a function to call when it is over; undefined where too many wait. */
  async take(): Promise<(() => void) | undefined> {
    if (this.#free > 0) this.#free--;
    else if (this.#waiting.length >= this.#most) return undefined;
    else await new Promise<void>((turn) => this.#waiting.push(turn));
    return () => {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    };
  }
}
