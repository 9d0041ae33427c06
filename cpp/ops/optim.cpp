#include "ops/optim.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/memory_format.h"
#include "core/elementwise.h"
#include "core/memory.h"
#include "kernels/optim.h"
#include "ops/creation.h"
#include "ops/item.h"
#include "ops/matmul.h"

namespace fastgrad {
namespace {

void check_state(const Array& param, const Array& t) {
  FG_CHECK(t.shape == param.shape, "the state of a parameter of shape ", param.shape, " has shape ",
           t.shape,
           "; a state dict of other parameters was loaded, or the parameter changed its shape");
}

void check_type(DType type) {
  FG_CHECK_KIND(ErrorKind::NotImplemented,
                type == DType::Float32 || type == DType::Float64 || type == DType::Float16 ||
                    type == DType::BFloat16,
                "optimisers update float64, float32, float16 and bfloat16 parameters, got ",
                name(type), "; keep real and imaginary parts as two parameters");
}

double value_of(const Array& a) {
  if (a.dtype == DType::Float32) return *a.ptr<float>();
  if (a.dtype == DType::Float64) return *a.ptr<double>();
  return element(a).to_double();
}

// scalar = f(scalar), computed in the scalar's own type.
template <class F>
void change(const Array& a, F&& f) {
  FG_CHECK(a.numel == 1, "the state keeps a tensor of one element here, got shape ", a.shape);
  if (a.dtype == DType::Float32) {
    *a.ptr<float>() = f(*a.ptr<float>());
  } else {
    FG_CHECK_TYPE(a.dtype == DType::Float64,
                  "counts and factors in an optimiser's state are float32 or float64, got ",
                  name(a.dtype));
    *a.ptr<double>() = f(*a.ptr<double>());
  }
  a.buffer->bump_version();
}

void assign(const Array& scalar, double value) {
  change(scalar, [value](auto old) { return static_cast<decltype(old)>(value); });
}

// step += 1; the new count.
double advance(const Array& step) {
  change(step, [](auto old) { return old + 1; });
  return value_of(step);
}

template <class T>
const UpdateKernels<T>& kernels_for();
template <>
const UpdateKernels<float>& kernels_for<float>() {
  return update_table().f32;
}
template <>
const UpdateKernels<double>& kernels_for<double>() {
  return update_table().f64;
}

// An array as consecutive elements of T: itself when `direct`, else a row-major copy if it is not
// that already; write_back() after a change.
template <class T>
class Elements {
 public:
  Elements(const Array& a, DType type, bool direct) : original_(a) {
    if (direct || (a.contiguous && a.dtype == type)) return;
    copy_ = recorded::contiguous_copy(a, type);
    copied_ = true;
  }
  T* data() const { return (copied_ ? copy_ : original_).template ptr<T>(); }
  void write_back() const {
    if (copied_) recorded::copy_array(copy_, original_);
    original_.buffer->bump_version();
  }

 private:
  const Array& original_;
  Array copy_;
  bool copied_ = false;
};

// The rule's arrays of state, null where it has fewer.
using States = std::array<const Array*, 3>;

template <class T, class Rule>
void run(const Array& param, const Array& grad, DType type, const States& state,
         const Preparation& q, const Rule& rule, UpdateKernel<T, Rule> UpdateKernels<T>::* kernel) {
  auto array_of = [&](size_t i) -> const Array& { return state[i] ? *state[i] : param; };
  // Rules work element by element: any order will do in which all arrays are without gaps.
  auto alike = [&](const Array& a) { return a.dtype == type && a.strides == param.strides; };
  bool direct = alike(param) && alike(grad) && alike(array_of(0)) && alike(array_of(1)) &&
                alike(array_of(2)) && (param.contiguous || is_dense(param.shape, param.strides));
  Elements<T> p(param, type, direct), g(grad, type, direct);
  Elements<T> s[3] = {
      {array_of(0), type, direct}, {array_of(1), type, direct}, {array_of(2), type, direct}};
  UpdateData<T> d{p.data(), g.data(), {}, param.numel};
  for (size_t i = 0; i < 3; ++i) d.state[i] = state[i] ? s[i].data() : nullptr;
  (kernels_for<T>().*kernel)(d, q, rule);
  for (size_t i = 0; i < 3; ++i)
    if (state[i]) s[i].write_back();
  p.write_back();
}

// Updates param by a rule. Half precision is computed in float.
template <class Rule>
void update(const Array& param, const Array& grad, const States& state, const Preparation& q,
            const Rule& rule, UpdateKernel<float, Rule> UpdateKernels<float>::* single,
            UpdateKernel<double, Rule> UpdateKernels<double>::* twice) {
  for (const Array* a : state)
    if (a) check_state(param, *a);
  check_state(param, grad);
  check_type(param.dtype);
  if (param.dtype == DType::Float64)
    run<double>(param, grad, DType::Float64, state, q, rule, twice);
  else
    run<float>(param, grad, DType::Float32, state, q, rule, single);
}
#define FG_UPDATE(a, b, c, q, rule, kernel)                                    \
  update(param, grad, States{a, b, c}, q, rule, &UpdateKernels<float>::kernel, \
         &UpdateKernels<double>::kernel)

Preparation coupled(const auto& o) { return {o.maximize, o.weight_decay, 1.0}; }
Preparation coupled_or_not(const auto& o) {
  if (!o.decoupled_weight_decay) return coupled(o);
  return {o.maximize, 0.0, 1.0 - o.lr * o.weight_decay};
}

// The vector's piece that belongs to a parameter, in its shape. `flat` is row-major.
Array piece(const Array& flat, const Array& like, int64_t& offset) {
  Array part = flat.narrowed(0, offset, like.numel).reshaped(like.shape);
  offset += like.numel;
  return part;
}

Array flat_like(std::span<const Tensor> params) {
  FG_CHECK_VALUE(!params.empty(), "expected parameters, got none");
  DType type = params[0].dtype();
  int64_t n = 0;
  for (const Tensor& p : params) {
    check_type(p.dtype());
    type = promote_types(type, p.dtype());
    n += p.numel();
  }
  Array flat = Array::empty({&n, 1}, type);
  if (Recorder* r = recorder()) [[unlikely]]
    r->fresh(flat);
  return flat;
}

Array check_flat(std::span<const Tensor> params, const Tensor& flat) {
  int64_t n = 0;
  for (const Tensor& p : params) n += p.numel();
  FG_CHECK_VALUE(flat.ndim() == 1 && flat.numel() == n, "expected a vector of ", n,
                 " elements for the parameters, got shape ", flat.shape());
  return recorded::as_contiguous(flat.array());
}

}  // namespace

Tensor flat_values(std::span<const Tensor> params) {
  Array flat = flat_like(params);
  int64_t offset = 0;
  for (const Tensor& p : params) recorded::copy_array(p.array(), piece(flat, p.array(), offset));
  return Tensor(std::move(flat));
}

Tensor flat_gradients(std::span<const Tensor> params) {
  Array flat = flat_like(params);
  int64_t offset = 0;
  for (const Tensor& p : params) {
    Array part = piece(flat, p.array(), offset);
    if (p->grad.defined())
      recorded::copy_array(p->grad.array(), part);
    else if (part.numel > 0)
      recorded::fill_array(part, Scalar(0));
  }
  return Tensor(std::move(flat));
}

void assign_flat(std::span<const Tensor> params, const Tensor& flat) {
  Array source = check_flat(params, flat);
  int64_t offset = 0;
  for (const Tensor& p : params) {
    recorded::copy_array(piece(source, p.array(), offset), p.array());
    p.array().buffer->bump_version();
  }
}

void add_flat(std::span<const Tensor> params, const Tensor& flat, double alpha) {
  refuse_recording("a step of LBFGS");
  Array source = check_flat(params, flat);
  const SgdRule rule{-alpha, 0.0, 0.0, false, false};
  int64_t offset = 0;
  for (const Tensor& p : params) {
    Array part = piece(source, p.array(), offset);
    if (p.dtype() == DType::Float64)
      run<double>(p.array(), part, DType::Float64, {}, {}, rule, &UpdateKernels<double>::sgd);
    else
      run<float>(p.array(), part, DType::Float32, {}, {}, rule, &UpdateKernels<float>::sgd);
  }
}

Tensor lbfgs_direction(const Tensor& gradient, std::span<const Tensor> changes,
                       std::span<const Tensor> steps, std::span<const double> ro, double scale) {
  size_t n = ro.size();
  FG_CHECK_VALUE(changes.size() == n && steps.size() == n,
                 "[LBFGS] expected as many changes and steps as factors, ", n, ", got ",
                 changes.size(), " and ", steps.size());
  const Tensor d[] = {elementwise(Op::Neg, gradient)};
  SmallVector<double, 16> shares(n, 0.0);
  for (size_t i = n; i-- > 0;) {
    shares[i] = item(dot(steps[i], d[0])).to_double() * ro[i];
    add_flat(d, changes[i], -shares[i]);
  }
  const Operand scaled[] = {d[0], Scalar(scale)};
  elementwise_inplace(Op::Mul, d[0], scaled);
  for (size_t i = 0; i < n; ++i)
    add_flat(d, steps[i], shares[i] - item(dot(changes[i], d[0])).to_double() * ro[i]);
  return d[0];
}

namespace {

struct SgdStep : SgdOptions {
  bool first;  // the momentum buffer holds nothing yet
};
void sgd(const Array& param, const Array& grad, const Array* const* state, const SgdStep& o) {
  SgdRule rule{o.lr, o.momentum, o.dampening, o.nesterov, o.first};
  FG_UPDATE(o.momentum == 0.0 ? nullptr : state[0], nullptr, nullptr, coupled(o), rule, sgd);
}

void adam(const Array& param, const Array& grad, const Array* const* state, const AdamOptions& o) {
  double t = advance(*state[0]);
  AdamRule rule{o.beta1,
                o.beta2,
                o.eps,
                o.lr / (1.0 - std::pow(o.beta1, t)),
                std::sqrt(1.0 - std::pow(o.beta2, t)),
                o.amsgrad};
  FG_UPDATE(state[1], state[2], o.amsgrad ? state[3] : nullptr, coupled_or_not(o), rule, adam);
}

void adamax(const Array& param, const Array& grad, const Array* const* state,
            const AdamaxOptions& o) {
  double t = advance(*state[0]);
  AdamaxRule rule{o.beta1, o.beta2, o.eps, o.lr / (1.0 - std::pow(o.beta1, t))};
  FG_UPDATE(state[1], state[2], nullptr, coupled(o), rule, adamax);
}

void nadam(const Array& param, const Array& grad, const Array* const* state,
           const NAdamOptions& o) {
  double t = advance(*state[0]);
  auto momentum_at = [&o](double step) {
    return o.beta1 * (1.0 - 0.5 * std::pow(0.96, step * o.momentum_decay));
  };
  double mu = momentum_at(t), mu_next = momentum_at(t + 1.0);
  change(*state[1], [mu](auto old) { return old * static_cast<decltype(old)>(mu); });
  double product = value_of(*state[1]);
  NAdamRule rule{o.beta1,
                 o.beta2,
                 o.eps,
                 1.0 - std::pow(o.beta2, t),
                 -o.lr * (1.0 - mu) / (1.0 - product),
                 -o.lr * mu_next / (1.0 - product * mu_next)};
  FG_UPDATE(state[2], state[3], nullptr, coupled_or_not(o), rule, nadam);
}

void radam(const Array& param, const Array& grad, const Array* const* state,
           const RAdamOptions& o) {
  double t = advance(*state[0]);
  double correction2 = 1.0 - std::pow(o.beta2, t);
  // The length of the simple moving average that the exponential one stands for, and its limit.
  double limit = 2.0 / (1.0 - o.beta2) - 1.0;
  double length = limit - 2.0 * t * std::pow(o.beta2, t) / correction2;
  double rectification = length > 5.0 ? std::sqrt((length - 4.0) * (length - 2.0) * limit /
                                                  ((limit - 4.0) * (limit - 2.0) * length))
                                      : 0.0;
  RAdamRule rule{
      o.beta1,      o.beta2, o.eps, o.lr, 1.0 - std::pow(o.beta1, t), std::sqrt(correction2),
      rectification};
  FG_UPDATE(state[1], state[2], nullptr, coupled_or_not(o), rule, radam);
}

void adagrad(const Array& param, const Array& grad, const Array* const* state,
             const AdagradOptions& o) {
  double t = advance(*state[0]);
  AdagradRule rule{o.lr / (1.0 + (t - 1.0) * o.lr_decay), o.eps};
  FG_UPDATE(state[1], nullptr, nullptr, coupled(o), rule, adagrad);
}

void adadelta(const Array& param, const Array& grad, const Array* const* state,
              const AdadeltaOptions& o) {
  advance(*state[0]);
  AdadeltaRule rule{o.lr, o.rho, o.eps};
  FG_UPDATE(state[1], state[2], nullptr, coupled(o), rule, adadelta);
}

void rmsprop(const Array& param, const Array& grad, const Array* const* state,
             const RmspropOptions& o) {
  advance(*state[0]);
  RmspropRule rule{o.lr, o.alpha, o.eps, o.momentum, o.centered};
  FG_UPDATE(state[1], o.centered ? state[2] : nullptr, o.momentum > 0.0 ? state[3] : nullptr,
            coupled(o), rule, rmsprop);
}

void rprop(const Array& param, const Array& grad, const Array* const* state,
           const RpropOptions& o) {
  advance(*state[0]);
  RpropRule rule{o.shrink, o.grow, o.smallest, o.largest};
  FG_UPDATE(state[1], state[2], nullptr, (Preparation{o.maximize, 0.0, 1.0}), rule, rprop);
}

void asgd(const Array& param, const Array& grad, const Array* const* state, const AsgdOptions& o) {
  double t = advance(*state[0]);
  double eta = value_of(*state[1]);
  AsgdRule rule{eta, value_of(*state[2])};
  Preparation q{o.maximize, o.weight_decay, 1.0 - o.lambd * eta};
  FG_UPDATE(state[3], nullptr, nullptr, q, rule, asgd);
  assign(*state[1], o.lr / std::pow(1.0 + o.lambd * o.lr * t, o.alpha));
  assign(*state[2], 1.0 / std::max(1.0, t - o.t0));
}

// A step on arrays; `state` has the tensors of ops/optim.h, null where they are absent.
template <class Options>
using ArrayStep = void (*)(const Array& param, const Array& grad, const Array* const* state,
                           const Options& o);

// The same as one instruction: param, its gradient and state go in, param and state come out.
template <class Options, ArrayStep<Options> step>
void run_step(const Attrs& a, Inputs in, std::span<Array> out) {
  Options o;
  std::memcpy(&o, a.list(0).data(), sizeof o);
  step(out[0], *in[1], in.data() + 2, o);
}

constexpr size_t words_of(size_t bytes) { return (bytes + 7) / 8; }

template <class Options, ArrayStep<Options> step>
void take_step(const Primitive& primitive, const Tensor& param, std::span<Tensor> state,
               const Options& o) {
  SmallVector<const Array*, 6> in{&param.array(), &param->grad.array()};
  for (const Tensor& s : state) in.push_back(s.defined() ? &s.array() : nullptr);
  Recorder* r = recorder();
  {
    PauseRecording inside;
    step(*in[0], *in[1], in.data() + 2, o);
  }
  if (!r) [[likely]]
    return;
  SmallVector<Array, 5> out{param.array()};
  for (const Tensor& s : state)
    if (s.defined()) out.push_back(s.array());
  int64_t words[words_of(sizeof(Options))] = {};
  std::memcpy(words, &o, sizeof o);
  r->primitive(primitive, Attrs().with(words), {in.data(), in.size()}, {out.data(), out.size()});
}

const Primitive kSgd = {"sgd_step", run_step<SgdStep, sgd>, false};
const Primitive kAdam = {"adam_step", run_step<AdamOptions, adam>, false};
const Primitive kAdamax = {"adamax_step", run_step<AdamaxOptions, adamax>, false};
const Primitive kNAdam = {"nadam_step", run_step<NAdamOptions, nadam>, false};
const Primitive kRAdam = {"radam_step", run_step<RAdamOptions, radam>, false};
const Primitive kAdagrad = {"adagrad_step", run_step<AdagradOptions, adagrad>, false};
const Primitive kAdadelta = {"adadelta_step", run_step<AdadeltaOptions, adadelta>, false};
const Primitive kRmsprop = {"rmsprop_step", run_step<RmspropOptions, rmsprop>, false};
const Primitive kRprop = {"rprop_step", run_step<RpropOptions, rprop>, false};
const Primitive kAsgd = {"asgd_step", run_step<AsgdOptions, asgd>, false};
}  // namespace

std::span<const Primitive* const> optim_primitives() {
  static const Primitive* const kAll[] = {&kSgd,     &kAdam,     &kAdamax,  &kNAdam, &kRAdam,
                                          &kAdagrad, &kAdadelta, &kRmsprop, &kRprop, &kAsgd};
  return kAll;
}

namespace {

// Whether the flags in the bytes of an Options are true or false, and nothing else.
template <class Options, class... Flag>
bool flags_hold(DimSpan words, Flag... flags) {
  const Options sample{};
  const char* bytes = reinterpret_cast<const char*>(words.data());
  auto value = [&](auto flag) {
    return bytes[reinterpret_cast<const char*>(&(sample.*flag)) -
                 reinterpret_cast<const char*>(&sample)];
  };
  return ((value(flags) == 0 || value(flags) == 1) && ...);
}

}  // namespace

bool step_form(const Primitive& p, DimSpan words, size_t& num_state, bool& last_needed) {
  if (&p == &kSgd) {
    num_state = 1;
    if (words.size() != words_of(sizeof(SgdStep)) ||
        !flags_hold<SgdStep>(words, &SgdStep::nesterov, &SgdStep::maximize, &SgdStep::first))
      return false;
    SgdStep o;
    std::memcpy(&o, words.data(), sizeof o);
    last_needed = o.momentum != 0.0;
    return true;
  }
  num_state = 4;
  if (&p != &kAdam || words.size() != words_of(sizeof(AdamOptions)) ||
      !flags_hold<AdamOptions>(words, &AdamOptions::amsgrad, &AdamOptions::decoupled_weight_decay,
                               &AdamOptions::maximize))
    return false;
  AdamOptions o;
  std::memcpy(&o, words.data(), sizeof o);
  last_needed = o.amsgrad;
  return true;
}

void sgd_step(const Tensor& param, std::span<Tensor> state, const SgdOptions& o) {
  SgdStep step{o, !state[0].defined()};
  if (o.momentum != 0.0 && step.first) state[0] = empty_like(param, param.dtype());
  take_step<SgdStep, sgd>(kSgd, param, state, step);
}
void adam_step(const Tensor& param, std::span<Tensor> state, const AdamOptions& o) {
  take_step<AdamOptions, adam>(kAdam, param, state, o);
}
void adamax_step(const Tensor& param, std::span<Tensor> state, const AdamaxOptions& o) {
  take_step<AdamaxOptions, adamax>(kAdamax, param, state, o);
}
void nadam_step(const Tensor& param, std::span<Tensor> state, const NAdamOptions& o) {
  take_step<NAdamOptions, nadam>(kNAdam, param, state, o);
}
void radam_step(const Tensor& param, std::span<Tensor> state, const RAdamOptions& o) {
  take_step<RAdamOptions, radam>(kRAdam, param, state, o);
}
void adagrad_step(const Tensor& param, std::span<Tensor> state, const AdagradOptions& o) {
  take_step<AdagradOptions, adagrad>(kAdagrad, param, state, o);
}
void adadelta_step(const Tensor& param, std::span<Tensor> state, const AdadeltaOptions& o) {
  take_step<AdadeltaOptions, adadelta>(kAdadelta, param, state, o);
}
void rmsprop_step(const Tensor& param, std::span<Tensor> state, const RmspropOptions& o) {
  take_step<RmspropOptions, rmsprop>(kRmsprop, param, state, o);
}
void rprop_step(const Tensor& param, std::span<Tensor> state, const RpropOptions& o) {
  take_step<RpropOptions, rprop>(kRprop, param, state, o);
}
void asgd_step(const Tensor& param, std::span<Tensor> state, const AsgdOptions& o) {
  take_step<AsgdOptions, asgd>(kAsgd, param, state, o);
}

}  // namespace fastgrad
