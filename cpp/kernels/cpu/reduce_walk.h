// The walk of the reductions: brings lines of reduced elements, or rows of them, to a reducer.
//
// A reducer R has
//   In, Acc             the element type it computes in, and what it accumulates
//   kOrdered            whether an element's place matters (argmax) or dimensions may be reordered
//   empty()             the Acc of no elements
//   block(p, n, first)  the Acc of n > 0 contiguous elements, the first of which has index `first`
//   merge(a, b)         a's elements came before b's
// and one of
//   rows(row, n, m, first, acc)  acc[j] is the Acc of row[0][j] ... row[n - 1][j], for j < m and
//                                0 < n <= kReduceRows; row[0] has index `first`
//   row(acc, p, m, i)            acc[j] takes in p[j] for j < m, all of index i
// and may have
//   lines(p, step, count, n, acc)  acc[i] is the Acc of the n contiguous elements at p + i * step,
//                                  where their places do not matter
//   chunk(p)            the Acc of kReduceChunk contiguous elements
//   few_columns(p, n, columns, acc)  acc[j] is the Acc of p[j], p[j + columns] ... of n elements, a
//                                    multiple of `columns`, which is a power of two and fills 64
//                                    bytes at most, as the elements do at least
//   kWholeLine          from how many elements on lines(), of contiguous ones, is faster than tiles
//                       of short ones side by side
//   unfold(acc, fold, columns)   after rows of fold * columns elements have been taken for one:
//                                turns their indices into those of rows of `columns` elements
//   kSerial             it keeps something in this thread's variables
//
// There is one walk, which sees of a reducer what ReducerTable says: reducers are many, and a walk
// for each would be most of the library.
//
// Large reductions run on several threads, cut where the tree has a joint, so that neither cutting
// nor the number of threads changes it.
#pragma once

#include <algorithm>
#include <memory>
#include <type_traits>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/reduce.h"

namespace fastgrad {

// Rows that are reduced in a line before pairwise merging.
inline constexpr int64_t kReduceRows = 64;
// What one thread takes of a long reduction: a whole subtree.
inline constexpr int64_t kReduceChunk = 64 * kReduceBlock;
// Bytes of the largest accumulator.
inline constexpr int64_t kMostAcc = 24;

// A reducer for the walk: Accs and elements are bytes to it.
struct ReducerTable {
  DType compute;  // the elements' type
  int64_t size;   // of an Acc
  bool ordered, serial;
  void (*empty)(void* acc);
  // acc[i] is the Acc of n elements at p + i * step bytes, whose first one has index
  // first + i * next.
  void (*lines)(const char* p, int64_t step, int64_t count, int64_t n, int64_t first, int64_t next,
                void* acc);
  void (*rows)(const void* const* row, int64_t n, int64_t m, int64_t first, void* acc);
  // to[j] = merge(a[j], b[j]), j < m; `to` may be either of them.
  void (*merge)(const void* a, const void* b, void* to, int64_t m);
  // acc[0] becomes what n > 0 of them come to: neighbours are merged until one is left, the last
  // of an odd number as it is.
  void (*merge_all)(void* acc, int64_t n);
  // Null where there is none.
  void (*chunk)(const void* p, void* acc);
  void (*few_columns)(const void* p, int64_t n, int64_t columns, void* acc);
  void (*unfold)(void* acc, int64_t fold, int64_t columns);
  int64_t whole_line;
};

// Takes what comes out: acc[i] is that of output first + i * step, i < m.
struct ReduceStore {
  void* self;
  void (*put)(void* self, int64_t first, int64_t step, const void* acc, int64_t m);
};

// Whether all of x is one line of that type.
inline bool reduces_one_line(const Array& x, DimSet dims, DType compute) {
  return x.dtype == compute && x.contiguous &&
         (x.ndim() == 0 || dims == (~DimSet{0} >> (64 - x.ndim())));
}
// Calls store for every output, on several threads at once. x may have any type; elements are
// converted where it has another one than the reducer.
void reduce_walk(const Array& x, DimSet dims, const ReducerTable& reducer, ReduceStore store);

namespace {

template <class R>
struct ReducerCalls {
  using In = typename R::In;
  using Acc = typename R::Acc;
  static_assert(sizeof(Acc) <= kMostAcc && std::is_trivially_copyable_v<Acc>);

  static void empty(void* acc) { *static_cast<Acc*>(acc) = R::empty(); }
  static void lines(const char* p, int64_t step, int64_t count, int64_t n, int64_t first,
                    int64_t next, void* acc) {
    Acc* to = static_cast<Acc*>(acc);
    const In* from = reinterpret_cast<const In*>(p);
    if constexpr (requires { R::lines(from, step, count, n, to); }) {
      R::lines(from, step / static_cast<int64_t>(sizeof(In)), count, n, to);
    } else {
      for (int64_t i = 0; i < count; ++i)
        to[i] = R::block(reinterpret_cast<const In*>(p + i * step), n, first + i * next);
    }
  }
  static void rows(const void* const* row, int64_t n, int64_t m, int64_t first, void* acc) {
    Acc* to = static_cast<Acc*>(acc);
    const In* const* in = reinterpret_cast<const In* const*>(row);
    if constexpr (requires { R::rows(in, n, m, first, to); }) {
      R::rows(in, n, m, first, to);
    } else {
      std::fill_n(to, m, R::empty());
      for (int64_t i = 0; i < n; ++i) R::row(to, in[i], m, first + i);
    }
  }
  static void merge(const void* a, const void* b, void* to, int64_t m) {
    const Acc *x = static_cast<const Acc*>(a), *y = static_cast<const Acc*>(b);
    Acc* z = static_cast<Acc*>(to);
    for (int64_t j = 0; j < m; ++j) z[j] = R::merge(x[j], y[j]);
  }
  static void merge_all(void* acc, int64_t n) {
    Acc* a = static_cast<Acc*>(acc);
    for (; n > 1; n = (n + 1) / 2) {
      for (int64_t i = 0; i < n / 2; ++i) a[i] = R::merge(a[2 * i], a[2 * i + 1]);
      if (n % 2) a[n / 2] = a[n - 1];
    }
  }
  static constexpr ReducerTable table() {
    ReducerTable t{dtype_of<In>, sizeof(Acc), R::kOrdered, false,   empty,   lines, rows,
                   merge,        merge_all,   nullptr,     nullptr, nullptr, 0};
    if constexpr (requires { R::kWholeLine; }) t.whole_line = R::kWholeLine;
    if constexpr (requires { R::kSerial; }) t.serial = true;
    if constexpr (requires(const In* p) { R::chunk(p); })
      t.chunk = [](const void* p, void* acc) {
        *static_cast<Acc*>(acc) = R::chunk(static_cast<const In*>(p));
      };
    if constexpr (requires(const In* p, Acc* acc) { R::few_columns(p, 0, 0, acc); })
      t.few_columns = [](const void* p, int64_t n, int64_t columns, void* acc) {
        R::few_columns(static_cast<const In*>(p), n, columns, static_cast<Acc*>(acc));
      };
    if constexpr (requires(Acc* acc) { R::unfold(acc, int64_t{}, int64_t{}); })
      t.unfold = [](void* acc, int64_t fold, int64_t columns) {
        R::unfold(static_cast<Acc*>(acc), fold, columns);
      };
    return t;
  }
};

// Calls store(output index, Acc) for every output.
template <class R, class Store>
void reduce_walk(const Array& x, DimSet dims, Store&& store) {
  using In = typename R::In;
  using Acc = typename R::Acc;
  if (x.numel <= kReduceBlock && reduces_one_line(x, dims, dtype_of<In>))
    return store(int64_t{0}, x.numel ? R::block(x.ptr<In>(), x.numel, 0) : R::empty());
  static constexpr ReducerTable reducer = ReducerCalls<R>::table();
  auto put = [](void* self, int64_t first, int64_t step, const void* acc, int64_t m) {
    auto to = *static_cast<std::remove_reference_t<Store>*>(self);  // bytes may alias no copy
    const Acc* a = static_cast<const Acc*>(acc);
    if (step == 1)
      for (int64_t i = 0; i < m; ++i) to(first + i, a[i]);
    else
      for (int64_t i = 0; i < m; ++i) to(first + i * step, a[i]);
  };
  reduce_walk(x, dims, reducer, {const_cast<void*>(static_cast<const void*>(&store)), put});
}

}  // namespace
}  // namespace fastgrad
