// Operations that take each value, pixel or weight by itself; see the files of the same operations in backend/fused.
#pragma once

#include "linear.h"

namespace gym {

/** Computes y [rows, inner] = hidden · GELU(gate) from x [rows, 2 · inner], hidden and gate side by side. */
inline void gatedGelu(int64_t rows, int64_t inner, const float* x, float* y) {
  for (int64_t i = 0; i < rows; i++, x += 2 * inner, y += inner)
    for (int64_t c = 0; c < inner; c += kLanes) {
      const int64_t count = inner - c;
      store(y + c, load(x + c, count) * activate<kGelu>(load(x + inner + c, count)), count);
    }
}

/** Computes dx [rows, 2 · inner]. */
inline void gatedGeluGradient(int64_t rows, int64_t inner, const float* dy, const float* x, float* dx) {
  for (int64_t i = 0; i < rows; i++, dy += inner, x += 2 * inner, dx += 2 * inner)
    for (int64_t c = 0; c < inner; c += kLanes) {
      const int64_t count = inner - c;
      const Vector g = load(dy + c, count), hidden = load(x + c, count), gate = load(x + inner + c, count);
      const Vector normal = 0.5f * (1.0f + erf(gate * 0.70710678f));
      const Vector density = exp(-0.5f * gate * gate) * 0.39894228f;
      store(dx + c, g * gate * normal, count);
      store(dx + inner + c, g * hidden * (normal + gate * density), count);
    }
}

/** Repeats each pixel in both directions, from [batch, height, width, channels]. */
inline void upsample(int64_t batch, int64_t height, int64_t width, int64_t channels, const float* x, float* y) {
  const int64_t pixel = 4 * channels, line = 2 * width * channels;
  for (int64_t row = 0; row < batch * height; row++, y += 2 * line) {
    for (int64_t i = 0; i < width; i++, x += channels) {
      std::memcpy(y + 2 * i * channels, x, pixel);
      std::memcpy(y + (2 * i + 1) * channels, x, pixel);
    }
    std::memcpy(y + line, y, 4 * line);
  }
}

/** Sums the four copies of each pixel, to [batch, height, width, channels]. */
inline void upsampleGradient(int64_t batch, int64_t height, int64_t width, int64_t channels, const float* dy, float* dx) {
  const int64_t line = 2 * width * channels;
  for (int64_t row = 0; row < batch * height; row++, dy += 2 * line)
    for (int64_t i = 0; i < width; i++, dx += channels) {
      const float *left = dy + 2 * i * channels, *right = left + channels;
      for (int64_t c = 0; c < channels; c += kLanes) {
        const int64_t count = channels - c;
        const Vector above = load(left + c, count) + load(right + c, count);
        store(dx + c, above + (load(left + line + c, count) + load(right + line + c, count)), count);
      }
    }
}

/** The numbers of one step of AdamW, in the order in which they are given. */
struct AdamWStep {
  float beta1, oneMinusBeta1, beta2, oneMinusBeta2;
  /** The inverse of sqrt(1 − β₂^step), epsilon, and learning rate / (1 − β₁^step). */
  float inverseCorrection, epsilon, rate;
  /** 1 − learning rate · weight decay, and the factor on the gradient. */
  float keep, gradientScale;
};

/** Makes one step of AdamW with `count` weights. */
inline void adamW(int64_t count, const AdamWStep& s, const float* gradient, const float* m, const float* v,
                  const float* weights, float* nextM, float* nextV, float* nextWeights) {
  const auto root = [](Vector x) {
    Vector y;
    for (int i = 0; i < kLanes; i++) y[i] = std::sqrt(x[i]);
    return y;
  };
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t left = count - i;
    const Vector g = load(gradient + i, left) * s.gradientScale;
    const Vector newM = load(m + i, left) * s.beta1 + g * s.oneMinusBeta1;
    const Vector newV = load(v + i, left) * s.beta2 + g * g * s.oneMinusBeta2;
    const Vector update = newM / (root(newV) * s.inverseCorrection + s.epsilon) * s.rate;
    store(nextM + i, newM, left);
    store(nextV + i, newV, left);
    store(nextWeights + i, load(weights + i, left) * s.keep - update, left);
  }
}

}  // namespace gym
