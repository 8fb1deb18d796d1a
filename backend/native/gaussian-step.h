// The mean of a sampler's step, and how far a sample is from it; see fused/gaussian-step.ts in backend.
#pragma once

#include "simd.h"

namespace gym {

/** The numbers of a row: k · (a x + b out) + weight · clip(clippedK · (clippedA x + clippedB out)). */
struct StepMeanNumbers {
  float k, a, b, weight, clippedK, clippedA, clippedB;
};

/** Computes y [batch, size] from x and out of that shape and the numbers of each row. */
inline void stepMean(int64_t batch, int64_t size, float range, const float* x, const float* out, const float* numbers,
                     float* y) {
  for (int64_t row = 0; row < batch; row++, x += size, out += size, y += size) {
    StepMeanNumbers n;
    std::memcpy(&n, numbers + row * sizeof n / 4, sizeof n);
    for (int64_t i = 0; i < size; i += kLanes) {
      const int64_t left = size - i;
      const Vector u = load(x + i, left), v = load(out + i, left);
      Vector mean = n.k * (n.a * u + n.b * v);
      if (n.weight != 0) mean += n.weight * clamp(n.clippedK * (n.clippedA * u + n.clippedB * v), -range, range);
      store(y + i, mean, left);
    }
  }
}

/** The gradients of `stepMean` in x and out. Where a value is clipped, it has none. */
inline void stepMeanGradient(int64_t batch, int64_t size, float range, const float* dy, const float* x,
                             const float* out, const float* numbers, float* dx, float* dout) {
  for (int64_t row = 0; row < batch; row++, dy += size, x += size, out += size, dx += size, dout += size) {
    StepMeanNumbers n;
    std::memcpy(&n, numbers + row * sizeof n / 4, sizeof n);
    const float other = n.weight * n.clippedK;
    for (int64_t i = 0; i < size; i += kLanes) {
      const int64_t left = size - i;
      const Vector g = load(dy + i, left);
      Vector slopeX = fill(n.k * n.a), slopeOut = fill(n.k * n.b);
      if (n.weight != 0) {
        const Vector u = n.clippedK * (n.clippedA * load(x + i, left) + n.clippedB * load(out + i, left));
        const Bits inside = (Bits)(u >= -range) & (Bits)(u <= range);
        slopeX += (Vector)((Bits)fill(other * n.clippedA) & inside);
        slopeOut += (Vector)((Bits)fill(other * n.clippedB) & inside);
      }
      store(dx + i, g * slopeX, left);
      store(dout + i, g * slopeOut, left);
    }
  }
}

/** Values that are summed in single precision, before they are added in double precision. */
constexpr int64_t kDistanceBlock = 1024;

/** Computes y [batch] = scale · mean((value − mean)²) + offset, from scale and offset of each row. */
inline void scaledDistance(int64_t batch, int64_t size, const float* value, const float* mean, const float* numbers,
                           float* y) {
  for (int64_t row = 0; row < batch; row++, value += size, mean += size, numbers += 2) {
    double total = 0;
    for (int64_t start = 0; start < size; start += kDistanceBlock) {
      const int64_t end = start + kDistanceBlock < size ? start + kDistanceBlock : size;
      Vector squares = fill(0);
      for (int64_t i = start; i < end; i += kLanes) {
        const Vector d = load(value + i, end - i) - load(mean + i, end - i);
        squares += d * d;
      }
      total += sum(squares);
    }
    y[row] = static_cast<float>(numbers[0] * (total / static_cast<double>(size)) + numbers[1]);
  }
}

/** The gradient of `scaledDistance` in the mean. */
inline void scaledDistanceGradient(int64_t batch, int64_t size, const float* dy, const float* value,
                                   const float* mean, const float* numbers, float* dmean) {
  for (int64_t row = 0; row < batch; row++, value += size, mean += size, dmean += size) {
    const float slope = dy[row] * numbers[2 * row] * 2.0f / static_cast<float>(size);
    for (int64_t i = 0; i < size; i += kLanes) {
      const int64_t left = size - i;
      store(dmean + i, (load(mean + i, left) - load(value + i, left)) * slope, left);
    }
  }
}

}  // namespace gym
