#include "kernels/resample.h"

#include <algorithm>
#include <cstring>

#include "base/thread_pool.h"
#include "kernels/cpu/beside.h"

namespace fastgrad {

SparseRows SparseRows::transposed() const {
  SparseRows t;
  t.columns = rows();
  t.start.assign(static_cast<size_t>(columns) + 1, 0);
  for (int32_t i : index) ++t.start[static_cast<size_t>(i) + 1];
  for (size_t c = 0; c < static_cast<size_t>(columns); ++c) t.start[c + 1] += t.start[c];
  std::vector<int64_t> next(t.start.begin(), t.start.end() - 1);
  t.index.resize(index.size());
  t.weight.resize(index.size());
  for (int64_t r = 0; r < rows(); ++r)
    for (int64_t k = start[static_cast<size_t>(r)]; k < start[static_cast<size_t>(r) + 1]; ++k) {
      auto from = static_cast<size_t>(k);
      auto to = static_cast<size_t>(next[static_cast<size_t>(index[from])]++);
      t.index[to] = static_cast<int32_t>(r);
      t.weight[to] = selects() ? 1.0 : weight[from];
    }
  return t;
}

namespace {

// ---- rows and columns that are chosen

template <class T>
void choose(const SparseRows* high, const SparseRows* wide, int64_t width, const T* x, T* y) {
  const int64_t rows = high->rows(), out = wide ? wide->rows() : width;
  const int32_t *row = high->index.data(), *column = wide ? wide->index.data() : nullptr;
  for (int64_t r = 0; r < rows; ++r, y += out) {
    if (r > 0 && row[r] == row[r - 1]) {
      std::memcpy(static_cast<void*>(y), y - out, static_cast<size_t>(out) * sizeof(T));
      continue;
    }
    const T* from = x + row[r] * width;
    if (!column) {
      std::memcpy(static_cast<void*>(y), from, static_cast<size_t>(out) * sizeof(T));
      continue;
    }
    for (int64_t o = 0; o < out; ++o) y[o] = from[column[o]];
  }
}

// ---- weighted sums

template <class T>
struct Weights {
  const int64_t* start;
  const int32_t* index;
  std::vector<T> weight;
  int64_t rows, columns;
  int64_t each;  // entries of every row, where they are 2 or 4; else 0

  explicit Weights(const SparseRows& m)
      : start(m.start.data()),
        index(m.index.data()),
        weight(m.weight.begin(), m.weight.end()),
        rows(m.rows()),
        columns(m.columns) {
    if (weight.empty()) weight.assign(m.index.size(), T(1));
    each = rows ? start[1] : 0;
    for (int64_t r = 1; r < rows; ++r)
      if (start[r + 1] - start[r] != each) each = 0;
    if (each != 2 && each != 4) each = 0;
  }
};

template <int64_t kEach, class T>
void sum_columns(const Weights<T>& m, const Beside<T>* x, T* y) {
  const T* weight = m.weight.data();
  make_columns(y, m.rows, m.rows, kBeside<T>, [&](int64_t o) {
    Beside<T> total;
    if constexpr (kEach > 0) {
      const int32_t* index = m.index + o * kEach;
      total = x[index[0]] * weight[o * kEach];
      for (int64_t k = 1; k < kEach; ++k) total += x[index[k]] * weight[o * kEach + k];
    } else {
      total = Beside<T>{};
      for (int64_t k = m.start[o]; k < m.start[o + 1]; ++k) total += x[m.index[k]] * weight[k];
    }
    return total;
  });
}

// y = x wide^T for rows of x.
template <class T>
void widen(const Weights<T>& m, const T* x, int64_t rows, T* y) {
  const auto beside = make_beside<T>(rows >= kBeside<T> ? m.columns : 0);
  int64_t r = 0;
  for (; r + kBeside<T> <= rows;
       r += kBeside<T>, x += kBeside<T> * m.columns, y += kBeside<T> * m.rows) {
    for_columns(x, m.columns, m.columns, kBeside<T>,
                [&](int64_t i, Beside<T> v) { beside[i] = v; });
    if (m.each == 2)
      sum_columns<2>(m, beside.get(), y);
    else if (m.each == 4)
      sum_columns<4>(m, beside.get(), y);
    else
      sum_columns<0>(m, beside.get(), y);
  }
  for (; r < rows; ++r, x += m.columns, y += m.rows)
    for (int64_t o = 0; o < m.rows; ++o) {
      T total = 0;
      for (int64_t k = m.start[o]; k < m.start[o + 1]; ++k)
        total += x[m.index[k]] * m.weight[static_cast<size_t>(k)];
      y[o] = total;
    }
}

// y = high x, by rows.
template <class T>
void heighten(const Weights<T>& m, const T* x, int64_t width, T* __restrict y) {
  for (int64_t r = 0; r < m.rows; ++r, y += width) {
    int64_t k = m.start[r];
    const int64_t end = m.start[r + 1];
    auto row = [&](int64_t i) { return x + m.index[i] * width; };
    auto weight = [&](int64_t i) { return m.weight[static_cast<size_t>(i)]; };
    bool begun = false;
    for (; end - k >= 2; k += 2, begun = true) {
      const T *a = row(k), *b = row(k + 1), u = weight(k), v = weight(k + 1);
      if (begun)
        for (int64_t i = 0; i < width; ++i) y[i] += a[i] * u + b[i] * v;
      else
        for (int64_t i = 0; i < width; ++i) y[i] = a[i] * u + b[i] * v;
    }
    if (k < end) {
      const T *a = row(k), u = weight(k);
      if (begun)
        for (int64_t i = 0; i < width; ++i) y[i] += a[i] * u;
      else
        for (int64_t i = 0; i < width; ++i) y[i] = a[i] * u;
    } else if (!begun) {
      std::fill_n(y, width, T(0));
    }
  }
}

template <class T>
void weigh(const SparseRows* high, const SparseRows* wide, int64_t width, int64_t planes,
           const T* x, T* y) {
  if (!high) {
    const Weights<T> m(*wide);
    const int64_t grain =
        std::max<int64_t>(kParallelGrain / std::max<int64_t>(m.rows, 1) / kBeside<T>, 1) *
        kBeside<T>;
    parallel_for(planes, grain, [&](int64_t begin, int64_t end) {
      widen(m, x + begin * m.columns, end - begin, y + begin * m.rows);
    });
    return;
  }
  const Weights<T> h(*high);
  const int64_t out = wide ? wide->rows() : width;
  const int64_t from = h.columns * width, to = h.rows * out;
  const int64_t grain = std::max<int64_t>(kParallelGrain / std::max<int64_t>(to, 1), 1);
  if (!wide) {
    parallel_for(planes, grain, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) heighten(h, x + p * from, width, y + p * to);
    });
    return;
  }
  const Weights<T> w(*wide);
  // The smaller of the two planes in between.
  const bool wide_first = h.columns * out <= h.rows * width;
  parallel_for(planes, grain, [&](int64_t begin, int64_t end) {
    std::vector<T> between(static_cast<size_t>(wide_first ? h.columns * out : h.rows * width));
    for (int64_t p = begin; p < end; ++p) {
      if (wide_first) {
        widen(w, x + p * from, h.columns, between.data());
        heighten(h, between.data(), out, y + p * to);
      } else {
        heighten(h, x + p * from, width, between.data());
        widen(w, between.data(), h.rows, y + p * to);
      }
    }
  });
}

struct Bytes16 {
  uint64_t part[2];
};
template <class F>
void with_bytes(size_t size, F&& f) {
  if (size == 1) return f(uint8_t{});
  if (size == 2) return f(uint16_t{});
  if (size == 4) return f(uint32_t{});
  if (size == 8) return f(uint64_t{});
  f(Bytes16{});
}

}  // namespace

void resample(const SparseRows* high, const SparseRows* wide, int64_t width, const Array& x,
              const Array& y) {
  if (y.numel == 0) return;
  const int64_t plane = (high ? high->columns : 1) * width, planes = x.numel / plane;
  if ((!high || high->selects()) && (!wide || wide->selects())) {
    SparseRows one;  // of images without rows
    one.columns = 1;
    one.index.push_back(0);
    one.end_row();
    const SparseRows* rows = high ? high : &one;
    const int64_t out = y.numel / planes;
    with_bytes(x.itemsize(), [&]<class T>(T) {
      parallel_for(planes, std::max<int64_t>(kParallelGrain / out, 1),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t p = begin; p < end; ++p)
                       choose(rows, wide, width, x.ptr<T>() + p * plane, y.ptr<T>() + p * out);
                   });
    });
    return;
  }
  dispatch_float(y.dtype, "interpolate",
                 [&]<class T>(T) { weigh(high, wide, width, planes, x.ptr<T>(), y.ptr<T>()); });
}

}  // namespace fastgrad
