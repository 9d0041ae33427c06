#include "kernels/loss.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

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

namespace {

// Row by row; adjacent classes go through registers.
template <class T>
class MarginRow {
 public:
  explicit MarginRow(int64_t classes)
      : classes_(classes),
        blocks_((classes + kLanes - 1) / kLanes),
        wrong_(static_cast<size_t>(blocks_ * kLanes), -static_cast<T>(HUGE_VAL)),
        hits_(wrong_.size()) {}

  // Returns the loss.
  double of(const T* x, const int64_t* target, T* slopes) {
    std::copy_n(x, classes_, wrong_.data());
    std::fill(hits_.begin(), hits_.end(), T(0));
    int64_t given = 0;
    for (; given < classes_ && target[given] >= 0; ++given) {
      FG_CHECK(target[given] < classes_, "multilabel_margin_loss: target ", target[given],
               " is out of range for ", classes_, " classes");
      wrong_[static_cast<size_t>(target[given])] = -static_cast<T>(HUGE_VAL);  // never a hit
    }
    double loss = 0;
    for (int64_t k = 0; k < given; ++k) {
      int64_t hits = 0;
      loss += add(1 - x[target[k]], hits);
      slopes[k] = -static_cast<T>(hits);
    }
    // A right class has no hits of its own; one that is given twice counts twice.
    for (int64_t k = 0; k < given; ++k) hits_[static_cast<size_t>(target[k])] += slopes[k];
    for (int64_t i = 0; i < classes_; ++i)
      slopes[i] = hits_[static_cast<size_t>(i)] / static_cast<T>(classes_);
    return loss / static_cast<double>(classes_);
  }

 private:
  // What exceeds 0 when `lead` is added to the wrong classes' scores, added up.
  double add(T lead, int64_t& hits) {
    typedef T Register __attribute__((vector_size(16)));
    constexpr int64_t kWidth = 16 / sizeof(T);
    const Register zero{}, one = zero + 1, leads = zero + lead;
    Register sum[2] = {}, count[2] = {};
    T *w = wrong_.data(), *h = hits_.data();
    for (int64_t i = 0; i < blocks_ * kLanes; i += 2 * kWidth)
      for (int64_t k = 0; k < 2; ++k) {
        Register gap, hit;
        std::memcpy(&gap, w + i + k * kWidth, sizeof gap);
        std::memcpy(&hit, h + i + k * kWidth, sizeof hit);
        gap += leads;
        const Register found = gap > zero ? one : zero;
        sum[k] += gap > zero ? gap : zero;
        count[k] += found;
        hit += found;
        std::memcpy(h + i + k * kWidth, &hit, sizeof hit);
      }
    double total = 0;
    for (int64_t i = 0; i < kWidth; ++i) {
      total += static_cast<double>(sum[0][i] + sum[1][i]);
      hits += static_cast<int64_t>(count[0][i] + count[1][i]);
    }
    return total;
  }

  static constexpr int64_t kLanes = 8;
  int64_t classes_, blocks_;
  std::vector<T> wrong_, hits_;
};

}  // namespace

void multilabel_margin_loss(const Array& scores, const Array& target, const Array& loss,
                            const Array& slopes) {
  const Array from = as_contiguous(scores), classes = as_contiguous(target);
  const int64_t n = scores.shape[1];
  dispatch_float(loss.dtype, "multilabel_margin_loss", [&]<class T>(T) {
    const int64_t grain = kParallelGrain / (4 * n + 1) + 1;
    parallel_for(scores.shape[0], grain, [&](int64_t begin, int64_t end) {
      MarginRow<T> row(n);
      for (int64_t r = begin; r < end; ++r)
        loss.ptr<T>()[r] = static_cast<T>(
            row.of(from.ptr<T>() + r * n, classes.ptr<int64_t>() + r * n, slopes.ptr<T>() + r * n));
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
