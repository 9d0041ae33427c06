#include "ops/positions.h"

#include <algorithm>
#include <cstring>

#include "base/thread_pool.h"
#include "core/conditions.h"
#include "core/memory.h"
#include "kernels/index.h"
#include "ops/index.h"

namespace fastgrad {
namespace {

void fill_coordinates(const Array& linear, DimSpan shape, const Array& out) {
  auto n = static_cast<int64_t>(shape.size());
  const int64_t* from = linear.ptr<int64_t>();
  int64_t* to = out.ptr<int64_t>();
  const int64_t width = n ? shape.back() : 1;
  parallel_for(n ? linear.numel : 0, kParallelGrain, [&](int64_t begin, int64_t end) {
    int64_t row_end = 0;  // divides only where a row of the shape ends
    for (int64_t i = begin; i < end; ++i) {
      int64_t* coordinates = to + i * n;
      if (from[i] >= row_end || i == begin) {
        int64_t left = from[i] / width;
        row_end = (left + 1) * width;
        for (int64_t d = n - 1; d-- > 0; left /= shape[static_cast<size_t>(d)])
          coordinates[d] = left % shape[static_cast<size_t>(d)];
      } else {
        for (int64_t d = 0; d < n - 1; ++d) coordinates[d] = coordinates[d - n];
      }
      coordinates[n - 1] = from[i] - (row_end - width);
    }
  });
}

void fill_one_hot(const Array& classes, const Array& out) {
  std::memset(out.data, 0, static_cast<size_t>(out.nbytes()));
  const int64_t n = out.shape.back();
  for (int64_t i = 0; i < classes.numel; ++i)
    out.ptr<int64_t>()[i * n + classes.ptr<int64_t>()[i]] = 1;
}

// Counts that do not fill `out` have changed meanwhile.
void fill_repeated(const Array& counts, const Array& out) {
  int64_t* to = out.ptr<int64_t>();
  int64_t* const end = to + out.numel;
  for (int64_t i = 0; i < counts.numel; ++i) {
    const int64_t n = counts.ptr<int64_t>()[i];
    FG_CHECK(n >= 0 && n <= end - to,
             "repeat_interleave: repeats have changed while they were read");
    to = std::fill_n(to, n, i);
  }
  FG_CHECK(to == end, "repeat_interleave: repeats have changed while they were read");
}

Array sorted_distinct(const Array& numbers) {
  Array sorted = contiguous_copy(numbers);
  int64_t* first = sorted.ptr<int64_t>();
  std::sort(first, first + sorted.numel);
  return contiguous_copy(sorted.narrowed(0, 0, std::unique(first, first + sorted.numel) - first));
}

const Primitive kRepeated = {"repeated_numbers", [](const Attrs&, Inputs in, std::span<Array> out) {
                               fill_repeated(*in[0], out[0]);
                             }};
const Primitive kDistinct = {
    "distinct_numbers", [](const Attrs&, Inputs in, std::span<Array> out) {
      Array found = sorted_distinct(*in[0]);
      FG_CHECK(found.numel == out[0].numel, "an index has changed while it was read");
      std::memcpy(out[0].data, found.data, static_cast<size_t>(found.nbytes()));
    }};
const Primitive kPositions = {
    "positions", [](const Attrs&, Inputs in, std::span<Array> out) {
      Array found = nonzero_linear(*in[0]);
      FG_CHECK(found.numel == out[0].numel, "a mask has changed while it was read");
      std::memcpy(out[0].data, found.data, static_cast<size_t>(found.nbytes()));
    }};
const Primitive kCoordinates = {"coordinates", [](const Attrs& a, Inputs in, std::span<Array> out) {
                                  fill_coordinates(*in[0], a.list(0), out[0]);
                                }};
const Primitive kOneHot = {
    "one_hot", [](const Attrs&, Inputs in, std::span<Array> out) { fill_one_hot(*in[0], out[0]); }};

// Reports memory that a primitive has made of one input.
void note(const Primitive& p, const Attrs& attrs, const Array& in, const Array& out) {
  Recorder* r = recorder();
  if (!r) return;
  const Array* inputs[] = {&in};
  r->fresh(out);
  r->primitive(p, attrs, inputs, {&out, 1});
}

}  // namespace

std::span<const Primitive* const> position_primitives() {
  static const Primitive* const kAll[] = {&kPositions, &kCoordinates, &kOneHot, &kRepeated,
                                          &kDistinct};
  return kAll;
}

Tensor positions_where(const Array& mask) {
  Array positions = nonzero_linear(mask);
  watch_condition(kSetCount, Attrs(positions.numel), mask, true);
  note(kPositions, {}, mask, positions);
  return Tensor(std::move(positions));
}

Tensor coordinates_of(const Tensor& linear, DimSpan shape) {
  Array out = Array::empty(Dims{linear.numel(), static_cast<int64_t>(shape.size())}, DType::Int64);
  fill_coordinates(linear.array(), shape, out);
  note(kCoordinates, Attrs().with(shape), linear.array(), out);
  return Tensor(std::move(out));
}

Tensor counted_from_front(const Array& index, int64_t size) {
  Array out = contiguous_copy(index, DType::Int64);
  int64_t* p = out.ptr<int64_t>();
  for (int64_t i = 0; i < out.numel; ++i) p[i] += (p[i] >> 63) & size;
  if (recorder()) [[unlikely]] {
    Array wide =
        index.dtype == DType::Int64 ? index : recorded::contiguous_copy(index, DType::Int64);
    note(index_first(), Attrs(size, int64_t{0}), wide, out);
  }
  return Tensor(std::move(out));
}

Tensor one_hot_rows(const Array& classes, int64_t num_classes) {
  Dims shape = classes.shape;
  shape.push_back(num_classes);
  Array out = Array::empty(shape, DType::Int64);
  fill_one_hot(classes, out);
  note(kOneHot, {}, classes, out);
  return Tensor(std::move(out));
}

Tensor repeated_numbers(const Array& counts, int64_t total) {
  Array rows = recorded::as_contiguous(counts, DType::Int64);
  Array out = Array::empty(Dims{total}, DType::Int64);
  fill_repeated(rows, out);
  watch_condition(kTotal, Attrs(total), rows, true);
  note(kRepeated, {}, rows, out);
  return Tensor(std::move(out));
}

Tensor distinct_numbers(const Array& numbers) {
  Array rows = recorded::as_contiguous(numbers);
  Array out = sorted_distinct(rows);
  watch_condition(kDistinctCount, Attrs(out.numel), rows, true);
  note(kDistinct, {}, rows, out);
  return Tensor(std::move(out));
}

void watch_largest(const Array& values, int64_t largest) {
  watch_range(values, 0, largest + 1);
  watch_condition(kInRange, Attrs(int64_t{0}, largest), values, false);
}

}  // namespace fastgrad
