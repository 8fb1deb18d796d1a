import { GymError } from '../../core/errors.js';
import { isNdArray, type NdArray } from '../../core/ndarray.js';
import { checkSpace } from './arguments.js';
import { oneRestriction } from './base.js';
import { CompositeSpace, type PartTest } from './composite.js';
import type { ElementOf, Space } from './space.js';
import type { MaskOf, ProbabilityOf } from './tuple.js';

/** Nodes and edges between them. Edge k leads from node edgeLinks[k, 0] to node edgeLinks[k, 1]. */
export interface GraphElement<N = unknown, E = unknown> {
  readonly nodes: readonly N[];
  /** An element for each edge; null if there are no edges. */
  readonly edges: readonly E[] | null;
  /** The two nodes of each edge, int32 [edges, 2]; null if there are no edges. */
  readonly edgeLinks: NdArray<Int32Array> | null;
}

/** Restricts a sample of a {@link Graph}, by what the spaces of its nodes and of its edges take. */
export interface GraphSample<N extends Space<unknown>, E extends Space<unknown> | null> {
  mask?: readonly [node: MaskOf<N> | undefined, edge: MaskOf<E> | undefined] | undefined;
  probability?: readonly [node: ProbabilityOf<N> | undefined, edge: ProbabilityOf<E> | undefined] | undefined;
  /** The number of nodes. Default 10. */
  numNodes?: number | undefined;
  /** The number of edges. Default: uniform among 0 .. numNodes · (numNodes − 1) − 1. */
  numEdges?: number | undefined;
}

/**
 * Graphs of any size. Each node has an element of one space, and each edge, unless that is null, an element of another.
 */
export class Graph<
  N extends Space<unknown> = Space<unknown>,
  E extends Space<unknown> | null = Space<unknown> | null,
> extends CompositeSpace<GraphElement<ElementOf<N>, ElementOf<E>>> {
  readonly kind = 'Graph';
  readonly node: N;
  readonly edge: E;
  /** Graphs have no layout, since they have no fixed number of numbers. */
  readonly flat = undefined;

  /** @param edge null for graphs without edges. @throws GymError E_SPACE on anything but spaces. */
  constructor(node: N, edge: E) {
    super();
    checkSpace('Graph: node', node);
    if (edge !== null) checkSpace('Graph: edge, where it is not null,', edge);
    this.node = node;
    this.edge = edge;
  }

  protected override get parts(): readonly Space<unknown>[] {
    return this.edge === null ? [this.node] : [this.node, this.edge];
  }

  protected override get reseeds(): boolean {
    return true;
  }

  /**
   * A random graph.
   * @throws GymError E_VALUE on no nodes, a negative number of edges, or edges where the space has none.
   */
  sample(options: GraphSample<N, E> = {}): GraphElement<ElementOf<N>, ElementOf<E>> {
    const restriction = oneRestriction('Graph', options);
    const [node, edge] = (restriction && options[restriction]) ?? [];
    const { numNodes = 10 } = options;
    if (!Number.isInteger(numNodes) || numNodes < 1)
      throw new GymError(
        'E_VALUE',
        `Graph.sample: numNodes must be an integer of at least 1, actual value ${numNodes}.`,
      );
    const numEdges = options.numEdges ?? (numNodes > 1 ? this.random.integer(numNodes * (numNodes - 1)) : 0);
    if (!Number.isInteger(numEdges) || numEdges < 0)
      throw new GymError(
        'E_VALUE',
        `Graph.sample: numEdges must be an integer of at least 0, actual value ${numEdges}.`,
      );
    if (this.edge === null && (options.numEdges ?? 0) > 0)
      throw new GymError('E_VALUE', `Graph.sample: ${numEdges} edges were asked for, but this space has none.`);
    const nodes = Array.from({ length: numNodes }, () =>
      this.node.sample(restriction && { [restriction]: node }),
    ) as ElementOf<N>[];
    const space = this.edge;
    if (space === null || numEdges === 0) return { nodes, edges: null, edgeLinks: null };
    const edges = Array.from({ length: numEdges }, () =>
      space.sample(restriction && { [restriction]: edge }),
    ) as ElementOf<E>[];
    const links = Int32Array.from({ length: 2 * numEdges }, () => this.random.integer(numNodes));
    return { nodes, edges, edgeLinks: { data: links, shape: [numEdges, 2] } };
  }

  protected consists(value: unknown, test: PartTest): boolean {
    if (typeof value !== 'object' || value === null) return false;
    const { nodes, edges, edgeLinks } = value as Partial<GraphElement>;
    if (!Array.isArray(nodes) || !nodes.every((node) => test(this.node, node))) return false;
    if (edges === null || edgeLinks === null) return edges === edgeLinks;
    const space = this.edge;
    return (
      space !== null &&
      Array.isArray(edges) &&
      edges.every((edge) => test(space, edge)) &&
      isNdArray(edgeLinks) &&
      edgeLinks.shape.length === 2 &&
      edgeLinks.shape[0] === edges.length &&
      edgeLinks.shape[1] === 2 &&
      edgeLinks.data.every((link: number) => Number.isInteger(link) && link >= 0 && link < nodes.length)
    );
  }

  equals(other: Space<unknown>): boolean {
    if (!(other instanceof Graph) || !this.node.equals(other.node)) return false;
    return this.edge === null || other.edge === null ? this.edge === other.edge : this.edge.equals(other.edge);
  }

  toJson(): unknown {
    return { kind: this.kind, node: this.node.toJson(), edge: this.edge?.toJson() ?? null };
  }

  toString(): string {
    return `Graph(${this.node}, ${this.edge})`;
  }
}
