#include "kernels/loss.h"

#include <cmath>
#include <cstring>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/class_targets.h"

namespace fastgrad {
namespace {

// Gathers losses of positions into what the reduction returns.
template <class T>
class Losses {
 public:
  Losses(Reduction r, const Array& out)
      : reduction_(r), out_(out), each_(r == Reduction::None ? out.ptr<T>() : nullptr) {}
  // f(position, &weight) is the loss of each of `count` positions.
  template <class F>
  void add(int64_t first, int64_t count, F&& f) {
    double sum = sum_, total = total_;  // members would go through memory each time
    for (int64_t position = first; position < first + count; ++position) {
      double weight;
      const double loss = f(position, &weight);
      total += weight;
      sum += loss;
      if (each_) each_[position] = static_cast<T>(loss);
    }
    sum_ = sum;
    total_ = total;
  }
  void finish(const Array& total) {
    *total.ptr<T>() = static_cast<T>(total_);
    if (reduction_ != Reduction::None)
      *out_.ptr<T>() = static_cast<T>(reduced(reduction_, sum_, total_));
  }

 private:
  Reduction reduction_;
  Array out_;
  T* each_;
  double total_ = 0, sum_ = 0;
};

}  // namespace

void nll_loss(const ClassShape& s, const Array& scores, const Array& target, const Array* weight,
              Reduction reduction, int64_t ignore, const Array& loss, const Array& total) {
  DType d = compute_dtype(scores.dtype);
  Array from = as_contiguous(scores, d);
  Array wide_loss = Array::empty(loss.shape, d), wide_total = Array::empty({}, d);
  dispatch_float(d, "nll_loss", [&]<class T>(T) {
    Targets<T> targets(s, target, weight, ignore);
    Losses<T> losses(reduction, wide_loss);
    // Positions side by side, or one behind the classes of the other.
    const bool rows = s.inner == 1;
    const int64_t together = rows ? s.batch : s.inner, step = rows ? s.classes : 1,
                  plane = s.classes * s.inner;
    const T* source = from.ptr<T>();
    for (int64_t first = 0; first < s.batch * s.inner; first += together, source += plane)
      losses.add(first, together, [&](int64_t position, double* weight) {
        const int64_t t = targets.at(position);
        *weight = t < 0 ? 0 : targets.weight(t);
        if (t < 0) return 0.0;
        return -*weight * static_cast<double>(source[(position - first) * step + t * s.inner]);
      });
    losses.finish(wide_total);
  });
  copy_array(wide_loss, loss);
  copy_array(wide_total, total);
}

void nll_loss_adjoint(const ClassShape& s, const Array& g, const Array& target, const Array* weight,
                      const Array& total, Reduction reduction, int64_t ignore, const Array& dx) {
  with_compute_type(dx, [&](const Array& out) {
    if (out.numel == 0) return;
    std::memset(out.data, 0, static_cast<size_t>(out.nbytes()));
    dispatch_float(out.dtype, "nll_loss", [&]<class T>(T) {
      Targets<T> targets(s, target, weight, ignore);
      Cotangents<T> cotangents(reduction, g, total);
      for (int64_t n = 0; n < s.batch; ++n)
        for (int64_t i = 0; i < s.inner; ++i) {
          int64_t position = n * s.inner + i, t = targets.at(position);
          if (t >= 0)
            out.ptr<T>()[(n * s.classes + t) * s.inner + i] =
                static_cast<T>(-targets.weight(t) * cotangents.at(position));
        }
    });
  });
}

template <class T>
void dropout_span(const T* x, RandomStream s, int64_t first, double p, int64_t n, T* out) {
  constexpr int kBlocks = 16, kElements = 4 * kBlocks;
  // Kept are those whose 32 random bits are at least p of the way.
  auto threshold = static_cast<uint64_t>(std::ceil(p * 0x1p32));
  T scale = p < 1 ? static_cast<T>(1 / (1 - p)) : T(0);
  RandomBlock words[kBlocks];
  int64_t skip = first % 4, at = -skip;  // of the first block, elements that are not ours
  for (; at < n; at += kElements) {
    philox<kBlocks>(s.seed, s.block + static_cast<uint64_t>((first + at) / 4), 0, words);
    int64_t end = std::min<int64_t>(kElements, n - at);
    const uint32_t* bits = words[0].data();  // the blocks lie side by side
    for (int64_t k = at < 0 ? skip : 0; k < end; ++k)
      out[at + k] = bits[k] >= threshold ? x[at + k] * scale : T(0);
  }
}
template void dropout_span(const float*, RandomStream, int64_t, double, int64_t, float*);
template void dropout_span(const double*, RandomStream, int64_t, double, int64_t, double*);

void dropout(const Array& x, RandomStream s, double p, const Array& out) {
  with_compute_type(out, [&](const Array& wide) {
    Array from = as_contiguous(x, wide.dtype);
    dispatch_float(wide.dtype, "dropout", [&]<class T>(T) {
      parallel_for(wide.numel, kParallelGrain, [&](int64_t begin, int64_t end) {
        dropout_span(from.ptr<T>() + begin, s, begin, p, end - begin, wide.ptr<T>() + begin);
      });
    });
  });
}

}  // namespace fastgrad
