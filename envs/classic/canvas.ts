import type { NdArray } from '../../core/ndarray.js';

/** Red, green, blue: 0..255. */
export type Colour = readonly [number, number, number];
export type Point = readonly [x: number, y: number];

export const black: Colour = [0, 0, 0];
export const white: Colour = [255, 255, 255];

/**
 * A picture that is drawn without a display, of filled convex shapes with smooth edges. Coordinates are in pixels, and
 * y points downwards.
 */
export class Canvas {
  readonly width: number;
  readonly height: number;
  readonly #pixels: Uint8Array;

  constructor(width: number, height: number, background: Colour = white) {
    this.width = width;
    this.height = height;
    this.#pixels = new Uint8Array(width * height * 3);
    for (let i = 0; i < this.#pixels.length; i++) this.#pixels[i] = background[i % 3]!;
  }

  /**
   * Paints a shape. It lies within the box around `points`, extended by `margin` on all sides.
   * @param distance of a point to the shape's edge, negative inside. Pixels whose centres are less than half a pixel
   *   from the edge are painted in part, which makes the edge smooth.
   */
  #fill(points: readonly Point[], margin: number, colour: Colour, distance: (x: number, y: number) => number): void {
    const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
    const left = Math.max(0, Math.floor(Math.min(...xs) - margin - 1));
    const right = Math.min(this.width - 1, Math.ceil(Math.max(...xs) + margin + 1));
    const top = Math.max(0, Math.floor(Math.min(...ys) - margin - 1));
    const bottom = Math.min(this.height - 1, Math.ceil(Math.max(...ys) + margin + 1));
    for (let y = top; y <= bottom; y++)
      for (let x = left; x <= right; x++) {
        const cover = Math.min(1, Math.max(0, 0.5 - distance(x + 0.5, y + 0.5)));
        if (cover === 0) continue;
        const k = 3 * (y * this.width + x);
        for (let c = 0; c < 3; c++) this.#pixels[k + c] = this.#pixels[k + c]! * (1 - cover) + colour[c]! * cover + 0.5;
      }
  }

  /** Draws a disc. */
  circle(centre: Point, radius: number, colour: Colour): this {
    this.#fill([centre], radius, colour, (x, y) => Math.hypot(x - centre[0], y - centre[1]) - radius);
    return this;
  }

  /** Draws a line with round ends. */
  line(from: Point, to: Point, width: number, colour: Colour): this {
    const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    const square = dx * dx + dy * dy;
    this.#fill([from, to], width / 2, colour, (x, y) => {
      const along = square === 0 ? 0 : ((x - from[0]) * dx + (y - from[1]) * dy) / square;
      const t = Math.min(1, Math.max(0, along));
      return Math.hypot(x - from[0] - t * dx, y - from[1] - t * dy) - width / 2;
    });
    return this;
  }

  /** Draws a convex polygon. */
  polygon(points: readonly Point[], colour: Colour): this {
    let area = 0;
    const edges = points.map((a, i) => {
      const b = points[(i + 1) % points.length]!;
      area += a[0] * b[1] - b[0] * a[1];
      const size = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
      return { a, nx: (b[1] - a[1]) / size, ny: (a[0] - b[0]) / size };
    });
    const side = area > 0 ? 1 : -1;
    this.#fill(points, 0, colour, (x, y) => {
      let most = Number.NEGATIVE_INFINITY;
      for (const { a, nx, ny } of edges) most = Math.max(most, side * ((x - a[0]) * nx + (y - a[1]) * ny));
      return most;
    });
    return this;
  }

  /** The picture, uint8 [height, width, 3]. */
  picture(): NdArray<Uint8Array> {
    return { data: this.#pixels.slice(), shape: [this.height, this.width, 3] };
  }

  /**
   * The picture in characters, of which denser ones are darker.
   * @param columns the number of characters of a line. A character counts as twice as high as it is wide.
   */
  text(columns = 60): string {
    const rows = Math.round((columns * this.height) / this.width / 2);
    const shades = ' .:-=+*#%@';
    const lines = Array.from({ length: rows }, (_, row) => {
      let line = '';
      for (let column = 0; column < columns; column++) {
        const [top, bottom] = [row, row + 1].map((r) => Math.floor((r * this.height) / rows)) as [number, number];
        const [left, right] = [column, column + 1].map((c) => Math.floor((c * this.width) / columns)) as [
          number,
          number,
        ];
        let darkest = 0;
        for (let y = top; y < bottom; y++)
          for (let x = left; x < right; x++) {
            const k = 3 * (y * this.width + x);
            const [r, g, b] = [this.#pixels[k]!, this.#pixels[k + 1]!, this.#pixels[k + 2]!];
            darkest = Math.max(darkest, 1 - (0.3 * r + 0.6 * g + 0.1 * b) / 255);
          }
        line += shades[Math.min(shades.length - 1, Math.floor(darkest * shades.length))];
      }
      return line.trimEnd();
    });
    return lines.join('\n');
  }
}
