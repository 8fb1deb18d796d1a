/** The orders α at which Rényi divergences are looked at, as in Opacus. */
const orders: readonly number[] = [
  ...Array.from({ length: 99 }, (_, i) => 1 + (i + 1) / 10),
  ...Array.from({ length: 52 }, (_, i) => 12 + i),
];

/**
 * What ε is spent at δ by adding Gaussian noise several times to a vector of length at most 1, by a Rényi accountant: of
 * order α, the Gaussian mechanism spends α/2σ² each time (Mironov 2017, https://arxiv.org/abs/1702.07476, corollary 3),
 * what is spent adds up, and it becomes (ε, δ) by ε = ρ_α + log((α − 1)/α) − (log δ + log α)/(α − 1) (Canonne, Kamath and
 * Steinke 2020, https://arxiv.org/abs/2004.00010, proposition 12), at the α where that is least.
 * @param noiseMultiplier σ, more than 0. @param times how often. @param delta δ, between 0 and 1.
 * @returns 0 where nothing was sent.
 */
export function gaussianEpsilon(noiseMultiplier: number, times: number, delta: number): number {
  if (times === 0) return 0;
  const spent = orders.map((order) => {
    const renyi = (times * order) / (2 * noiseMultiplier ** 2);
    return renyi + Math.log((order - 1) / order) - (Math.log(delta) + Math.log(order)) / (order - 1);
  });
  return Math.max(0, Math.min(...spent));
}
