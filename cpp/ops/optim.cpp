#include "ops/optim.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/memory_format.h"
#include "core/elementwise.h"
#include "kernels/copy.h"
#include "kernels/optim.h"
#include "ops/creation.h"
#include "ops/item.h"
#include "ops/matmul.h"

namespace fastgrad {
namespace {

void check_state(const Tensor& param, const Tensor& t) {
  FG_CHECK(t.shape() == param.shape(), "the state of a parameter of shape ", param.shape(),
           " has shape ", t.shape(),
           "; a state dict of other parameters was loaded, or the parameter changed its shape");
}

void check_type(DType type) {
  FG_CHECK_KIND(ErrorKind::NotImplemented,
                type == DType::Float32 || type == DType::Float64 || type == DType::Float16 ||
                    type == DType::BFloat16,
                "optimisers update float64, float32, float16 and bfloat16 parameters, got ",
                name(type), "; keep real and imaginary parts as two parameters");
}

double value_of(const Tensor& scalar) {
  const Array& a = scalar.array();
  if (a.dtype == DType::Float32) return *a.ptr<float>();
  if (a.dtype == DType::Float64) return *a.ptr<double>();
  return item(scalar).to_double();
}

// scalar = f(scalar), computed in the scalar's own type.
template <class F>
void change(const Tensor& scalar, F&& f) {
  const Array& a = scalar.array();
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

void assign(const Tensor& scalar, double value) {
  change(scalar, [value](auto old) { return static_cast<decltype(old)>(value); });
}

// step += 1; the new count.
double advance(const Tensor& step) {
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
    copy_ = contiguous_copy(a, type);
    copied_ = true;
  }
  T* data() const { return (copied_ ? copy_ : original_).template ptr<T>(); }
  void write_back() const {
    if (copied_) copy_array(copy_, original_);
    original_.buffer->bump_version();
  }

 private:
  const Array& original_;
  Array copy_;
  bool copied_ = false;
};

template <class T, class Rule>
void run(const Tensor& param, const Tensor& grad, DType type, std::span<const Tensor> state,
         const Preparation& q, const Rule& rule, UpdateKernel<T, Rule> UpdateKernels<T>::* kernel) {
  auto array_of = [&](int i) -> const Array& {
    return (state[i].defined() ? state[i] : param).array();
  };
  // Rules work element by element: any order will do in which all arrays are without gaps.
  const Array& first = param.array();
  auto alike = [&](const Array& a) { return a.dtype == type && a.strides == first.strides; };
  bool direct = alike(first) && alike(grad.array()) && alike(array_of(0)) && alike(array_of(1)) &&
                alike(array_of(2)) && (first.contiguous || is_dense(first.shape, first.strides));
  Elements<T> p(first, type, direct), g(grad.array(), type, direct);
  Elements<T> s[3] = {
      {array_of(0), type, direct}, {array_of(1), type, direct}, {array_of(2), type, direct}};
  UpdateData<T> d{p.data(), g.data(), {}, param.numel()};
  for (int i = 0; i < 3; ++i) d.state[i] = state[i].defined() ? s[i].data() : nullptr;
  (kernels_for<T>().*kernel)(d, q, rule);
  for (int i = 0; i < 3; ++i)
    if (state[i].defined()) s[i].write_back();
  p.write_back();
}

// Updates param by a rule; `a`, `b`, `c` are the rule's arrays of state, undefined where it has
// fewer. Half precision is computed in float.
template <class Rule>
void update(const Tensor& param, const Tensor& a, const Tensor& b, const Tensor& c,
            const Preparation& q, const Rule& rule,
            UpdateKernel<float, Rule> UpdateKernels<float>::* single,
            UpdateKernel<double, Rule> UpdateKernels<double>::* twice) {
  const Tensor state[] = {a, b, c};
  for (const Tensor& t : state)
    if (t.defined()) check_state(param, t);
  check_state(param, param->grad);
  DType type = param.dtype();
  check_type(type);
  if (type == DType::Float64)
    run<double>(param, param->grad, type, state, q, rule, twice);
  else
    run<float>(param, param->grad, DType::Float32, state, q, rule, single);
}
#define FG_UPDATE(param, a, b, c, q, rule, kernel) \
  update(param, a, b, c, q, rule, &UpdateKernels<float>::kernel, &UpdateKernels<double>::kernel)

Preparation coupled(const auto& o) { return {o.maximize, o.weight_decay, 1.0}; }
Preparation coupled_or_not(const auto& o) {
  if (!o.decoupled_weight_decay) return coupled(o);
  return {o.maximize, 0.0, 1.0 - o.lr * o.weight_decay};
}

const Tensor kAbsent;
const Tensor kNoState[3];

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
  return Array::empty({&n, 1}, type);
}

Array check_flat(std::span<const Tensor> params, const Tensor& flat) {
  int64_t n = 0;
  for (const Tensor& p : params) n += p.numel();
  FG_CHECK_VALUE(flat.ndim() == 1 && flat.numel() == n, "expected a vector of ", n,
                 " elements for the parameters, got shape ", flat.shape());
  return as_contiguous(flat.array());
}

}  // namespace

Tensor flat_values(std::span<const Tensor> params) {
  Array flat = flat_like(params);
  int64_t offset = 0;
  for (const Tensor& p : params) copy_array(p.array(), piece(flat, p.array(), offset));
  return Tensor(std::move(flat));
}

Tensor flat_gradients(std::span<const Tensor> params) {
  Array flat = flat_like(params);
  int64_t offset = 0;
  for (const Tensor& p : params) {
    Array part = piece(flat, p.array(), offset);
    if (p->grad.defined())
      copy_array(p->grad.array(), part);
    else if (part.numel > 0)
      std::memset(part.data, 0, static_cast<size_t>(part.nbytes()));
  }
  return Tensor(std::move(flat));
}

void assign_flat(std::span<const Tensor> params, const Tensor& flat) {
  Array source = check_flat(params, flat);
  int64_t offset = 0;
  for (const Tensor& p : params) {
    copy_array(piece(source, p.array(), offset), p.array());
    p.array().buffer->bump_version();
  }
}

void add_flat(std::span<const Tensor> params, const Tensor& flat, double alpha) {
  Array source = check_flat(params, flat);
  const SgdRule rule{-alpha, 0.0, 0.0, false, false};
  int64_t offset = 0;
  for (const Tensor& p : params) {
    Tensor part(piece(source, p.array(), offset));
    if (p.dtype() == DType::Float64)
      run<double>(p, part, DType::Float64, kNoState, {}, rule, &UpdateKernels<double>::sgd);
    else
      run<float>(p, part, DType::Float32, kNoState, {}, rule, &UpdateKernels<float>::sgd);
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

void sgd_step(const Tensor& param, std::span<Tensor> state, const SgdOptions& o) {
  SgdRule rule{o.lr, o.momentum, o.dampening, o.nesterov, !state[0].defined()};
  if (rule.momentum == 0.0) {
    FG_UPDATE(param, kAbsent, kAbsent, kAbsent, coupled(o), rule, sgd);
    return;
  }
  if (rule.first) state[0] = empty_like(param, param.dtype());
  FG_UPDATE(param, state[0], kAbsent, kAbsent, coupled(o), rule, sgd);
}

void adam_step(const Tensor& param, std::span<Tensor> state, const AdamOptions& o) {
  double t = advance(state[0]);
  AdamRule rule{o.beta1,
                o.beta2,
                o.eps,
                o.lr / (1.0 - std::pow(o.beta1, t)),
                std::sqrt(1.0 - std::pow(o.beta2, t)),
                o.amsgrad};
  FG_UPDATE(param, state[1], state[2], o.amsgrad ? state[3] : kAbsent, coupled_or_not(o), rule,
            adam);
}

void adamax_step(const Tensor& param, std::span<Tensor> state, const AdamaxOptions& o) {
  double t = advance(state[0]);
  AdamaxRule rule{o.beta1, o.beta2, o.eps, o.lr / (1.0 - std::pow(o.beta1, t))};
  FG_UPDATE(param, state[1], state[2], kAbsent, coupled(o), rule, adamax);
}

void nadam_step(const Tensor& param, std::span<Tensor> state, const NAdamOptions& o) {
  double t = advance(state[0]);
  auto momentum_at = [&o](double step) {
    return o.beta1 * (1.0 - 0.5 * std::pow(0.96, step * o.momentum_decay));
  };
  double mu = momentum_at(t), mu_next = momentum_at(t + 1.0);
  change(state[1], [mu](auto old) { return old * static_cast<decltype(old)>(mu); });
  double product = value_of(state[1]);
  NAdamRule rule{o.beta1,
                 o.beta2,
                 o.eps,
                 1.0 - std::pow(o.beta2, t),
                 -o.lr * (1.0 - mu) / (1.0 - product),
                 -o.lr * mu_next / (1.0 - product * mu_next)};
  FG_UPDATE(param, state[2], state[3], kAbsent, coupled_or_not(o), rule, nadam);
}

void radam_step(const Tensor& param, std::span<Tensor> state, const RAdamOptions& o) {
  double t = advance(state[0]);
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
  FG_UPDATE(param, state[1], state[2], kAbsent, coupled_or_not(o), rule, radam);
}

void adagrad_step(const Tensor& param, std::span<Tensor> state, const AdagradOptions& o) {
  double t = advance(state[0]);
  AdagradRule rule{o.lr / (1.0 + (t - 1.0) * o.lr_decay), o.eps};
  FG_UPDATE(param, state[1], kAbsent, kAbsent, coupled(o), rule, adagrad);
}

void adadelta_step(const Tensor& param, std::span<Tensor> state, const AdadeltaOptions& o) {
  advance(state[0]);
  AdadeltaRule rule{o.lr, o.rho, o.eps};
  FG_UPDATE(param, state[1], state[2], kAbsent, coupled(o), rule, adadelta);
}

void rmsprop_step(const Tensor& param, std::span<Tensor> state, const RmspropOptions& o) {
  advance(state[0]);
  RmspropRule rule{o.lr, o.alpha, o.eps, o.momentum, o.centered};
  FG_UPDATE(param, state[1], o.centered ? state[2] : kAbsent, o.momentum > 0.0 ? state[3] : kAbsent,
            coupled(o), rule, rmsprop);
}

void rprop_step(const Tensor& param, std::span<Tensor> state, const RpropOptions& o) {
  advance(state[0]);
  RpropRule rule{o.shrink, o.grow, o.smallest, o.largest};
  FG_UPDATE(param, state[1], state[2], kAbsent, (Preparation{o.maximize, 0.0, 1.0}), rule, rprop);
}

void asgd_step(const Tensor& param, std::span<Tensor> state, const AsgdOptions& o) {
  double t = advance(state[0]);
  double eta = value_of(state[1]);
  AsgdRule rule{eta, value_of(state[2])};
  Preparation q{o.maximize, o.weight_decay, 1.0 - o.lambd * eta};
  FG_UPDATE(param, state[3], kAbsent, kAbsent, q, rule, asgd);
  assign(state[1], o.lr / std::pow(1.0 + o.lambd * o.lr * t, o.alpha));
  assign(state[2], 1.0 / std::max(1.0, t - o.t0));
}

}  // namespace fastgrad
