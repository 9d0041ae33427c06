#include "ops/random.h"

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <utility>

#include "core/apply.h"
#include "core/conditions.h"
#include "core/inplace.h"
#include "core/memory.h"
#include "core/promotion.h"
#include "kernels/random.h"
#include "kernels/reduce.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace fastgrad {

// Values that do not depend on what stood there before: the gradient is zero everywhere.
FG_DEFINE_OP(Random) = {
    .name = "random",
    .vjp =
        [](VjpContext& c) {
          for (size_t i = 0; i < c.num_inputs(); ++i)
            if (c.needs(i)) c.set(i, Tensor(recorded::zeros(c.in_shape(i), c.in_dtype(i))));
        },
};

namespace {

// New memory, to be filled.
Array unset(DimSpan shape, DType dtype) {
  Array a = Array::empty(shape, dtype);
  if (Recorder* r = recorder()) [[unlikely]]
    r->fresh(a);
  return a;
}

void fill_log_normal(const Array& out, RandomStream s, double mean, double std) {
  Array z = Array::empty(out.shape, DType::Float64);
  fill_normal(z, s, mean, std);
  for (int64_t i = 0; i < z.numel; ++i) z.ptr<double>()[i] = std::exp(z.ptr<double>()[i]);
  copy_array(z, out);
}

// Fills of row-major arrays: instructions of a recording. From the default generator, or from the
// one whose address is the attributes' list.
using Fill = void (*)(const Array& out, RandomStream s, const Attrs& a, Inputs in);
template <Fill fill>
void run_fill(const Attrs& a, Inputs in, std::span<Array> out) {
  fill(out[0], default_generator().reserve(blocks_for(out[0].numel)), a, in);
}
Generator* generator_in(const Attrs& a) { return std::bit_cast<Generator*>(a.list(0)[0]); }
template <Fill fill>
void run_own_fill(const Attrs& a, Inputs in, std::span<Array> out) {
  fill(out[0], generator_in(a)->reserve(blocks_for(out[0].numel)), a, in);
}
// A fill as two primitives: programs that are saved know the first one alone.
struct RandomFill {
  template <Fill fill>
  static constexpr RandomFill make(const char* name) {
    return {{name, run_fill<fill>, true, false}, {name, run_own_fill<fill>, true, false}};
  }
  Primitive shared, own;
};
#define FG_RANDOM(Name, text, ...)                                                           \
  constexpr RandomFill Name =                                                                \
      RandomFill::make<[](const Array& out, RandomStream s, [[maybe_unused]] const Attrs& a, \
                          [[maybe_unused]] Inputs in) { __VA_ARGS__; }>(text);
FG_RANDOM(kUniform, "uniform_", fill_uniform(out, s, a.s[0].to_double(), a.s[1].to_double()))
FG_RANDOM(kNormal, "normal_", fill_normal(out, s, a.s[0].to_double(), a.s[1].to_double()))
FG_RANDOM(kBernoulli, "bernoulli_", fill_bernoulli(out, s, *in[0]))
FG_RANDOM(kExponential, "exponential_",
          fill_by(out, s, a.s[0].to_double(), 0,
                  [](double u, double l, double) { return -std::log(u) / l; }))
FG_RANDOM(kGeometric, "geometric_",
          fill_by(out, s, a.s[0].to_double(), 0,
                  [](double u, double log_q, double) { return std::ceil(std::log(u) / log_q); }))
FG_RANDOM(kCauchy, "cauchy_",
          fill_by(out, s, a.s[0].to_double(), a.s[1].to_double(),
                  [](double u, double m, double w) { return m + w * std::tan(M_PI * (u - 0.5)); }))
FG_RANDOM(kLogNormal, "log_normal_",
          fill_log_normal(out, s, a.s[0].to_double(), a.s[1].to_double()))
FG_RANDOM(kIntegers, "random_",
          fill_integers(out, s, a.s[0].to_int(), static_cast<uint64_t>(a.s[1].to_int())))
FG_RANDOM(kPoisson, "poisson", fill_poisson(out, s, *in[0]))
FG_RANDOM(kGamma, "standard_gamma", fill_gamma(out, s, *in[0]))
FG_RANDOM(kPermutation, "randperm", fill_permutation(out, s))
#undef FG_RANDOM

// Runs a primitive that takes random numbers, and records it.
void run_random(const Primitive& p, const Attrs& attrs, Inputs in, Array out) {
  Recorder* r = recorder();
  {
    PauseRecording inside;
    p.run(attrs, in, {&out, 1});
  }
  if (r) r->primitive(p, attrs, in, {&out, 1});
}

void fill_now(const RandomFill& p, Generator& g, const Attrs& attrs, Inputs in, Array out) {
  if (&g == &default_generator()) return run_random(p.shared, attrs, in, std::move(out));
  run_random(p.own, Attrs(attrs).with(Dims{std::bit_cast<int64_t>(&g)}), in, std::move(out));
}

// Seed and block of the next random numbers.
const Primitive kStream = {"random_stream",
                           [](const Attrs& a, Inputs, std::span<Array> out) {
                             RandomStream s =
                                 default_generator().reserve(static_cast<uint64_t>(a.integer(0)));
                             out[0].ptr<int64_t>()[0] = std::bit_cast<int64_t>(s.seed);
                             out[0].ptr<int64_t>()[1] = std::bit_cast<int64_t>(s.block);
                           },
                           true, false};

void fill_inplace(const Tensor& self, const char* op, Generator& g, const RandomFill& p,
                  const Attrs& attrs, Inputs in = {}) {
  bool recorded = check_inplace(self, false, op);
  if (self.is_contiguous()) {
    fill_now(p, g, attrs, in, self.array());
  } else {
    Array rows = unset(self.shape(), self.dtype());
    fill_now(p, g, attrs, in, rows);
    recorded::copy_array(rows, self.array());
  }
  self->array.buffer->bump_version();
  if (!recorded) return;
  Ref<Node> node = make_node(Op::Random, {&self, 1}, {});
  Tensor result(self.array());
  set_output(node, 0, result);
  rebase_history(self, result);
}

Tensor with_zero_gradient(Tensor out, std::initializer_list<Tensor> inputs) {
  std::span<const Tensor> in(inputs.begin(), inputs.size());
  if (should_record(in)) set_output(make_node(Op::Random, in, {}), 0, out);
  return out;
}

void check_supported(bool supported, const char* kernel, DType d) {
  FG_CHECK_KIND(ErrorKind::NotImplemented, supported, "\"", kernel, "\" not implemented for '",
                scalar_type_name(d), "'");
}

double highest(DType d) {
  return d == DType::Float16                             ? 65504.0
         : d == DType::Float64 || d == DType::Complex128 ? std::numeric_limits<double>::max()
         : d == DType::BFloat16 ? 3.3895313892515355e38
                                : static_cast<double>(std::numeric_limits<float>::max());
}

// The whole numbers that a type holds without gaps: those from `low` to `high`.
struct WholeRange {
  int64_t low, high;
};
WholeRange whole_range(DType d) {
  switch (d) {
    case DType::Bool:
      return {0, 1};
    case DType::UInt8:
      return {0, 255};
    case DType::Int8:
      return {-128, 127};
    case DType::Int16:
      return {INT16_MIN, INT16_MAX};
    case DType::Int32:
      return {INT32_MIN, INT32_MAX};
    case DType::Int64:
      return {INT64_MIN, INT64_MAX};
    case DType::Float16:
      return {-(1 << 11), 1 << 11};
    case DType::BFloat16:
      return {-(1 << 8), 1 << 8};
    case DType::Float32:
      return {-(1 << 24), 1 << 24};
    case DType::Float64:
      return {-(int64_t{1} << 53), int64_t{1} << 53};
    default:
      fail(ErrorKind::Runtime,
           "random_ handles only integral, floating-point and boolean types, got ", name(d));
  }
}

void check_range(DType d, int64_t from, int64_t to) {
  FG_CHECK(from < to, "random_ expects 'from' to be less than 'to', but got from=", from,
           " >= to=", to);
  if (is_floating(d)) {
    FG_CHECK(static_cast<double>(from) >= -highest(d), "from is out of bounds for ", name(d));
    FG_CHECK(static_cast<double>(to - 1) <= highest(d), "to - 1 is out of bounds for ", name(d));
    return;
  }
  WholeRange r = whole_range(d);
  FG_CHECK(from >= r.low && from <= r.high, "from is out of bounds for ", name(d), ": ", from);
  FG_CHECK(to - 1 >= r.low && to - 1 <= r.high, "to - 1 is out of bounds for ", name(d), ": ",
           to - 1);
}

void check_continuous(const char* distribution, DType d) {
  FG_CHECK(is_floating(d), distribution,
           " distribution is a continuous probability distribution. dtype must be a "
           "floating point but you specified ",
           scalar_type_name(d));
}

bool all_in(const Tensor& x, double low, double high) {
  watch_condition(kWithin, Attrs(low, high), x.array(), true);  // or an error is raised
  const Array& a = x.array();
  for (int k = 0; k < 2 && a.numel; ++k) {
    const Array extreme = Array::empty(Dims{}, a.dtype);
    reduce_extreme(a, (DimSet{1} << a.ndim()) - 1, k == 1, &extreme, nullptr);
    double v;
    cast_kernel(a.dtype, DType::Float64)(extreme.data, 1, reinterpret_cast<char*>(&v), 1, 1);
    if (!(v >= low && v <= high)) return false;
  }
  return true;
}

// mean + std * z; z has the broadcast shape.
Tensor shifted_normal(const Operand& mean, const Operand& std, DimSpan shape, DType dtype,
                      Generator& g) {
  check_supported(is_floating(dtype), "normal_kernel_cpu", dtype);
  GradModeGuard no_grad(false);
  Tensor z(unset(shape, dtype));
  normal_(z, 0, 1, g);
  Tensor out = add(mul(z, std), mean);
  return out.dtype() == dtype ? out : Tensor(recorded::contiguous_copy(out.array(), dtype));
}

}  // namespace

std::span<const Primitive* const> random_primitives() {
  static const Primitive* const kAll[] = {&kUniform.shared,
                                          &kNormal.shared,
                                          &kBernoulli.shared,
                                          &kExponential.shared,
                                          &kGeometric.shared,
                                          &kCauchy.shared,
                                          &kLogNormal.shared,
                                          &kIntegers.shared,
                                          &kPoisson.shared,
                                          &kPermutation.shared,
                                          &kStream};
  return kAll;
}

Generator* own_generator(const Primitive& p, const Attrs& attrs) {
  for (const RandomFill* f : {&kUniform, &kNormal, &kBernoulli, &kExponential, &kGeometric,
                              &kCauchy, &kLogNormal, &kIntegers, &kPoisson, &kPermutation})
    if (&p == &f->own) return generator_in(attrs);
  return nullptr;
}

DrawnStream draw_stream(uint64_t blocks) {
  if (!recorder() || recorder()->refused()) return {default_generator().reserve(blocks), {}};
  Array a = unset(Dims{2}, DType::Int64);
  run_random(kStream, Attrs(Scalar(static_cast<int64_t>(blocks))), {}, a);
  return {stream_at(a), Tensor(a)};
}

RandomStream stream_at(const Array& recorded) {
  return {std::bit_cast<uint64_t>(recorded.ptr<int64_t>()[0]),
          std::bit_cast<uint64_t>(recorded.ptr<int64_t>()[1])};
}

uint64_t system_seed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

Generator::Generator() : state_{system_seed(), 0} {}

RandomStream Generator::reserve(uint64_t blocks) {
  refuse_recording("random numbers of this kind");  // those of a Primitive come while it pauses
  std::lock_guard lock(mutex_);
  RandomStream s{state_.seed, state_.next_block};
  state_.next_block += blocks;
  return s;
}

Generator::State Generator::state() {
  refuse_recording("the state of a random generator");
  std::lock_guard lock(mutex_);
  return state_;
}

uint64_t Generator::position() {
  std::lock_guard lock(mutex_);
  return state_.next_block;
}

void Generator::set_state(State s) {
  refuse_recording("seeding a random generator");
  std::lock_guard lock(mutex_);
  state_ = s;
}

namespace {
thread_local Generator* t_generator = nullptr;
}

Generator& default_generator() {
  static auto* shared = new Generator;
  return t_generator ? *t_generator : *shared;
}

void set_thread_generator(Generator* g) { t_generator = g; }

void uniform_(const Tensor& self, double from, double to, Generator& g) {
  check_supported(is_differentiable(self.dtype()), "check_uniform_bounds", self.dtype());
  double limit = highest(self.dtype());
  FG_CHECK(std::abs(from) <= limit, "from is out of bounds for ", name(self.dtype()));
  FG_CHECK(std::abs(to) <= limit, "to is out of bounds for ", name(self.dtype()));
  FG_CHECK(from <= to, "uniform_ expects to return a [from, to) range, but found from=", from,
           " > to=", to);
  FG_CHECK(to - from <= limit, "uniform_ expects to-from <= std::numeric_limits<",
           name(self.dtype()), ">::max(), but found to=", to, " and from=", from,
           " which result in to-from to exceed the limit");
  fill_inplace(self, "uniform", g, kUniform, Attrs(from, to));
}

void normal_(const Tensor& self, double mean, double std, Generator& g) {
  FG_CHECK(std >= 0, "normal expects std >= 0.0, but found std ", std);
  check_supported(is_differentiable(self.dtype()), "normal_kernel_cpu", self.dtype());
  fill_inplace(self, "normal", g, kNormal, Attrs(mean, std));
}

void bernoulli_(const Tensor& self, double p, Generator& g) {
  FG_CHECK(p >= 0 && p <= 1, "bernoulli_ expects p to be in [0, 1], but got p=", p);
  check_supported(!is_complex(self.dtype()), "bernoulli_scalar_cpu_", self.dtype());
  Array chance = Array::empty({}, DType::Float64);
  *chance.ptr<double>() = p;
  constant_values(chance);
  const Array* in[] = {&chance};
  fill_inplace(self, "bernoulli", g, kBernoulli, {}, in);
}

void bernoulli_(const Tensor& self, const Tensor& p, Generator& g) {
  check_supported(!is_complex(self.dtype()), "bernoulli_tensor_cpu_self_", self.dtype());
  check_supported(is_floating(p.dtype()), "bernoulli_tensor_cpu_p_", p.dtype());
  FG_CHECK(
      all_in(p, 0, 1),
      "Expected p_in >= 0 && p_in <= 1 to be true, but got false: bernoulli_ needs probabilities");
  FG_CHECK(is_expandable_to(p.shape(), self.shape()), "bernoulli_: the probabilities' shape ",
           p.shape(), " does not broadcast to ", self.shape());
  Array chances = p.array().expanded(self.shape());
  const Array* in[] = {&chances};
  fill_inplace(self, "bernoulli", g, kBernoulli, {}, in);
}

void exponential_(const Tensor& self, double rate, Generator& g) {
  FG_CHECK(rate > 0, "exponential_ expects lambda > 0.0, but found lambda=", rate);
  check_continuous("Exponential", self.dtype());
  fill_inplace(self, "exponential", g, kExponential, Attrs(rate));
}

void geometric_(const Tensor& self, double p, Generator& g) {
  FG_CHECK(p > 0 && p < 1, "geometric_ expects p to be in (0, 1), but got p=", p);
  check_supported(self.dtype() != DType::Bool && !is_complex(self.dtype()), "geometric_cpu",
                  self.dtype());
  fill_inplace(self, "geometric", g, kGeometric, Attrs(std::log1p(-p)));
}

void cauchy_(const Tensor& self, double median, double sigma, Generator& g) {
  FG_CHECK(sigma > 0, "cauchy_ expects sigma > 0.0, but found sigma=", sigma);
  check_continuous("Cauchy", self.dtype());
  fill_inplace(self, "cauchy", g, kCauchy, Attrs(median, sigma));
}

void log_normal_(const Tensor& self, double mean, double std, Generator& g) {
  FG_CHECK(std > 0, "log_normal_ expects std > 0.0, but found std=", std);
  check_supported(is_floating(self.dtype()), "log_normal_cpu", self.dtype());
  fill_inplace(self, "log_normal", g, kLogNormal, Attrs(mean, std));
}

void random_(const Tensor& self, std::optional<int64_t> from, std::optional<int64_t> to,
             Generator& g) {
  WholeRange held = whole_range(self.dtype());
  int64_t first = from.value_or(0);
  uint64_t range;
  if (to) {
    check_range(self.dtype(), first, *to);
    range = static_cast<uint64_t>(*to) - static_cast<uint64_t>(first);
  } else {
    FG_CHECK(first >= held.low && first <= held.high, "from is out of bounds for ",
             name(self.dtype()));
    range = static_cast<uint64_t>(held.high) - static_cast<uint64_t>(first) + 1;
  }
  fill_inplace(self, "random", g, kIntegers, Attrs(first, static_cast<int64_t>(range)));
}

Tensor normal(const Tensor& mean, const Tensor& std, Generator& g) {
  FG_CHECK(!is_complex(std.dtype()), "normal expects standard deviation to be non-complex");
  FG_CHECK(all_in(std, 0, HUGE_VAL), "normal expects all elements of std >= 0.0");
  return with_zero_gradient(
      shifted_normal(mean, std, broadcast(mean.shape(), std.shape()), mean.dtype(), g),
      {mean, std});
}
Tensor normal(const Tensor& mean, double std, Generator& g) {
  FG_CHECK(std >= 0, "normal expects std >= 0.0, but found std ", std);
  return with_zero_gradient(shifted_normal(mean, std, mean.shape(), mean.dtype(), g), {mean});
}
Tensor normal(double mean, const Tensor& std, Generator& g) {
  FG_CHECK(all_in(std, 0, HUGE_VAL), "normal expects all elements of std >= 0.0");
  return with_zero_gradient(shifted_normal(mean, std, std.shape(), std.dtype(), g), {std});
}

Tensor bernoulli(const Tensor& p, Generator& g) {
  Tensor out(unset(p.shape(), p.dtype()));
  bernoulli_(out, p, g);
  return with_zero_gradient(out, {p});
}

Tensor poisson(const Tensor& rates, Generator& g) {
  check_supported(is_floating(rates.dtype()), "poisson_cpu", rates.dtype());
  FG_CHECK(all_in(rates, 0, HUGE_VAL), "invalid Poisson rate, expected rate to be non-negative");
  Tensor out(unset(rates.shape(), rates.dtype()));
  const Array* in[] = {&rates.array()};
  fill_now(kPoisson, g, {}, in, out.array());
  return with_zero_gradient(out, {rates});
}

Tensor standard_gamma(const Tensor& concentrations, Generator& g) {
  check_supported(is_floating(concentrations.dtype()), "standard_gamma", concentrations.dtype());
  Tensor out(unset(concentrations.shape(), concentrations.dtype()));
  const Array* in[] = {&concentrations.array()};
  fill_now(kGamma, g, {}, in, out.array());
  return out;
}

Tensor multinomial(const Tensor& weights, int64_t draws, bool replacement, Generator& g) {
  FG_CHECK(weights.ndim() == 1 || weights.ndim() == 2, "prob_dist must be 1 or 2 dim");
  FG_CHECK(is_floating(weights.dtype()),
           "multinomial only supports floating-point dtypes for input, got: ",
           scalar_type_name(weights.dtype()));
  FG_CHECK(draws > 0, "cannot sample n_sample <= 0 samples");
  int64_t n = weights.size(-1);
  FG_CHECK(replacement || draws <= n,
           "cannot sample n_sample > prob_dist.size(-1) samples without replacement");
  FG_CHECK(all_in(weights, 0, std::numeric_limits<double>::max()),
           "probability tensor contains either `inf`, `nan` or element < 0");
  int64_t rows = weights.ndim() == 2 ? weights.size(0) : 1;
  Array w = recorded::as_contiguous(weights.array(), DType::Float64).reshaped(Dims{rows, n});
  for (int64_t row = 0; row < rows; ++row) {
    const double* first = w.ptr<double>() + row * n;
    FG_CHECK(std::any_of(first, first + n, [](double v) { return v > 0; }),
             "invalid multinomial distribution (sum of probabilities <= 0)");
  }
  Array out = Array::empty(Dims{rows, draws}, DType::Int64);
  fill_multinomial(out, g.reserve(static_cast<uint64_t>(rows) * blocks_for(std::max(n, draws))), w,
                   replacement);
  return Tensor(weights.ndim() == 2 ? out : out.reshaped(Dims{draws}));
}

Tensor randperm(int64_t n, DType dtype, Generator& g) {
  FG_CHECK(n >= 0, "Trying to create tensor with negative dimension ", n, ": [", n, "]");
  FG_CHECK(n == 0 || n - 1 <= whole_range(dtype).high, "randperm: ", name(dtype),
           " cannot hold the numbers below ", n, " (value cannot be converted to type ",
           name(dtype), " without overflow)");
  Array out = unset(Dims{n}, dtype);
  fill_now(kPermutation, g, {}, {}, out);
  return Tensor(std::move(out));
}

}  // namespace fastgrad
