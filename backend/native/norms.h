// Group norm with what surrounds it in a residual block, and layer norm; see backend/fused/group-norm.ts and
// backend/fused/layer-norm.ts.
#pragma once

#include "simd.h"

namespace gym {

struct GroupNormShape {
  int64_t batch, pixels, channels, groups;
};

/** What a group norm is computed from. `added`, and `scale` together with `shift`, may be null. */
struct GroupNormInputs {
  const float *x, *gamma, *beta, *added, *scale, *shift;
};

/** Sums over the pixels of one sample, for each channel: `f` of the offset in the sample, the channel and the count. */
template <int Sums, class F>
inline void sumPixels(int64_t pixels, int64_t channels, float* const (&to)[Sums], const F& f) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    const int64_t count = channels - c;
    Vector totals[Sums] = {};
    for (int64_t p = 0; p < pixels; p++) f(p * channels + c, c, count, totals);
    for (int s = 0; s < Sums; s++) store(to[s] + c, totals[s], count);
  }
}

/** The sum of each group's channels times `factor`, written to all channels of the group. `weights` may be null. */
inline void sumGroups(int64_t channels, int64_t groups, const float* values, const float* weights, double factor,
                      float* to) {
  const int64_t size = channels / groups;
  for (int64_t g = 0; g < groups; g++) {
    double total = 0;
    for (int64_t c = g * size; c < (g + 1) * size; c++)
      total += static_cast<double>(values[c]) * (weights ? weights[c] : 1.0f);
    for (int64_t c = g * size; c < (g + 1) * size; c++) to[c] = static_cast<float>(total * factor);
  }
}

/** Computes y [batch, pixels, channels], mean and rstd [batch, groups]. */
template <bool Silu>
void groupNorm(GroupNormShape s, GroupNormInputs in, float epsilon, float* y, float* mean, float* rstd) {
  const int64_t C = s.channels, size = C / s.groups;
  Workspace::reserve(4 * C, 4);
  float* sums = Workspace::get(C);
  float* centre = Workspace::get(C);
  float* rate = Workspace::get(C);
  float* offset = Workspace::get(C);
  const double share = 1.0 / (static_cast<double>(s.pixels) * size);

  for (int64_t b = 0; b < s.batch; b++) {
    const float* x = in.x + b * s.pixels * C;
    const float* added = in.added ? in.added + b * C : nullptr;
    float* const into[1] = {sums};
    sumPixels(s.pixels, C, into, [&](int64_t at, int64_t, int64_t count, Vector* t) { t[0] += load(x + at, count); });
    if (added)
      for (int64_t c = 0; c < C; c++) sums[c] += added[c] * static_cast<float>(s.pixels);
    sumGroups(C, s.groups, sums, nullptr, share, centre);
    for (int64_t g = 0; g < s.groups; g++) mean[b * s.groups + g] = centre[g * size];
    for (int64_t c = 0; c < C; c++) centre[c] = (added ? added[c] : 0.0f) - centre[c];

    sumPixels(s.pixels, C, into, [&](int64_t at, int64_t c, int64_t count, Vector* t) {
      const Vector d = load(x + at, count) + load(centre + c, count);
      t[0] += d * d;
    });
    sumGroups(C, s.groups, sums, nullptr, share, rate);
    for (int64_t g = 0; g < s.groups; g++)
      rstd[b * s.groups + g] = static_cast<float>(1.0 / std::sqrt(static_cast<double>(rate[g * size]) + epsilon));
    for (int64_t c = 0; c < C; c++) {
      const float factor = in.scale ? 1.0f + in.scale[b * C + c] : 1.0f;
      rate[c] = rstd[b * s.groups + c / size] * in.gamma[c] * factor;
      offset[c] = in.beta[c] * factor + (in.shift ? in.shift[b * C + c] : 0.0f);
    }

    float* to = y + b * s.pixels * C;
    for (int64_t c = 0; c < C; c += kLanes) {
      const int64_t count = C - c;
      const Vector m = load(centre + c, count), r = load(rate + c, count), o = load(offset + c, count);
      for (int64_t p = 0; p < s.pixels; p++) {
        const int64_t at = p * C + c;
        const Vector z = (load(x + at, count) + m) * r + o;
        store(to + at, Silu ? z * sigmoid(z) : z, count);
      }
    }
  }
}

/** The gradients of a group norm. `dadded`, and `dscale` together with `dshift`, may be null. */
struct GroupNormGradients {
  float *dx, *dgamma, *dbeta, *dadded, *dscale, *dshift;
};

template <bool Silu>
void groupNormGradient(GroupNormShape s, GroupNormInputs in, const float* dy, const float* mean, const float* rstd,
                       GroupNormGradients out) {
  const int64_t C = s.channels, size = C / s.groups;
  Workspace::reserve(10 * C, 10);
  float* centre = Workspace::get(C);
  float* inverse = Workspace::get(C);
  float* rate = Workspace::get(C);
  float* offset = Workspace::get(C);
  float* weight = Workspace::get(C);
  float* sumDz = Workspace::get(C);
  float* sumDzX = Workspace::get(C);
  float* sumX = Workspace::get(C);
  float* meanDz = Workspace::get(C);
  float* meanDzX = Workspace::get(C);
  const double share = 1.0 / (static_cast<double>(s.pixels) * size);
  std::memset(out.dgamma, 0, 4 * C);
  std::memset(out.dbeta, 0, 4 * C);

  for (int64_t b = 0; b < s.batch; b++) {
    const int64_t sample = b * s.pixels * C;
    const float *x = in.x + sample, *g = dy + sample;
    float* dx = out.dx + sample;
    for (int64_t c = 0; c < C; c++) {
      const int64_t group = b * s.groups + c / size;
      const float factor = in.scale ? 1.0f + in.scale[b * C + c] : 1.0f;
      centre[c] = (in.added ? in.added[b * C + c] : 0.0f) - mean[group];
      inverse[c] = rstd[group];
      weight[c] = in.gamma[c] * factor;
      rate[c] = rstd[group] * weight[c];
      offset[c] = in.beta[c] * factor + (in.shift ? in.shift[b * C + c] : 0.0f);
    }
    // With z the argument of the SiLU and xhat the normalised input: dz is written to dx, and summed alone and times
    // xhat.
    float* const into[3] = {sumDz, sumDzX, sumX};
    sumPixels(s.pixels, C, into, [&](int64_t at, int64_t c, int64_t count, Vector* t) {
      const Vector d = load(x + at, count) + load(centre + c, count);
      Vector dz = load(g + at, count);
      if (Silu) {
        const Vector z = d * load(rate + c, count) + load(offset + c, count);
        const Vector gate = sigmoid(z);
        dz *= gate * (1.0f + z * (1.0f - gate));
        store(dx + at, dz, count);
      }
      const Vector xhat = d * load(inverse + c, count);
      t[0] += dz;
      t[1] += dz * xhat;
      t[2] += xhat;
    });
    sumGroups(C, s.groups, sumDz, weight, share, meanDz);
    sumGroups(C, s.groups, sumDzX, weight, share, meanDzX);
    for (int64_t c = 0; c < C; c++) {
      const float factor = in.scale ? 1.0f + in.scale[b * C + c] : 1.0f;
      out.dgamma[c] += factor * sumDzX[c];
      out.dbeta[c] += factor * sumDz[c];
      if (out.dscale) {
        out.dscale[b * C + c] = in.gamma[c] * sumDzX[c] + in.beta[c] * sumDz[c];
        out.dshift[b * C + c] = sumDz[c];
      }
      if (out.dadded)
        out.dadded[b * C + c] =
            inverse[c] * (weight[c] * sumDz[c] - static_cast<float>(s.pixels) * meanDz[c] - meanDzX[c] * sumX[c]);
      // dx = inverse · (weight · dz − meanDz − xhat · meanDzX), as rate · dz + (x + centre) · slope + shift
      meanDz[c] *= -inverse[c];
      meanDzX[c] *= -inverse[c] * inverse[c];
    }
    const float* from = Silu ? dx : g;
    for (int64_t c = 0; c < C; c += kLanes) {
      const int64_t count = C - c;
      const Vector m = load(centre + c, count), r = load(rate + c, count);
      const Vector slope = load(meanDzX + c, count), shift = load(meanDz + c, count);
      for (int64_t p = 0; p < s.pixels; p++) {
        const int64_t at = p * C + c;
        store(dx + at, load(from + at, count) * r + (load(x + at, count) + m) * slope + shift, count);
      }
    }
  }
}

/** Computes y [rows, channels], mean and rstd [rows]. */
inline void layerNorm(int64_t rows, int64_t channels, const float* x, const float* gamma, const float* beta, float epsilon,
                      float* y, float* mean, float* rstd) {
  const float share = 1.0f / static_cast<float>(channels);
  const int64_t whole = channels / kLanes * kLanes;
  for (int64_t i = 0; i < rows; i++, x += channels, y += channels) {
    Vector total = {};
    for (int64_t c = 0; c < channels; c += kLanes) total += load(x + c, channels - c);
    const float m = sum(total) * share;
    Vector squares = {};
    for (int64_t c = 0; c < whole; c += kLanes) {
      const Vector d = load(x + c) - m;
      squares += d * d;
    }
    float square = sum(squares);
    for (int64_t c = whole; c < channels; c++) square += (x[c] - m) * (x[c] - m);
    const float r = 1.0f / std::sqrt(square * share + epsilon);
    for (int64_t c = 0; c < channels; c += kLanes) {
      const int64_t count = channels - c;
      store(y + c, (load(x + c, count) - m) * r * load(gamma + c, count) + load(beta + c, count), count);
    }
    mean[i] = m;
    rstd[i] = r;
  }
}

/** Computes dx [rows, channels], dgamma and dbeta [channels]. */
inline void layerNormGradient(int64_t rows, int64_t channels, const float* dy, const float* x, const float* gamma,
                              const float* mean, const float* rstd, float* dx, float* dgamma, float* dbeta) {
  const float share = 1.0f / static_cast<float>(channels);
  std::memset(dgamma, 0, 4 * channels);
  std::memset(dbeta, 0, 4 * channels);
  for (int64_t i = 0; i < rows; i++, dy += channels, x += channels, dx += channels) {
    const float m = mean[i], r = rstd[i];
    Vector sumDz = {}, sumDzX = {};
    for (int64_t c = 0; c < channels; c += kLanes) {
      const int64_t count = channels - c;
      const Vector g = load(dy + c, count), xhat = (load(x + c, count) - m) * r;
      const Vector dz = g * load(gamma + c, count);
      sumDz += dz;
      sumDzX += dz * xhat;
      store(dgamma + c, load(dgamma + c, count) + g * xhat, count);
      store(dbeta + c, load(dbeta + c, count) + g, count);
    }
    const float meanDz = sum(sumDz) * share, meanDzX = sum(sumDzX) * share;
    for (int64_t c = 0; c < channels; c += kLanes) {
      const int64_t count = channels - c;
      const Vector xhat = (load(x + c, count) - m) * r;
      store(dx + c, (load(dy + c, count) * load(gamma + c, count) - meanDz - xhat * meanDzX) * r, count);
    }
  }
}

}  // namespace gym
