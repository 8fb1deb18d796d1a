// Compares each operation of this folder with plain loops, at sizes around those of vectors, panels and tiles. Run as
// `npm run native:sanitize`, which compiles it with AddressSanitizer and UndefinedBehaviorSanitizer.
#include <cstdio>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "attention.h"
#include "batch-norm.h"
#include "convolution.h"
#include "elementwise.h"
#include "gaussian-step.h"
#include "norms.h"

namespace {

using namespace gym;
typedef std::vector<float> Values;
typedef std::vector<double> Exact;

int checks = 0, failures = 0;
std::mt19937 engine(1);

/** New memory of exactly this size, so that AddressSanitizer sees every access outside of it. */
Values normal(int64_t size, float scale = 1) {
  std::normal_distribution<float> distribution(0, scale);
  Values values(size);
  for (float& x : values) x = distribution(engine);
  return values;
}

Values empty(int64_t size) { return Values(size, std::numeric_limits<float>::quiet_NaN()); }

void expect(const std::string& what, const Values& actual, const Exact& expected, double tolerance = 2e-5) {
  double largest = 1;
  for (double x : expected) largest = std::max(largest, std::fabs(x));
  checks++;
  for (size_t i = 0; i < expected.size(); i++) {
    if (std::fabs(actual[i] - expected[i]) <= tolerance * largest) continue;
    std::printf("%s, entry %zu: %g, not %g\n", what.c_str(), i, actual[i], expected[i]);
    failures++;
    return;
  }
}

/** The gradient of sum(y · dy) in one input by central differences, where `f` computes y in double precision. */
Exact slope(const Exact& at, const Values& dy, const std::function<Exact(const Exact&)>& f) {
  Exact gradient(at.size()), moved = at;
  const double step = 1e-5;
  for (size_t i = 0; i < at.size(); i++) {
    double total = 0;
    for (double sign : {1.0, -1.0}) {
      moved[i] = at[i] + sign * step;
      const Exact y = f(moved);
      for (size_t j = 0; j < y.size(); j++) total += sign * y[j] * dy[j];
    }
    moved[i] = at[i];
    gradient[i] = total / (2 * step);
  }
  return gradient;
}

Exact exact(const Values& values) { return Exact(values.begin(), values.end()); }

double plainActivation(int activation, double x) {
  if (activation == kSilu) return x / (1 + std::exp(-x));
  if (activation == kQuickGelu) return x / (1 + std::exp(-1.702 * x));
  if (activation == kGelu) return x * 0.5 * (1 + std::erf(x / std::sqrt(2.0)));
  return x;
}

void testFunctions() {
  Values x, exponential, error;
  Exact expectedExp, expectedErf;
  for (double value = -90; value <= 90; value += 0.37) {
    float out[kLanes], in = static_cast<float>(value);
    store(out, exp(fill(in)));
    const double expected = std::exp(static_cast<double>(in));
    if (in > -87 && in < 88) {
      exponential.push_back(static_cast<float>(out[0] / expected));
      expectedExp.push_back(1);
    } else {
      exponential.push_back(in < 0 ? out[0] : 1 / out[0]);
      expectedExp.push_back(0);
    }
    store(out, erf(fill(in / 15)));
    error.push_back(out[0]);
    expectedErf.push_back(std::erf(static_cast<double>(in / 15)));
  }
  expect("exp", exponential, expectedExp, 4e-7);
  expect("erf", error, expectedErf, 4e-7);
  for (float odd : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    checks++;
    const bool kept = std::isnan(odd) ? std::isnan(exp(fill(odd))[0]) && std::isnan(erf(fill(odd))[0])
                                      : exp(fill(-odd))[0] < 2e-38f && erf(fill(odd))[0] > 0.999f;
    if (!kept) failures++, std::printf("exp or erf of %g\n", odd);
  }
}

void testLinear(LinearShape s, int activation, bool hasBias, bool hasResidual) {
  const std::string what = "linear " + std::to_string(s.rows) + "x" + std::to_string(s.in) + "x" + std::to_string(s.out) +
                           " activation " + std::to_string(activation);
  const Values x = normal(s.rows * s.in), weight = normal(s.in * s.out, 0.5f), dy = normal(s.rows * s.out);
  const Values bias = normal(s.out), residual = normal(s.rows * s.out);
  const auto argumentOf = [&](const Exact& x, const Exact& weight, const Exact& bias) {
    Exact z(s.rows * s.out);
    for (int64_t i = 0; i < s.rows; i++)
      for (int64_t j = 0; j < s.out; j++) {
        double total = hasBias ? bias[j] : 0;
        for (int64_t k = 0; k < s.in; k++) total += x[i * s.in + k] * weight[k * s.out + j];
        z[i * s.out + j] = total;
      }
    return z;
  };
  const auto value = [&](const Exact& x, const Exact& weight, const Exact& bias) {
    Exact y = argumentOf(x, weight, bias);
    for (size_t i = 0; i < y.size(); i++) y[i] = plainActivation(activation, y[i]) + (hasResidual ? residual[i] : 0);
    return y;
  };
  Values y = empty(dy.size()), argument = empty(activation ? dy.size() : 0);
  Values dx = empty(x.size()), dweight = empty(weight.size()), dbias = empty(hasBias ? s.out : 0);
  const auto run = [&](auto a) {
    constexpr int A = decltype(a)::value;
    linear<A>(s, x.data(), weight.data(), hasBias ? bias.data() : nullptr, hasResidual ? residual.data() : nullptr,
              y.data(), argument.data());
    linearGradient<A>(s, dy.data(), x.data(), weight.data(), argument.data(), dx.data(), dweight.data(),
                      hasBias ? dbias.data() : nullptr);
  };
  if (activation == kNone) run(std::integral_constant<int, kNone>());
  if (activation == kSilu) run(std::integral_constant<int, kSilu>());
  if (activation == kGelu) run(std::integral_constant<int, kGelu>());
  if (activation == kQuickGelu) run(std::integral_constant<int, kQuickGelu>());
  const Exact ex = exact(x), ew = exact(weight), eb = exact(bias);
  expect(what, y, value(ex, ew, eb));
  if (activation) expect(what + ", argument", argument, argumentOf(ex, ew, eb));
  if (s.rows * s.in * s.out > 3000) return;
  expect(what + ", dx", dx, slope(ex, dy, [&](const Exact& t) { return value(t, ew, eb); }));
  expect(what + ", dweight", dweight, slope(ew, dy, [&](const Exact& t) { return value(ex, t, eb); }));
  if (hasBias) expect(what + ", dbias", dbias, slope(eb, dy, [&](const Exact& t) { return value(ex, ew, t); }));
}

/** The gradients of a layer with more rows than a block, against plain loops. */
void testLongLinear(LinearShape s) {
  const Values x = normal(s.rows * s.in), weight = normal(s.in * s.out), dy = normal(s.rows * s.out);
  Values dx = empty(x.size()), dweight = empty(weight.size()), dbias = empty(s.out);
  linearGradient<kNone>(s, dy.data(), x.data(), weight.data(), nullptr, dx.data(), dweight.data(), dbias.data());
  Exact edx(x.size()), edweight(weight.size()), edbias(s.out);
  for (int64_t i = 0; i < s.rows; i++)
    for (int64_t j = 0; j < s.out; j++) {
      const double g = dy[i * s.out + j];
      edbias[j] += g;
      for (int64_t k = 0; k < s.in; k++) {
        edx[i * s.in + k] += g * weight[k * s.out + j];
        edweight[k * s.out + j] += g * x[i * s.in + k];
      }
    }
  expect("long linear, dx", dx, edx);
  expect("long linear, dweight", dweight, edweight);
  expect("long linear, dbias", dbias, edbias);
}

void testGroupNorm(GroupNormShape s, bool silu, bool hasAdded, bool modulated, float mean) {
  const std::string what = "group norm of " + std::to_string(s.channels) + " channels in " + std::to_string(s.groups);
  const int64_t size = s.batch * s.pixels * s.channels, rows = s.batch * s.channels, length = s.channels / s.groups;
  Values x = normal(size), gamma = normal(s.channels), beta = normal(s.channels), dy = normal(size);
  const Values added = normal(rows), scale = normal(rows), shift = normal(rows);
  for (float& value : x) value += mean;
  const auto value = [&](const Exact& x, const Exact& gamma, const Exact& beta, const Exact& added, const Exact& scale,
                         const Exact& shift) {
    Exact y(size);
    for (int64_t b = 0; b < s.batch; b++)
      for (int64_t g = 0; g < s.groups; g++) {
        const auto each = [&](const std::function<void(int64_t, int64_t, double)>& f) {
          for (int64_t p = 0; p < s.pixels; p++)
            for (int64_t c = g * length; c < (g + 1) * length; c++) {
              const int64_t at = (b * s.pixels + p) * s.channels + c, row = b * s.channels + c;
              f(at, row, x[at] + (hasAdded ? added[row] : 0));
            }
        };
        double total = 0, squares = 0;
        const double count = static_cast<double>(s.pixels * length);
        each([&](int64_t, int64_t, double v) { total += v; });
        each([&](int64_t, int64_t, double v) { squares += (v - total / count) * (v - total / count); });
        each([&](int64_t at, int64_t row, double v) {
          const int64_t c = row % s.channels;
          double z = (v - total / count) / std::sqrt(squares / count + 1e-5) * gamma[c] + beta[c];
          if (modulated) z = z * (1 + scale[row]) + shift[row];
          y[at] = plainActivation(silu ? kSilu : kNone, z);
        });
      }
    return y;
  };
  const GroupNormInputs in = {x.data(),
                              gamma.data(),
                              beta.data(),
                              hasAdded ? added.data() : nullptr,
                              modulated ? scale.data() : nullptr,
                              modulated ? shift.data() : nullptr};
  Values y = empty(size), means = empty(s.batch * s.groups), rstds = empty(s.batch * s.groups);
  Values dx = empty(size), dgamma = empty(s.channels), dbeta = empty(s.channels);
  Values dadded = empty(rows), dscale = empty(rows), dshift = empty(rows);
  const GroupNormGradients out = {dx.data(),
                                  dgamma.data(),
                                  dbeta.data(),
                                  hasAdded ? dadded.data() : nullptr,
                                  modulated ? dscale.data() : nullptr,
                                  modulated ? dshift.data() : nullptr};
  (silu ? groupNorm<true> : groupNorm<false>)(s, in, 1e-5f, y.data(), means.data(), rstds.data());
  (silu ? groupNormGradient<true> : groupNormGradient<false>)(s, in, dy.data(), means.data(), rstds.data(), out);
  const Exact e[] = {exact(x), exact(gamma), exact(beta), exact(added), exact(scale), exact(shift)};
  const auto with = [&](int i) {
    return [&, i](const Exact& t) {
      Exact all[] = {e[0], e[1], e[2], e[3], e[4], e[5]};
      all[i] = t;
      return value(all[0], all[1], all[2], all[3], all[4], all[5]);
    };
  };
  const double tolerance = mean == 0 ? 3e-5 : 3e-4;
  expect(what, y, with(0)(e[0]), tolerance);
  if (size > 800) return;
  expect(what + ", dx", dx, slope(e[0], dy, with(0)), tolerance);
  expect(what + ", dgamma", dgamma, slope(e[1], dy, with(1)), tolerance);
  expect(what + ", dbeta", dbeta, slope(e[2], dy, with(2)), tolerance);
  if (hasAdded) expect(what + ", dadded", dadded, slope(e[3], dy, with(3)), tolerance);
  if (!modulated) return;
  expect(what + ", dscale", dscale, slope(e[4], dy, with(4)), tolerance);
  expect(what + ", dshift", dshift, slope(e[5], dy, with(5)), tolerance);
}

void testLayerNorm(int64_t rows, int64_t channels) {
  const std::string what = "layer norm of " + std::to_string(rows) + "x" + std::to_string(channels);
  const Values x = normal(rows * channels), gamma = normal(channels), beta = normal(channels), dy = normal(x.size());
  const auto value = [&](const Exact& x, const Exact& gamma, const Exact& beta) {
    Exact y(x.size());
    for (int64_t i = 0; i < rows; i++) {
      double total = 0, squares = 0;
      for (int64_t c = 0; c < channels; c++) total += x[i * channels + c] / channels;
      for (int64_t c = 0; c < channels; c++) squares += std::pow(x[i * channels + c] - total, 2) / channels;
      for (int64_t c = 0; c < channels; c++)
        y[i * channels + c] = (x[i * channels + c] - total) / std::sqrt(squares + 1e-3) * gamma[c] + beta[c];
    }
    return y;
  };
  Values y = empty(x.size()), mean = empty(rows), rstd = empty(rows);
  Values dx = empty(x.size()), dgamma = empty(channels), dbeta = empty(channels);
  layerNorm(rows, channels, x.data(), gamma.data(), beta.data(), 1e-3f, y.data(), mean.data(), rstd.data());
  layerNormGradient(rows, channels, dy.data(), x.data(), gamma.data(), mean.data(), rstd.data(), dx.data(),
                    dgamma.data(), dbeta.data());
  const Exact ex = exact(x), eg = exact(gamma), eb = exact(beta);
  expect(what, y, value(ex, eg, eb));
  expect(what + ", dx", dx, slope(ex, dy, [&](const Exact& t) { return value(t, eg, eb); }), 5e-5);
  expect(what + ", dgamma", dgamma, slope(eg, dy, [&](const Exact& t) { return value(ex, t, eb); }));
  expect(what + ", dbeta", dbeta, slope(eb, dy, [&](const Exact& t) { return value(ex, eg, t); }));
}

void testAttention(AttentionShape s, bool masked) {
  const std::string what = "attention " + std::to_string(s.n) + " to " + std::to_string(s.m) + ", width " +
                           std::to_string(s.channels / s.heads);
  const Values q = normal(s.batch * s.n * s.channels), k = normal(s.batch * s.m * s.channels), v = normal(k.size());
  const Values dy = normal(q.size());
  Values mask = normal(s.n * s.m);
  for (int64_t i = 0; i < s.n; i++)
    for (int64_t j = i + 1; j < s.m; j++) mask[i * s.m + j] = -1e9f;
  const int64_t C = s.channels, width = C / s.heads;
  const auto value = [&](const Exact& q, const Exact& k, const Exact& v) {
    Exact y(q.size());
    for (int64_t b = 0; b < s.batch; b++)
      for (int64_t h = 0; h < s.heads; h++)
        for (int64_t i = 0; i < s.n; i++) {
          const int64_t at = (b * s.n + i) * C + h * width;
          Exact scores(s.m);
          double most = -1e300, total = 0;
          for (int64_t j = 0; j < s.m; j++) {
            for (int64_t c = 0; c < width; c++)
              scores[j] += q[at + c] * k[(b * s.m + j) * C + h * width + c] / std::sqrt(static_cast<double>(width));
            if (masked) scores[j] += mask[i * s.m + j];
            most = std::max(most, scores[j]);
          }
          for (double& score : scores) total += score = std::exp(score - most);
          for (int64_t j = 0; j < s.m; j++)
            for (int64_t c = 0; c < width; c++) y[at + c] += scores[j] / total * v[(b * s.m + j) * C + h * width + c];
        }
    return y;
  };
  Values y = empty(q.size()), logSum = empty(s.batch * s.n * s.heads);
  Values dq = empty(q.size()), dk = empty(k.size()), dv = empty(v.size());
  const float* maskData = masked ? mask.data() : nullptr;
  attention(s, q.data(), k.data(), v.data(), maskData, y.data(), logSum.data());
  attentionGradient(s, dy.data(), q.data(), k.data(), v.data(), y.data(), logSum.data(), maskData, dq.data(), dk.data(),
                    dv.data());
  const Exact eq = exact(q), ek = exact(k), ev = exact(v);
  expect(what, y, value(eq, ek, ev));
  if (q.size() * k.size() > 30000) return;
  expect(what + ", dq", dq, slope(eq, dy, [&](const Exact& t) { return value(t, ek, ev); }), 5e-5);
  expect(what + ", dk", dk, slope(ek, dy, [&](const Exact& t) { return value(eq, t, ev); }), 5e-5);
  expect(what + ", dv", dv, slope(ev, dy, [&](const Exact& t) { return value(eq, ek, t); }), 5e-5);
}

void testConvolution(int64_t batch, int64_t height, int64_t width, int64_t in, int64_t out, int64_t filterHeight,
                     int64_t filterWidth, int64_t stride, bool same, bool hasBias, bool hasResidual) {
  const auto outSize = [&](int64_t size, int64_t filter) {
    return same ? (size + stride - 1) / stride : (size - filter) / stride + 1;
  };
  ConvolutionShape s = {batch, height, width, in, filterHeight, filterWidth, out, outSize(height, filterHeight),
                        outSize(width, filterWidth), stride, 0, 0};
  const auto before = [&](int64_t count, int64_t filter, int64_t size) {
    return same ? std::max<int64_t>(0, (count - 1) * stride + filter - size) / 2 : 0;
  };
  s.top = before(s.outHeight, filterHeight, height);
  s.left = before(s.outWidth, filterWidth, width);
  const int64_t pixels = s.outHeight * s.outWidth;
  const std::string what = "convolution of " + std::to_string(batch) + "x" + std::to_string(height) + "x" +
                           std::to_string(width) + "x" + std::to_string(in) + " to " + std::to_string(out) + ", filter " +
                           std::to_string(filterHeight) + "x" + std::to_string(filterWidth) + ", stride " +
                           std::to_string(stride);
  const Values x = normal(batch * height * width * in), filter = normal(filterHeight * filterWidth * in * out);
  const Values bias = normal(out), residual = normal(batch * pixels * out), dy = normal(residual.size());
  Exact y(dy.size()), dx(x.size()), dfilter(filter.size()), dbias(out);
  for (int64_t b = 0; b < batch; b++)
    for (int64_t p = 0; p < pixels; p++)
      for (int64_t o = 0; o < out; o++) {
        const int64_t at = (b * pixels + p) * out + o;
        y[at] = (hasBias ? bias[o] : 0) + (hasResidual ? residual[at] : 0);
        dbias[o] += dy[at];
        for (int64_t fy = 0; fy < filterHeight; fy++)
          for (int64_t fx = 0; fx < filterWidth; fx++) {
            const int64_t row = p / s.outWidth * stride + fy - s.top, column = p % s.outWidth * stride + fx - s.left;
            if (row < 0 || row >= height || column < 0 || column >= width) continue;
            for (int64_t c = 0; c < in; c++) {
              const int64_t from = ((b * height + row) * width + column) * in + c;
              const int64_t weight = ((fy * filterWidth + fx) * in + c) * out + o;
              y[at] += static_cast<double>(x[from]) * filter[weight];
              dx[from] += static_cast<double>(dy[at]) * filter[weight];
              dfilter[weight] += static_cast<double>(dy[at]) * x[from];
            }
          }
      }
  Values actual = empty(y.size()), adx = empty(dx.size()), adfilter = empty(dfilter.size()), adbias = empty(out);
  convolution(s, x.data(), filter.data(), hasBias ? bias.data() : nullptr, hasResidual ? residual.data() : nullptr,
              actual.data());
  convolutionInputGradient(s, dy.data(), filter.data(), adx.data());
  convolutionFilterGradient(s, dy.data(), x.data(), adfilter.data(), adbias.data());
  expect(what, actual, y);
  expect(what + ", dx", adx, dx);
  expect(what + ", dfilter", adfilter, dfilter);
  expect(what + ", dbias", adbias, dbias);
}

void testGatedGelu(int64_t rows, int64_t inner) {
  const Values x = normal(rows * 2 * inner), dy = normal(rows * inner);
  const auto value = [&](const Exact& x) {
    Exact y(rows * inner);
    for (int64_t i = 0; i < rows * inner; i++) {
      const int64_t at = i / inner * 2 * inner + i % inner;
      y[i] = x[at] * plainActivation(kGelu, x[at + inner]);
    }
    return y;
  };
  Values y = empty(dy.size()), dx = empty(x.size());
  gatedGelu(rows, inner, x.data(), y.data());
  gatedGeluGradient(rows, inner, dy.data(), x.data(), dx.data());
  expect("gated GELU", y, value(exact(x)));
  expect("gated GELU, dx", dx, slope(exact(x), dy, value));
}

void testUpsample(int64_t batch, int64_t height, int64_t width, int64_t channels) {
  const int64_t size = batch * height * width * channels;
  const Values x = normal(size), dy = normal(4 * size);
  Exact y(4 * size), dx(size);
  for (int64_t i = 0; i < 4 * size; i++) {
    const int64_t c = i % channels, column = i / channels % (2 * width), row = i / channels / (2 * width);
    const int64_t from = (row / 2 * width + column / 2) * channels + c;
    y[i] = x[from];
    dx[from] += dy[i];
  }
  Values actual = empty(4 * size), gradient = empty(size);
  upsample(batch, height, width, channels, x.data(), actual.data());
  upsampleGradient(batch, height, width, channels, dy.data(), gradient.data());
  expect("upsample", actual, y, 0);
  expect("upsample, dx", gradient, dx, 1e-6);
}

void testBatchNorm(int64_t rows, int64_t channels, bool relu) {
  const float epsilon = 0.1f;
  const Values x = normal(rows * channels), gamma = normal(channels), beta = normal(channels), dy = normal(x.size());
  Exact mean(channels), variance(channels);
  const auto value = [&](const Exact& x, const Exact& gamma, const Exact& beta) {
    Exact y(x.size());
    for (int64_t c = 0; c < channels; c++) {
      double m = 0, v = 0;
      for (int64_t row = 0; row < rows; row++) m += x[row * channels + c] / static_cast<double>(rows);
      for (int64_t row = 0; row < rows; row++) v += std::pow(x[row * channels + c] - m, 2) / static_cast<double>(rows);
      mean[c] = m, variance[c] = v;
      for (int64_t i = c; i < rows * channels; i += channels)
        y[i] = (x[i] - m) / std::sqrt(v + epsilon) * gamma[c] + beta[c];
      for (int64_t i = c; relu && i < rows * channels; i += channels) y[i] = std::fmax(0, y[i]);
    }
    return y;
  };
  Values y = empty(x.size()), m = empty(channels), v = empty(channels);
  Values dx = empty(x.size()), dgamma = empty(channels), dbeta = empty(channels);
  batchNorm(rows, channels, epsilon, relu, x.data(), gamma.data(), beta.data(), y.data(), m.data(), v.data());
  batchNormGradient(rows, channels, epsilon, relu, dy.data(), x.data(), gamma.data(), beta.data(), m.data(), v.data(),
                    dx.data(), dgamma.data(), dbeta.data());
  expect("batch norm", y, value(exact(x), exact(gamma), exact(beta)));
  expect("batch norm, mean", m, mean);
  expect("batch norm, variance", v, variance);
  const Exact ex = exact(x), eg = exact(gamma), eb = exact(beta);
  expect("batch norm, dx", dx, slope(ex, dy, [&](const Exact& x) { return value(x, eg, eb); }));
  expect("batch norm, dgamma", dgamma, slope(eg, dy, [&](const Exact& g) { return value(ex, g, eb); }));
  expect("batch norm, dbeta", dbeta, slope(eb, dy, [&](const Exact& b) { return value(ex, eg, b); }));
}

void testGaussianStep(int64_t batch, int64_t size) {
  const float range = 0.8f;
  Values x = normal(batch * size), out = normal(batch * size), dy = normal(batch * size), numbers = normal(7 * batch);
  for (int64_t row = 0; row < batch; row += 2) numbers[7 * row + 3] = 0;
  const auto clippedAt = [&](const Exact& x, const Exact& out, int64_t i) {
    const float* n = &numbers[7 * (i / size)];
    return n[4] * (n[5] * x[i] + n[6] * out[i]);
  };
  // Away from the edges of the range, where a difference has no side.
  for (int64_t i = 0; i < batch * size; i++)
    while (std::fabs(std::fabs(clippedAt(exact(x), exact(out), i)) - range) < 1e-3) x[i] += 0.1f;
  const auto mean = [&](const Exact& x, const Exact& out) {
    Exact y(batch * size);
    for (int64_t i = 0; i < batch * size; i++) {
      const float* n = &numbers[7 * (i / size)];
      const double clipped = std::fmax(-range, std::fmin(range, clippedAt(x, out, i)));
      y[i] = n[0] * (n[1] * x[i] + n[2] * out[i]) + n[3] * clipped;
    }
    return y;
  };
  Values y = empty(batch * size), dx = empty(batch * size), dout = empty(batch * size);
  stepMean(batch, size, range, x.data(), out.data(), numbers.data(), y.data());
  stepMeanGradient(batch, size, range, dy.data(), x.data(), out.data(), numbers.data(), dx.data(), dout.data());
  expect("mean of a step", y, mean(exact(x), exact(out)));
  expect("mean of a step, dx", dx, slope(exact(x), dy, [&](const Exact& x) { return mean(x, exact(out)); }));
  expect("mean of a step, dout", dout, slope(exact(out), dy, [&](const Exact& out) { return mean(exact(x), out); }));

  const auto distance = [&](const Exact& mean) {
    Exact y(batch);
    for (int64_t row = 0; row < batch; row++) {
      double total = 0;
      for (int64_t i = row * size; i < (row + 1) * size; i++) total += (x[i] - mean[i]) * (x[i] - mean[i]);
      y[row] = numbers[2 * row] * total / static_cast<double>(size) + numbers[2 * row + 1];
    }
    return y;
  };
  const Values dscore = normal(batch);
  Values score = empty(batch), dmean = empty(batch * size);
  scaledDistance(batch, size, x.data(), out.data(), numbers.data(), score.data());
  scaledDistanceGradient(batch, size, dscore.data(), x.data(), out.data(), numbers.data(), dmean.data());
  expect("scaled distance", score, distance(exact(out)), 1e-6);
  expect("scaled distance, dmean", dmean, slope(exact(out), dscore, distance));
}

void testAdamW(int64_t count) {
  const AdamWStep s = {0.9f, 0.1f, 0.99f, 0.01f, 1.7f, 1e-4f, 0.01f, 0.999f, 0.5f};
  const Values g = normal(count), m = normal(count), w = normal(count);
  Values v = normal(count);
  for (float& x : v) x *= x;
  Values nextM = empty(count), nextV = empty(count), next = empty(count);
  adamW(count, s, g.data(), m.data(), v.data(), w.data(), nextM.data(), nextV.data(), next.data());
  Exact em(count), ev(count), ew(count);
  for (int64_t i = 0; i < count; i++) {
    em[i] = 0.9 * m[i] + 0.1 * 0.5 * g[i];
    ev[i] = 0.99 * v[i] + 0.01 * 0.25 * g[i] * g[i];
    ew[i] = 0.999 * w[i] - 0.01 * em[i] / (std::sqrt(ev[i]) * 1.7 + 1e-4);
  }
  expect("AdamW, m", nextM, em, 1e-6);
  expect("AdamW, v", nextV, ev, 1e-6);
  expect("AdamW, weights", next, ew, 1e-6);
}

}  // namespace

int main() {
  testFunctions();
  const int64_t sizes[] = {1, 3, kLanes - 1, kLanes, kLanes + 1, kPanel, kPanel + 3};
  for (int64_t rows : {1, 5, 8, 13})
    for (int64_t in : sizes)
      for (int64_t out : sizes)
        testLinear({rows, in, out}, static_cast<int>((rows + in + out) % 4), in % 2 == 0, out % 2 == 0);
  for (int activation : {kNone, kSilu, kGelu, kQuickGelu}) testLinear({6, 5, 7}, activation, true, true);
  testLinear({16 * kTile + 3, 40, 70}, kSilu, true, true);
  testLongLinear({2 * kGradientBlock + 3, 21, 35});

  for (int bits = 0; bits < 8; bits++) {
    const bool silu = bits & 1, added = bits & 2, modulated = bits & 4;
    testGroupNorm({2, 6, 12, 3}, silu, added, modulated, 0);
    testGroupNorm({1, 5, kLanes + 4, 2}, silu, added, modulated, 0);
    testGroupNorm({3, 1, 8, 1}, silu, added, modulated, 0);
  }
  testGroupNorm({2, 9, 2 * kLanes, kLanes}, true, true, true, 0);
  testGroupNorm({2, 64, 48, 8}, false, false, false, 100);

  for (int64_t channels : sizes) testLayerNorm(3, channels + 1);

  for (bool masked : {false, true}) {
    testAttention({2, 5, 5, 6, 2}, masked);
    testAttention({1, 3, kLanes + 1, 4, 1}, masked);
    testAttention({2, kQueries + 3, 4, 2, 1}, masked);
    testAttention({1, 1, 1, 3, 3}, masked);
    testAttention({2, 2 * kQueries, 70, 40, 2}, masked);
  }

  for (int64_t stride : {1, 2})
    for (bool same : {false, true}) {
      for (int64_t filter : {1, 2, 3, 5}) testConvolution(2, 7, 6, 3, 5, filter, filter, stride, same, true, false);
      testConvolution(3, 9, 8, 4, kLanes + 1, 3, 1, stride, same, false, true);
      testConvolution(1, 5, 6, 2, kPanel, 2, 4, stride, same, true, true);
    }
  testConvolution(70, 4, 4, 5, 3, 3, 3, 1, true, true, true);
  testConvolution(2, 18, 17, 3, kPanel + 3, 3, 3, 1, true, true, false);
  testConvolution(2, 4, 4, 2, 2, 1, 1, 3, true, true, true);

  for (int64_t inner : sizes) testGatedGelu(3, inner), testUpsample(2, 3, 2, inner), testAdamW(3 * inner);
  for (bool relu : {false, true}) {
    for (int64_t channels : sizes) testBatchNorm(5, channels, relu);
    testBatchNorm(2 * kNormRows + 3, 3, relu);
  }
  for (int64_t size : sizes) testGaussianStep(3, size);
  testGaussianStep(1, kDistanceBlock + kLanes + 1);

  std::printf("%d checks of the native operations, %d failed\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
