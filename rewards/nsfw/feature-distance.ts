/** How far two pictures are apart by their features: 1 less the cosine, 0 (alike) to 1, as no feature is below 0. */
export function featureDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    aa += a[i]! ** 2;
    bb += b[i]! ** 2;
  }
  return 1 - dot / Math.max(Math.sqrt(aa * bb), Number.MIN_VALUE);
}
