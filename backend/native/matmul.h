// Products of matrices. The right matrix is packed into panels of two vectors' width first, over which a kernel then
// runs that keeps a tile of the result in registers. What is done with the tile is left to the caller, so that a bias,
// an activation or a sum costs no further pass over memory.
#pragma once

#include <type_traits>

#include "simd.h"

namespace gym {

/** The number of columns of a panel. */
constexpr int kPanel = 2 * kLanes;

/** The number of rows of a tile: accumulators for 32 (AVX-512) or 16 vector registers. */
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kTile = 8;
#else
constexpr int kTile = 6;
#endif

/** A matrix in memory: entry (i, j) is at `data[i * row + j * column]`. */
struct Matrix {
  const float* data;
  int64_t row;
  int64_t column;
};

/** The number of floats of a packed matrix of `k` rows and `n` columns. */
inline int64_t packedSize(int64_t k, int64_t n) { return (n + kPanel - 1) / kPanel * kPanel * k; }

/**
 * Packs a matrix of `k` rows and `n` columns: panels one after the other, each with its rows one after the other. Where
 * the matrix is a part of one with more rows, `total` is their number, and `to` the place of its first row.
 */
inline void pack(Matrix b, int64_t k, int64_t n, float* to, int64_t total) {
  for (int64_t j = 0; j < n; j += kPanel, to += total * kPanel) {
    const int64_t width = n - j < kPanel ? n - j : kPanel;
    const float* from = b.data + j * b.column;
    if (b.column == 1 && width == kPanel) {
      for (int64_t i = 0; i < k; i++) std::memcpy(to + i * kPanel, from + i * b.row, 4 * kPanel);
    } else if (b.column == 1) {
      for (int64_t i = 0; i < k; i++) {
        for (int64_t c = 0; c < width; c++) to[i * kPanel + c] = from[i * b.row + c];
        for (int64_t c = width; c < kPanel; c++) to[i * kPanel + c] = 0;
      }
    } else {
      for (int64_t c = 0; c < kPanel; c++)
        for (int64_t i = 0; i < k; i++) to[i * kPanel + c] = c < width ? from[i * b.row + c * b.column] : 0;
    }
  }
}

inline void pack(Matrix b, int64_t k, int64_t n, float* to) { pack(b, k, n, to, k); }

/** The sums of one tile: `Rows` rows of up to one panel. */
template <int Rows, int Vectors>
struct Tile {
  Vector sums[Rows][Vectors];
};

/**
 * Calls `compute` with a tile of as many rows as there are, and of one or two vectors as there are columns.
 * @param write takes the row in the tile, the first column in the panel, the number of columns (at most a vector) and
 *   the vector of their values
 * @returns the number of rows
 */
template <class Compute, class Write>
inline int64_t oneTile(int64_t rows, int64_t columns, const Compute& compute, const Write& write) {
  const auto run = [&](auto r, auto v) -> int64_t {
    constexpr int Rows = decltype(r)::value, Vectors = decltype(v)::value;
    Tile<Rows, Vectors> tile;
    compute(tile);
    for (int i = 0; i < Rows; i++)
      for (int64_t c = 0; c < Vectors * kLanes && c < columns; c += kLanes)
        write(i, c, columns - c < kLanes ? columns - c : kLanes, tile.sums[i][c / kLanes]);
    return Rows;
  };
  const auto of = [&](auto v) {
    if (rows >= kTile) return run(std::integral_constant<int, kTile>(), v);
    return rows >= 4 ? run(std::integral_constant<int, 4>(), v) : run(std::integral_constant<int, 1>(), v);
  };
  return columns > kLanes ? of(std::integral_constant<int, 2>()) : of(std::integral_constant<int, 1>());
}

/** Computes one tile of a product. It is a function of its own, so that the compiler keeps the sums in registers. */
template <int Rows, int Vectors>
__attribute__((noinline)) void multiplyTile(const float* a, int64_t row, int64_t column, const float* panel, int64_t k,
                                            Tile<Rows, Vectors>& tile) {
  Vector sums[Rows][Vectors] = {};
  for (int64_t i = 0; i < k; i++, panel += kPanel, a += column) {
    Vector right[Vectors];
    for (int v = 0; v < Vectors; v++) right[v] = load(panel + v * kLanes);
    for (int r = 0; r < Rows; r++) {
      const Vector left = fill(a[r * row]);
      for (int v = 0; v < Vectors; v++) sums[r][v] += left * right[v];
    }
  }
  std::memcpy(tile.sums, sums, sizeof sums);
}

/**
 * Multiplies a (m × k) by a packed b (k × n).
 * @param write takes the row, the first column, the number of columns (at most a vector) and the vector of their values
 */
template <class Write>
inline void multiply(int64_t m, int64_t n, int64_t k, Matrix a, const float* packed, const Write& write) {
  // A block of rows of `a` is read once for each panel, and stays in the cache while it is.
  const int64_t block = 16 * kTile;
  for (int64_t i0 = 0; i0 < m; i0 += block) {
    const int64_t end = i0 + block < m ? i0 + block : m;
    for (int64_t j = 0; j < n; j += kPanel) {
      const float* panel = packed + j * k;
      const int64_t columns = n - j;
      for (int64_t i = i0; i < end;)
        i += oneTile(
            end - i, columns,
            [&](auto& tile) { multiplyTile(a.data + i * a.row, a.row, a.column, panel, k, tile); },
            [&](int r, int64_t c, int64_t count, Vector x) { write(i + r, j + c, count, x); });
    }
  }
}

}  // namespace gym
