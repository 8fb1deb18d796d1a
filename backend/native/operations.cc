// TensorFlow operations of the functions in this folder, through TensorFlow's C interface.
//
// Each operation has one list of inputs and one of outputs, all float32, and its numbers as the attributes `ints` and
// `floats`; backend/native-kernels.ts knows their order. An operation checks the shapes of its inputs, and fails with a
// message, which arrives in JavaScript as an error.
#include <node_api.h>

#include <mutex>
#include <string>
#include <vector>

#include "attention.h"
#include "batch-norm.h"
#include "convolution.h"
#include "elementwise.h"
#include "gaussian-step.h"
#include "pages.h"
#include "norms.h"
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"
#include "tensorflow/c/tf_status.h"
#include "tensorflow/c/tf_tensor.h"

namespace gym {
namespace {

typedef std::vector<int64_t> Shape;

/** What an operation throws where its inputs do not fit. */
struct Misfit {
  std::string message;
};

std::string text(const Shape& shape) {
  std::string all = "[";
  for (size_t i = 0; i < shape.size(); i++) all += (i ? "," : "") + std::to_string(shape[i]);
  return all + "]";
}

int64_t sizeOf(const Shape& shape) {
  int64_t size = 1;
  for (int64_t n : shape) size *= n;
  return size;
}

/** The attributes with which a kernel was made; TensorFlow keeps a kernel for each set of them. */
struct Attributes {
  std::vector<int32_t> ints;
  std::vector<float> floats;
};

/** One call of an operation: its inputs and outputs. */
class Call {
 public:
  Call(TF_OpKernelContext* context, const Attributes& attributes)
      : context_(context), status_(TF_NewStatus()), attributes_(attributes) {
    const int count = TF_NumInputs(context);
    inputs_.reserve(count);
    for (int i = 0; i < count; i++) {
      TF_Tensor* tensor = nullptr;
      TF_GetInput(context, i, &tensor, status_);
      check();
      tensors_.push_back(tensor);
      Shape shape(TF_NumDims(tensor));
      for (size_t axis = 0; axis < shape.size(); axis++) shape[axis] = TF_Dim(tensor, static_cast<int>(axis));
      inputs_.push_back(shape);
    }
  }

  ~Call() {
    for (TF_Tensor* tensor : tensors_) TF_DeleteTensor(tensor);
    TF_DeleteStatus(status_);
  }

  Call(const Call&) = delete;

  int count() const { return static_cast<int>(inputs_.size()); }
  int outputs() const { return TF_NumOutputs(context_); }

  int integer(size_t i) const {
    if (i >= attributes_.ints.size()) throw Misfit{"too few integers"};
    return attributes_.ints[i];
  }

  float number(size_t i) const {
    if (i >= attributes_.floats.size()) throw Misfit{"too few numbers"};
    return attributes_.floats[i];
  }

  const Shape& shape(int i) const {
    if (i >= count()) throw Misfit{"too few inputs"};
    return inputs_[i];
  }

  /** An input of any shape. */
  const float* input(int i) const {
    shape(i);
    return static_cast<const float*>(TF_TensorData(tensors_[i]));
  }

  /** An input that must have so many values. */
  const float* input(int i, int64_t size) const {
    if (sizeOf(shape(i)) != size)
      throw Misfit{"input " + std::to_string(i) + " has shape " + text(shape(i)) + ", which are not " +
                   std::to_string(size) + " values"};
    return input(i);
  }

  float* output(int i, const Shape& shape) {
    if (i >= outputs()) throw Misfit{"too few outputs"};
    TF_Tensor* tensor = TF_AllocateOutput(context_, i, TF_FLOAT, shape.data(), static_cast<int>(shape.size()),
                                          4 * sizeOf(shape), status_);
    check();
    tensors_.push_back(tensor);
    return static_cast<float*>(TF_TensorData(tensor));
  }

  /** Demands a number of inputs and one of outputs. */
  void expect(int inputs, int outputs) const {
    if (count() != inputs || this->outputs() != outputs)
      throw Misfit{"it has " + std::to_string(count()) + " inputs and " + std::to_string(this->outputs()) +
                   " outputs, not " + std::to_string(inputs) + " and " + std::to_string(outputs)};
  }

  void fail(const std::string& message) {
    TF_SetStatus(status_, TF_INVALID_ARGUMENT, message.c_str());
    TF_OpKernelContext_Failure(context_, status_);
  }

 private:
  void check() {
    if (TF_GetCode(status_) != TF_OK) throw Misfit{TF_Message(status_)};
  }

  TF_OpKernelContext* context_;
  TF_Status* status_;
  const Attributes& attributes_;
  std::vector<TF_Tensor*> tensors_;
  std::vector<Shape> inputs_;
};

/** All axes but the last, as a number of rows; the last as the number of channels. */
struct Rows {
  int64_t rows, channels;
  explicit Rows(const Shape& shape) {
    if (shape.empty() || sizeOf(shape) == 0) throw Misfit{"an input has shape " + text(shape) + ", which has no rows"};
    channels = shape.back();
    rows = sizeOf(shape) / channels;
  }
};

Shape withChannels(Shape shape, int64_t channels) {
  shape.back() = channels;
  return shape;
}

/** [batch, height, width, channels] of an image. */
const Shape& image(const Call& call, int i) {
  const Shape& shape = call.shape(i);
  if (shape.size() != 4 || sizeOf(shape) == 0)
    throw Misfit{"input " + std::to_string(i) + " has shape " + text(shape) + ", which is no image"};
  return shape;
}

// Inputs of group norms: x, gamma, beta, then added, scale, shift as far as the flags say that they are there. Ints:
// groups, whether SiLU, whether added, whether scale and shift. Floats: epsilon.
struct GroupNormCall {
  GroupNormShape shape;
  GroupNormInputs inputs;
  Shape rowShape;
  bool silu, added, modulated;
  int next;

  explicit GroupNormCall(const Call& call) {
    const Shape& x = image(call, 0);
    shape = {x[0], x[1] * x[2], x[3], call.integer(0)};
    silu = call.integer(1) != 0;
    added = call.integer(2) != 0;
    modulated = call.integer(3) != 0;
    if (shape.groups < 1 || shape.channels % shape.groups != 0)
      throw Misfit{std::to_string(shape.channels) + " channels cannot be split into " + std::to_string(shape.groups) +
                   " groups"};
    const int64_t C = shape.channels, rows = shape.batch * C;
    rowShape = {shape.batch, C};
    inputs = {call.input(0), call.input(1, C), call.input(2, C), nullptr, nullptr, nullptr};
    next = 3;
    if (added) inputs.added = call.input(next++, rows);
    if (modulated) {
      inputs.scale = call.input(next++, rows);
      inputs.shift = call.input(next++, rows);
    }
  }
};

void runGroupNorm(Call& call) {
  const GroupNormCall c(call);
  call.expect(c.next, 3);
  const Shape groups = {c.shape.batch, c.shape.groups};
  float *y = call.output(0, call.shape(0)), *mean = call.output(1, groups), *rstd = call.output(2, groups);
  (c.silu ? groupNorm<true> : groupNorm<false>)(c.shape, c.inputs, call.number(0), y, mean, rstd);
}

// Inputs: those of the norm, then dy, mean, rstd.
void runGroupNormGrad(Call& call) {
  const GroupNormCall c(call);
  call.expect(c.next + 3, 3 + c.added + 2 * c.modulated);
  const int64_t groups = c.shape.batch * c.shape.groups;
  const float* dy = call.input(c.next, sizeOf(call.shape(0)));
  const float* mean = call.input(c.next + 1, groups);
  const float* rstd = call.input(c.next + 2, groups);
  int next = 0;
  GroupNormGradients out = {};
  out.dx = call.output(next++, call.shape(0));
  out.dgamma = call.output(next++, {c.shape.channels});
  out.dbeta = call.output(next++, {c.shape.channels});
  if (c.added) out.dadded = call.output(next++, c.rowShape);
  if (c.modulated) {
    out.dscale = call.output(next++, c.rowShape);
    out.dshift = call.output(next++, c.rowShape);
  }
  (c.silu ? groupNormGradient<true> : groupNormGradient<false>)(c.shape, c.inputs, dy, mean, rstd, out);
}

// Inputs: x, gamma, beta. Floats: epsilon.
void runLayerNorm(Call& call) {
  call.expect(3, 3);
  const Rows x(call.shape(0));
  const float *gamma = call.input(1, x.channels), *beta = call.input(2, x.channels);
  float *y = call.output(0, call.shape(0)), *mean = call.output(1, {x.rows}), *rstd = call.output(2, {x.rows});
  layerNorm(x.rows, x.channels, call.input(0), gamma, beta, call.number(0), y, mean, rstd);
}

// Inputs: dy, x, gamma, mean, rstd.
void runLayerNormGrad(Call& call) {
  call.expect(5, 3);
  const Rows x(call.shape(1));
  const float* dy = call.input(0, x.rows * x.channels);
  const float *gamma = call.input(2, x.channels), *mean = call.input(3, x.rows), *rstd = call.input(4, x.rows);
  float* dx = call.output(0, call.shape(1));
  float *dgamma = call.output(1, {x.channels}), *dbeta = call.output(2, {x.channels});
  layerNormGradient(x.rows, x.channels, dy, call.input(1), gamma, mean, rstd, dx, dgamma, dbeta);
}

AttentionShape attentionShape(const Call& call, int q, int k, int v) {
  const int batch = call.integer(0), heads = call.integer(1);
  const Rows rows(call.shape(q)), context(call.shape(k));
  if (batch < 1 || heads < 1 || rows.channels % heads != 0 || rows.rows % batch != 0 || context.rows % batch != 0 ||
      context.channels != rows.channels)
    throw Misfit{"queries " + text(call.shape(q)) + " and keys " + text(call.shape(k)) + " do not fit batch " +
                 std::to_string(batch) + " and " + std::to_string(heads) + " heads"};
  call.input(v, context.rows * context.channels);
  return {batch, rows.rows / batch, context.rows / batch, rows.channels, heads};
}

// Inputs: q, k, v, and possibly mask. Ints: batch, heads.
void runAttention(Call& call) {
  const AttentionShape s = attentionShape(call, 0, 1, 2);
  call.expect(call.count() == 4 ? 4 : 3, 2);
  const float* mask = call.count() == 4 ? call.input(3, s.n * s.m) : nullptr;
  float *y = call.output(0, call.shape(0)), *logSum = call.output(1, {s.batch * s.n, s.heads});
  attention(s, call.input(0), call.input(1), call.input(2), mask, y, logSum);
}

// Inputs: dy, q, k, v, y, logSum, and possibly mask. Ints: batch, heads.
void runAttentionGrad(Call& call) {
  const AttentionShape s = attentionShape(call, 1, 2, 3);
  call.expect(call.count() == 7 ? 7 : 6, 3);
  const int64_t size = s.batch * s.n * s.channels;
  const float *dy = call.input(0, size), *y = call.input(4, size), *logSum = call.input(5, s.batch * s.n * s.heads);
  const float* mask = call.count() == 7 ? call.input(6, s.n * s.m) : nullptr;
  float* dq = call.output(0, call.shape(1));
  float *dk = call.output(1, call.shape(2)), *dv = call.output(2, call.shape(3));
  attentionGradient(s, dy, call.input(1), call.input(2), call.input(3), y, logSum, mask, dq, dk, dv);
}

LinearShape linearShape(const Call& call, int x, int weight) {
  const Rows rows(call.shape(x));
  const Shape& w = call.shape(weight);
  if (w.size() < 2 || sizeOf(w) == 0 || w[w.size() - 2] != rows.channels || sizeOf(w) != rows.channels * w.back())
    throw Misfit{"input " + text(call.shape(x)) + " does not fit the weight " + text(w)};
  return {rows.rows, rows.channels, w.back()};
}

template <class F>
void byActivation(int activation, const F& f) {
  switch (activation) {
    case kNone: return f(std::integral_constant<int, kNone>());
    case kSilu: return f(std::integral_constant<int, kSilu>());
    case kGelu: return f(std::integral_constant<int, kGelu>());
    case kQuickGelu: return f(std::integral_constant<int, kQuickGelu>());
    default: throw Misfit{"there is no activation " + std::to_string(activation)};
  }
}

// Inputs: x, weight, then bias and residual as far as the flags say. Ints: activation, whether bias, whether residual.
void runLinear(Call& call) {
  const LinearShape s = linearShape(call, 0, 1);
  const int activation = call.integer(0);
  const bool hasBias = call.integer(1) != 0, hasResidual = call.integer(2) != 0;
  call.expect(2 + hasBias + hasResidual, activation == kNone ? 1 : 2);
  const float* bias = hasBias ? call.input(2, s.out) : nullptr;
  const float* residual = hasResidual ? call.input(2 + hasBias, s.rows * s.out) : nullptr;
  const Shape shape = withChannels(call.shape(0), s.out);
  float* y = call.output(0, shape);
  float* argument = activation == kNone ? nullptr : call.output(1, shape);
  byActivation(activation, [&](auto a) {
    linear<decltype(a)::value>(s, call.input(0), call.input(1), bias, residual, y, argument);
  });
}

// Inputs: dy, x, weight, and argument where there is an activation. Ints: activation, whether bias.
void runLinearGrad(Call& call) {
  const LinearShape s = linearShape(call, 1, 2);
  const int activation = call.integer(0);
  const bool hasBias = call.integer(1) != 0;
  call.expect(activation == kNone ? 3 : 4, 2 + hasBias);
  const float* dy = call.input(0, s.rows * s.out);
  const float* argument = activation == kNone ? nullptr : call.input(3, s.rows * s.out);
  float *dx = call.output(0, call.shape(1)), *dweight = call.output(1, call.shape(2));
  float* dbias = hasBias ? call.output(2, {s.out}) : nullptr;
  byActivation(activation, [&](auto a) {
    linearGradient<decltype(a)::value>(s, dy, call.input(1), call.input(2), argument, dx, dweight, dbias);
  });
}

// Ints of convolutions: outHeight, outWidth, stride, top, left.
ConvolutionShape convolutionShape(const Call& call, int x, int filter) {
  const Shape &image = gym::image(call, x), &f = call.shape(filter);
  ConvolutionShape s = {};
  s.batch = image[0], s.height = image[1], s.width = image[2], s.in = image[3];
  s.outHeight = call.integer(0), s.outWidth = call.integer(1), s.stride = call.integer(2);
  s.top = call.integer(3), s.left = call.integer(4);
  if (f.size() != 4 || sizeOf(f) == 0 || f[2] != s.in)
    throw Misfit{"the image " + text(image) + " does not fit the filter " + text(f)};
  s.filterHeight = f[0], s.filterWidth = f[1], s.out = f[3];
  // The last window may leave the image by less than a filter's size, and none lies outside of it altogether.
  const auto fits = [&](int64_t size, int64_t window, int64_t count, int64_t before) {
    const int64_t end = (count - 1) * s.stride + window - before;
    return count > 0 && before >= 0 && before < window && end > 0 && end < size + window;
  };
  if (s.stride < 1 || !fits(s.height, s.filterHeight, s.outHeight, s.top) ||
      !fits(s.width, s.filterWidth, s.outWidth, s.left))
    throw Misfit{"the image " + text(image) + ", the filter " + text(f) + " and the size " +
                 text({s.outHeight, s.outWidth}) + " do not fit"};
  return s;
}

// Inputs: x, filter, bias, and possibly residual.
void runConvolution(Call& call) {
  const ConvolutionShape s = convolutionShape(call, 0, 1);
  const Shape shape = {s.batch, s.outHeight, s.outWidth, s.out};
  call.expect(call.count() == 4 ? 4 : 3, 1);
  const float* bias = call.input(2, s.out);
  const float* residual = call.count() == 4 ? call.input(3, sizeOf(shape)) : nullptr;
  convolution(s, call.input(0), call.input(1), bias, residual, call.output(0, shape));
}

// Inputs: dy, x, filter.
void runConvolutionGrad(Call& call) {
  const ConvolutionShape s = convolutionShape(call, 1, 2);
  call.expect(3, 3);
  const float* dy = call.input(0, s.batch * s.outHeight * s.outWidth * s.out);
  convolutionInputGradient(s, dy, call.input(2), call.output(0, call.shape(1)));
  float *dfilter = call.output(1, call.shape(2)), *dbias = call.output(2, {s.out});
  convolutionFilterGradient(s, dy, call.input(1), dfilter, dbias);
}

Rows halves(const Call& call, int i) {
  const Rows x(call.shape(i));
  if (x.channels % 2 != 0) throw Misfit{std::to_string(x.channels) + " channels cannot be halved"};
  return x;
}

// Input: x.
void runGatedGelu(Call& call) {
  call.expect(1, 1);
  const Rows x = halves(call, 0);
  float* y = call.output(0, withChannels(call.shape(0), x.channels / 2));
  gatedGelu(x.rows, x.channels / 2, call.input(0), y);
}

// Inputs: dy, x.
void runGatedGeluGrad(Call& call) {
  call.expect(2, 1);
  const Rows x = halves(call, 1);
  const float* dy = call.input(0, x.rows * x.channels / 2);
  gatedGeluGradient(x.rows, x.channels / 2, dy, call.input(1), call.output(0, call.shape(1)));
}

// Input: x.
void runUpsample(Call& call) {
  call.expect(1, 1);
  const Shape& x = image(call, 0);
  upsample(x[0], x[1], x[2], x[3], call.input(0), call.output(0, {x[0], 2 * x[1], 2 * x[2], x[3]}));
}

// Input: dy.
void runUpsampleGrad(Call& call) {
  call.expect(1, 1);
  const Shape& dy = image(call, 0);
  if (dy[1] % 2 != 0 || dy[2] % 2 != 0) throw Misfit{"the image " + text(dy) + " cannot be halved"};
  const int64_t height = dy[1] / 2, width = dy[2] / 2;
  upsampleGradient(dy[0], height, width, dy[3], call.input(0), call.output(0, {dy[0], height, width, dy[3]}));
}

// Inputs: x, gamma, beta. Integer: whether the ReLU is taken. Number: epsilon.
void runBatchNorm(Call& call) {
  call.expect(3, 3);
  const Rows x(call.shape(0));
  const float *gamma = call.input(1, x.channels), *beta = call.input(2, x.channels);
  float* y = call.output(0, call.shape(0));
  float *mean = call.output(1, {x.channels}), *variance = call.output(2, {x.channels});
  batchNorm(x.rows, x.channels, call.number(0), call.integer(0), call.input(0), gamma, beta, y, mean, variance);
}

// Inputs: dy, x, gamma, beta, mean, variance. Integer: whether the ReLU was taken. Number: epsilon.
void runBatchNormGrad(Call& call) {
  call.expect(6, 3);
  const Rows x(call.shape(1));
  const float *dy = call.input(0, x.rows * x.channels), *gamma = call.input(2, x.channels);
  const float *beta = call.input(3, x.channels), *mean = call.input(4, x.channels);
  const float* variance = call.input(5, x.channels);
  float* dx = call.output(0, call.shape(1));
  float *dgamma = call.output(1, {x.channels}), *dbeta = call.output(2, {x.channels});
  batchNormGradient(x.rows, x.channels, call.number(0), call.integer(0), dy, call.input(1), gamma, beta, mean, variance,
                    dx, dgamma, dbeta);
}

/** The number of rows, and of values in each, of an input [batch, ...]. */
struct Batch {
  Batch(const Call& call, int i) {
    const Shape& shape = call.shape(i);
    if (shape.empty() || shape[0] == 0) throw Misfit{"input " + std::to_string(i) + " has no rows"};
    rows = shape[0];
    size = sizeOf(shape) / rows;
  }
  int64_t rows, size;
};

constexpr int64_t kStepMeanNumbers = sizeof(StepMeanNumbers) / 4;

// Inputs: x, out, and the numbers of each row. Number: the range that is clipped to.
void runStepMean(Call& call) {
  call.expect(3, 1);
  const Batch x(call, 0);
  const float *out = call.input(1, x.rows * x.size), *numbers = call.input(2, x.rows * kStepMeanNumbers);
  stepMean(x.rows, x.size, call.number(0), call.input(0), out, numbers, call.output(0, call.shape(0)));
}

// Inputs: dy, x, out, and the numbers of each row. Number: the range that is clipped to.
void runStepMeanGrad(Call& call) {
  call.expect(4, 2);
  const Batch x(call, 1);
  const int64_t size = x.rows * x.size;
  const float *dy = call.input(0, size), *out = call.input(2, size), *numbers = call.input(3, x.rows * kStepMeanNumbers);
  float *dx = call.output(0, call.shape(1)), *dout = call.output(1, call.shape(1));
  stepMeanGradient(x.rows, x.size, call.number(0), dy, call.input(1), out, numbers, dx, dout);
}

// Inputs: value, mean, and scale and offset of each row.
void runScaledDistance(Call& call) {
  call.expect(3, 1);
  const Batch mean(call, 1);
  const float *value = call.input(0, mean.rows * mean.size), *numbers = call.input(2, 2 * mean.rows);
  scaledDistance(mean.rows, mean.size, value, call.input(1), numbers, call.output(0, {mean.rows}));
}

// Inputs: dy, value, mean, and scale and offset of each row.
void runScaledDistanceGrad(Call& call) {
  call.expect(4, 1);
  const Batch mean(call, 2);
  const float *dy = call.input(0, mean.rows), *value = call.input(1, mean.rows * mean.size);
  const float* numbers = call.input(3, 2 * mean.rows);
  scaledDistanceGradient(mean.rows, mean.size, dy, value, call.input(2), numbers, call.output(0, call.shape(2)));
}

// Inputs: any tensors.
void runFlatten(Call& call) {
  call.expect(call.count(), 1);
  int64_t size = 0;
  for (int i = 0; i < call.count(); i++) size += sizeOf(call.shape(i));
  float* flat = call.output(0, {size});
  for (int i = 0; i < call.count(); i++) {
    std::memcpy(flat, call.input(i), 4 * sizeOf(call.shape(i)));
    flat += sizeOf(call.shape(i));
  }
}

// Inputs: the numbers of the step, gradient, m, v, and all weights.
void runAdamW(Call& call) {
  const int first = 4, weights = call.count() - first;
  call.expect(first + weights, 2 + weights);
  AdamWStep step;
  std::memcpy(&step, call.input(0, sizeof step / 4), sizeof step);
  int64_t size = 0;
  for (int i = 0; i < weights; i++) size += sizeOf(call.shape(first + i));
  const float *gradient = call.input(1, size), *m = call.input(2, size), *v = call.input(3, size);
  float *nextM = call.output(0, {size}), *nextV = call.output(1, {size});
  for (int64_t i = 0, at = 0; i < weights; i++) {
    const int weight = static_cast<int>(first + i);
    const int64_t count = sizeOf(call.shape(weight));
    float* next = call.output(static_cast<int>(2 + i), call.shape(weight));
    adamW(count, step, gradient + at, m + at, v + at, call.input(weight), nextM + at, nextV + at, next);
    at += count;
  }
}

void* create(TF_OpKernelConstruction* construction) {
  auto* attributes = new Attributes;
  TF_Status* status = TF_NewStatus();
  int32_t length = 0, unused = 0;
  TF_OpKernelConstruction_GetAttrSize(construction, "ints", &length, &unused, status);
  if (TF_GetCode(status) == TF_OK && length > 0) {
    attributes->ints.resize(length);
    TF_OpKernelConstruction_GetAttrInt32List(construction, "ints", attributes->ints.data(), length, status);
  }
  if (TF_GetCode(status) == TF_OK) TF_OpKernelConstruction_GetAttrSize(construction, "floats", &length, &unused, status);
  if (TF_GetCode(status) == TF_OK && length > 0) {
    attributes->floats.resize(length);
    TF_OpKernelConstruction_GetAttrFloatList(construction, "floats", attributes->floats.data(), length, status);
  }
  if (TF_GetCode(status) != TF_OK) TF_OpKernelConstruction_Failure(construction, status);
  TF_DeleteStatus(status);
  return attributes;
}

void destroy(void* attributes) { delete static_cast<Attributes*>(attributes); }

template <void (*Run)(Call&)>
void compute(void* attributes, TF_OpKernelContext* context) {
  Call call(context, *static_cast<Attributes*>(attributes));
  try {
    Run(call);
  } catch (const Misfit& misfit) {
    call.fail(misfit.message);
  } catch (const std::exception& error) {
    call.fail(error.what());
  }
}

/** Registers one operation, and its kernel for the CPU. @returns what went wrong, or an empty string */
template <void (*Run)(Call&)>
std::string add(const char* name) {
  TF_Status* status = TF_NewStatus();
  TF_OpDefinitionBuilder* op = TF_NewOpDefinitionBuilder(name);
  for (const char* attribute : {"inputCount: int >= 1", "outputCount: int >= 1", "ints: list(int)", "floats: list(float)"})
    TF_OpDefinitionBuilderAddAttr(op, attribute);
  TF_OpDefinitionBuilderAddInput(op, "inputs: inputCount * float");
  TF_OpDefinitionBuilderAddOutput(op, "outputs: outputCount * float");
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, [](TF_ShapeInferenceContext* context, TF_Status* status) {
    TF_ShapeInferenceContextSetUnknownShape(context, status);
  });
  TF_RegisterOpDefinition(op, status);
  if (TF_GetCode(status) == TF_OK)
    TF_RegisterKernelBuilder(name, TF_NewKernelBuilder(name, "CPU", create, compute<Run>, destroy), status);
  const std::string message = TF_GetCode(status) == TF_OK ? "" : std::string(name) + ": " + TF_Message(status);
  TF_DeleteStatus(status);
  return message;
}

std::string addAll() {
  for (const std::string& message :
       {add<runGroupNorm>("GymGroupNorm"), add<runGroupNormGrad>("GymGroupNormGrad"), add<runLayerNorm>("GymLayerNorm"),
        add<runLayerNormGrad>("GymLayerNormGrad"), add<runBatchNorm>("GymBatchNorm"),
        add<runBatchNormGrad>("GymBatchNormGrad"), add<runAttention>("GymAttention"),
        add<runAttentionGrad>("GymAttentionGrad"), add<runLinear>("GymLinear"), add<runLinearGrad>("GymLinearGrad"),
        add<runConvolution>("GymConvolution"), add<runConvolutionGrad>("GymConvolutionGrad"),
        add<runGatedGelu>("GymGatedGelu"), add<runGatedGeluGrad>("GymGatedGeluGrad"), add<runUpsample>("GymUpsample"),
        add<runUpsampleGrad>("GymUpsampleGrad"), add<runStepMean>("GymStepMean"),
        add<runStepMeanGrad>("GymStepMeanGrad"), add<runScaledDistance>("GymScaledDistance"),
        add<runScaledDistanceGrad>("GymScaledDistanceGrad"), add<runFlatten>("GymFlatten"), add<runAdamW>("GymAdamW")})
    if (!message.empty()) return message;
  return "";
}

/** Node calls this in each thread that loads the library; the operations are registered once for the process. */
napi_value start(napi_env env, napi_value exports) {
  static std::once_flag once;
  static std::string message;
  std::call_once(once, [] {
    message = addAll();
    releasePages("libtensorflow");
  });
  if (!message.empty()) napi_throw_error(env, nullptr, message.c_str());
  return exports;
}

}  // namespace
}  // namespace gym

NAPI_MODULE(gym_ops, gym::start)
