/** Something that looks wrong with a run. */
export interface Finding {
  /** A word for programs. */
  readonly name: string;
  /** A sentence or two. */
  readonly text: string;
  /** The pictures of the evaluation that show it, by their index. */
  readonly pictures?: readonly number[];
}
