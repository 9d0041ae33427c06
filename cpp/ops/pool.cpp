#include "ops/pool.h"

#include <cmath>
#include <limits>

#include "core/promotion.h"
#include "kernels/pad.h"
#include "kernels/pool.h"
#include "ops/along.h"
#include "ops/conv.h"
#include "ops/creation.h"
#include "ops/infer.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// Attributes: s[0] how windows lie, s[1] what the mean is divided by, or whether only the maximum
// is wanted and not its place; one list with the number of
// spatial dimensions and sizes of x and y, kernel, stride, padding and dilation.
enum class Lie : int64_t { Sliding, Adaptive };
// Divisors above zero are the user's.
constexpr int64_t kInside = 0, kWithPadding = -1;
constexpr int64_t kOnlyValues = 1;
enum Part : size_t { kIn, kOut, kKernel, kStride, kPad, kDilation };

DimSpan part_of(const Attrs& a, Part part) {
  DimSpan list = a.list(0);
  auto dims = static_cast<size_t>(list[0]);
  size_t first = 1 + part * dims;
  return first < list.size() ? list.subspan(first, dims) : DimSpan();
}

PoolGeometry geometry(const Attrs& a, int64_t planes) {
  PoolGeometry g;
  g.planes = planes;
  bool adaptive = a.integer(0) == static_cast<int64_t>(Lie::Adaptive);
  DimSpan in = part_of(a, kIn), out = part_of(a, kOut);
  int64_t mode = a.integer(1);
  for (size_t d = 0; d < 3; ++d) {
    PoolWindows& w = g.dims[d];
    size_t lead = 3 - in.size();
    if (d < lead) {
      w.start = {0};
      w.stop = {1};
      w.weight = {mode > 0 && d == 0 ? 1.0 / static_cast<double>(mode) : 1.0};
      continue;
    }
    size_t i = d - lead;
    w.size = in[i];
    for (int64_t o = 0; o < out[i]; ++o) {
      int64_t start, stop, count;
      if (adaptive) {
        start = o * in[i] / out[i];
        stop = ((o + 1) * in[i] + out[i] - 1) / out[i];
        count = stop - start;
      } else {
        int64_t kernel = part_of(a, kKernel)[i], pad = part_of(a, kPad)[i],
                step = part_of(a, kDilation)[i];
        w.step = step;
        start = o * part_of(a, kStride)[i] - pad;
        stop = start + (kernel - 1) * step + 1;
        count = std::min(stop, in[i] + pad) - start;
        stop = std::min(stop, in[i]);
        if (start < 0) start += (-start + step - 1) / step * step;
        if (mode == kInside) count = std::max<int64_t>(stop - start, 0);
      }
      w.start.push_back(start);
      w.stop.push_back(stop);
      double divisor = static_cast<double>(count);
      if (mode > 0) divisor = d == 0 ? static_cast<double>(mode) : 1.0;
      w.weight.push_back(1 / divisor);
    }
  }
  return g;
}

Dims with_spatial(DimSpan shape, DimSpan sizes) {
  Dims s(shape.begin(), shape.end() - static_cast<int64_t>(sizes.size()));
  for (int64_t n : sizes) s.push_back(n);
  return s;
}
int64_t planes_of(const Array& x, const Attrs& a) {
  return numel_of(DimSpan(x.shape.begin(), x.shape.size() - static_cast<size_t>(a.list(0)[0])));
}

}  // namespace

FG_DEFINE_OP(MaxPool) = {
    .name = "max_pool",
    .num_outputs = 2,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[1].dtype = DType::Int64;
          out[0].shape = with_spatial(in[0]->shape, part_of(a, kOut));
          out[1].shape = a.integer(1) == kOnlyValues ? Dims{0} : out[0].shape;
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          max_pool(geometry(a, planes_of(*in[0], a)), *in[0], out[0],
                   a.integer(1) == kOnlyValues ? nullptr : &out[1]);
        },
    .vjp =
        [](VjpContext& c) {
          // The cotangent goes to the place of the maximum; windows may share one.
          DimSpan in = part_of(c.attrs(), kIn), shape = c.in_shape(0);
          Dims planes = with_spatial(shape, in);
          planes.resize(shape.size() - in.size());
          Dims flat = planes, source = planes;
          flat.push_back(numel_of(part_of(c.attrs(), kOut)));
          source.push_back(numel_of(in));
          const auto last = static_cast<int64_t>(planes.size());
          const Tensor g = reshape(c.g(), flat), places = reshape(c.out(1), flat);
          c.set(0, reshape(put_along(g, places, last, source), shape));
        },
    .save = {save_out(1)},
    .nondifferentiable_outputs = 2,
};

FG_DEFINE_OP(AvgPool) = {
    .name = "avg_pool",
    .cls = OpClass::Linear,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = with_spatial(in[0]->shape, part_of(a, kOut));
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          avg_pool(geometry(a, planes_of(*in[0], a)), *in[0], out[0]);
        },
    .vjp = [](VjpContext& c) { c.set(0, apply(Op::AvgPoolAdjoint, {c.g()}, c.attrs())); },
};

FG_DEFINE_OP(AvgPoolAdjoint) = {
    .name = "avg_pool_adjoint",
    .backward_name = "AvgPoolBackwardBackward0",
    .cls = OpClass::Linear,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = with_spatial(in[0]->shape, part_of(a, kIn));
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          avg_pool_adjoint(geometry(a, planes_of(*in[0], a)), *in[0], out[0]);
        },
    .vjp = [](VjpContext& c) { c.set(0, apply(Op::AvgPool, {c.g()}, c.attrs())); },
};

namespace {

Dims pool_list(DimSpan values, int64_t dims, const char* what, const char* name) {
  FG_CHECK(values.size() == 1 || static_cast<int64_t>(values.size()) == dims, name, ": ", what,
           " must be a single int, or a tuple of ", dims, " ints, got ", to_string(values));
  return values.size() == 1 ? Dims(static_cast<size_t>(dims), values[0]) : Dims(values);
}

void check_pool_input(const Tensor& x, int64_t dims, const char* name) {
  FG_CHECK(x.ndim() == dims + 1 || x.ndim() == dims + 2, name, ": Expected ", dims + 1, "D or ",
           dims + 2, "D (batch mode) tensor for input, but got: ", x.shape());
  for (int64_t d = x.ndim() == dims + 2 ? 1 : 0; d < x.ndim(); ++d)
    FG_CHECK(x.shape()[static_cast<size_t>(d)] > 0, name,
             ": Expected input to have non-zero size for non-batch dimensions, but got ", x.shape(),
             " with dimension ", d, " being empty.");
  FG_CHECK_KIND(ErrorKind::NotImplemented, x.dtype() != DType::Bool && !is_complex(x.dtype()), "\"",
                name, "\" not implemented for '", scalar_type_name(x.dtype()),
                "'; convert first, e.g. with .to(fastgrad.float32)");
}

Attrs pool_attrs(Lie lie, int64_t divisor, std::initializer_list<Dims> parts) {
  Dims list;
  list.reserve(32);
  list.push_back(static_cast<int64_t>(parts.begin()->size()));
  for (const Dims& part : parts)
    for (int64_t v : part) list.push_back(v);
  return Attrs(Scalar(static_cast<int64_t>(lie)), Scalar(divisor)).with(list);
}

Attrs sliding(const Tensor& x, const PoolOptions& o, int64_t dims, int64_t divisor,
              const char* name) {
  check_pool_input(x, dims, name);
  Dims kernel = pool_list(o.kernel, dims, "kernel_size", name);
  Dims stride = o.stride.empty() ? kernel : pool_list(o.stride, dims, "stride", name);
  Dims pad = pool_list(o.padding, dims, "padding", name);
  Dims dilation = pool_list(o.dilation, dims, "dilation", name);
  Dims in(x.shape().end() - dims, x.shape().end()), out;
  for (size_t d = 0; d < in.size(); ++d) {
    FG_CHECK(kernel[d] > 0,
             "kernel size should be greater than zero, but got kernel_size=", to_string(kernel),
             " (in ", name, ")");
    FG_CHECK(stride[d] > 0, "stride should not be zero, got stride=", to_string(stride), " (in ",
             name, ")");
    FG_CHECK(dilation[d] > 0,
             "dilation should be greater than zero, but got dilation=", to_string(dilation),
             " (in ", name, ")");
    FG_CHECK(pad[d] >= 0, "pad must be non-negative, but got pad: ", pad[d], " (in ", name, ")");
    FG_CHECK(pad[d] <= ((kernel[d] - 1) * dilation[d] + 1) / 2,
             "pad should be at most half of effective kernel size, but got pad=", pad[d],
             ", kernel_size=", kernel[d], " and dilation=", dilation[d], " (in ", name, ")");
    FG_CHECK(pad[d] <= kernel[d] / 2,
             "pad should be smaller than or equal to half of kernel size, but got pad=", pad[d],
             " and kernel_size=", kernel[d], " (in ", name, ")");
    int64_t room = in[d] + 2 * pad[d] - dilation[d] * (kernel[d] - 1) - 1;
    int64_t n = room < 0 ? (o.ceil_mode && room + stride[d] - 1 >= 0 ? 1 : 0)
                         : (room + (o.ceil_mode ? stride[d] - 1 : 0)) / stride[d] + 1;
    // With ceil_mode the last window still starts inside the input or its left padding.
    if (o.ceil_mode && (n - 1) * stride[d] >= in[d] + pad[d]) --n;
    out.push_back(n);
  }
  for (int64_t n : out)
    FG_CHECK(n > 0, "Given input size: ", to_string(in),
             ". Calculated output size: ", to_string(out), ". Output size is too small (in ", name,
             ")");
  return pool_attrs(Lie::Sliding, divisor, {in, out, kernel, stride, pad, dilation});
}

Attrs adaptive(const Tensor& x, DimSpan size, int64_t dims, int64_t divisor, const char* name) {
  FG_CHECK_VALUE(x.ndim() > dims, "Input dimension should be at least ", dims + 1, ", got ",
                 x.ndim(), " (in ", name, ")");
  check_pool_input(x, dims, name);
  Dims in(x.shape().end() - dims, x.shape().end());
  Dims out = pool_list(size, dims, "output_size", name);
  for (size_t d = 0; d < out.size(); ++d) {
    if (out[d] == kKeepSize) out[d] = in[d];
    FG_CHECK(out[d] >= 0, "elements of output_size must be greater than or equal to 0, got ",
             to_string(out), " (in ", name, ")");
  }
  return pool_attrs(Lie::Adaptive, divisor, {in, out});
}

// What stands in place of the divisor.
int64_t which_of_max(const Tensor& x, bool places) {
  return places || should_record(std::span(&x, 1)) ? 0 : kOnlyValues;
}
std::pair<Tensor, Tensor> max_of(const Tensor& x, Attrs attrs) {
  Tensors r = apply_multi(Op::MaxPool, {x}, std::move(attrs));
  return {r[0], r[1]};
}

}  // namespace

std::pair<Tensor, Tensor> max_pool(const Tensor& x, const PoolOptions& o, int64_t dims, bool places,
                                   const char* name) {
  return max_of(x, sliding(x, o, dims, which_of_max(x, places), name));
}

Tensor avg_pool(const Tensor& x, const PoolOptions& o, int64_t dims, const char* name) {
  FG_CHECK(!o.divisor || *o.divisor != 0, "divisor must be not zero (in ", name, ")");
  if (o.divisor && *o.divisor < 0) {
    PoolOptions positive = o;
    positive.divisor = -std::max(*o.divisor, -std::numeric_limits<int64_t>::max());
    return neg(avg_pool(x, positive, dims, name));
  }
  int64_t divisor = o.divisor.value_or(o.count_include_pad ? kWithPadding : kInside);
  return apply(Op::AvgPool, {x}, sliding(x, o, dims, divisor, name));
}

std::pair<Tensor, Tensor> adaptive_max_pool(const Tensor& x, DimSpan size, int64_t dims,
                                            bool places, const char* name) {
  return max_of(x, adaptive(x, size, dims, which_of_max(x, places), name));
}

Tensor adaptive_avg_pool(const Tensor& x, DimSpan size, int64_t dims, const char* name) {
  return apply(Op::AvgPool, {x}, adaptive(x, size, dims, kInside, name));
}

namespace {

enum class PadMode : int64_t { Constant, Reflect, Replicate, Circular };

// Attributes: s[0] the mode, s[1] the value; lists: the narrow shape, then widths before and behind
// for every dimension.
PadRuns sources(PadMode mode, int64_t n, int64_t before, int64_t behind) {
  PadRuns runs;
  auto add = [&](int64_t begin, int64_t end, int64_t from, int64_t step) {
    if (end > begin) runs.push_back({end - begin, from, step});
  };
  const int64_t end = n + behind, back = std::max(n, -before);
  // What is cropped at one end is not seen at the other.
  const int64_t circle_front = n - before - std::max<int64_t>(-behind, 0),
                circle_back = back - n + std::max<int64_t>(-before, 0);
  auto outside = [&](int64_t begin, int64_t stop, int64_t reflected, int64_t nearest,
                     int64_t circle) {
    switch (mode) {
      case PadMode::Constant:
        return add(begin, stop, kPadValue, 0);
      case PadMode::Reflect:
        return add(begin, stop, reflected, -1);
      case PadMode::Replicate:
        return add(begin, stop, nearest, 0);
      case PadMode::Circular:
        return add(begin, stop, circle, 1);
    }
  };
  outside(-before, std::min<int64_t>(0, end), before, 0, circle_front);
  const int64_t first = std::max<int64_t>(0, -before);
  add(first, std::min(n, end), first, 1);
  outside(back, end, 2 * (n - 1) - back, n - 1, circle_back);
  return runs;
}

// The sources of pad(), or of the constant pad() that undoes one.
std::vector<PadRuns> sources(const Attrs& a, bool undo = false) {
  DimSpan shape = a.list(0), before = a.list(1), behind = a.list(2);
  std::vector<PadRuns> runs;
  for (size_t d = 0; d < shape.size(); ++d)
    runs.push_back(
        undo ? sources(PadMode::Constant, shape[d] + before[d] + behind[d], -before[d], -behind[d])
             : sources(static_cast<PadMode>(a.integer(0)), shape[d], before[d], behind[d]));
  return runs;
}

Attrs without_value(const Attrs& a) {
  return Attrs(a.s[0], Scalar(0.0)).with(a.list(0)).with(a.list(1)).with(a.list(2));
}

}  // namespace

FG_DEFINE_OP(Pad) = {
    .name = "pad",
    .backward_name = "ConstantPadNdBackward0",
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          for (size_t d = 0; d < in[0]->shape.size(); ++d)
            out[0].shape.push_back(in[0]->shape[d] + a.list(1)[d] + a.list(2)[d]);
        },
    .eval = [](const Attrs& a, Inputs in,
               std::span<Array> out) { pad(sources(a), *in[0], a.s[1].to_double(), out[0]); },
    .vjp =
        [](VjpContext& c) { c.set(0, apply(Op::PadAdjoint, {c.g()}, without_value(c.attrs()))); },
};

FG_DEFINE_OP(PadAdjoint) = {
    .name = "pad_adjoint",
    .cls = OpClass::Linear,
    .infer = infer_listed_shape<>,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          if (static_cast<PadMode>(a.integer(0)) == PadMode::Constant)
            pad(sources(a, true), *in[0], 0, out[0]);
          else
            pad_adjoint(sources(a), *in[0], out[0]);
        },
    .vjp = [](VjpContext& c) { c.set(0, apply(Op::Pad, {c.g()}, c.attrs())); },
};

Tensor pad(const Tensor& x, DimSpan widths, const std::string& mode, std::optional<double> value) {
  auto dims = static_cast<int64_t>(widths.size()) / 2;
  FG_CHECK(widths.size() % 2 == 0, "Padding length must be divisible by 2, got ", to_string(widths),
           " (in pad)");
  FG_CHECK(dims <= x.ndim(),
           "Padding length should be less than or equal to two times the input dimension but got "
           "padding length ",
           widths.size(), " and input of dimension ", x.ndim());
  PadMode kind = PadMode::Constant;
  if (mode != "constant") {
    FG_CHECK(!value || *value == 0, "Padding mode \"", mode,
             "\" doesn't take in value argument, got value=", value.value_or(0));
    FG_CHECK_KIND(ErrorKind::NotImplemented,
                  mode == "reflect" || mode == "replicate" || mode == "circular",
                  "Unrecognised padding mode ", mode,
                  "; expected constant, reflect, replicate or circular (in pad)");
    kind = mode == "reflect"     ? PadMode::Reflect
           : mode == "replicate" ? PadMode::Replicate
                                 : PadMode::Circular;
    FG_CHECK_KIND(ErrorKind::NotImplemented,
                  dims >= 1 && dims <= 3 && (x.ndim() == dims + 1 || x.ndim() == dims + 2),
                  "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now, "
                  "got padding ",
                  to_string(widths), " of an input of shape ", x.shape());
  }
  auto n = static_cast<size_t>(x.ndim());
  if (n == 0) return apply(Op::Clone, {x});
  Dims before(n, 0), behind(n, 0);
  for (size_t i = 0; i < static_cast<size_t>(dims); ++i) {
    size_t d = n - 1 - i;
    before[d] = widths[2 * i];
    behind[d] = widths[2 * i + 1];
    int64_t size = x.shape()[d], low = before[d], high = behind[d];
    constexpr int64_t kWidest = int64_t{1} << 60;  // sums of which do not overflow
    FG_CHECK(std::max(low, high) <= kWidest && std::min(low, high) >= -kWidest, "pad: the widths ",
             low, " and ", high, " are more than any tensor has elements");
    FG_CHECK(size + low + high >= 0, "The input size ", size, ", plus negative padding ", low,
             " and ", high,
             " resulted in a negative output size, which is invalid. Check dimension ", d,
             " of your input.");
    if (kind == PadMode::Reflect)
      FG_CHECK(low < size && high < size,
               "Argument #4: Padding size should be less than the corresponding input dimension, "
               "but got: padding (",
               low, ", ", high, ") at dimension ", d, " of input ", x.shape());
    if (kind == PadMode::Circular)
      FG_CHECK(low <= size && high <= size,
               "Padding value causes wrapping around more than once: padding (", low, ", ", high,
               ") at dimension ", d, " of input ", x.shape());
    if (kind == PadMode::Replicate)
      FG_CHECK(size > 0 || (low <= 0 && high <= 0),
               "Expected a non-empty dimension to replicate, got input ", x.shape());
  }
  return apply(Op::Pad, {x},
               Attrs(Scalar(static_cast<int64_t>(kind)), Scalar(value.value_or(0)))
                   .with(x.shape())
                   .with(before)
                   .with(behind));
}

}  // namespace fastgrad
