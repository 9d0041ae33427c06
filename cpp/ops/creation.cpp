#include "ops/creation.h"

#include <algorithm>
#include <vector>

#include "core/memory.h"
#include "core/promotion.h"

namespace fastgrad {
namespace {

void check_counts(const char* op, DType dtype) {
  FG_CHECK_KIND(ErrorKind::NotImplemented, dtype != DType::Bool, "\"", op,
                "_cpu\" not implemented for 'Bool'");
}

// Elements of [start, end) in steps of step.
int64_t arange_size(double start, double end, double step) {
  FG_CHECK(std::isfinite(start) && std::isfinite(end), "unsupported range: ", start, " -> ", end);
  FG_CHECK(step != 0, "step must be nonzero");
  FG_CHECK(step > 0 ? end >= start : end <= start,
           "upper bound and lower bound inconsistent with step sign");
  double size = std::ceil((end - start) / step);
  FG_CHECK(size >= 0 && size < 9.2e18, "invalid size, possible overflow? The range ", start, " -> ",
           end, " in steps of ", step, " has too many elements");
  return static_cast<int64_t>(size);
}

int64_t arange_size(int64_t start, int64_t end, int64_t step) {
  FG_CHECK(step != 0, "step must be nonzero");
  FG_CHECK(step > 0 ? end >= start : end <= start,
           "upper bound and lower bound inconsistent with step sign");
  uint64_t span = step > 0 ? static_cast<uint64_t>(end) - static_cast<uint64_t>(start)
                           : static_cast<uint64_t>(start) - static_cast<uint64_t>(end);
  uint64_t width = step > 0 ? static_cast<uint64_t>(step) : -static_cast<uint64_t>(step);
  uint64_t size = span / width + (span % width != 0);
  FG_CHECK(size <= static_cast<uint64_t>(INT64_MAX), "invalid size, possible overflow? The range ",
           start, " -> ", end, " in steps of ", step, " has too many elements");
  return static_cast<int64_t>(size);
}

Tensor progression(const char* op, int64_t steps, DType dtype) {
  FG_CHECK(steps >= 0, "number of steps must be non-negative");
  check_counts(op, dtype);
  return empty(Dims{steps}, dtype);
}

// No sum or product of a few sizes and offsets overflows it.
using Wide = __int128;

// How many elements (i, j) have j <= i + offset.
Wide count_below(Wide rows, Wide columns, Wide offset) {
  // Rows that have some: one more each, from `first` on, until `full` have all.
  const Wide first = std::clamp<Wide>(-offset, 0, rows),
             full = std::clamp<Wide>(columns - offset - 1, first, rows), n = full - first;
  const Wide least = first + offset + 1;
  return n * (2 * least + n - 1) / 2 + (rows - full) * columns;
}

// Positions of the elements (i, j) with j <= i + offset, or of the others, row by row.
Tensor triangle_indices(const char* op, int64_t rows, int64_t columns, Wide offset, bool lower,
                        DType dtype) {
  FG_CHECK(rows >= 0, "row must be non-negative, got ", rows);
  FG_CHECK(columns >= 0, "col must be non-negative, got ", columns);
  FG_CHECK_KIND(ErrorKind::NotImplemented, dtype == DType::Int32 || dtype == DType::Int64, "\"", op,
                "\" not implemented for '", scalar_type_name(dtype),
                "'; indices are int32 or int64");
  Wide below = count_below(rows, columns, offset);
  Wide total = lower ? below : Wide{rows} * columns - below;
  FG_CHECK(total < INT64_MAX, op, ": more indices than an int64 can count, for ", rows, " x ",
           columns, " elements");
  auto count = static_cast<int64_t>(total);
  Tensor out = empty(Dims{2, count}, dtype);
  dispatch_real(dtype, op, [&]<class T>(T) {
    T *is = out.array().ptr<T>(), *js = is + count;
    const T* end = js;
    auto i = static_cast<int64_t>(lower ? std::max<Wide>(-offset, 0) : 0);
    for (; is != end; ++i) {
      const Wide border = i + offset + 1;
      auto first = static_cast<int64_t>(lower ? 0 : std::max<Wide>(border, 0));
      auto last = static_cast<int64_t>(lower ? std::min<Wide>(border, columns) : columns);
      for (int64_t j = first; j < last; ++j) {
        *is++ = static_cast<T>(i);
        *js++ = static_cast<T>(j);
      }
    }
  });
  constant_values(out.array());
  return out;
}

}  // namespace

namespace {
Tensor uninitialised(Array a) {
  if (Recorder* r = recorder()) [[unlikely]]
    r->fresh(a);
  return Tensor(std::move(a));
}
}  // namespace

Tensor empty(DimSpan shape, DType dtype) { return uninitialised(Array::empty(shape, dtype)); }

Tensor empty(DimSpan shape, DType dtype, MemoryFormat format) {
  FG_CHECK(format != MemoryFormat::Preserve,
           "unsupported memory format Preserve: there is no tensor whose "
           "format could be preserved");
  if (format == MemoryFormat::Contiguous) return empty(shape, dtype);
  return empty_strided(shape, format_strides(format, shape), dtype);
}

Tensor empty_strided(DimSpan shape, DimSpan strides, DType dtype) {
  FG_CHECK(shape.size() == strides.size(), "dimensionality of sizes (", shape.size(),
           ") must match dimensionality of strides (", strides.size(), ")");
  for (int64_t s : strides)
    FG_CHECK(s >= 0, "empty_strided: strides must not be negative, got sizes=", to_string(shape),
             " and strides=", to_string(strides));
  return uninitialised(Array::empty_strided(shape, strides, dtype));
}

Tensor empty_permuted(DimSpan shape, DimSpan order, DType dtype) {
  FG_CHECK(shape.size() == order.size(),
           "Number of dimensions in size does not match the length of the physical_layout; i.e. "
           "len(size) = ",
           shape.size(), " is not equal to len(physical_layout) = ", order.size());
  Dims lain, inverse(order.size());
  for (size_t d = 0; d < order.size(); ++d) {
    FG_CHECK(order[d] >= 0 && order[d] < static_cast<int64_t>(order.size()) &&
                 std::count(order.begin(), order.end(), order[d]) == 1,
             "empty_permuted: the physical_layout ", to_string(order),
             " must name each dimension once");
    lain.push_back(shape[static_cast<size_t>(order[d])]);
    inverse[static_cast<size_t>(order[d])] = static_cast<int64_t>(d);
  }
  return uninitialised(Array::empty(lain, dtype).permuted(inverse));
}

Tensor zeros(DimSpan shape, DType dtype) { return Tensor(recorded::zeros(shape, dtype)); }

Tensor full(DimSpan shape, const Array& value, DType dtype) {
  Tensor out = empty(shape, dtype);
  recorded::fill_array(out.array(), value);
  return out;
}

Tensor full(DimSpan shape, Scalar value, DType dtype) {
  Tensor out = Tensor::empty(shape, dtype);
  if (Recorder* r = recorder()) [[unlikely]]
    r->fresh(out.array());
  recorded::fill_array(out.array(), value);
  return out;
}

Tensor empty_like(const Tensor& x, DType dtype, MemoryFormat format) {
  if (format != MemoryFormat::Preserve) return empty(x.shape(), dtype, format);
  if (x.is_contiguous()) return empty(x.shape(), dtype);
  return empty_strided(x.shape(), dense_strides_like(x.shape(), x.strides()), dtype);
}

Tensor ones_like(const Tensor& x) { return full(x.shape(), 1, x.dtype()); }

Tensor arange(Scalar start, Scalar end, Scalar step, DType dtype) {
  FG_CHECK_KIND(ErrorKind::NotImplemented, dtype != DType::Bool && !is_complex(dtype),
                "\"arange_cpu\" not implemented for '", scalar_type_name(dtype), "'");
  bool whole = !start.is_float() && !end.is_float() && !step.is_float();
  if (whole) {
    int64_t n = arange_size(start.to_int(), end.to_int(), step.to_int());
    Array out = Array::empty(Dims{n}, dtype);
    fill_arange(out, start.to_int(), step.to_int());
    constant_values(out);
    return Tensor(std::move(out));
  }
  int64_t n = arange_size(start.to_double(), end.to_double(), step.to_double());
  // As PyTorch counts: bounds are truncated first for int64, after the size is known for the rest.
  FG_CHECK_VALUE(!is_integral(dtype, false) || step.to_int() != 0, "step must be nonzero, and ",
                 step.to_double(), " is 0 as an integer");
  if (dtype == DType::Int64) n = arange_size(start.to_int(), end.to_int(), step.to_int());
  Array out = Array::empty(Dims{n}, dtype);
  if (is_integral(dtype, false))
    fill_arange(out, start.to_int(), step.to_int());
  else
    fill_arange(out, start.to_double(), step.to_double());
  constant_values(out);
  return Tensor(std::move(out));
}

Tensor linspace(std::complex<double> start, std::complex<double> end, int64_t steps, DType dtype) {
  Tensor out = progression("linspace", steps, dtype);
  fill_linspace(out.array(), start, end);
  constant_values(out.array());
  return out;
}

Tensor logspace(std::complex<double> start, std::complex<double> end, int64_t steps, double base,
                DType dtype) {
  Tensor out = progression("logspace", steps, dtype);
  fill_logspace(out.array(), start, end, base);
  constant_values(out.array());
  return out;
}

Tensor eye(int64_t rows, int64_t columns, DType dtype) {
  FG_CHECK(rows >= 0, "n must be greater or equal to 0, got ", rows);
  FG_CHECK(columns >= 0, "m must be greater or equal to 0, got ", columns);
  Array out = Array::zeros(Dims{rows, columns}, dtype);
  fill_eye(out);
  constant_values(out);
  return Tensor(std::move(out));
}

Tensor tril_indices(int64_t rows, int64_t columns, int64_t offset, DType dtype) {
  return triangle_indices("tril_indices", rows, columns, offset, true, dtype);
}

Tensor triu_indices(int64_t rows, int64_t columns, int64_t offset, DType dtype) {
  return triangle_indices("triu_indices", rows, columns, Wide{offset} - 1, false, dtype);
}

}  // namespace fastgrad
