/** A rectangle of pixels; right and bottom are the first outside. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** PaddleOCR's settings of differentiable binarisation (Liao et al. 2020): `thresh`, `box_thresh`, `unclip_ratio`, `min_size`. */
const threshold = 0.3;
const leastScore = 0.6;
const unclip = 1.5;
const leastSide = 3;

/**
 * The lines of text in a map of how likely each pixel is to be in the middle of one: connected parts above the threshold
 * that are likely enough on the whole, as upright rectangles, widened since the network was trained on shrunken ones. They
 * come from top to bottom, and in a row from left to right.
 * @param map [height, width], 0..1
 */
export function findLines(map: ArrayLike<number>, height: number, width: number): Box[] {
  const seen = new Uint8Array(height * width);
  const boxes: Box[] = [];
  for (let start = 0; start < seen.length; start++) {
    if (seen[start] || !(map[start]! > threshold)) continue;
    const box = grow(map, height, width, start, seen);
    if (box) boxes.push(box);
  }
  return inReadingOrder(boxes);
}

/** The widened rectangle around a connected part, or undefined where that is no line. */
function grow(map: ArrayLike<number>, height: number, width: number, start: number, seen: Uint8Array): Box | undefined {
  let [left, top, right, bottom, sum, count] = [width, height, 0, 0, 0, 0];
  const stack = [start];
  seen[start] = 1;
  while (stack.length > 0) {
    const at = stack.pop()!;
    const [y, x] = [Math.floor(at / width), at % width];
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), Math.max(bottom, y + 1)];
    sum += map[at]!;
    count++;
    for (let ny = Math.max(0, y - 1); ny <= Math.min(height - 1, y + 1); ny++)
      for (let nx = Math.max(0, x - 1); nx <= Math.min(width - 1, x + 1); nx++) {
        const next = ny * width + nx;
        if (seen[next] || !(map[next]! > threshold)) continue;
        seen[next] = 1;
        stack.push(next);
      }
  }
  const [w, h] = [right - left, bottom - top];
  if (Math.min(w, h) < leastSide || sum / count < leastScore) return undefined;
  // By area · ratio / circumference on all sides (Vatti's offset of a rectangle).
  const offset = (w * h * unclip) / (2 * (w + h));
  return { left: left - offset, top: top - offset, right: right + offset, bottom: bottom + offset };
}

/** Boxes whose middles are less than half a height apart stand in one row. */
function inReadingOrder(boxes: readonly Box[]): Box[] {
  const middle = ({ top, bottom }: Box) => (top + bottom) / 2;
  const rows: Box[][] = [];
  for (const box of [...boxes].sort((a, b) => middle(a) - middle(b))) {
    const row = rows.at(-1);
    const first = row?.[0];
    if (first && middle(box) - middle(first) < (first.bottom - first.top) / 2) row!.push(box);
    else rows.push([box]);
  }
  return rows.flatMap((row) => row.sort((a, b) => a.left - b.left));
}
