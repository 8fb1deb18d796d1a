// A linear layer with bias, activation and residual, and its gradients; see backend/fused/linear.ts.
#pragma once

#include "matmul.h"

namespace gym {

/** The activations, by their numbers in backend/native-kernels.ts. */
enum Activation { kNone = 0, kSilu = 1, kGelu = 2, kQuickGelu = 3 };

template <int A>
inline Vector activate(Vector x) {
  if (A == kSilu) return x * sigmoid(x);
  if (A == kQuickGelu) return x * sigmoid(1.702f * x);
  if (A == kGelu) return 0.5f * x * (1.0f + erf(x * 0.70710678f));
  return x;
}

template <int A>
inline Vector activationSlope(Vector x) {
  if (A == kSilu) {
    const Vector gate = sigmoid(x);
    return gate * (1.0f + x * (1.0f - gate));
  }
  if (A == kQuickGelu) {
    const Vector gate = sigmoid(1.702f * x);
    return gate * (1.0f + 1.702f * x * (1.0f - gate));
  }
  if (A == kGelu) return 0.5f * (1.0f + erf(x * 0.70710678f)) + x * exp(-0.5f * x * x) * 0.39894228f;
  return fill(1);
}

/** The sizes of a layer: `rows` of `in` values become rows of `out` values. */
struct LinearShape {
  int64_t rows, in, out;
};

inline void reserveLinear(LinearShape s) { Workspace::reserve(packedSize(s.in, s.out), 1); }

/**
 * Computes y = activation(x · weight + bias) + residual, and argument = x · weight + bias where there is an activation.
 * `bias` and `residual` may be null.
 */
template <int A>
void linear(LinearShape s, const float* x, const float* weight, const float* bias, const float* residual, float* y,
            float* argument) {
  reserveLinear(s);
  float* packed = Workspace::get(packedSize(s.in, s.out));
  pack({weight, s.out, 1}, s.in, s.out, packed);
  multiply(s.rows, s.out, s.in, {x, s.in, 1}, packed, [&](int64_t i, int64_t j, int64_t count, Vector value) {
    const int64_t at = i * s.out + j;
    if (bias) value += load(bias + j, count);
    if (A != kNone) {
      store(argument + at, value, count);
      value = activate<A>(value);
    }
    if (residual) value += load(residual + at, count);
    store(y + at, value, count);
  });
}

/** The rows of which one block of the gradient of the weight is summed, small enough for the cache. */
constexpr int64_t kGradientBlock = 128;

/** Computes dx [rows, in], dweight [in, out] and, where it is not null, dbias [out]. `argument` is that of `linear`. */
template <int A>
void linearGradient(LinearShape s, const float* dy, const float* x, const float* weight, const float* argument, float* dx,
                    float* dweight, float* dbias) {
  const int64_t block = kGradientBlock;
  const bool slopes = A != kNone;
  Workspace::reserve(packedSize(s.out, s.in) + packedSize(block, s.out) + (slopes ? block * s.out : 0), 3);
  float* transposed = Workspace::get(packedSize(s.out, s.in));
  float* right = Workspace::get(packedSize(block, s.out));
  float* scaled = slopes ? Workspace::get(block * s.out) : nullptr;
  pack({weight, 1, s.out}, s.out, s.in, transposed);
  std::memset(dweight, 0, 4 * s.in * s.out);
  if (dbias) std::memset(dbias, 0, 4 * s.out);

  for (int64_t first = 0; first < s.rows; first += block) {
    const int64_t rows = s.rows - first < block ? s.rows - first : block;
    const float* g = dy + first * s.out;
    if (slopes) {
      const float* z = argument + first * s.out;
      for (int64_t i = 0; i < rows * s.out; i += kLanes) {
        const int64_t count = rows * s.out - i;
        store(scaled + i, load(g + i, count) * activationSlope<A>(load(z + i, count)), count);
      }
      g = scaled;
    }
    multiply(rows, s.in, s.out, {g, s.out, 1}, transposed, [&](int64_t i, int64_t j, int64_t count, Vector value) {
      store(dx + (first + i) * s.in + j, value, count);
    });
    pack({g, s.out, 1}, rows, s.out, right);
    multiply(s.in, s.out, rows, {x + first * s.in, 1, s.in}, right, [&](int64_t i, int64_t j, int64_t count, Vector value) {
      float* to = dweight + i * s.out + j;
      store(to, load(to, count) + value, count);
    });
    if (dbias)
      for (int64_t j = 0; j < s.out; j += kLanes) {
        Vector total = load(dbias + j, s.out - j);
        for (int64_t i = 0; i < rows; i++) total += load(g + i * s.out + j, s.out - j);
        store(dbias + j, total, s.out - j);
      }
  }
}

}  // namespace gym
