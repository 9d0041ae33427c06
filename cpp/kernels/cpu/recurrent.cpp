#include "kernels/recurrent.h"

#include <cstring>

#include "base/long_work.h"
#include "base/thread_pool.h"
#include "kernels/cpu/packed_matrix.h"
#include "kernels/cpu/recurrent_lines.h"
#include "kernels/gemm.h"

namespace fastgrad {
namespace {

// From so many multiplications on, the sequences are shared among threads.
constexpr double kParallelProducts = 1 << 21;
// Products of fewer rows waste a part of the registers.
constexpr int64_t kLeastRows = 8;

struct Steps {
  explicit Steps(const RecurrentShape& s) : shape(s), offsets(s.sizes.size() + 1, 0) {
    for (size_t t = 0; t < s.sizes.size(); ++t) offsets[t + 1] = offsets[t] + s.sizes[t];
    count = static_cast<int64_t>(s.sizes.size());
    batch = s.sizes.empty() ? 0 : s.sizes[0];
  }
  int64_t rows() const { return offsets[static_cast<size_t>(count)]; }
  int64_t size(int64_t t) const { return shape.sizes[static_cast<size_t>(t)]; }
  int64_t offset(int64_t t) const { return offsets[static_cast<size_t>(t)]; }
  // The step that is walked as number i.
  int64_t at(int64_t i) const { return shape.reverse ? count - 1 - i : i; }
  // The row of a sequence at the step walked before t, or -1: it begins at t.
  int64_t before(int64_t t, int64_t sequence) const {
    int64_t p = shape.reverse ? t + 1 : t - 1;
    return p >= 0 && p < count && sequence < size(p) ? offset(p) + sequence : -1;
  }
  // Calls f(first, end) for bands of sequences, each on its thread.
  template <class F>
  void for_bands(F&& f) const {
    double work = static_cast<double>(rows() * shape.hidden) *
                  static_cast<double>(shape.hidden * shape.gates());
    LongWork long_work(work);
    int64_t bands = work >= kParallelProducts ? pool_size() : 1;
    int64_t band = ((batch + bands - 1) / bands + kLeastRows - 1) / kLeastRows * kLeastRows;
    parallel_for(batch, band, f);
  }

  const RecurrentShape& shape;
  SmallVector<int64_t, 16> offsets;
  int64_t count, batch;
};

// What the next step reads or writes, fetched during this one's product: a step's work on its gates
// would else wait for memory most of its time.
template <class T>
class NextRows {
 public:
  // The rows of sequences [first, end) at the step that is walked as number i, if there is one.
  NextRows(const Steps& steps, int64_t i, int64_t first, int64_t end) {
    if (i < 0 || i >= steps.count) return;
    const int64_t t = steps.at(i);
    begin_ = steps.offset(t) + first;
    rows_ = std::max<int64_t>(0, std::min(steps.size(t), end) - first);
  }
  // An array with so many elements in a row, or null.
  void add(const T* p, int64_t width) {
    if (!p || rows_ * width == 0) return;
    list_[count_] = {reinterpret_cast<const char*>(p + begin_ * width),
                     rows_ * width * static_cast<int64_t>(sizeof(T)), nullptr};
    if (count_ > 0) list_[count_ - 1].then = &list_[count_];
    ++count_;
  }
  const Upcoming* get() const { return count_ > 0 ? list_ : nullptr; }

 private:
  int64_t begin_ = 0, rows_ = 0;
  Upcoming list_[3];
  int count_ = 0;
};

template <class T>
void copy_row(T* to, const T* from, int64_t n) {
  std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
}

template <class T>
void forward(const Steps& steps, const Array& gates, const PackedMatrix<T>& across, const T* bias,
             T* hidden, T* cell, T* outputs, T* kept, T* scratch, int64_t first, int64_t end) {
  const RecurrentLines<T>& lines = recurrent_lines(T{});
  const RecurrentShape& s = steps.shape;
  const int64_t H = s.hidden, G = s.gates() * H, K = s.kept() * H;
  for (int64_t i = 0; i < steps.count; ++i) {
    int64_t t = steps.at(i), n = std::min(steps.size(t), end) - first;
    if (n <= 0) continue;
    int64_t row = steps.offset(t) + first;
    const T* x = gates.ptr<T>() + row * G;
    T *h = hidden + first * H, *y = outputs + row * H;
    T* k = kept ? kept + row * K : scratch + first * K;
    NextRows<T> next(steps, i + 1, first, end);
    next.add(gates.ptr<T>(), G);
    next.add(kept, K);
    switch (s.kind) {
      case RecurrentKind::Lstm:
        across.multiply(n, h, H, k, K, x, G, next.get());
        for (int64_t r = 0; r < n; ++r) lines.lstm(k + r * K, cell + (first + r) * H, h + r * H, H);
        break;
      case RecurrentKind::Gru: {
        T* u = scratch + steps.batch * K + first * G;
        across.multiply(n, h, H, u, G, bias, 0, next.get());
        for (int64_t r = 0; r < n; ++r) lines.gru(x + r * G, u + r * G, k + r * K, h + r * H, H);
        break;
      }
      default:
        across.multiply(n, h, H, y, H, x, H, next.get());
        (s.kind == RecurrentKind::Relu ? lines.relu : lines.tanh)(y, n * H);
        copy_row(h, y, n * H);
        continue;
    }
    copy_row(y, h, n * H);
  }
}

// dh of all sequences [first, end), back over the steps.
template <class T>
void backward(const Steps& steps, const RecurrentSaved& saved, const PackedMatrix<T>& back,
              const T* d_outputs, T* dh, T* dc, T* d_gates, T* d_hidden_gates, int64_t first,
              int64_t end) {
  const RecurrentLines<T>& lines = recurrent_lines(T{});
  const RecurrentShape& s = steps.shape;
  const int64_t H = s.hidden, G = s.gates() * H, K = s.kept() * H;
  const T *kept = saved.kept.ptr<T>(), *outputs = saved.outputs.ptr<T>();
  for (int64_t i = steps.count; i-- > 0;) {
    int64_t t = steps.at(i), n = std::min(steps.size(t), end) - first;
    if (n <= 0) continue;
    int64_t row = steps.offset(t) + first;
    T *d = dh + first * H, *da = d_gates + row * G;
    if (d_outputs)
      for (int64_t j = 0; j < n * H; ++j) d[j] += d_outputs[row * H + j];
    for (int64_t r = 0; r < n; ++r) {
      int64_t before = steps.before(t, first + r);
      switch (s.kind) {
        case RecurrentKind::Lstm:
          lines.lstm_grad(
              kept + (row + r) * K,
              before < 0 ? saved.cell->ptr<T>() + (first + r) * H : kept + before * K + 4 * H,
              d + r * H, dc + (first + r) * H, da + r * G, H);
          break;
        case RecurrentKind::Gru:
          lines.gru_grad(
              kept + (row + r) * K,
              before < 0 ? saved.hidden.ptr<T>() + (first + r) * H : outputs + before * H,
              d + r * H, da + r * G, d_hidden_gates + (row + r) * G, H);
          break;
        case RecurrentKind::Tanh:
          lines.tanh_grad(outputs + (row + r) * H, d + r * H, da + r * G, H);
          break;
        case RecurrentKind::Relu:
          lines.relu_grad(outputs + (row + r) * H, d + r * H, da + r * G, H);
          break;
      }
    }
    NextRows<T> next(steps, i - 1, first, end);
    next.add(d_outputs, H);
    next.add(kept, K);
    next.add(d_gates, G);
    bool direct = s.kind == RecurrentKind::Gru;  // dh has a part already
    back.multiply(n, direct ? d_hidden_gates + row * G : da, G, d, H, direct ? d : nullptr, H,
                  next.get());
  }
}

// d_weight = daᵀ·(the state before), over all rows.
void weight_grad(const Steps& steps, const RecurrentSaved& saved, const Array& da,
                 const Array& d_weight) {
  const RecurrentShape& s = steps.shape;
  int64_t size = static_cast<int64_t>(da.itemsize()), H = s.hidden, G = s.gates() * H;
  int64_t batch = steps.batch, rows = steps.rows();
  Matrix to{d_weight.data, G, H, H, 1};
  GemmOptions add;
  add.accumulate = true;
  if (rows == batch * steps.count) {  // all of one length: the outputs, one step apart
    int64_t rest = rows - batch, begun = s.reverse ? 0 : batch, begins = s.reverse ? rest : 0;
    gemm(da.dtype, Matrix{da.data + begun * G * size, rest, G, G, 1}.transposed(),
         Matrix{saved.outputs.data + (s.reverse ? batch : 0) * H * size, rest, H, H, 1}, to);
    gemm(da.dtype, Matrix{da.data + begins * G * size, batch, G, G, 1}.transposed(),
         Matrix{saved.hidden.data, batch, H, H, 1}, to, add);
    return;
  }
  Array states = Array::empty(Dims{rows, H}, da.dtype);
  for (int64_t t = 0; t < steps.count; ++t)
    for (int64_t r = 0; r < steps.size(t); ++r) {
      int64_t before = steps.before(t, r);
      std::memcpy(
          states.data + (steps.offset(t) + r) * H * size,
          before < 0 ? saved.hidden.data + r * H * size : saved.outputs.data + before * H * size,
          static_cast<size_t>(H * size));
    }
  gemm(da.dtype, Matrix{da.data, rows, G, G, 1}.transposed(), Matrix{states.data, rows, H, H, 1},
       to);
}

template <class T>
void sum_rows(const Array& a, int64_t rows, int64_t n, T* out) {
  std::fill_n(out, n, T(0));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < n; ++j) out[j] += a.ptr<T>()[r * n + j];
}

}  // namespace

void recurrent(const RecurrentShape& s, const Array& gates, const Array& weight, const Array* bias,
               const Array& hidden, const Array* cell, const Array& outputs, const Array* kept) {
  Steps steps(s);
  if (hidden.numel == 0) return;
  dispatch_float(gates.dtype, "recurrent", [&]<class T>(T) {
    const int64_t H = s.hidden, G = s.gates() * H;
    PackedMatrix<T> across(H, G, weight.ptr<T>(), 1, H);
    Array scratch = Array::empty(Dims{steps.batch * (s.kept() * H + G)}, gates.dtype);
    steps.for_bands([&](int64_t first, int64_t end) {
      forward<T>(steps, gates, across, bias ? bias->ptr<T>() : nullptr, hidden.ptr<T>(),
                 cell ? cell->ptr<T>() : nullptr, outputs.ptr<T>(), kept ? kept->ptr<T>() : nullptr,
                 scratch.ptr<T>(), first, end);
    });
  });
}

void recurrent_grad(const RecurrentShape& s, const RecurrentSaved& saved, const Array* d_outputs,
                    const Array& dh, const Array* dc, const Array& d_gates, const Array* d_weight,
                    const Array* d_bias) {
  Steps steps(s);
  if (dh.numel == 0) return;
  dispatch_float(d_gates.dtype, "recurrent", [&]<class T>(T) {
    const int64_t H = s.hidden, G = s.gates() * H;
    PackedMatrix<T> back(G, H, saved.weight.ptr<T>(), H, 1);
    bool two_parts = s.kind == RecurrentKind::Gru;  // the hidden part has a gradient of its own
    Array hidden_gates = two_parts ? Array::empty(d_gates.shape, d_gates.dtype) : d_gates;
    steps.for_bands([&](int64_t first, int64_t end) {
      backward<T>(steps, saved, back, d_outputs ? d_outputs->ptr<T>() : nullptr, dh.ptr<T>(),
                  dc ? dc->ptr<T>() : nullptr, d_gates.ptr<T>(), hidden_gates.ptr<T>(), first, end);
    });
    if (d_weight) weight_grad(steps, saved, hidden_gates, *d_weight);
    if (d_bias) sum_rows(hidden_gates, steps.rows(), G, d_bias->ptr<T>());
  });
}

}  // namespace fastgrad
