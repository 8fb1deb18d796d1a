import { GymError } from '../../core/errors.js';

/** How β_t goes from the first to the last training step. Named as in diffusers. */
export const BETA_SCHEDULES = ['linear', 'scaled_linear', 'squaredcos_cap_v2'] as const;
export type BetaSchedule = (typeof BETA_SCHEDULES)[number];

/** The part of a scheduler's configuration that fixes its noise. */
export interface NoiseScheduleConfig {
  readonly num_train_timesteps: number;
  readonly beta_start: number;
  readonly beta_end: number;
  readonly beta_schedule: BetaSchedule;
  /** β_0 .. β_{T−1} themselves; the three fields above are then not used. */
  readonly trained_betas: readonly number[] | null;
  /** Shifts the schedule so that ᾱ_{T−1} = 0 (Lin et al. 2023, arXiv:2305.08891, algorithm 1). */
  readonly rescale_betas_zero_snr: boolean;
}

/** torch.linspace in float32: counted from the nearer end so that both ends are exact, each value rounded once. */
function linspace(start: number, end: number, count: number): Float32Array {
  const [first, last] = [Math.fround(start), Math.fround(end)];
  if (count === 1) return Float32Array.of(first);
  const step = Math.fround(Math.fround(last - first) / (count - 1));
  return Float32Array.from({ length: count }, (_, i) =>
    i < count / 2 ? first + step * i : last - step * (count - 1 - i),
  );
}

/** The squared cosine ᾱ of Nichol and Dhariwal (2021), equation 17, at a share s ∈ [0, 1] of the way; not normalised. */
function cosineAlphaBar(s: number): number {
  return Math.cos(((s + 0.008) / 1.008) * (Math.PI / 2)) ** 2;
}

/**
 * ᾱ_t = ∏_{s≤t} (1 − β_s) in float32, as torch.cumprod has it (which carries the product in double).
 */
export function cumulativeAlphas(betas: Float32Array): Float32Array {
  let product = 1;
  return betas.map((beta) => {
    product *= Math.fround(1 - beta);
    return product;
  });
}

function rescaleZeroTerminalSnr(betas: Float32Array): Float32Array {
  const roots = cumulativeAlphas(betas).map(Math.sqrt);
  const first = roots[0]!;
  const last = roots[roots.length - 1]!;
  const scale = Math.fround(first / Math.fround(first - last));
  const alphaBars = roots.map((root) => Math.fround(Math.fround(root - last) * scale) ** 2);
  return alphaBars.map((alphaBar, i) => 1 - Math.fround(i === 0 ? alphaBar : alphaBar / alphaBars[i - 1]!));
}

/**
 * β_0 .. β_{T−1} of a configuration, in float32 (Python: `DDIMScheduler(**config).betas`).
 * @throws GymError E_CONFIG when a beta is outside [0, 1) or there are not num_train_timesteps of them
 */
export function makeBetas(where: string, config: NoiseScheduleConfig): Float32Array {
  const { num_train_timesteps: count, beta_start: start, beta_end: end, trained_betas: trained } = config;
  let betas: Float32Array;
  if (trained !== null) {
    if (trained.length !== count)
      throw new GymError(
        'E_CONFIG',
        `${where}: trained_betas has ${trained.length} numbers but num_train_timesteps is ${count}; make them equal.`,
      );
    betas = Float32Array.from(trained);
  } else if (config.beta_schedule === 'linear') {
    betas = linspace(start, end, count);
  } else if (config.beta_schedule === 'scaled_linear') {
    betas = linspace(Math.sqrt(start), Math.sqrt(end), count).map((root) => root * root);
  } else {
    betas = Float32Array.from({ length: count }, (_, i) =>
      Math.min(1 - cosineAlphaBar((i + 1) / count) / cosineAlphaBar(i / count), 0.999),
    );
  }
  // A first beta that is lost beside 1 would leave no noise at timestep 0, and the steps' coefficients divide by it.
  const isLost = (beta: number) => Math.fround(1 - beta) === 1;
  const wrong = betas.findIndex((beta, i) => !(beta >= 0 && beta < 1) || (i === 0 && isLost(beta)));
  if (wrong >= 0)
    throw new GymError(
      'E_CONFIG',
      `${where}: beta ${wrong} is ${betas[wrong]}; every beta must be in [0, 1) and the first above 6e-8: check beta_start, beta_end or trained_betas.`,
    );
  if (!config.rescale_betas_zero_snr) return betas;
  const rescaled = rescaleZeroTerminalSnr(betas);
  if (!rescaled.every((beta) => beta >= 0 && beta <= 1))
    throw new GymError(
      'E_CONFIG',
      `${where}: rescale_betas_zero_snr needs a schedule whose noise grows from the first training step to the last; this one has ${count} steps with betas from ${betas[0]} to ${betas[count - 1]}.`,
    );
  return rescaled;
}

/**
 * The squared-cosine schedule whose ᾱ never falls below `floor`, as numbers for `trained_betas`.
 *
 * Without the floor ᾱ_{T−1} is 2e-9, and there x̂_0 and the steps' coefficients are ill-conditioned; a floor of 1e-3
 * leaves √1e-3, 3 % of the picture's amplitude, in x_T. Where the floor holds (the last 2 % of the steps) β is 0: a short
 * step that stays there changes nothing and has no noise.
 * @param count training steps T. @param floor smallest ᾱ, in (0, 1).
 * @throws GymError E_VALUE on a count or floor outside these.
 */
export function flooredCosineBetas(count = 1000, floor = 1e-3): number[] {
  if (!(Number.isInteger(count) && count >= 1))
    throw new GymError('E_VALUE', `flooredCosineBetas: count must be a positive integer, actual value ${count}.`);
  if (!(floor > 0 && floor < 1))
    throw new GymError('E_VALUE', `flooredCosineBetas: floor must be in (0, 1), actual value ${floor}.`);
  const alphaBar = (i: number) => Math.max(cosineAlphaBar(i / count) / cosineAlphaBar(0), floor);
  // Nine digits are what float32 needs to be read back as it was: a short file that loses nothing.
  return Array.from({ length: count }, (_, i) => Number((1 - alphaBar(i + 1) / alphaBar(i)).toPrecision(9)));
}
