// Vectors of floats, as GCC and Clang know them, with the functions that the operations of this folder need.
//
// Everything here is written for one thread. The compiler is told the processor (`-march=native`), so a vector is as
// wide as that allows. None of it relies on -ffast-math: a NaN that goes in comes out as one.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace gym {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Vector __attribute__((vector_size(4 * kLanes)));
typedef uint32_t Bits __attribute__((vector_size(4 * kLanes)));

inline Vector fill(float x) { return Vector{} + x; }

inline Vector load(const float* from) {
  Vector x;
  std::memcpy(&x, from, sizeof x);
  return x;
}

inline void store(float* to, Vector x) { std::memcpy(to, &x, sizeof x); }

#if defined(__AVX2__) && !defined(__AVX512F__)
/** All ones in the first `count` lanes. */
inline Bits firstLanes(int64_t count) {
  const Bits lanes = {0, 1, 2, 3, 4, 5, 6, 7};
  return (Bits)(lanes < static_cast<uint32_t>(count));
}
#endif

/** Loads the first `count` values, and zeros after them. */
inline Vector load(const float* from, int64_t count) {
  if (count >= kLanes) return load(from);
#if defined(__AVX512F__)
  return (Vector)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from);
#elif defined(__AVX2__)
  return (Vector)_mm256_maskload_ps(from, (__m256i)firstLanes(count));
#else
  float values[kLanes] = {};
  for (int64_t i = 0; i < count; i++) values[i] = from[i];
  return load(values);
#endif
}

/** Stores the first `count` values. */
inline void store(float* to, Vector x, int64_t count) {
  if (count >= kLanes) return store(to, x);
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1), (__m512)x);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(to, (__m256i)firstLanes(count), (__m256)x);
#else
  for (int64_t i = 0; i < count; i++) to[i] = x[i];
#endif
}

inline float sum(Vector x) {
  float total = 0;
  for (int i = 0; i < kLanes; i++) total += x[i];
  return total;
}

inline Vector clamp(Vector x, float low, float high) {
  x = x < low ? fill(low) : x;
  return x > high ? fill(high) : x;
}

/** The exponential, within 2 units in the last place. Below -87.3 it is at most 1.2e-38, above 88.3 at least 2e38. */
inline Vector exp(Vector x) {
  x = clamp(x, -87.3f, 88.3f);
  // x = n ln 2 + r with |r| at most (ln 2) / 2. The addition of 1.5 * 2^23 rounds to an integer.
  const float magic = 12582912.0f;
  Vector shifted = x * 1.44269504f + magic;
  Vector n = shifted - magic;
  Vector r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vector p = fill(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  Bits power = (((Bits)shifted - (Bits)fill(magic)) + 127u) << 23;
  return p * (Vector)power;
}

/** The logistic function 1 / (1 + exp(-x)). */
inline Vector sigmoid(Vector x) { return 1.0f / (1.0f + exp(-x)); }

/** The error function, within 4e-7, by a rational approximation for |x| < 4. */
inline Vector erf(Vector x) {
  x = clamp(x, -4.0f, 4.0f);
  Vector s = x * x;
  Vector p = fill(-2.72614225801306e-10f);
  p = p * s + 2.77068142495902e-08f;
  p = p * s + -2.10102402082508e-06f;
  p = p * s + -5.69250639462346e-05f;
  p = p * s + -7.34990630326855e-04f;
  p = p * s + -2.95459980854025e-03f;
  p = p * s + -1.60960333262415e-02f;
  Vector q = fill(-1.45660718464996e-05f);
  q = q * s + -2.13374055278905e-04f;
  q = q * s + -1.68282697438203e-03f;
  q = q * s + -7.37332916720468e-03f;
  q = q * s + -1.42647390514189e-02f;
  return x * p / q;
}

/** Memory for the intermediate results of one operation, aligned to vectors. It is kept for the thread's next one. */
class Workspace {
 public:
  /** Gets memory for `count` floats, whose values are whatever was there. What was got before stays as it is. */
  static float* get(int64_t count) {
    Workspace& own = mine();
    const int64_t size = (count + 15) / 16 * 16;
    if (own.used_ + size > own.size_) throw std::bad_alloc();
    float* memory = own.memory_ + own.used_;
    own.used_ += size;
    return memory;
  }

  /** Forgets all that was got, and makes room for `count` floats in at most `parts` parts. */
  static void reserve(int64_t count, int parts) {
    Workspace& own = mine();
    const int64_t size = count + 16 * parts;
    own.used_ = 0;
    if (size <= own.size_) return;
    std::free(own.memory_);
    own.size_ = 0;
    own.memory_ = static_cast<float*>(std::aligned_alloc(64, (4 * size + 63) / 64 * 64));
    if (!own.memory_) throw std::bad_alloc();
    own.size_ = size;
  }

 private:
  static Workspace& mine() {
    static thread_local Workspace workspace;
    return workspace;
  }
  ~Workspace() { std::free(memory_); }

  float* memory_ = nullptr;
  int64_t size_ = 0;
  int64_t used_ = 0;
};

/** `n` rounded up to whole vectors. */
inline int64_t padded(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

}  // namespace gym
