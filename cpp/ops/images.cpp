#include "ops/images.h"

#include <bit>
#include <cmath>

#include "core/promotion.h"
#include "kernels/copy.h"
#include "kernels/grid.h"
#include "kernels/resample.h"
#include "ops/basic_index.h"
#include "ops/convert.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// ---- other sizes
//
// Attributes: s[0] the mode, s[1] flags; one list with the number of dimensions, the sizes of x and
// of y, and the bits of the scales. The adjoint is the same op with the matrices turned.
constexpr int64_t kAlign = 1, kSmooth = 2, kAdjoint = 4;
enum Part : size_t { kIn, kOut, kScale };

DimSpan part_of(const Attrs& a, Part part) {
  DimSpan list = a.list(0);
  auto dims = static_cast<size_t>(list[0]);
  return list.subspan(1 + part * dims, dims);
}

// A number as an index of that many elements, whatever it is.
int64_t bounded(double x, int64_t count) {
  if (!(x > 0)) return 0;
  return x >= static_cast<double>(count) ? count : static_cast<int64_t>(x);
}

// Cubic convolution, at a distance of less than 2.
double cubic(double x, double a) {
  x = std::abs(x);
  return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}

// The row of a filter that is as wide as a new element; it sums to 1.
void add_smooth_row(SparseRows& m, ResizeMode mode, double centre, double scale, int64_t old) {
  const double stretch = std::max(scale, 1.0),
               reach = (mode == ResizeMode::Linear ? 1 : 2) * stretch;
  const int64_t low = bounded(centre - reach + 0.5, old), high = bounded(centre + reach + 0.5, old);
  double total = 0;
  const size_t first = m.weight.size();
  for (int64_t i = low; i < high; ++i) {
    const double x = std::abs((static_cast<double>(i) - centre + 0.5) / stretch);
    const double w = mode == ResizeMode::Linear ? std::max(1 - x, 0.0) : x < 2 ? cubic(x, -0.5) : 0;
    m.add(i, w);
    total += w;
  }
  for (size_t k = first; k < m.weight.size(); ++k) m.weight[k] /= total;
}

// The two or four old elements around each new one, all rows of them at once.
void add_neighbours(SparseRows& m, ResizeMode mode, bool align, int64_t size, double scale) {
  const int64_t taps = mode == ResizeMode::Linear ? 2 : 4, last = m.columns - 1;
  m.start.resize(static_cast<size_t>(size) + 1);
  m.index.resize(static_cast<size_t>(size * taps));
  m.weight.resize(static_cast<size_t>(size * taps));
  int32_t* index = m.index.data();
  double* weight = m.weight.data();
  for (int64_t i = 0; i < size; ++i, index += taps, weight += taps) {
    const auto place = static_cast<double>(i);
    double source = align ? place * scale : (place + 0.5) * scale - 0.5;
    if (taps == 2) source = std::max(source, 0.0);
    if (!(std::abs(source) < 1e15)) source = 0;
    auto at = static_cast<int64_t>(source);
    at -= static_cast<double>(at) > source;
    const double t = source - static_cast<double>(at);
    for (int64_t k = 0; k < taps; ++k) {
      const int64_t from = taps == 2 ? k : k - 1;
      index[k] = static_cast<int32_t>(std::clamp<int64_t>(at + from, 0, last));
      if (taps == 4) weight[k] = cubic(t - static_cast<double>(from), -0.75);
    }
    if (taps == 2) {
      weight[0] = 1 - t;
      weight[1] = t;
    }
    m.start[static_cast<size_t>(i) + 1] = (i + 1) * taps;
  }
}

// How the elements along a dimension are sums of the old ones.
SparseRows resizing(ResizeMode mode, int64_t flags, int64_t old, int64_t size, double scale,
                    bool is_double) {
  SparseRows m;
  if (!is_double) scale = static_cast<float>(scale);
  m.columns = old;
  const bool selecting = mode == ResizeMode::Nearest || mode == ResizeMode::NearestExact;
  if (!selecting && mode != ResizeMode::Area && !(flags & kSmooth)) {
    add_neighbours(m, mode, flags & kAlign, size, scale);
    return m;
  }
  m.start.resize(selecting ? static_cast<size_t>(size) + 1 : 1);
  m.index.resize(selecting ? static_cast<size_t>(size) : 0);
  for (int64_t i = 0; i < size && selecting; ++i) {
    // With the roundings of PyTorch: which element is the nearest may depend on them.
    const auto place = static_cast<double>(i);
    double source = place * scale;
    if (mode == ResizeMode::NearestExact) {
      source = (place + 0.5) * scale - 0.5;
      source = (is_double ? source : static_cast<float>(source)) + 0.5;
    }
    source = static_cast<float>(source);
    m.index[static_cast<size_t>(i)] = static_cast<int32_t>(bounded(source, old - 1));
    m.start[static_cast<size_t>(i) + 1] = i + 1;
  }
  for (int64_t i = 0; i < size && !selecting; ++i, m.end_row()) {
    const auto place = static_cast<double>(i);
    if (mode == ResizeMode::Area) {
      const int64_t begin = i * old / size, end = ((i + 1) * old + size - 1) / size;
      for (int64_t k = begin; k < end; ++k) m.add(k, 1.0 / static_cast<double>(end - begin));
      continue;
    }
    add_smooth_row(m, mode, scale * (place + 0.5), scale, old);
  }
  return m;
}

void run_resample(const Attrs& a, const Array& x, const Array& y) {
  if (y.numel == 0) return;
  const auto mode = static_cast<ResizeMode>(a.integer(0));
  const int64_t flags = a.integer(1);
  std::vector<SparseRows> m;
  for (size_t d = 0; d < part_of(a, kIn).size(); ++d) {
    m.push_back(resizing(mode, flags, part_of(a, kIn)[d], part_of(a, kOut)[d],
                         std::bit_cast<double>(part_of(a, kScale)[d]), x.dtype == DType::Float64));
    if (flags & kAdjoint) m.back() = m.back().transposed();
  }
  const SparseRows *wide = &m.back(), *high = m.size() > 1 ? &m[m.size() - 2] : nullptr;
  if (m.size() < 3) return resample(high, wide, wide->columns, x, y);
  // Volumes: their planes and then the rest of them, the smaller of the two in between.
  const int64_t planes = x.numel / (m[0].columns * high->columns * wide->columns);
  const bool deep_first = m[0].rows() <= m[0].columns;
  const int64_t between = planes * (deep_first ? m[0].rows() * high->columns * wide->columns
                                               : m[0].columns * high->rows() * wide->rows());
  Array middle = Array::empty(Dims{between}, x.dtype);
  if (deep_first) {
    resample(&m[0], nullptr, high->columns * wide->columns, x, middle);
    resample(high, wide, wide->columns, middle, y);
  } else {
    resample(high, wide, wide->columns, x, middle);
    resample(&m[0], nullptr, high->rows() * wide->rows(), middle, y);
  }
}

bool selects(const Attrs& a) {
  const auto mode = static_cast<ResizeMode>(a.integer(0));
  return (mode == ResizeMode::Nearest || mode == ResizeMode::NearestExact) &&
         !(a.integer(1) & kAdjoint);
}

}  // namespace

FG_DEFINE_OP(Resample) = {
    .name = "interpolate",
    .backward_name = "UpsampleBackward0",
    .cls = OpClass::Linear,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          DimSpan sizes = part_of(a, a.integer(1) & kAdjoint ? kIn : kOut);
          out[0].shape =
              Dims(in[0]->shape.begin(), in[0]->shape.end() - static_cast<int64_t>(sizes.size()));
          for (int64_t n : sizes) out[0].shape.push_back(n);
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          const DType type = selects(a) ? in[0]->dtype : compute_dtype(in[0]->dtype);
          const Array x = as_contiguous(*in[0], type);
          if (type == out[0].dtype) return run_resample(a, x, out[0]);
          Array y = Array::empty(out[0].shape, type);
          run_resample(a, x, y);
          copy_array(y, out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          Attrs turned = c.attrs();
          turned.s[1] = Scalar(c.attrs().integer(1) ^ kAdjoint);
          c.set(0, apply(Op::Resample, {c.g()}, std::move(turned)));
        },
};

Tensor interpolate(const Tensor& x, DimSpan sizes, std::span<const double> scales, ResizeMode mode,
                   bool align_corners, bool smooth) {
  const auto dims = static_cast<int64_t>(sizes.size());
  FG_CHECK_KIND(
      ErrorKind::NotImplemented,
      is_floating(x.dtype()) || (x.dtype() == DType::UInt8 &&
                                 (mode == ResizeMode::Nearest || mode == ResizeMode::NearestExact)),
      "\"interpolate\" not implemented for '", scalar_type_name(x.dtype()),
      "'; convert first, e.g. with .to(fastgrad.float32)");
  Dims list;
  list.push_back(dims);
  for (int64_t d = 0; d < dims; ++d) list.push_back(x.size(d - dims));
  for (int64_t n : sizes) list.push_back(n);
  for (size_t d = 1; d < list.size(); ++d)
    FG_CHECK(list[d] > 0 && list[d] < INT32_MAX,
             "Input and output sizes should be greater than 0, but got input (",
             to_string(DimSpan(list).subspan(1, sizes.size())), ") and output (", to_string(sizes),
             ") (in interpolate)");
  for (int64_t d = 0; d < dims; ++d)
    list.push_back(std::bit_cast<int64_t>(scales[static_cast<size_t>(d)]));
  const int64_t flags = (align_corners ? kAlign : 0) | (smooth ? kSmooth : 0);
  return apply(Op::Resample, {x},
               Attrs(Scalar(static_cast<int64_t>(mode)), Scalar(flags)).with(list));
}

// ---- samples at any place
//
// Attributes: s[0] mode, s[1] padding, s[2] whether corners are aligned; lists: sizes of the image,
// and how often the weights are differentiated by each coordinate. The gradients of the three ops
// are the ops themselves, some with higher orders.
namespace {

GridOptions grid_options(const Attrs& a) {
  return {static_cast<GridMode>(a.integer(0)), static_cast<GridPadding>(a.integer(1)), a.flag(2),
          a.list(0), a.list(1)};
}
bool is_nearest(const Attrs& a) { return grid_options(a).mode == GridMode::Nearest; }
Attrs steeper(const Attrs& a, size_t coordinate) {
  Dims orders(a.list(1));
  ++orders[coordinate];
  return Attrs(a.s[0], a.s[1], a.s[2]).with(a.list(0)).with(orders);
}

// The gradient by the grid of the sum of y * (samples of x).
Tensor grid_gradient(const Attrs& a, const Tensor& y, const Tensor& x, const Tensor& grid) {
  return is_nearest(a) ? zeros_like(grid) : apply(Op::GridSlopes, {y, x, grid}, a);
}

}  // namespace

// x, grid.
FG_DEFINE_OP(GridSample) = {
    .name = "grid_sample",
    .backward_name = "GridSamplerBackward0",
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = Dims{in[0]->shape[0], in[0]->shape[1]};
          for (size_t d = 1; d + 1 < in[1]->shape.size(); ++d)
            out[0].shape.push_back(in[1]->shape[d]);
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          grid_sample(grid_options(a), as_contiguous(*in[0]), as_contiguous(*in[1]), out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          if (c.needs(0)) c.set(0, apply(Op::GridSpread, {c.g(), c.in(1)}, c.attrs()));
          if (c.needs(1)) c.set(1, grid_gradient(c.attrs(), c.g(), c.in(0), c.in(1)));
        },
    .save = {save_in(1), save_in(0) | save_in(1)},
};

// y, grid.
FG_DEFINE_OP(GridSpread) = {
    .name = "grid_spread",
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0].dtype = in[0]->dtype;
          out[0].shape = Dims{in[0]->shape[0], in[0]->shape[1]};
          for (int64_t n : a.list(0)) out[0].shape.push_back(n);
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          grid_spread(grid_options(a), as_contiguous(*in[0]), as_contiguous(*in[1]), out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          if (c.needs(0)) c.set(0, apply(Op::GridSample, {c.g(), c.in(1)}, c.attrs()));
          if (c.needs(1)) c.set(1, grid_gradient(c.attrs(), c.in(0), c.g(), c.in(1)));
        },
    .save = {save_in(1), save_in(0) | save_in(1)},
};

// y, x, grid.
FG_DEFINE_OP(GridSlopes) = {
    .name = "grid_slopes",
    .infer =
        [](const Attrs&, Inputs in, Metas& out) {
          out[0].dtype = in[2]->dtype;
          out[0].shape = in[2]->shape;
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          grid_slopes(grid_options(a), as_contiguous(*in[0]), as_contiguous(*in[1]),
                      as_contiguous(*in[2]), out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          // A sum over the coordinates, each with one more derivative by it.
          Tensor total[3];
          for (size_t d = 0; d < c.attrs().list(0).size(); ++d) {
            const Attrs more = steeper(c.attrs(), d);
            const Tensor g = unsqueeze(select(c.g(), -1, static_cast<int64_t>(d)), 1);
            auto part = [&](size_t k, auto&& of) {
              if (!c.needs(k)) return;
              Tensor term = of();
              total[k] = d ? add(total[k], term) : term;
            };
            part(0, [&] { return mul(apply(Op::GridSample, {c.in(1), c.in(2)}, more), g); });
            part(1, [&] { return apply(Op::GridSpread, {mul(c.in(0), g), c.in(2)}, more); });
            part(2,
                 [&] { return apply(Op::GridSlopes, {mul(c.in(0), g), c.in(1), c.in(2)}, more); });
          }
          for (size_t k = 0; k < 3; ++k)
            if (c.needs(k)) c.set(k, total[k]);
        },
    .save = {save_in(1) | save_in(2), save_in(0) | save_in(2),
             save_in(0) | save_in(1) | save_in(2)},
};

Tensor grid_sample(const Tensor& x, const Tensor& grid, const std::string& mode,
                   const std::string& padding, bool align_corners) {
  DType type = promote_types(x.dtype(), grid.dtype());
  FG_CHECK_KIND(ErrorKind::NotImplemented, is_floating(type),
                "\"grid_sampler\" not implemented for '", scalar_type_name(type),
                "'; convert first, e.g. with .to(fastgrad.float32)");
  FG_CHECK(x.size(0) == grid.size(0),
           "grid_sampler(): expected grid and input to have same batch size, but got input with "
           "sizes ",
           x.shape(), " and grid with sizes ", grid.shape());
  const DimSpan sizes = DimSpan(x.shape()).last(static_cast<size_t>(grid.size(-1)));
  int64_t pixels = 1;
  for (size_t d = 0; d < sizes.size(); ++d) {
    FG_CHECK(sizes[d] > 0,
             "grid_sampler(): expected input to have non-empty spatial dimensions, but input has "
             "sizes ",
             x.shape(), " with dimension ", d + 2, " being empty");
    pixels *= sizes[d];
  }
  FG_CHECK(pixels < INT32_MAX, "grid_sampler(): images of ", pixels, " pixels are too large");
  const GridMode kind = mode == "bilinear"  ? GridMode::Bilinear
                        : mode == "nearest" ? GridMode::Nearest
                                            : GridMode::Bicubic;
  const GridPadding pad = padding == "zeros"    ? GridPadding::Zeros
                          : padding == "border" ? GridPadding::Border
                                                : GridPadding::Reflection;
  const DType compute = compute_dtype(type);
  const Dims orders(sizes.size(), 0);
  Tensor y = apply(Op::GridSample, {to_dtype(x, compute), to_dtype(grid, compute)},
                   Attrs(Scalar(static_cast<int64_t>(kind)), Scalar(static_cast<int64_t>(pad)),
                         Scalar(align_corners))
                       .with(sizes)
                       .with(orders));
  return to_dtype(y, type);
}

Tensor shuffle_pixels(const Tensor& x, int64_t r, bool back) {
  constexpr int64_t kApart[] = {0, 3, 1, 4, 2}, kTogether[] = {0, 2, 4, 1, 3};
  const size_t last = x.shape().size();
  const int64_t h = x.shape()[last - 2], w = x.shape()[last - 1];
  Dims to(x.shape());
  to[last - 3] = back ? to[last - 3] * r * r : to[last - 3] / (r * r);
  to[last - 2] = back ? h / r : h * r;
  to[last - 1] = back ? w / r : w * r;
  const int64_t images = numel_of(DimSpan(back ? x.shape() : to).first(last - 2));
  const Tensor parts =
      back ? reshape(x, Dims{images, h / r, r, w / r, r}) : reshape(x, Dims{images, r, r, h, w});
  const Tensor y = reshape(permute(parts, back ? kTogether : kApart), to);
  return y.array().buffer == x.array().buffer ? clone(y) : y;
}

}  // namespace fastgrad
