#include "kernels/order.h"

#include <algorithm>
#include <memory>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/sort_keys.h"
#include "kernels/cpu/words.h"

namespace fastgrad {
namespace {

// What is wanted of every line.
struct LineJob {
  enum Kind { Sort, First, Kth, Median, Nanmedian, Mode } kind;
  bool descending = false;
  int64_t k = 0;
};

// The last place of the first longest run of equal keys.
template <class Key>
int64_t end_of_longest_run(const Key* key, const int64_t* order, int64_t n) {
  int64_t run = 1, most = 1, last = 0;
  for (int64_t i = 1; i < n; ++i) {
    run = key[order[i]] == key[order[i - 1]] ? run + 1 : 1;
    last = run > most ? i : last;
    most = run > most ? run : most;
  }
  return order[last];
}

void take(const char* p, size_t size, const int64_t* place, int64_t n, char* value) {
  with_word(static_cast<int64_t>(size), [&]<class Word>(Word) {
    const auto* from = reinterpret_cast<const Word*>(p);
    auto* to = reinterpret_cast<Word*>(value);
    for (int64_t i = 0; i < n; ++i) to[i] = from[place[i]];
  });
}

// The work on single lines, with the memory that it takes; one per thread.
template <class Key>
class LineWorker {
 public:
  LineWorker(DType type, int64_t n, const LineJob& job)
      : type_(type), n_(n), job_(job), memory_(n + kBehindKeys), choose_(n) {}

  // The places of the elements that are wanted, and these themselves.
  void run(const char* p, int64_t* place, int64_t results, char* value) {
    if (job_.kind == LineJob::Sort && n_ > kCopied && are_keys(type_, false)) {
      // Read from the keys, which come in order.
      Key* sorted = reinterpret_cast<Key*>(value);
      sort_places(keys_of(p), n_, place, sorted);
      for (int64_t i = 0; job_.descending && i < n_; ++i) sorted[i] = ~sorted[i];
      return;
    }
    find(p, place);
    take(p, itemsize(type_), place, results, value);
  }

 private:
  const Key* keys_of(const void* p) {
    if (are_keys(type_, job_.descending) && n_ > kCopied) return static_cast<const Key*>(p);
    nans_ = make_keys(type_, p, n_, job_.descending, memory_.get());
    return memory_.get();
  }
  void find(const void* p, int64_t* place) {
    const Key* key = keys_of(p);
    switch (job_.kind) {
      case LineJob::Sort:
        return sort_places(key, n_, place);
      case LineJob::First:
        return choose_.first(key, n_, job_.k, place);
      case LineJob::Kth:
        *place = choose_.kth(key, n_, job_.k);
        return;
      case LineJob::Mode: {
        if (!order_) order_ = std::make_unique<Scratch<int64_t>>(n_);
        sort_places(key, n_, order_->get());
        *place = end_of_longest_run(key, order_->get(), n_);
        return;
      }
      default: {
        // NaN is the greatest: the first one of them comes behind the numbers.
        const bool is_nan = nans_ > 0 && (job_.kind == LineJob::Median || nans_ == n_);
        *place = choose_.kth(key, n_, is_nan ? n_ - nans_ : (n_ - nans_ - 1) / 2);
      }
    }
  }

  static constexpr int64_t kCopied = 256;  // short lines, for what is read behind them

  DType type_;
  int64_t n_;
  const LineJob& job_;
  Scratch<Key> memory_;
  std::unique_ptr<Scratch<int64_t>> order_;
  int64_t nans_ = 0;
  KeyChooser<Key> choose_;
};

// Lines of n elements, next to each other, on several threads.
template <class Key>
void run_lines(const Array& x, int64_t n, const LineJob& job, const Array& values,
               const Array& indices) {
  const int64_t lines = x.numel / n, results = values.numel / lines;
  const size_t size = x.itemsize();
  constexpr int64_t kGrain = 8192;
  parallel_for(lines, std::max<int64_t>(1, kGrain / n), [&](int64_t begin, int64_t end) {
    LineWorker<Key> worker(x.dtype, n, job);
    for (int64_t l = begin; l < end; ++l) {
      worker.run(x.data + static_cast<size_t>(l * n) * size, indices.ptr<int64_t>() + l * results,
                 results, values.data + static_cast<size_t>(l * results) * size);
    }
  });
}

// Lines are brought together where they lie across memory, in the compute type of x; values are
// exact in either.
void each_line(const Array& x, int64_t dim, const LineJob& job, const Array& values,
               const Array& indices) {
  int64_t outer = 1, n = 1, inner = 1;
  for (int64_t d = 0; d < x.ndim(); ++d)
    (d < dim ? outer : d == dim ? n : inner) *= x.shape[static_cast<size_t>(d)];
  const int64_t lines = outer * inner;
  if (x.numel == 0 || values.numel == 0) return;
  const int64_t results = values.numel / lines;
  const DType compute = compute_dtype(x.dtype);
  Array from = as_contiguous(x, compute), value_out = values, index_out = indices;
  const bool across = inner > 1 && n > 1;
  if (across) from = contiguous_copy(from.view(Dims{outer, inner, n}, Dims{n * inner, 1, inner}));
  if (across || compute != values.dtype)
    value_out = Array::empty(Dims{outer, inner, results}, compute);
  if (across) index_out = Array::empty(Dims{outer, inner, results}, DType::Int64);
  Array bits = value_out;
  if (compute == DType::Bool) from.dtype = bits.dtype = DType::UInt8;  // the bytes 0 and 1
  if (from.itemsize() == 8)
    run_lines<int64_t>(from, n, job, bits, index_out);
  else
    run_lines<int32_t>(from, n, job, bits, index_out);
  const Dims shape{outer, inner, results}, strides{results * inner, 1, inner};
  if (across) copy_array(index_out, indices.view(shape, strides));
  if (across || compute != values.dtype) copy_array(value_out, values.view(shape, strides));
}

}  // namespace

void sort_lines(const Array& x, int64_t dim, bool descending, const Array& values,
                const Array& indices) {
  each_line(x, dim, {LineJob::Sort, descending}, values, indices);
}

void topk_lines(const Array& x, int64_t dim, bool largest, const Array& values,
                const Array& indices) {
  const int64_t k = values.ndim() ? values.shape[static_cast<size_t>(dim)] : values.numel;
  each_line(x, dim, {LineJob::First, largest, k}, values, indices);
}

void pick_lines(const Array& x, int64_t dim, LinePick what, int64_t k, const Array& values,
                const Array& indices) {
  constexpr LineJob::Kind kinds[] = {LineJob::Kth, LineJob::Median, LineJob::Nanmedian,
                                     LineJob::Mode};
  each_line(x, dim, {kinds[static_cast<int>(what)], false, k}, values, indices);
}

}  // namespace fastgrad
