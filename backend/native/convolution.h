// Convolutions of images with filters of moderate size, with bias and residual, and their gradients; see
// backend/fused/convolution.ts. Filters of more than some hundred thousand values are left to oneDNN.
//
// An image is copied into a frame of zeros first, so that no pixel is at a border. In a frame, what one row of the filter
// covers lies side by side, so a convolution is a product of matrices whose left one is read from the frame in place.
#pragma once

#include <vector>

#include "matmul.h"

namespace gym {

/** A convolution of images [batch, height, width, in] to [batch, outHeight, outWidth, out]. */
struct ConvolutionShape {
  int64_t batch, height, width, in;
  int64_t filterHeight, filterWidth, out;
  int64_t outHeight, outWidth, stride;
  /** The number of zeros before the first row and the first column. */
  int64_t top, left;
};

/** Frames of some samples: pixel p of the result is computed from what follows `offsets[p]`. */
class Frames {
 public:
  /**
   * Frames of images [height, width, channels], for results of `outHeight` × `outWidth` pixels `stride` apart, from
   * windows of `windowHeight` × `windowWidth` pixels. Pixels of the image are `spread` apart in the frame.
   */
  Frames(int64_t samples, int64_t height, int64_t width, int64_t channels, int64_t top, int64_t left, int64_t spread,
         int64_t outHeight, int64_t outWidth, int64_t stride, int64_t windowHeight, int64_t windowWidth)
      : height_(height), width_(width), channels_(channels), top_(top), left_(left), spread_(spread) {
    frameHeight_ = (outHeight - 1) * stride + windowHeight;
    frameWidth_ = (outWidth - 1) * stride + windowWidth;
    // Where the window never leaves the image, the images themselves are the frames.
    inPlace_ = spread == 1 && top == 0 && left == 0 && frameHeight_ <= height && frameWidth_ <= width;
    row_ = (inPlace_ ? width : frameWidth_) * channels;
    const int64_t size = inPlace_ ? height * row_ : frameHeight_ * row_;
    sampleSize_ = size;
    offsets_.reserve(samples * outHeight * outWidth);
    for (int64_t s = 0; s < samples; s++)
      for (int64_t y = 0; y < outHeight; y++)
        for (int64_t x = 0; x < outWidth; x++) offsets_.push_back(s * size + y * stride * row_ + x * stride * channels);
  }

  /** The floats of memory that `put` needs for so many samples. */
  int64_t memory(int64_t samples) const { return inPlace_ ? 0 : samples * sampleSize_; }

  /** Takes images into the frames. `memory` has room for them, and all that was put there before was of this object. */
  const float* put(const float* images, int64_t samples, float* memory) const {
    if (inPlace_) return images;
    std::memset(memory, 0, 4 * samples * sampleSize_);
    for (int64_t s = 0; s < samples; s++)
      for (int64_t y = 0; y < height_; y++) {
        const int64_t to = y * spread_ + top_;
        if (to < 0 || to >= frameHeight_) continue;
        const float* from = images + (s * height_ + y) * width_ * channels_;
        float* row = memory + s * sampleSize_ + to * row_;
        if (spread_ == 1) {
          const int64_t first = left_ < 0 ? -left_ : 0;
          const int64_t end = width_ + left_ > frameWidth_ ? frameWidth_ - left_ : width_;
          if (end > first)
            std::memcpy(row + (first + left_) * channels_, from + first * channels_, 4 * (end - first) * channels_);
        } else {
          for (int64_t x = 0; x < width_; x++) {
            const int64_t column = x * spread_ + left_;
            if (column >= 0 && column < frameWidth_)
              std::memcpy(row + column * channels_, from + x * channels_, 4 * channels_);
          }
        }
      }
    return memory;
  }

  const int64_t* offsets() const { return offsets_.data(); }
  /** The floats from one row to the next. */
  int64_t row() const { return row_; }

 private:
  int64_t height_, width_, channels_, top_, left_, spread_;
  int64_t frameHeight_, frameWidth_, row_, sampleSize_;
  bool inPlace_;
  std::vector<int64_t> offsets_;
};

/** The samples that are computed together: so many that a filter, once in the cache, serves some hundred pixels. */
inline int64_t samplesTogether(int64_t batch, int64_t pixels) {
  const int64_t samples = 256 / pixels;
  return samples < 1 ? 1 : samples < batch ? samples : batch;
}

/** Computes one tile of a convolution: pixels whose windows of `lines` rows of `run` values begin at `offsets`. */
template <int Rows, int Vectors>
__attribute__((noinline)) void multiplyWindowTile(const float* frames, const int64_t* offsets, int64_t lines, int64_t row,
                                                  int64_t run, const float* panel, Tile<Rows, Vectors>& tile) {
  Vector sums[Rows][Vectors] = {};
  const float* at[Rows];
  for (int r = 0; r < Rows; r++) at[r] = frames + offsets[r];
  for (int64_t line = 0; line < lines; line++) {
    for (int64_t i = 0; i < run; i++, panel += kPanel) {
      Vector right[Vectors];
      for (int v = 0; v < Vectors; v++) right[v] = load(panel + v * kLanes);
      for (int r = 0; r < Rows; r++) {
        const Vector left = fill(at[r][i]);
        for (int v = 0; v < Vectors; v++) sums[r][v] += left * right[v];
      }
    }
    for (int r = 0; r < Rows; r++) at[r] += row;
  }
  std::memcpy(tile.sums, sums, sizeof sums);
}

/** Multiplies the windows of `pixels` pixels by a packed filter with `out` columns. `write` is that of `multiply`. */
template <class Write>
inline void multiplyWindows(const Frames& shape, const float* frames, int64_t pixels, int64_t lines, int64_t run,
                            int64_t out, const float* packed, const Write& write) {
  for (int64_t j = 0; j < out; j += kPanel) {
    const float* panel = packed + j * lines * run;
    for (int64_t p = 0; p < pixels;)
      p += oneTile(
          pixels - p, out - j,
          [&](auto& tile) { multiplyWindowTile(frames, shape.offsets() + p, lines, shape.row(), run, panel, tile); },
          [&](int r, int64_t c, int64_t count, Vector x) { write(p + r, j + c, count, x); });
  }
}

/** Computes y [batch, outHeight, outWidth, out]. `bias` and `residual` may be null. */
inline void convolution(const ConvolutionShape& s, const float* x, const float* filter, const float* bias,
                        const float* residual, float* y) {
  const int64_t pixels = s.outHeight * s.outWidth, run = s.filterWidth * s.in, taps = s.filterHeight * run;
  const int64_t together = samplesTogether(s.batch, pixels);
  const Frames shape(together, s.height, s.width, s.in, s.top, s.left, 1, s.outHeight, s.outWidth, s.stride,
                     s.filterHeight, s.filterWidth);
  Workspace::reserve(packedSize(taps, s.out) + shape.memory(together), 2);
  float* packed = Workspace::get(packedSize(taps, s.out));
  float* memory = Workspace::get(shape.memory(together));
  pack({filter, s.out, 1}, taps, s.out, packed);
  for (int64_t b = 0; b < s.batch; b += together) {
    const int64_t samples = s.batch - b < together ? s.batch - b : together;
    const float* frames = shape.put(x + b * s.height * s.width * s.in, samples, memory);
    const int64_t first = b * pixels * s.out;
    multiplyWindows(shape, frames, samples * pixels, s.filterHeight, run, s.out, packed,
                    [&](int64_t p, int64_t j, int64_t count, Vector value) {
                      const int64_t at = first + p * s.out + j;
                      if (bias) value += load(bias + j, count);
                      if (residual) value += load(residual + at, count);
                      store(y + at, value, count);
                    });
  }
}

/** The gradient in x: the convolution of dy with the filter turned by 180 degrees, its channels exchanged. */
inline void convolutionInputGradient(const ConvolutionShape& s, const float* dy, const float* filter, float* dx) {
  const int64_t pixels = s.height * s.width, run = s.filterWidth * s.out, taps = s.filterHeight * run;
  const int64_t together = samplesTogether(s.batch, pixels);
  const Frames shape(together, s.outHeight, s.outWidth, s.out, s.filterHeight - 1 - s.top, s.filterWidth - 1 - s.left,
                     s.stride, s.height, s.width, 1, s.filterHeight, s.filterWidth);
  Workspace::reserve(packedSize(taps, s.in) + shape.memory(together), 2);
  float* packed = Workspace::get(packedSize(taps, s.in));
  float* memory = Workspace::get(shape.memory(together));
  const int64_t places = s.filterHeight * s.filterWidth;
  for (int64_t place = 0; place < places; place++)
    pack({filter + (places - 1 - place) * s.in * s.out, 1, s.out}, s.out, s.in, packed + place * s.out * kPanel, taps);
  for (int64_t b = 0; b < s.batch; b += together) {
    const int64_t samples = s.batch - b < together ? s.batch - b : together;
    const float* frames = shape.put(dy + b * s.outHeight * s.outWidth * s.out, samples, memory);
    const int64_t first = b * pixels * s.in;
    multiplyWindows(shape, frames, samples * pixels, s.filterHeight, run, s.in, packed,
                    [&](int64_t p, int64_t j, int64_t count, Vector value) {
                      store(dx + first + p * s.in + j, value, count);
                    });
  }
}

/** Computes one tile of the gradient in the filter: values of windows times a panel of dy, summed over the pixels. */
template <int Rows, int Vectors>
__attribute__((noinline)) void outerProductTile(const float* frames, const int64_t* offsets, int64_t pixels,
                                                const float* panel, Tile<Rows, Vectors>& tile) {
  Vector sums[Rows][Vectors] = {};
  for (int64_t p = 0; p < pixels; p++, panel += kPanel) {
    const float* at = frames + offsets[p];
    Vector right[Vectors];
    for (int v = 0; v < Vectors; v++) right[v] = load(panel + v * kLanes);
    for (int r = 0; r < Rows; r++) {
      const Vector left = fill(at[r]);
      for (int v = 0; v < Vectors; v++) sums[r][v] += left * right[v];
    }
  }
  std::memcpy(tile.sums, sums, sizeof sums);
}

/** The gradients in filter and bias. */
inline void convolutionFilterGradient(const ConvolutionShape& s, const float* dy, const float* x, float* dfilter,
                                      float* dbias) {
  const int64_t pixels = s.outHeight * s.outWidth, run = s.filterWidth * s.in;
  const int64_t together = samplesTogether(s.batch, pixels);
  const Frames shape(together, s.height, s.width, s.in, s.top, s.left, 1, s.outHeight, s.outWidth, s.stride,
                     s.filterHeight, s.filterWidth);
  Workspace::reserve(packedSize(together * pixels, s.out) + shape.memory(together), 2);
  float* packed = Workspace::get(packedSize(together * pixels, s.out));
  float* memory = Workspace::get(shape.memory(together));
  std::memset(dfilter, 0, 4 * s.filterHeight * run * s.out);
  std::memset(dbias, 0, 4 * s.out);
  for (int64_t b = 0; b < s.batch; b += together) {
    const int64_t samples = s.batch - b < together ? s.batch - b : together, count = samples * pixels;
    const float* frames = shape.put(x + b * s.height * s.width * s.in, samples, memory);
    pack({dy + b * pixels * s.out, s.out, 1}, count, s.out, packed);
    for (int64_t j = 0; j < s.out; j += kPanel) {
      const float* panel = packed + j * count;
      const int64_t columns = s.out - j;
      for (int64_t v = 0; v < kPanel && v < columns; v += kLanes) {
        Vector total = load(dbias + j + v, columns - v);
        for (int64_t p = 0; p < count; p++) total += load(panel + p * kPanel + v);
        store(dbias + j + v, total, columns - v);
      }
      for (int64_t line = 0; line < s.filterHeight; line++)
        for (int64_t i = 0; i < run;) {
          const float* from = frames + line * shape.row() + i;
          i += oneTile(
              run - i, columns, [&](auto& tile) { outerProductTile(from, shape.offsets(), count, panel, tile); },
              [&](int r, int64_t c, int64_t width, Vector value) {
                float* to = dfilter + (line * run + i + r) * s.out + j + c;
                store(to, load(to, width) + value, width);
              });
        }
    }
  }
}

}  // namespace gym
