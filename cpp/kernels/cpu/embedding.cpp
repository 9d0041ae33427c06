// Rows of tables, and the sums of bags of them.
#include "kernels/embedding.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/isa.h"
#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/bag_lines.h"
#include "kernels/elementwise.h"

namespace fastgrad {
namespace {

// Rows of `width` elements behind the numbers in index, with 1 / (times that the number occurs).
struct RowNumbers {
  Array index;
  std::vector<double> factor;  // per row of the table; empty: all 1
  int64_t rows, skip;
  RowNumbers(const Array& i, int64_t table_rows, int64_t skip_row, bool by_count)
      : index(as_contiguous(i, DType::Int64)), rows(table_rows), skip(skip_row) {
    const int64_t* p = index.ptr<int64_t>();
    int64_t outside = 0;  // negative
    for (int64_t k = 0; k < index.numel; ++k) outside |= p[k] | (rows - 1 - p[k]);
    for (int64_t k = 0; k < index.numel && outside < 0; ++k)
      FG_CHECK_INDEX(static_cast<uint64_t>(p[k]) < static_cast<uint64_t>(rows),
                     "index out of range in self: ", p[k], " in a table of ", rows,
                     " rows (in embedding)");
    if (!by_count) return;
    factor.assign(static_cast<size_t>(rows), 0);
    for (int64_t k = 0; k < index.numel; ++k) ++factor[static_cast<size_t>(p[k])];
    for (double& f : factor) f = f > 0 ? 1 / f : 1;
  }
};

}  // namespace

void embedding(const Array& table, const Array& index, int64_t skip, bool by_count,
               const Array& out) {
  RowNumbers numbers(index, table.shape[0], skip, by_count);
  if (out.numel == 0) return;
  Array from = as_contiguous(table);
  int64_t width = numel_of(DimSpan(table.shape.begin() + 1, table.shape.end()));
  size_t bytes = static_cast<size_t>(width) * table.itemsize();
  const int64_t* p = numbers.index.ptr<int64_t>();
  const int64_t grain = std::max<int64_t>(1, kParallelGrain / width);
  parallel_for(numbers.index.numel, grain, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      char* to = out.data + static_cast<size_t>(k) * bytes;
      if (p[k] == skip)
        std::memset(to, 0, bytes);
      else
        std::memcpy(to, from.data + static_cast<size_t>(p[k]) * bytes, bytes);
    }
  });
  if (!by_count) return;
  with_compute_type(out, [&](const Array& wide) {
    if (wide.dtype != out.dtype) copy_array(out, wide);
    dispatch_float(wide.dtype, "embedding", [&]<class T>(T) {
      parallel_for(numbers.index.numel, grain, [&](int64_t begin, int64_t end) {
        for (int64_t k = begin; k < end; ++k) {
          const T factor = static_cast<T>(numbers.factor[static_cast<size_t>(p[k])]);
          for (int64_t i = k * width; i < (k + 1) * width; ++i) wide.ptr<T>()[i] *= factor;
        }
      });
    });
  });
}

void embedding_adjoint(const Array& g, const Array& index, int64_t skip, bool by_count,
                       const Array& out) {
  RowNumbers numbers(index, out.shape[0], skip, by_count);
  with_compute_type(out, [&](const Array& wide) {
    if (wide.numel == 0) return;
    parallel_for(wide.nbytes(), 8 * kParallelGrain, [&](int64_t begin, int64_t end) {
      std::memset(wide.data + begin, 0, static_cast<size_t>(end - begin));
    });
    Array from = as_contiguous(g, wide.dtype);
    int64_t width = numel_of(DimSpan(out.shape.begin() + 1, out.shape.end()));
    const int64_t* p = numbers.index.ptr<int64_t>();
    // Shared out by columns: rows that meet in one place stay on one thread, in order.
    constexpr int64_t kColumns = 64;
    const int64_t count = numbers.index.numel;
    const int64_t grain = std::max(kColumns, kParallelGrain / std::max<int64_t>(1, count));
    dispatch_float(wide.dtype, "embedding", [&]<class T>(T) {
      parallel_for(width, grain, [&](int64_t begin, int64_t end) {
        for (int64_t k = 0; k < count; ++k) {
          if (p[k] == skip) continue;
          T factor = by_count ? static_cast<T>(numbers.factor[static_cast<size_t>(p[k])]) : T(1);
          const T* row = from.ptr<T>() + k * width;
          T* to = wide.ptr<T>() + p[k] * width;
          for (int64_t i = begin; i < end; ++i) to[i] += row[i] * factor;
        }
      });
    });
  });
}

namespace {

// Of a line of `size` numbers, bag k are those from ends[k] to ends[k + 1].
Array checked_ends(const Array& given, int64_t size) {
  const Array ends = as_contiguous(given, DType::Int64);
  const int64_t* e = ends.ptr<int64_t>();
  FG_CHECK(e[0] == 0 || ends.numel == 1,
           "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
           "position 0. However, got ",
           e[0]);
  FG_CHECK(std::is_sorted(e, e + ends.numel) && e[ends.numel - 1] == size,
           "embedding_bag: the offsets must ascend to the input's length ", size,
           " at most, and end with it where the last one is included");
  return ends;
}

const BagTable& bag_table() {
  if (isa() >= Isa::Avx512 && kBagsAvx512.f32.sum) return kBagsAvx512;
  return isa() >= Isa::Avx2 && kBagsAvx2.f32.sum ? kBagsAvx2 : kBagsBaseline;
}

}  // namespace

void embedding_bag(const Array& table, const Array& index, const Array* given_ends,
                   const Array* factors, const Array& out) {
  RowNumbers numbers(index, table.shape[0], -1, false);
  const Array ends = given_ends ? checked_ends(*given_ends, index.numel) : Array();
  if (out.numel == 0) return;
  const int64_t width = numel_of(DimSpan(table.shape).subspan(1)), count = out.numel / width;
  const int64_t each = index.numel / count;  // on average
  const Array from = as_contiguous(table);
  const bool far = from.nbytes() > int64_t{1} << 19;  // from the near caches
  const Array scales = factors ? as_contiguous(*factors) : Array();
  dispatch_float(out.dtype, "embedding_bag", [&]<class T>(T) {
    const T* rows = from.ptr<T>();
    const auto sum = bag_table()(T{}).sum;
    const int64_t grain = kParallelGrain / (width * std::max<int64_t>(1, each));
    parallel_for(count, std::max<int64_t>(1, grain), [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        const int64_t first = given_ends ? ends.ptr<int64_t>()[k] : k * each;
        const int64_t n = given_ends ? ends.ptr<int64_t>()[k + 1] - first : each;
        const int64_t* p = numbers.index.ptr<int64_t>() + first;
        const T* f = factors ? scales.ptr<T>() + first : nullptr;
        T* y = out.ptr<T>() + k * width;
        sum(rows, width, p, f, n, far ? index.numel - first : 0, y);
      }
    });
  });
}

}  // namespace fastgrad
