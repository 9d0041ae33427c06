#include "ops/ctc.h"

#include "core/promotion.h"
#include "kernels/ctc.h"
#include "ops/basic_index.h"
#include "ops/convert.h"
#include "ops/creation.h"
#include "ops/extreme.h"
#include "ops/item.h"
#include "ops/join.h"
#include "ops/parts.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/scan.h"
#include "ops/scatter.h"
#include "ops/select.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace fastgrad {
namespace {

enum CtcInput : uint32_t { kLogProbs, kTargets, kInputLengths, kTargetLengths };
enum CtcOutput : uint32_t { kLosses, kSlopes };

Tensor count_to(int64_t n) { return arange(Scalar(0), Scalar(n), Scalar(1), DType::Int64); }

// The labels of each sequence in a row, and any label behind them.
Tensor rows_of_labels(const Tensor& targets, const Tensor& lengths) {
  const Tensor ends = unsqueeze(lengths, 1);
  if (targets.ndim() == 2) return where(lt(count_to(targets.size(1)), ends), targets, 0);
  const int64_t most = lengths.numel() ? item(amax(lengths)).to_int() : 0;
  const Tensor places = count_to(most), inside = lt(places, ends);
  const Tensor starts = unsqueeze(sub(cumsum(lengths, 0), lengths), 1);
  if (targets.numel() == 0) return where(inside, 1, 0);
  return where(inside, take(targets, where(inside, add(starts, places), 0)), 0);
}

// The derivative of the slopes, which is symmetric, times v. In public ops, so that there are
// derivatives of any order. Sums over alignments run forward and backward over the steps, in
// logarithms, and beside each its derivative along v.
class SlopesAlong {
 public:
  SlopesAlong(const Tensor& log_probs, const Tensor& targets, const Tensor& input_lengths,
              const Tensor& target_lengths, int64_t blank)
      : log_probs_(log_probs), used_steps_(unsqueeze(input_lengths, 1)) {
    const int64_t batch = log_probs.size(1);
    const Tensor rows = to_dtype(rows_of_labels(targets, target_lengths), DType::Int64);
    width_ = 2 * rows.size(1) + 1;
    auto all = [&](int64_t width, double value) {
      return full(Dims{batch, width}, Scalar(value), log_probs.dtype());
    };
    never_ = all(2, kNever);
    const Tensor blanks = full(Dims{batch, rows.size(1) + 1}, Scalar(blank), DType::Int64);
    const Tensor pairs[] = {narrow(blanks, 1, 0, rows.size(1)), rows};
    const Tensor sequence[] = {reshape(stack(pairs, 2), Dims{batch, width_ - 1}),
                               narrow(blanks, 1, 0, 1)};
    const Tensor places = cat(sequence, 1);
    places_ = expand(places, Dims{log_probs.size(0), batch, width_});
    // What is added to the ways to a place from two before it, from the one before, and from
    // itself. A step may skip the blank between two labels that differ.
    const int64_t skips = std::max<int64_t>(width_ - 2, 0);
    const Tensor same = eq(narrow(places, 1, width_ - skips, skips), narrow(places, 1, 0, skips));
    const Tensor barred = where(same, narrow(all(width_, kNever), 1, 0, skips), 0.0);
    const Tensor open = all(width_, 0);
    const Tensor before[] = {never_, barred}, behind[] = {barred, never_};
    const Tensor ways[] = {narrow(cat(before, 1), 1, 0, width_), open, open};
    const Tensor ways_back[] = {open, open, narrow(cat(behind, 1), 1, 0, width_)};
    ways_ = stack(ways, 2);
    ways_back_ = stack(ways_back, 2);
    const Tensor numbers = count_to(width_), last = mul(unsqueeze(target_lengths, 1), 2);
    start_ = {where(eq(numbers, 0), open, kNever), zeros_like(open)};
    end_ = {where(eq(numbers, last), open, kNever), start_.slope};
  }

  Tensor operator()(const Tensor& v) const {
    const int64_t count = log_probs_.size(0);
    if (count == 0) return zeros_like(log_probs_);
    // The logarithm of 0 would have slopes that are no numbers.
    const Tensors emitted = unbind(clamp_min(gather(log_probs_, 2, places_), kNever)),
                  along = unbind(gather(v, 2, places_));
    const auto steps = static_cast<size_t>(count);
    std::vector<State> before(steps), after(steps);
    State state = start_;
    for (size_t t = 0; t < steps; ++t) {
      state = reach(state, ways_);
      before[t] = state = {add(emitted[t], state.value), add(along[t], state.slope)};
    }
    state = end_;
    for (size_t t = steps; t-- > 0;) {
      const Tensor ends = eq(used_steps_, static_cast<int64_t>(t) + 1);
      after[t] = reach({where(ends, end_.value, state.value), where(ends, end_.slope, state.slope)},
                       ways_back_);
      state = {add(emitted[t], after[t].value), add(along[t], after[t].slope)};
    }
    auto joined = [&](Tensor State::* part) {
      Tensors of_steps(steps);
      for (size_t t = 0; t < steps; ++t) of_steps[t] = add(before[t].*part, after[t].*part);
      return stack(of_steps);
    };
    const Tensor whole = joined(&State::value), slope = joined(&State::slope);
    const Dims places{2};
    const Tensor share = softmax(whole, 2);
    const Tensor change = mul(share, sub(slope, sum(mul(share, slope), places, true)));
    const Tensor numbers = reshape(count_to(count), Dims{count, 1, 1});
    const Tensor unused =
        logical_or(ge(numbers, used_steps_), le(amax(whole, places, true), kNever / 2));
    return neg(scatter_add(zeros_like(log_probs_), 2, places_, masked_fill(change, unused, 0.0)));
  }

 private:
  // Stands for log 0: below every sum of log-probabilities.
  static constexpr double kNever = -1e30;

  struct State {
    Tensor value, slope;
  };
  State reach(const State& from, const Tensor& ways) const {
    const bool back = &ways == &ways_back_;
    auto windows = [&](const Tensor& x, const Tensor& outside) {
      const Tensor forth[] = {outside, x}, reverse[] = {x, outside};
      return unfold(cat(back ? reverse : forth, 1), 1, 3, 1);
    };
    const Tensor reached = add(windows(from.value, never_), ways);
    const Dims threes{2};
    return {logsumexp(reached, threes),
            sum(mul(softmax(reached, 2), windows(from.slope, zeros_like(never_))), threes)};
  }

  const Tensor& log_probs_;
  Tensor used_steps_, never_, places_, ways_, ways_back_;
  int64_t width_;
  State start_, end_;
};

void ctc_loss_vjp(VjpContext& c) {
  Tensor gradient;
  // The slopes are 0 where nothing can be aligned, whatever the cotangent.
  if (c.g(kLosses).defined()) gradient = grad_mul(c.out(kSlopes), unsqueeze(c.g(kLosses), 1));
  if (c.g(kSlopes).defined()) {
    const Tensor log_probs = c.in(kLogProbs);
    const SlopesAlong along(log_probs, c.in(kTargets), c.in(kInputLengths), c.in(kTargetLengths),
                            c.attrs().integer(0));
    const Tensor more = along(c.g(kSlopes));
    gradient = gradient.defined() ? add(gradient, more) : more;
  }
  c.set(kLogProbs, gradient);
}

}  // namespace

// Attributes: the blank, whether what cannot be aligned has loss 0, whether slopes are wanted.
// Inputs as in CtcInput; outputs: a loss of each sequence, and its derivatives.
FG_DEFINE_OP(CtcLoss) = {
    .name = "ctc_loss",
    .num_outputs = 2,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[kLosses].dtype = out[kSlopes].dtype = in[kLogProbs]->dtype;
          out[kLosses].shape = Dims{in[kLogProbs]->shape[1]};
          out[kSlopes].shape = a.flag(2) ? in[kLogProbs]->shape : Dims{0};
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          ctc_loss({*in[kLogProbs], *in[kTargets], *in[kInputLengths], *in[kTargetLengths],
                    a.integer(0), a.flag(1)},
                   out[kLosses], a.flag(2) ? &out[kSlopes] : nullptr);
        },
    .vjp = ctc_loss_vjp,
    .save = {save_in(kLogProbs) | save_in(kTargets) | save_in(kInputLengths) |
                 save_in(kTargetLengths) | save_out(kSlopes),
             0, 0, 0},
};

Tensor ctc_loss(const Tensor& log_probs, const Tensor& targets, const Tensor& input_lengths,
                const Tensor& target_lengths, int64_t blank, Reduction reduction,
                bool zero_infinity) {
  FG_CHECK_KIND(ErrorKind::NotImplemented, is_floating(log_probs.dtype()),
                "\"ctc_loss\" not implemented for '", scalar_type_name(log_probs.dtype()),
                "'; convert first, e.g. with .to(fastgrad.float32)");
  const bool single = log_probs.ndim() == 2;
  auto check = [](bool fits, const char* expected, int64_t number, const char* of, DimSpan got) {
    FG_CHECK(fits, "[ctc_loss] ", expected, number, of, ", got ", Dims(got));
  };
  check(single || log_probs.ndim() == 3, "Expected log_probs of 2 or ", 3, " dimensions",
        log_probs.shape());
  const Tensor x =
      to_dtype(single ? unsqueeze(log_probs, 1) : log_probs, compute_dtype(log_probs.dtype()));
  const int64_t batch = x.size(1), classes = x.size(2);
  auto lengths = [&](const Tensor& t) { return reshape(to_dtype(t, DType::Int64), Dims{-1}); };
  const Tensor steps = lengths(input_lengths), counts = lengths(target_lengths);
  check(steps.numel() == batch && counts.numel() == batch,
        "input_lengths and target_lengths must be of size batch_size, ", batch, "",
        Dims{steps.numel(), counts.numel()});
  check(blank >= 0 && blank < classes, "blank must be in label range, 0 to ", classes - 1, "",
        Dims{blank});
  const Tensor labels = single           ? reshape(targets, Dims{1, targets.numel()})
                        : targets.ndim() ? targets
                                         : reshape(targets, Dims{1});
  check(labels.ndim() == 1 || (labels.ndim() == 2 && labels.size(0) == batch),
        "Expected targets of ", batch, " rows, or one after the other", labels.shape());
  const Tensor inputs[] = {
      x, is_integral(labels.dtype(), false) ? labels : to_dtype(labels, DType::Int64), steps,
      counts};
  Tensor loss = apply_multi(
      Op::CtcLoss, inputs,
      Attrs(Scalar(blank), Scalar(zero_infinity), Scalar(should_record(inputs))))[kLosses];
  if (reduction == Reduction::Mean)
    loss = mean(div(loss, to_dtype(clamp_min(counts, 1), loss.dtype())));
  else if (reduction == Reduction::Sum)
    loss = sum(loss);
  else if (single)
    loss = reshape(loss, Dims{});
  return to_dtype(loss, log_probs.dtype());
}

}  // namespace fastgrad
