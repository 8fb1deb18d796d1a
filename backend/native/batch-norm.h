// Batch normalisation by the statistics of the batch; see fused/batch-norm.ts in backend.
#pragma once

#include <vector>

#include "simd.h"

namespace gym {

/** Rows that are summed in single precision, and read again while they are near, before sums go on in double precision. */
constexpr int64_t kNormRows = 64;

/** Adds to `sums` [channels], over all rows, what `value(at, c, left)` gives: of the `left` values from channel c on, at `at`. */
template <class Value>
inline void addColumns(int64_t rows, int64_t channels, double* sums, const Value& value) {
  for (int64_t start = 0; start < rows; start += kNormRows) {
    const int64_t end = start + kNormRows < rows ? start + kNormRows : rows;
    for (int64_t c = 0; c < channels; c += kLanes) {
      const int64_t left = channels - c;
      Vector sum = fill(0);
      for (int64_t row = start; row < end; row++) sum += value(row * channels + c, c, left);
      for (int i = 0; i < kLanes && i < left; i++) sums[c + i] += sum[i];
    }
  }
}

/** Computes y [rows, channels], with its ReLU if that is wanted, and mean and variance [channels] of each channel. */
inline void batchNorm(int64_t rows, int64_t channels, float epsilon, bool relu, const float* x, const float* gamma,
                      const float* beta, float* y, float* mean, float* variance) {
  std::vector<double> sums(channels, 0);
  std::vector<float> scale(channels), shift(channels);
  const double count = static_cast<double>(rows);
  addColumns(rows, channels, sums.data(),
             [&](int64_t at, int64_t, int64_t left) { return load(x + at, left); });
  for (int64_t c = 0; c < channels; c++) mean[c] = static_cast<float>(sums[c] / count), sums[c] = 0;
  addColumns(rows, channels, sums.data(), [&](int64_t at, int64_t c, int64_t left) {
    const Vector d = load(x + at, left) - load(mean + c, left);
    return d * d;
  });
  for (int64_t c = 0; c < channels; c++) {
    variance[c] = static_cast<float>(sums[c] / count);
    scale[c] = gamma[c] / std::sqrt(variance[c] + epsilon);
    shift[c] = beta[c];
  }
  for (int64_t row = 0; row < rows; row++, x += channels, y += channels)
    for (int64_t c = 0; c < channels; c += kLanes) {
      const int64_t left = channels - c;
      const Vector d = load(x + c, left) - load(mean + c, left);
      const Vector value = d * load(&scale[c], left) + load(&shift[c], left);
      // A NaN is not below 0, and stays.
      store(y + c, relu ? (value < 0.0f ? fill(0) : value) : value, left);
    }
}

/** Computes dx [rows, channels], dgamma and dbeta [channels]. */
inline void batchNormGradient(int64_t rows, int64_t channels, float epsilon, bool relu, const float* dy, const float* x,
                              const float* gamma, const float* beta, const float* mean, const float* variance,
                              float* dx, float* dgamma, float* dbeta) {
  std::vector<double> sums(channels, 0), products(channels, 0);
  std::vector<float> scale(channels), along(channels), level(channels);
  for (int64_t c = 0; c < channels; c++) scale[c] = gamma[c] / std::sqrt(variance[c] + epsilon);
  /** The gradient of what the ReLU is taken of: where the value is not above 0, none. */
  const auto behind = [&](int64_t at, int64_t c, int64_t left) {
    const Vector g = load(dy + at, left);
    if (!relu) return g;
    const Vector d = load(x + at, left) - load(mean + c, left);
    return d * load(&scale[c], left) + load(beta + c, left) <= 0.0f ? fill(0) : g;
  };
  addColumns(rows, channels, sums.data(), behind);
  addColumns(rows, channels, products.data(), [&](int64_t at, int64_t c, int64_t left) {
    return behind(at, c, left) * (load(x + at, left) - load(mean + c, left));
  });
  const double count = static_cast<double>(rows);
  for (int64_t c = 0; c < channels; c++) {
    const double inverse = 1 / std::sqrt(static_cast<double>(variance[c]) + epsilon);
    dbeta[c] = static_cast<float>(sums[c]);
    dgamma[c] = static_cast<float>(products[c] * inverse);
    level[c] = static_cast<float>(sums[c] / count);
    along[c] = static_cast<float>(products[c] * inverse * inverse / count);
  }
  for (int64_t row = 0; row < rows; row++)
    for (int64_t c = 0; c < channels; c += kLanes) {
      const int64_t left = channels - c, at = row * channels + c;
      const Vector d = load(x + at, left) - load(mean + c, left);
      const Vector g = behind(at, c, left) - load(&level[c], left) - d * load(&along[c], left);
      store(dx + at, g * load(&scale[c], left), left);
    }
}

}  // namespace gym
