#include "kernels/ctc.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/errors.h"
#include "base/isa.h"
#include "base/long_work.h"
#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/ctc_lines.h"
#include "kernels/fill.h"

namespace fastgrad {
namespace {

// What stands for log 0: alignments with less are impossible.
constexpr double kImpossible = -0.5e30;
constexpr double kLn2 = 0.69314718055994530942;

const CtcLines& ctc_lines() {
  if (isa() >= Isa::Avx512 && kCtcAvx512.forward) return kCtcAvx512;
  return isa() >= Isa::Avx2 && kCtcAvx2.forward ? kCtcAvx2 : kCtcBaseline;
}

[[noreturn, gnu::cold]] void refuse(const char* expected, int64_t number, DimSpan got) {
  fail(ErrorKind::Runtime, "[ctc_loss] ", expected, number, ", and none below 0, got ", Dims(got));
}

struct Sequence {
  const int64_t* labels;
  int64_t count, steps;
};

class Sequences {
 public:
  explicit Sequences(const CtcInputs& in)
      : targets_(as_contiguous(in.targets, DType::Int64)),
        steps_(as_contiguous(in.input_lengths, DType::Int64)),
        counts_(as_contiguous(in.target_lengths, DType::Int64)) {
    const int64_t most = in.log_probs.shape[0], batch = in.log_probs.shape[1],
                  classes = in.log_probs.shape[2];
    const bool joined = targets_.ndim() == 1;
    const int64_t width = joined ? targets_.numel : targets_.shape[1];
    const DimSpan steps(steps_.ptr<int64_t>(), static_cast<size_t>(batch)),
        counts(counts_.ptr<int64_t>(), static_cast<size_t>(batch));
    auto fits = [](DimSpan lengths, int64_t bound) {
      return std::all_of(lengths.begin(), lengths.end(),
                         [bound](int64_t n) { return n >= 0 && n <= bound; });
    };
    if (!fits(steps, most)) refuse("Expected input_lengths to have value at most ", most, steps);
    // None of those that fit is so large that their sum would overflow.
    if (!fits(counts, width) ||
        (joined && std::accumulate(counts.begin(), counts.end(), int64_t{0}) != width))
      refuse(joined ? "target_lengths must sum to the number of targets, "
                    : "Expected target_lengths to have value at most ",
             width, counts);
    const int64_t* labels = targets_.ptr<int64_t>();
    for (size_t n = 0; n < counts.size(); ++n) {
      for (int64_t k = 0; k < counts[n]; ++k)
        if (labels[k] < 0 || labels[k] >= classes)
          refuse("Expected targets below ", classes, DimSpan(labels + k, 1));
      all_.push_back({labels, counts[n], steps[n]});
      labels += joined ? counts[n] : width;
      most_labels = std::max(most_labels, counts[n]);
      most_steps = std::max(most_steps, steps[n]);
      places += steps[n] * (2 * counts[n] + 1);
    }
  }
  const Sequence& operator[](int64_t n) const { return all_[static_cast<size_t>(n)]; }
  int64_t most_labels = 0, most_steps = 0, places = 0;

 private:
  Array targets_, steps_, counts_;
  std::vector<Sequence> all_;
};

// One blank more than labels, and one of the places without a label for what a blank emits.
int64_t padded_width(int64_t labels) {
  return (labels + 2 + kCtcLanes - 1) / kCtcLanes * kCtcLanes;
}

// The memory that the alignment of one sequence takes; with slopes, for all steps.
struct Room {
  Room(int64_t most_labels, int64_t most_steps, bool with_slopes)
      : width(padded_width(most_labels)),
        steps(with_slopes ? most_steps : std::min(most_steps, kCtcSteps)),
        states(with_slopes ? most_steps + 1 : 1) {}
  int64_t width, steps, states;
  // In doubles: what is barred, what is emitted, states, what comes after, shares; and then in
  // integers: where labels stand among the classes, and which labels occur before.
  int64_t emitted() const { return width; }
  int64_t state() const { return emitted() + 2 * width * steps; }
  int64_t after() const { return state() + 4 * width * states; }
  int64_t shares() const { return after() + 4 * width; }
  int64_t integers() const { return shares() + width * kCtcSteps; }
  int64_t size() const { return integers() + 2 * width; }
};

void clear_states(double* states, int64_t width) {
  for (int64_t k = 0; k < 4; ++k) std::fill_n(states + k * width, width, k % 2 ? kCtcNever : 0.0);
}

class Alignment {
 public:
  Alignment(const CtcInputs& in, const Array* slopes, const Room& room, double* memory)
      : x_(in.log_probs),
        slopes_(slopes ? slopes->data : nullptr),
        blank_(in.blank),
        barred_(memory),
        emitted_(memory + room.emitted()),
        states_(memory + room.state()),
        after_(memory + room.after()),
        shares_(memory + room.shares()),
        offsets_(reinterpret_cast<int64_t*>(memory + room.integers())),
        first_(offsets_ + room.width) {}

  // Returns the logarithm of the probability of sequence n, -inf where it is impossible.
  double of(const Sequence& s, int64_t n) {
    prepare(s);
    const int64_t w = width_;
    double* last = states_;
    clear_states(last, w);
    last[0] = 1;
    last[w] = 0;
    for (int64_t t = 0; t < s.steps; t += kCtcSteps) {
      double* emitted = emitted_ + (slopes_ ? 2 * w * t : 0);
      const int64_t steps = std::min(kCtcSteps, s.steps - t);
      if (is_float_)
        read(s, x_.ptr<float>() + n * x_.strides[1] + t * x_.strides[0], steps, emitted);
      else
        read(s, x_.ptr<double>() + n * x_.strides[1] + t * x_.strides[0], steps, emitted);
      lines_.forward({barred_, emitted, w, s.count + 1, steps}, last, slopes_ ? 4 * w : 0);
      if (slopes_) last += 4 * w * steps;
    }
    // It ends with the last label or the blank behind it.
    double m = last[s.count], e = last[w + s.count];
    if (s.count) {
      const double label = last[2 * w + s.count - 1], exponent = last[3 * w + s.count - 1];
      const double top = std::max(e, exponent);
      m = m * std::exp2(e - top) + label * std::exp2(exponent - top);
      e = top;
    }
    const double found = std::log(m) + e * kLn2;
    const bool impossible = found <= kImpossible;
    if (slopes_) write_slopes(s, n, impossible ? 0 : s.steps, 1 / m, e);
    return impossible ? -std::numeric_limits<double>::infinity() : found;
  }

 private:
  void prepare(const Sequence& s) {
    width_ = padded_width(s.count);
    std::fill_n(barred_, width_, 0.0);
    repeats_ = false;
    for (int64_t k = 0; k < s.count; ++k) {
      const int64_t label = s.labels[k];
      offsets_[k] = label * x_.strides[2];
      if (k && label == s.labels[k - 1]) barred_[k] = kCtcNever;
      first_[k] =
          label == blank_ ? s.count + 1 : std::find(s.labels, s.labels + k, label) - s.labels;
      repeats_ |= first_[k] != k;
    }
  }

  // What is emitted in the steps from x on.
  template <class T>
  void read(const Sequence& s, const T* x, int64_t steps, double* emitted) {
    double* to = emitted;
    for (int64_t t = 0; t < steps; ++t, x += x_.strides[0], to += 2 * width_) {
      for (int64_t k = 0; k < s.count; ++k) to[k] = static_cast<double>(x[offsets_[k]]);
      std::fill(to + s.count, to + width_, -std::numeric_limits<double>::infinity());
      to[s.count + 1] = static_cast<double>(x[blank_ * x_.strides[2]]);
    }
    lines_.exponentials(emitted, steps, width_);
  }

  // Of the first `used` steps; all others have none, and zeros are there.
  void write_slopes(const Sequence& s, int64_t n, int64_t used, double scale, double exponent) {
    const int64_t w = width_, batch = x_.shape[1], classes = x_.shape[2];
    clear_states(after_, w);
    after_[s.count] = 1;
    after_[w + s.count] = 0;
    for (int64_t end = used; end > 0;) {
      const int64_t begin = (end - 1) / kCtcSteps * kCtcSteps;
      const CtcSteps steps = {barred_, emitted_ + 2 * w * begin, w, s.count + 1, end - begin};
      lines_.backward(steps, states_ + 4 * w * (begin + 1), after_, scale, exponent, shares_);
      for (int64_t t = begin; t < end; ++t) {
        double* shares = shares_ + w * (t - begin);
        const int64_t at = (t * batch + n) * classes;
        if (repeats_)
          for (int64_t k = 0; k < s.count; ++k)
            if (first_[k] != k) shares[first_[k]] += shares[k];
        if (is_float_)
          spread(s, shares, reinterpret_cast<float*>(slopes_) + at);
        else
          spread(s, shares, reinterpret_cast<double*>(slopes_) + at);
      }
      end = begin;
    }
  }

  // The shares of a step by classes, those of a label at its first place.
  template <class T>
  void spread(const Sequence& s, const double* shares, T* to) {
    for (int64_t k = 0; k < s.count; ++k)
      if (first_[k] == k) to[s.labels[k]] = static_cast<T>(-shares[k]);
    to[blank_] = static_cast<T>(-shares[s.count + 1]);
  }

  const CtcLines& lines_ = ctc_lines();
  const Array& x_;
  char* slopes_;
  const bool is_float_ = x_.dtype == DType::Float32;
  int64_t blank_, width_ = 0;
  bool repeats_ = false;
  double *barred_, *emitted_, *states_, *after_, *shares_;
  int64_t *offsets_, *first_;
};

}  // namespace

void ctc_loss(const CtcInputs& in, const Array& loss, const Array* slopes) {
  const Sequences sequences(in);
  if (slopes) fill_array(*slopes, Scalar(0));
  if (loss.numel == 0) return;
  const Room room(sequences.most_labels, sequences.most_steps, slopes);
  // A place of a step is worth so many elements of light work.
  constexpr int64_t kPlace = 8;
  const int64_t work = sequences.places * kPlace * (slopes ? 3 : 1);
  LongWork long_work(static_cast<double>(work));
  // Threads take sequences in turn, each of them with memory of its own.
  const int64_t threads = std::min({int64_t{pool_size()}, loss.numel, work / kParallelGrain + 1});
  const Array memory = Array::empty(Dims{threads * room.size()}, DType::Float64);
  std::atomic<int64_t> next = 0;
  parallel_for(threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t thread = begin; thread < end; ++thread) {
      Alignment alignment(in, slopes, room, memory.ptr<double>() + thread * room.size());
      for (int64_t n; (n = next.fetch_add(1, std::memory_order_relaxed)) < loss.numel;) {
        double found = 0.0 - alignment.of(sequences[n], n);
        if (in.zero_infinity && std::isinf(found)) found = 0;
        if (loss.dtype == DType::Float32)
          loss.ptr<float>()[n] = static_cast<float>(found);
        else
          loss.ptr<double>()[n] = found;
      }
    }
  });
}

}  // namespace fastgrad
