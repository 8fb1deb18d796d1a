import { GymError, unknownName } from './errors.js';

/** Something that people call by a name, or by one of several. */
export interface Named {
  readonly name: string;
  /** Other names for the same thing. */
  readonly aliases?: readonly string[];
}

/** Things of one kind, found by name. They are listed in the order in which they were added. */
export class NameRegistry<T extends Named> {
  readonly #kind: string;
  readonly #entries = new Map<string, T>();
  readonly #byName = new Map<string, T>();

  /** @param kind what is registered here, for messages: 'agent', 'reward'. */
  constructor(kind: string, entries: Iterable<T> = []) {
    this.#kind = kind;
    for (const entry of entries) this.add(entry);
  }

  /**
   * Adds an entry under its name and its aliases.
   * @throws GymError E_NAME when one of them is taken.
   */
  add(entry: T): void {
    const names = [entry.name, ...(entry.aliases ?? [])];
    const taken = names.find((name) => this.#byName.has(name));
    if (taken !== undefined)
      throw new GymError('E_NAME', `${this.#kind} \`${taken}\`: this name is already registered; choose another one.`);
    this.#entries.set(entry.name, entry);
    for (const name of names) this.#byName.set(name, entry);
  }

  /** The entry of a name or an alias, or undefined. */
  find(name: string): T | undefined {
    return this.#byName.get(name);
  }

  /**
   * The entry of a name or an alias.
   * @param where the call or the option that names it, for the message.
   * @throws GymError E_NAME with the nearest name when there is none.
   */
  get(name: string, where: string): T {
    const entry = this.#byName.get(name);
    if (entry === undefined) throw unknownName(where, this.#kind, name, this.#byName.keys());
    return entry;
  }

  /** Every entry once. */
  list(): T[] {
    return [...this.#entries.values()];
  }

  /** Every name and alias. */
  names(): string[] {
    return [...this.#byName.keys()];
  }
}
