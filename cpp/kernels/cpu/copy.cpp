#include "kernels/copy.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <utility>

#include "base/isa.h"
#include "base/thread_pool.h"
#include "kernels/cpu/beside.h"
#include "kernels/cpu/cast_wide.h"
#include "kernels/cpu/prefetch.h"
#include "kernels/cpu/row_stream.h"
#include "kernels/cpu/short_lines.h"
#include "kernels/cpu/words.h"

namespace fastgrad {
namespace {

template <class From, class To>
To convert(From v) {
  constexpr bool from_half = std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>;
  constexpr bool to_half = std::is_same_v<To, Half> || std::is_same_v<To, BFloat16>;
  constexpr bool from_complex = is_complex(dtype_of<From>), to_complex = is_complex(dtype_of<To>);
  if constexpr (std::is_same_v<From, To>) {
    return v;
  } else if constexpr (from_half) {
    return convert<float, To>(static_cast<float>(v));
  } else if constexpr (from_complex && !to_complex) {
    if constexpr (std::is_same_v<To, bool>)
      return v != From(0);
    else
      return convert<typename From::value_type, To>(v.real());
  } else if constexpr (from_complex) {
    return To(static_cast<typename To::value_type>(v.real()),
              static_cast<typename To::value_type>(v.imag()));
  } else if constexpr (to_complex) {
    return To(static_cast<typename To::value_type>(v), 0);
  } else if constexpr (to_half) {
    return To(static_cast<float>(v));
  } else if constexpr (std::is_same_v<To, bool>) {
    return v != From(0);
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // Through int64 as x86 does it: NaN, inf and out-of-range values give its "indefinite"
    // integer instead of undefined behaviour.
    constexpr From limit = From(9223372036854775808.0);
    int64_t wide = v >= -limit && v < limit ? static_cast<int64_t>(v) : INT64_MIN;
    return static_cast<To>(wide);
  } else {
    return static_cast<To>(v);
  }
}

constexpr int64_t kWorthWide = 16;
const WideCastTable g_wide = [] {
  WideCastTable table;
  if (isa() >= Isa::Avx2) fill_wide_casts_avx2(table);
  if (isa() >= Isa::Avx512) fill_wide_casts_avx512(table);
  return table;
}();

// See Note [Prefetch].
void cast_wide(WideCast kernel, const char* src, int64_t from_size, char* dst, int64_t to_size,
               int64_t n) {
  constexpr int64_t kPiece = 256;
  if (n < 16 * kPiece || !gains_by_prefetch()) return kernel(src, dst, n);
  for (int64_t i = 0; i < n; i += kPiece) {
    const char *from = src + i * from_size, *next = from + kPiece * from_size;
    char *to = dst + i * to_size, *then = to + kPiece * to_size;
    for (int64_t b = 0; b < kPiece * from_size; b += kCacheLine) prefetch_line_to_read(next + b);
    for (int64_t b = 0; b < kPiece * to_size; b += kCacheLine) prefetch_line_to_write(then + b);
    kernel(from, to, std::min(kPiece, n - i));
  }
}

template <class From, class To>
void cast(const char* src, int64_t ss, char* dst, int64_t ds, int64_t n);

// Halves in steps: brought together first, then converted many at once.
void cast_steps(WideCast kernel, const char* src, int64_t ss, char* dst, int64_t to_size,
                int64_t n) {
  constexpr int64_t kPiece = 256;
  Half block[kPiece];  // or BFloat16: only moved
  char* together = reinterpret_cast<char*>(block);
  for (int64_t i = 0; i < n; i += kPiece) {
    const int64_t m = std::min(kPiece, n - i);
    cast<Half, Half>(src + i * ss * int64_t{sizeof(Half)}, ss, together, 1, m);
    kernel(together, dst + i * to_size, m);
  }
}

template <class From, class To>
void cast(const char* src, int64_t ss, char* dst, int64_t ds, int64_t n) {
  constexpr bool kFromHalf = std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>;
  const From* s = reinterpret_cast<const From*>(src);
  To* d = reinterpret_cast<To*>(dst);
  if (ss == 1 && ds == 1) {
    if constexpr (std::is_same_v<From, To>) {
      std::memmove(d, s, static_cast<size_t>(n) * sizeof(To));
      return;
    }
    const WideCast wide =
        g_wide.cast[static_cast<int>(dtype_of<From>)][static_cast<int>(dtype_of<To>)];
    if (wide && n >= kWorthWide)
      cast_wide(wide, src, sizeof(From), dst, sizeof(To), n);
    else
      for (int64_t i = 0; i < n; ++i) d[i] = convert<From, To>(s[i]);
  } else if (std::is_same_v<From, To> && (sizeof(From) == 4 || sizeof(From) == 8) && ss >= 2 &&
             ss <= kMostPicked && ds == 1 && n >= kWorthWide) {
    pick_kernel(sizeof(From))(src, ss, dst, n);
  } else if (std::is_same_v<From, To> && ss == 2 && ds == 1) {  // a number that the compiler knows
    for (int64_t i = 0; i < n; ++i) d[i] = convert<From, To>(s[2 * i]);
  } else if (ss == 0 && ds == 1) {
    const To value = convert<From, To>(*s);
    repeat_word(reinterpret_cast<const char*>(&value), sizeof(To), dst, n * int64_t{sizeof(To)});
  } else if (ss == -1 && ds == 1) {
    if constexpr (std::is_same_v<From, To> && sizeof(From) <= 8) {
      turn_kernel(sizeof(From))(src, dst, n);
      return;
    }
    for (int64_t i = 0; i < n; ++i) d[i] = convert<From, To>(s[-i]);
  } else if (std::is_same_v<From, To> && ds == 1) {
    int64_t i = 0;
    for (; i + 4 <= n; i += 4, s += 4 * ss) {  // loads first: the compiler fears that d is s
      const From a = s[0], b = s[ss], c = s[2 * ss], e = s[3 * ss];
      d[i] = convert<From, To>(a);
      d[i + 1] = convert<From, To>(b);
      d[i + 2] = convert<From, To>(c);
      d[i + 3] = convert<From, To>(e);
    }
    for (; i < n; ++i, s += ss) d[i] = convert<From, To>(*s);
  } else {
    if constexpr (kFromHalf && !std::is_same_v<From, To>) {
      const WideCast wide =
          g_wide.cast[static_cast<int>(dtype_of<From>)][static_cast<int>(dtype_of<To>)];
      if (wide && ds == 1 && n >= kWorthWide) return cast_steps(wide, src, ss, dst, sizeof(To), n);
    }
    for (int64_t i = 0; i < n; ++i) d[i * ds] = convert<From, To>(s[i * ss]);
  }
}

template <class From>
CastKernel cast_from(DType to) {
  switch (to) {
#define X(id, type, ...) \
  case DType::id:        \
    return cast<From, type>;
    FG_FOR_EACH_DTYPE(X)
#undef X
  }
  return nullptr;
}

}  // namespace

CastKernel cast_kernel(DType from, DType to) {
  switch (from) {
#define X(id, type, ...) \
  case DType::id:        \
    return cast_from<type>(to);
    FG_FOR_EACH_DTYPE(X)
#undef X
  }
  return nullptr;
}

StridedCursor::StridedCursor(DimSpan shape, DimSpan strides, int64_t start)
    : shape_(shape),
      strides_(strides),
      index_(shape.size(), 0),
      ndim_(static_cast<int64_t>(shape.size())) {
  for (int64_t d = ndim_ - 1; d >= 0 && start > 0; --d) {
    index_[d] = start % shape_[d];
    start /= shape_[d];
    offset_ += index_[d] * strides_[d];
  }
}

void StridedCursor::step(int64_t run) {
  int64_t d = ndim_ - 1;
  index_[d] += run;
  offset_ += run * strides_[d];
  while (d > 0 && index_[d] == shape_[d]) {
    offset_ += strides_[d - 1] - shape_[d] * strides_[d];
    index_[d] = 0;
    ++index_[--d];
  }
}

CollapsedDims collapse(DimSpan shape, std::span<const Array* const> arrays) {
  CollapsedDims c;
  c.strides.resize(arrays.size());
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    bool merge = !c.shape.empty();
    for (size_t k = 0; merge && k < arrays.size(); ++k)
      merge = c.strides[k].back() == arrays[k]->strides[i] * shape[i];
    if (merge) {
      c.shape.back() *= shape[i];
      for (size_t k = 0; k < arrays.size(); ++k) c.strides[k].back() = arrays[k]->strides[i];
    } else {
      c.shape.push_back(shape[i]);
      for (size_t k = 0; k < arrays.size(); ++k) c.strides[k].push_back(arrays[k]->strides[i]);
    }
  }
  return c;
}

namespace {

constexpr int64_t kCopyGrain = 65536;  // elements

void copy_contiguous(CastKernel kernel, const Array& src, const Array& dst) {
  const char* from = src.data;
  char* to = dst.data;
  const auto from_size = static_cast<int64_t>(src.itemsize()),
             to_size = static_cast<int64_t>(dst.itemsize());
  parallel_for(dst.numel, kCopyGrain, [=](int64_t begin, int64_t end) {
    kernel(from + begin * from_size, 1, to + begin * to_size, 1, end - begin);
  });
}

// Two strided arrays of one shape, walked in the order of the second one's memory.
struct CopyPlan {
  Dims shape, from, to;  // strides in bytes

  CopyPlan(const Array& src, const Array& dst) {
    Dims order;
    for (int64_t d = 0; d < dst.ndim(); ++d) order.push_back(d);
    if (!dst.contiguous)
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return std::abs(dst.strides[a]) > std::abs(dst.strides[b]);
      });
    const auto from_size = static_cast<int64_t>(src.itemsize()),
               to_size = static_cast<int64_t>(dst.itemsize());
    for (int64_t d : order) {
      const int64_t n = dst.shape[d], f = src.strides[d] * from_size, t = dst.strides[d] * to_size;
      if (n == 1) continue;
      if (!shape.empty() && from.back() == f * n && to.back() == t * n) {
        shape.back() *= n;
        from.back() = f;
        to.back() = t;
      } else {
        shape.push_back(n);
        from.push_back(f);
        to.push_back(t);
      }
    }
  }
  void erase(size_t d) {
    shape.erase(d);
    from.erase(d);
    to.erase(d);
  }
  // Walks dimension d from its other end. Returns where that is, in bytes, in source and result.
  std::pair<int64_t, int64_t> turn(size_t d) {
    const int64_t f = (shape[d] - 1) * from[d], t = (shape[d] - 1) * to[d];
    from[d] = -from[d];
    to[d] = -to[d];
    return {f, t};
  }
  // Offsets in bytes of position `at`, counted in row-major order.
  void locate(int64_t at, int64_t& f, int64_t& t) const {
    f = t = 0;
    for (size_t d = shape.size(); d-- > 0; at /= shape[d]) {
      f += at % shape[d] * from[d];
      t += at % shape[d] * to[d];
    }
  }
};

// Elements in a register, where squares of registers can be transposed.
template <class Word>
constexpr int64_t kSquare = 1;
template <>
constexpr int64_t kSquare<uint32_t> = kBeside<uint32_t>;
template <>
constexpr int64_t kSquare<uint64_t> = kBeside<uint64_t>;

// Written out, so that it stays in registers without -O3.
template <class Word>
inline void transpose_square(const char* from, int64_t step, char* to, int64_t row_to) {
  using V = Beside<Word>;
  auto load = [&](int64_t i) {
    V v;
    std::memcpy(&v, from + i * step, sizeof(v));
    return v;
  };
  auto store = [&](int64_t i, V v) { std::memcpy(to + i * row_to, &v, sizeof(v)); };
  if constexpr (kSquare<Word> == 2) {
    const V a = load(0), b = load(1);
    store(0, __builtin_shufflevector(a, b, 0, 2));
    store(1, __builtin_shufflevector(a, b, 1, 3));
  } else {
    const V a = load(0), b = load(1), c = load(2), d = load(3);
    const V ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5),
            ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7),
            cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5),
            cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    store(0, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
    store(1, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
    store(2, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
    store(3, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
  }
}

// How many rows of the output are written at once: those of the source's cache line, or few.
template <class Word>
constexpr int64_t kRowsAtOnce =
    kSquare<Word> == 1 ? 4 : kCacheLine / static_cast<int64_t>(sizeof(Word));

// That many rows of the output, or fewer, from as many neighbours in each of n lines of the source.
template <class Word>
void transpose_rows(const char* from, int64_t step, char* to, int64_t row_to, int64_t rows,
                    int64_t n) {
  constexpr int64_t kSide = kSquare<Word>, kSize = sizeof(Word), kAhead = 2 * kCacheLine / kSize;
  auto copy_one = [&](int64_t r, int64_t j) {
    std::memcpy(to + r * row_to + j * kSize, from + j * step + r * kSize, kSize);
  };
  int64_t j = 0;
  for (; j + kSide <= n; j += kSide) {
    for (int64_t i = j + kAhead; i < std::min(n, j + kAhead + kSide); ++i)
      prefetch_line_to_read(from + i * step);
    int64_t r = 0;
    if constexpr (kSide > 1)
      for (; r + kSide <= rows; r += kSide)
        transpose_square<Word>(from + j * step + r * kSize, step, to + r * row_to + j * kSize,
                               row_to);
    for (; r < rows; ++r)
      for (int64_t i = 0; i < kSide; ++i) copy_one(r, j + i);
  }
  for (; j < n; ++j)
    for (int64_t r = 0; r < rows; ++r) copy_one(r, j);
}

// Lines of the source become columns of the output: of each line a cache line is read, and as many
// rows are written, which run along memory. Lines whose distance is a multiple of kConflict share a
// few places of the cache, which holds them not; they come through a tile of their own.
template <class Word>
void copy_transposed(const char* src, char* dst, CopyPlan plan, size_t dense) {
  constexpr int64_t kBand = 32, kConflict = 1024, kSize = sizeof(Word), kRows = kRowsAtOnce<Word>;
  const size_t last = plan.shape.size() - 1;
  const int64_t rows = plan.shape[dense], row_to = plan.to[dense];
  const int64_t lines = plan.shape[last], step = plan.from[last];
  const bool tiles = step % kConflict == 0;
  const int64_t side = row_to % kConflict == 0 ? std::min<int64_t>(8, kRows) : kRows;
  const int64_t at_once = tiles ? kBand : lines;
  plan.erase(last);
  plan.erase(dense);
  const int64_t bands = (rows + kBand - 1) / kBand, units = numel_of(plan.shape) * bands;
  const int64_t grain = std::max<int64_t>(1, kCopyGrain / (std::min(rows, kBand) * lines));
  parallel_for(units, grain, [&](int64_t begin, int64_t end) {
    for (int64_t u = begin; u < end; ++u) {
      int64_t f, t;
      plan.locate(u / bands, f, t);
      const int64_t first = u % bands * kBand, stop = std::min(rows, first + kBand);
      for (int64_t c = 0; c < lines; c += at_once) {
        const int64_t n = std::min(at_once, lines - c);
        const char* from = src + f + c * step + first * kSize;
        char* to = dst + t + c * kSize + first * row_to;
        Word tile[kBand * kBand];
        int64_t from_step = step;
        if (tiles) {
          for (int64_t j = 0; j < n; ++j)
            std::memcpy(tile + j * kBand, from + j * step,
                        static_cast<size_t>((stop - first) * kSize));
          from = reinterpret_cast<const char*>(tile);
          from_step = kBand * kSize;
        }
        for (int64_t r = 0; r < stop - first; r += side)
          transpose_rows<Word>(from + r * kSize, from_step, to + r * row_to, row_to,
                               std::min(side, stop - first - r), n);
      }
    }
  });
}

// Whether the plan is a transposition: a dimension before the last is dense in the source, forwards
// or backwards.
bool find_dense(const CopyPlan& plan, int64_t from_size, size_t& dense) {
  constexpr int64_t kWorthwhile = 8;
  const size_t last = plan.shape.size() - 1;
  if (plan.shape[last] < kWorthwhile || std::abs(plan.from[last]) <= from_size) return false;
  for (size_t d = 0; d < last; ++d)
    if (std::abs(plan.from[d]) == from_size && plan.shape[d] >= kWorthwhile) {
      dense = d;
      return true;
    }
  return false;
}

// Short lines: the dimension before the last is walked for each place of the last, by the piece, so
// that one call copies many elements and the pieces stay in the cache.
constexpr int64_t kShortLine = 8;
// Below this a call per row takes longer than the row.
constexpr int64_t kShortRow = 64, kShortRepeat = 1024;
void copy_across(CastKernel kernel, const Array& src, const Array& dst, CopyPlan& plan) {
  constexpr int64_t kPiece = 512;
  const size_t last = plan.shape.size() - 1;
  const auto from_size = static_cast<int64_t>(src.itemsize()),
             to_size = static_cast<int64_t>(dst.itemsize());
  const int64_t inner = plan.shape[last], from_step = plan.from[last], to_step = plan.to[last];
  const int64_t n = plan.shape[last - 1], from_row = plan.from[last - 1],
                to_row = plan.to[last - 1];
  plan.erase(last);
  plan.erase(last - 1);
  const int64_t pieces = (n + kPiece - 1) / kPiece, units = numel_of(plan.shape) * pieces;
  const int64_t grain = std::max<int64_t>(1, kCopyGrain / (std::min(n, kPiece) * inner));
  parallel_for(units, grain, [&](int64_t begin, int64_t end) {
    for (int64_t u = begin; u < end; ++u) {
      int64_t f, t;
      plan.locate(u / pieces, f, t);
      const int64_t first = u % pieces * kPiece, m = std::min(kPiece, n - first);
      for (int64_t j = 0; j < inner; ++j)
        kernel(src.data + f + first * from_row + j * from_step, from_row / from_size,
               dst.data + t + first * to_row + j * to_step, to_row / to_size, m);
    }
  });
}

// Short rows that are read from the last one to the first, each as one word: the pixels of a
// flipped image. False, and nothing done, where they are not, or no kernel turns such words.
bool turn_rows(const Array& src, const Array& dst, CopyPlan& plan) {
  constexpr int64_t kPiece = 8192, kFew = 8;
  const size_t last = plan.shape.size() - 1;
  const auto size = static_cast<int64_t>(src.itemsize());
  const int64_t word = plan.shape[last] * size, n = plan.shape[last - 1];
  if (plan.from[last] != size || plan.to[last] != size || plan.from[last - 1] != -word ||
      plan.to[last - 1] != word || n < kFew)
    return false;
  const TurnKernel turn = turn_kernel(static_cast<size_t>(word));
  if (!turn) return false;
  plan.erase(last);
  plan.erase(last - 1);
  const int64_t pieces = (n + kPiece - 1) / kPiece, units = numel_of(plan.shape) * pieces;
  const int64_t grain = std::max<int64_t>(1, kCopyGrain / std::min(n, kPiece));
  parallel_for(units, grain, [&](int64_t begin, int64_t end) {
    for (int64_t u = begin; u < end; ++u) {
      int64_t f, t;
      plan.locate(u / pieces, f, t);
      const int64_t first = u % pieces * kPiece;
      turn(src.data + f - first * word, dst.data + t + first * word, std::min(kPiece, n - first));
    }
  });
  return true;
}

}  // namespace

void copy_array(const Array& source, const Array& dst) {
  if (dst.numel == 0) return;
  Array src = source.shape == dst.shape ? source : source.expanded(dst.shape);
  bool same_place = src.data == dst.data && src.strides == dst.strides && src.dtype == dst.dtype;
  if (same_place) return;
  if (memory_overlaps(src, dst)) src = contiguous_copy(src);
  CastKernel kernel = cast_kernel(src.dtype, dst.dtype);
  if (src.contiguous && dst.contiguous) return copy_contiguous(kernel, src, dst);
  CopyPlan plan(src, dst);
  if (plan.shape.empty()) {
    kernel(src.data, 1, dst.data, 1, 1);
    return;
  }
  const auto from_size = static_cast<int64_t>(src.itemsize()),
             to_size = static_cast<int64_t>(dst.itemsize());
  size_t dense = 0;
  if (src.dtype == dst.dtype && plan.to.back() == to_size && find_dense(plan, from_size, dense)) {
    int64_t f = 0, t = 0;
    if (plan.from[dense] < 0) std::tie(f, t) = plan.turn(dense);
    auto run = [&]<class Word>(Word) {
      copy_transposed<Word>(src.data + f, dst.data + t, plan, dense);
    };
    return with_word(from_size, run);
  }
  const size_t last = plan.shape.size() - 1;
  const int64_t inner = plan.shape[last], from_step = plan.from[last] / from_size,
                to_step = plan.to[last] / to_size;
  if (last == 0) {  // one long line
    const char* from = src.data;
    char* to = dst.data;
    parallel_for(inner, kCopyGrain, [=](int64_t begin, int64_t end) {
      kernel(from + begin * from_step * from_size, from_step, to + begin * to_step * to_size,
             to_step, end - begin);
    });
    return;
  }
  if (src.dtype == dst.dtype && turn_rows(src, dst, plan)) return;
  if (inner < (from_step == 0 ? kShortRepeat : kShortRow) && dst.contiguous &&
      src.dtype == dst.dtype) {
    const RowLayout rows(src);
    parallel_for(dst.numel, kCopyGrain, [&](int64_t begin, int64_t end) {
      RowStream(rows, begin).copy(end - begin, dst.data + begin * to_size);
    });
    return;
  }
  if (inner < kShortLine && plan.shape[last - 1] >= 2 * kShortLine)
    return copy_across(kernel, src, dst, plan);
  plan.erase(last);
  const char* from = src.data;
  char* to = dst.data;
  const int64_t rows = dst.numel / inner;
  // Long rows that do not follow one another, in neither cache: Note [Prefetch].
  constexpr int64_t kLongRow = 1024, kFar = 1 << 21;
  const int64_t row_bytes = inner * from_size, next_row = plan.from.back();
  const bool ask = from_step == 1 && next_row != row_bytes && next_row != 0 &&
                   row_bytes >= kLongRow && dst.nbytes() >= kFar;
  parallel_for(rows, std::max<int64_t>(1, kCopyGrain / inner), [&](int64_t begin, int64_t end) {
    int64_t f, t;
    plan.locate(begin, f, t);
    SmallVector<int64_t, 8> index(last, 0);
    for (size_t d = last, at = static_cast<size_t>(begin); d-- > 0;) {
      const auto n = static_cast<size_t>(plan.shape[d]);
      index[d] = static_cast<int64_t>(at % n);
      at /= n;
    }
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t b = 0; ask && b < row_bytes; b += kCacheLine)
        prefetch_line_to_read(from + f + next_row + b);
      kernel(from + f, from_step, to + t, to_step, inner);
      for (size_t d = last; d-- > 0;) {
        f += plan.from[d];
        t += plan.to[d];
        if (++index[d] < plan.shape[d]) break;
        f -= plan.shape[d] * plan.from[d];
        t -= plan.shape[d] * plan.to[d];
        index[d] = 0;
      }
    }
  });
}

Array contiguous_copy(const Array& src, DType dtype) {
  Array out = Array::empty(src.shape, dtype);
  if (src.contiguous)
    copy_contiguous(cast_kernel(src.dtype, dtype), src, out);
  else
    copy_array(src, out);
  return out;
}

Array as_contiguous(const Array& src, DType dtype) {
  return src.contiguous && src.dtype == dtype ? src : contiguous_copy(src, dtype);
}

}  // namespace fastgrad
