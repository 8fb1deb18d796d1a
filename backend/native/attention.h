// Scaled dot-product attention of all heads, and its gradients; see backend/fused/attention.ts.
#pragma once

#include <limits>

#include "matmul.h"

namespace gym {

/** Each of `batch` samples has `n` rows of queries and `m` rows of keys and values. */
struct AttentionShape {
  int64_t batch, n, m, channels, heads;
};

/** The rows of queries that are computed together, so that their scores stay in the cache. */
constexpr int64_t kQueries = 32;

/**
 * Writes the exponentials of scores [rows, m] less what `shift` gives for a row, in rows of `stride` floats. `sums`
 * takes the row and the sum of its exponentials.
 */
template <class Sums>
inline void exponentials(float* scores, int64_t rows, int64_t m, int64_t stride, const float* shift, const Sums& sums) {
  for (int64_t i = 0; i < rows; i++) {
    float* row = scores + i * stride;
    // What pads a row to whole vectors has a score of minus infinity, for which exp gives next to nothing.
    for (int64_t j = m; j < stride; j++) row[j] = -std::numeric_limits<float>::infinity();
    Vector total = {};
    for (int64_t j = 0; j < stride; j += kLanes) {
      const Vector p = exp(load(row + j) - shift[i]);
      store(row + j, p);
      total += p;
    }
    sums(i, sum(total));
  }
}

inline float largest(const float* row, int64_t count) {
  float most = row[0];
  int64_t j = 0;
  if (count >= kLanes) {
    Vector all = load(row);
    for (j = kLanes; j + kLanes <= count; j += kLanes) {
      const Vector x = load(row + j);
      all = x > all ? x : all;
    }
    for (int i = 0; i < kLanes; i++) most = all[i] > most ? all[i] : most;
  }
  for (; j < count; j++) most = row[j] > most ? row[j] : most;
  return most;
}

/** Computes y [batch · n, channels] and logSum [batch · n, heads]. `mask` [n, m] may be null. */
inline void attention(AttentionShape s, const float* q, const float* k, const float* v, const float* mask, float* y,
                      float* logSum) {
  const int64_t C = s.channels, width = C / s.heads, stride = padded(s.m);
  const float rate = 1.0f / std::sqrt(static_cast<float>(width));
  Workspace::reserve(packedSize(width, s.m) + packedSize(s.m, width) + kQueries * (stride + 2), 5);
  float* keys = Workspace::get(packedSize(width, s.m));
  float* values = Workspace::get(packedSize(s.m, width));
  float* scores = Workspace::get(kQueries * stride);
  float* most = Workspace::get(kQueries);
  float* total = Workspace::get(kQueries);

  for (int64_t b = 0; b < s.batch; b++)
    for (int64_t h = 0; h < s.heads; h++) {
      const int64_t context = b * s.m * C + h * width;
      pack({k + context, 1, C}, width, s.m, keys);
      pack({v + context, C, 1}, s.m, width, values);
      for (int64_t first = 0; first < s.n; first += kQueries) {
        const int64_t rows = s.n - first < kQueries ? s.n - first : kQueries;
        const int64_t row = b * s.n + first;
        multiply(rows, s.m, width, {q + row * C + h * width, C, 1}, keys,
                 [&](int64_t i, int64_t j, int64_t count, Vector x) {
                   x *= rate;
                   if (mask) x += load(mask + (first + i) * s.m + j, count);
                   store(scores + i * stride + j, x, count);
                 });
        for (int64_t i = 0; i < rows; i++) most[i] = largest(scores + i * stride, s.m);
        exponentials(scores, rows, s.m, stride, most, [&](int64_t i, float sum) {
          total[i] = 1.0f / sum;
          logSum[(row + i) * s.heads + h] = most[i] + std::log(sum);
        });
        multiply(rows, width, s.m, {scores, stride, 1}, values, [&](int64_t i, int64_t j, int64_t count, Vector x) {
          store(y + (row + i) * C + h * width + j, x * total[i], count);
        });
      }
    }
}

/** Computes dq [batch · n, channels], dk and dv [batch · m, channels]. */
inline void attentionGradient(AttentionShape s, const float* dy, const float* q, const float* k, const float* v,
                              const float* y, const float* logSum, const float* mask, float* dq, float* dk, float* dv) {
  const int64_t C = s.channels, width = C / s.heads, stride = padded(s.m);
  const float rate = 1.0f / std::sqrt(static_cast<float>(width));
  Workspace::reserve(2 * packedSize(width, s.m) + packedSize(s.m, width) + 2 * packedSize(kQueries, width) +
                         kQueries * (2 * stride + 2),
                     9);
  float* keysAcross = Workspace::get(packedSize(width, s.m));
  float* valuesAcross = Workspace::get(packedSize(width, s.m));
  float* keys = Workspace::get(packedSize(s.m, width));
  float* queries = Workspace::get(packedSize(kQueries, width));
  float* slopes = Workspace::get(packedSize(kQueries, width));
  float* probabilities = Workspace::get(kQueries * stride);
  float* dscores = Workspace::get(kQueries * stride);
  float* shift = Workspace::get(kQueries);
  float* inner = Workspace::get(kQueries);
  std::memset(dk, 0, 4 * s.batch * s.m * C);
  std::memset(dv, 0, 4 * s.batch * s.m * C);

  for (int64_t b = 0; b < s.batch; b++)
    for (int64_t h = 0; h < s.heads; h++) {
      const int64_t context = b * s.m * C + h * width;
      pack({k + context, 1, C}, width, s.m, keysAcross);
      pack({v + context, 1, C}, width, s.m, valuesAcross);
      pack({k + context, C, 1}, s.m, width, keys);
      for (int64_t first = 0; first < s.n; first += kQueries) {
        const int64_t rows = s.n - first < kQueries ? s.n - first : kQueries;
        const int64_t row = b * s.n + first;
        const float *qs = q + row * C + h * width, *dys = dy + row * C + h * width, *ys = y + row * C + h * width;
        pack({qs, C, 1}, rows, width, queries);
        pack({dys, C, 1}, rows, width, slopes);
        multiply(rows, s.m, width, {qs, C, 1}, keysAcross, [&](int64_t i, int64_t j, int64_t count, Vector x) {
          x *= rate;
          if (mask) x += load(mask + (first + i) * s.m + j, count);
          store(probabilities + i * stride + j, x, count);
        });
        for (int64_t i = 0; i < rows; i++) {
          shift[i] = logSum[(row + i) * s.heads + h];
          inner[i] = 0;
          for (int64_t c = 0; c < width; c++) inner[i] += dys[i * C + c] * ys[i * C + c];
        }
        exponentials(probabilities, rows, s.m, stride, shift, [](int64_t, float) {});
        // The gradient of a score is p · (dy · v − dy · y).
        multiply(rows, s.m, width, {dys, C, 1}, valuesAcross, [&](int64_t i, int64_t j, int64_t count, Vector x) {
          store(dscores + i * stride + j, load(probabilities + i * stride + j, count) * (x - inner[i]) * rate, count);
        });
        multiply(rows, width, s.m, {dscores, stride, 1}, keys, [&](int64_t i, int64_t j, int64_t count, Vector x) {
          store(dq + (row + i) * C + h * width + j, x, count);
        });
        const auto addTo = [&](float* sums) {
          return [=](int64_t i, int64_t j, int64_t count, Vector x) {
            float* to = sums + context + i * C + j;
            store(to, load(to, count) + x, count);
          };
        };
        multiply(s.m, width, rows, {dscores, 1, stride}, queries, addTo(dk));
        multiply(s.m, width, rows, {probabilities, 1, stride}, slopes, addTo(dv));
      }
    }
}

}  // namespace gym
