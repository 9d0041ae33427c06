#include "kernels/pad.h"

#include <algorithm>
#include <cstring>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/row_copy.h"
#include "kernels/cpu/words.h"
#include "kernels/fill.h"

namespace fastgrad {
namespace {

// One dimension of the narrow array and of the wide one.
struct Side {
  PadRuns runs;
  int64_t narrow, stride, wide;  // sizes, and the stride of the narrow array in elements
};

bool is_whole(const Side& s) {
  return s.runs.size() == 1 && s.runs[0].from == 0 && s.runs[0].step == 1 &&
         s.runs[0].count == s.narrow;
}

// The dimensions, two at least; one that is not padded is taken together with the one before it
// where that has no runs but forward ones.
class Sides {
 public:
  Sides(const std::vector<PadRuns>& runs, DimSpan narrow, DimSpan strides) {
    for (size_t d = 0; d < runs.size(); ++d) {
      Side s{runs[d], narrow[d], strides[d], 0};
      for (const PadRun& r : s.runs) s.wide += r.count;
      push(s);
    }
    if (sides_.size() < 2) sides_.insert(0, Side{{{1, 0, 1}}, 1, 0, 1});
    rows_ = 1;
    for (size_t d = 0; d + 1 < sides_.size(); ++d) rows_ *= sides_[d].wide;
  }

  const Side& last() const { return sides_[sides_.size() - 1]; }
  int64_t rows() const { return rows_; }
  // Rows that lie in planes of the wide array of which nothing comes from another one of the
  // narrow array: these are the parts in which pad_adjoint() may go on several threads.
  int64_t rows_of_part() const { return is_whole(sides_[0]) ? rows_ / sides_[0].wide : rows_; }

  // Calls f(first row, place in the narrow array or kPadValue, places between rows, number of rows)
  // for rows [begin, end) of the wide array, along its last dimension.
  template <class F>
  void for_rows(int64_t begin, int64_t end, F&& f) const {
    const Side& rows = sides_[sides_.size() - 2];
    while (begin < end) {
      const int64_t plane = begin / rows.wide, first = begin % rows.wide,
                    stop = std::min(rows.wide, first + end - begin), place = place_of(plane);
      int64_t at = 0;
      for (const PadRun& r : rows.runs) {
        const int64_t a = std::max(at, first), b = std::min(at + r.count, stop);
        const bool value = place < 0 || r.from < 0;
        if (a < b)
          f(plane * rows.wide + a,
            value ? kPadValue : place + (r.from + (a - at) * r.step) * rows.stride,
            value ? 0 : r.step * rows.stride, b - a);
        at += r.count;
      }
      begin += stop - first;
    }
  }

 private:
  void push(const Side& s) {
    if (!sides_.empty() && is_whole(s)) {
      Side& back = sides_.back();
      const bool forward = std::all_of(back.runs.begin(), back.runs.end(),
                                       [](const PadRun& r) { return r.from < 0 || r.step == 1; });
      if (forward && back.stride == s.stride * s.narrow) {
        for (PadRun& r : back.runs) {
          r.count *= s.narrow;
          if (r.from >= 0) r.from *= s.narrow;
        }
        back.narrow *= s.narrow;
        back.wide *= s.narrow;
        back.stride = s.stride;
        return;
      }
    }
    sides_.push_back(s);
  }
  // Where a plane of the last two dimensions starts in the narrow array.
  int64_t place_of(int64_t plane) const {
    int64_t place = 0;
    for (size_t d = sides_.size() - 2; d-- > 0; plane /= sides_[d].wide) {
      int64_t o = plane % sides_[d].wide;
      size_t r = 0;
      for (; o >= sides_[d].runs[r].count; ++r) o -= sides_[d].runs[r].count;
      const PadRun& run = sides_[d].runs[r];
      if (run.from < 0) return kPadValue;
      place += (run.from + o * run.step) * sides_[d].stride;
    }
    return place;
  }

  SmallVector<Side, 4> sides_;
  int64_t rows_;
};

// How the rows of the last dimension are made. Most often one long run has something short on
// either side of it, and they are made one after the other: where values stand there, those between
// two rows are one gap. Otherwise few rows at a time are made run by run, so that they stay in the
// cache.
struct RowPlan {
  static constexpr int64_t kBlock = 16, kMostPlaces = 8;
  struct Place {
    int64_t to, from;
  };

  PadRun middle{0, 0, 1};     // the long run
  int64_t before = 0;         // places before it
  int64_t gap = 0;            // values between two long runs, if there is nothing else
  Place places[kMostPlaces];  // or what stands there, counted from the long run's first element
  int64_t num_places = 0;
  bool by_rows = false;

  RowPlan(const Side& last, int64_t size) {
    int64_t at = 0, values = 0;
    for (const PadRun& run : last.runs) {
      if (run.from < 0)
        values += run.count;
      else if (run.step == 1 && run.count > middle.count)
        middle = run, before = at;
      at += run.count;
    }
    const int64_t around = last.wide - middle.count;
    if (values == around)
      gap = around;
    else if (values == 0 && around <= kMostPlaces)
      add_places(last);
    by_rows = middle.count * size >= kBlock && gap + num_places > 0;
  }

 private:
  void add_places(const Side& last) {
    int64_t at = -before;
    for (const PadRun& run : last.runs)
      for (int64_t i = 0; i < run.count; ++i, ++at)
        if (at < 0 || at >= middle.count)
          places[num_places++] = {at, (run.from - middle.from + i * run.step) * last.stride};
  }
};

template <class Word>
class Filler {
 public:
  Filler(const Side& last, const RowPlan& plan, const Word* x, Word value, Word* y)
      : last_(last), plan_(plan), x_(x), y_(y), value_(value) {
    std::fill_n(block_, kBlock / kSize, value);
  }

  void operator()(int64_t row, int64_t place, int64_t step, int64_t count) const {
    Word* to = y_ + row * last_.wide;
    if (place < 0)
      std::fill_n(to, count * last_.wide, value_);
    else if (plan_.by_rows)
      make_rows(x_ + place, step, count, to);
    else
      make_runs(x_ + place, step, count, to);
  }

 private:
  static constexpr int64_t kSize = sizeof(Word), kBlock = RowPlan::kBlock;

  // What is written beyond a gap is less than a block, and the next row covers it; the last row has
  // none behind it.
  void make_rows(const Word* from, int64_t step, int64_t n, Word* to) const {
    const int64_t wide = last_.wide, count = plan_.middle.count, gap = plan_.gap;
    from += plan_.middle.from * last_.stride;
    if (gap > 0) std::fill_n(to, plan_.before, value_);
    to += plan_.before;
    with_row_copy<kSize>(count * kSize, [=, this, from = from, to = to](auto copy) mutable {
      for (int64_t left = n; left > 0; --left, from += step, to += wide) {
        copy(reinterpret_cast<const char*>(from), reinterpret_cast<char*>(to));
        for (int64_t i = 0; i < plan_.num_places; ++i)
          to[plan_.places[i].to] = from[plan_.places[i].from];
        if (left > 1)
          for (int64_t i = 0; i < gap; i += kBlock / kSize)
            std::memcpy(to + count + i, block_, kBlock);
      }
    });
    if (gap > 0) std::fill_n(to + (n - 1) * wide + count, gap - plan_.before, value_);
  }
  void make_runs(const Word* from, int64_t step, int64_t n, Word* to) const {
    constexpr int64_t kFew = 8192;  // bytes
    const int64_t few = std::max<int64_t>(1, kFew / (last_.wide * kSize));
    for (int64_t r = 0; r < n; r += few, from += few * step) {
      const int64_t m = std::min(few, n - r);
      Word* at = to + r * last_.wide;
      for (const PadRun& run : last_.runs) {
        make_run(run, from, step, m, at);
        at += run.count;
      }
    }
  }
  void make_run(const PadRun& run, const Word* from, int64_t step, int64_t n, Word* to) const {
    const int64_t wide = last_.wide;
    if (run.from < 0) {
      for (int64_t r = 0; r < n; ++r) std::fill_n(to + r * wide, run.count, value_);
    } else if (run.step == 1 && run.count * kSize > kBlock) {
      from += run.from * last_.stride;
      const auto bytes = static_cast<size_t>(run.count * kSize);
      for (int64_t r = 0; r < n; ++r) std::memcpy(to + r * wide, from + r * step, bytes);
    } else {
      for (int64_t i = 0; i < run.count; ++i) {
        const Word* source = from + (run.from + i * run.step) * last_.stride;
        for (int64_t r = 0; r < n; ++r) to[i + r * wide] = source[r * step];
      }
    }
  }

  const Side& last_;
  const RowPlan& plan_;
  const Word* x_;
  Word* y_;
  Word value_, block_[kBlock / kSize];
};

bool is_one_number(const Array& x) {
  return std::all_of(x.strides.begin(), x.strides.end(), [](int64_t s) { return s == 0; });
}

// x, its rows contiguous: where it is one number, a row that serves for all.
Array with_dense_rows(const Array& x) {
  if (x.ndim() > 0 && x.strides.back() == 1) return x;
  if (x.ndim() == 0 || !is_one_number(x)) return as_contiguous(x);
  const Array row = Array::empty(Dims{x.shape.back()}, x.dtype);
  copy_array(x.view(Dims{}, Dims{}), row);
  Dims strides(x.shape.size(), 0);
  strides.back() = 1;
  return row.view(x.shape, strides);
}

}  // namespace

void pad(const std::vector<PadRuns>& runs, const Array& x, double value, const Array& y) {
  if (y.numel == 0) return;
  const bool cuts = std::none_of(runs.begin(), runs.end(), [](const PadRuns& of_dim) {
    return std::any_of(of_dim.begin(), of_dim.end(), [](const PadRun& r) { return r.from < 0; });
  });
  if (cuts && is_one_number(x))
    return copy_array(x.view(y.shape, x.strides), y);  // one number: the gradient of a sum
  const Array from = with_dense_rows(x);
  const Sides sides(runs, from.shape, from.strides);
  const RowPlan plan(sides.last(), static_cast<int64_t>(y.itemsize()));
  Array one = Array::empty({}, y.dtype);
  fill_array(one, Scalar(value));
  with_word(static_cast<int64_t>(y.itemsize()), [&]<class Word>(Word) {
    Word fill;
    std::memcpy(&fill, one.data, sizeof fill);
    const Filler<Word> filler(sides.last(), plan, from.ptr<Word>(), fill, y.ptr<Word>());
    parallel_for(sides.rows(), std::max<int64_t>(1, kParallelGrain / sides.last().wide),
                 [&](int64_t begin, int64_t end) { sides.for_rows(begin, end, filler); });
  });
}

void pad_adjoint(const std::vector<PadRuns>& runs, const Array& gy, const Array& dx) {
  with_compute_type(dx, [&](const Array& out) {
    if (out.numel == 0) return;
    std::memset(out.data, 0, static_cast<size_t>(out.nbytes()));
    const Array from = as_contiguous(gy, out.dtype);
    if (from.numel == 0) return;
    const Sides sides(runs, out.shape, out.strides);
    const Side& last = sides.last();
    const int64_t rows = sides.rows_of_part();
    dispatch_float(out.dtype, "pad", [&]<class T>(T) {
      auto add = [&](int64_t row, int64_t place, int64_t step, int64_t count) {
        if (place < 0) return;
        for (int64_t r = 0; r < count; ++r) {
          const T* g = from.ptr<T>() + (row + r) * last.wide;
          T* to = out.ptr<T>() + place + r * step;
          for (const PadRun& run : last.runs) {
            if (run.step == 1)
              for (int64_t i = 0; i < run.count; ++i) to[run.from + i] += g[i];
            else if (run.from >= 0)
              for (int64_t i = 0; i < run.count; ++i) to[run.from + i * run.step] += g[i];
            g += run.count;
          }
        }
      };
      parallel_for(
          sides.rows() / rows, std::max<int64_t>(1, kParallelGrain / (rows * last.wide)),
          [&](int64_t begin, int64_t end) { sides.for_rows(begin * rows, end * rows, add); });
    });
  });
}

}  // namespace fastgrad
