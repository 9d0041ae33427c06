#include <cmath>
#include <memory>
#include <utility>

#include "autograd/engine.h"
#include "check.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "storage/allocator.h"

namespace fastgrad {
namespace {

Tensor filled(DimSpan shape, double value, bool requires_grad = true) {
  Tensor t(Array::empty(shape, DType::Float64));
  for (int64_t i = 0; i < t.numel(); ++i) t.array().ptr<double>()[i] = value;
  t->leaf_requires_grad = requires_grad;
  return t;
}
double value_of(const Tensor& t) { return *t.array().ptr<double>(); }
double grad_of(const Tensor& t) { return value_of(t->grad); }
void backward_from(const Tensor& root, BackwardOptions options = {}) {
  backward({&root, 1}, {}, options);
}
Tensor derivative(const Tensor& y, const Tensor& x, BackwardOptions options = {}) {
  return grad({&y, 1}, {&x, 1}, {}, options)[0];
}

TEST(product_rule) {
  Tensor x = filled({}, 3), y = filled({}, 4);
  Tensor z = mul(x, y);
  CHECK(z->node->name() == "MulBackward0");
  backward_from(z);
  CHECK(grad_of(x) == 4 && grad_of(y) == 3);
}

TEST(gradients_add_up_over_paths_and_calls) {
  Tensor x = filled({}, 2);
  for (int call = 1; call <= 3; ++call) {
    backward_from(add(mul(x, x), x));
    CHECK(grad_of(x) == 5 * call);
  }
}

TEST(broadcast_dimensions_are_summed_by_the_engine) {
  Tensor x = filled(Dims{3, 1}, 2), y = filled(Dims{4}, 5);
  backward_from(sum(mul(x, y)));
  CHECK((x->grad.shape() == Dims{3, 1}) && grad_of(x) == 20);
  CHECK((y->grad.shape() == Dims{4}) && grad_of(y) == 6);
}

TEST(every_order_of_derivative) {
  Tensor x = filled({}, 2);
  BackwardOptions keep;
  keep.retain_graph = keep.create_graph = true;
  Tensor y = pow(x, 4);
  double expected[] = {32, 48, 48, 24};
  for (double e : expected) {
    y = derivative(y, x, keep);
    CHECK(std::abs(value_of(y) - e) < 1e-12);
  }
}

TEST(a_graph_serves_once_unless_retained) {
  Tensor x = filled({}, 2);
  Tensor y = mul(x, x);
  BackwardOptions keep;
  keep.retain_graph = true;
  backward_from(y, keep);
  backward_from(y);
  CHECK(grad_of(x) == 8);
  CHECK_FAILS(ErrorKind::Runtime, (backward_from(y), 0));
}

TEST(a_saved_value_that_changed_is_an_error) {
  Tensor x = filled({}, 2), y = filled({}, 3);
  Tensor z = mul(x, y);
  y->array.buffer->bump_version();
  CHECK_FAILS(ErrorKind::Runtime, (backward_from(z), 0));
}

TEST(a_zero_cotangent_stays_zero_beside_an_infinite_derivative) {
  Tensor x = filled({}, 0);
  Tensor y = where(gt(x, 0), sqrt(x), 0);
  backward_from(y);
  CHECK(grad_of(x) == 0);
}

TEST(views_carry_gradients_to_their_base) {
  Tensor x = filled(Dims{2, 3}, 1);
  backward_from(sum(mul(transpose(x, 0, 1), 2.0)));
  CHECK((x->grad.shape() == Dims{2, 3}) && grad_of(x) == 2);
}

TEST(a_chain_of_a_million_ops_runs_and_dies) {
  Tensor x = filled({}, 1);
  Tensor y = x;
  for (int i = 0; i < 1'000'000; ++i) y = mul(y, 1.0);
  backward_from(y);
  CHECK(grad_of(x) == 1);
  Tensor never_run = x;
  for (int i = 0; i < 1'000'000; ++i) never_run = mul(never_run, 1.0);
}

TEST(a_training_loop_keeps_memory_flat) {
  Tensor x = filled(Dims{1000}, 1);
  auto step = [&] {
    backward_from(sum(mul(sin(x), x)));
    x->grad = Tensor();
  };
  for (int i = 0; i < 10; ++i) step();
  memory::Stats before = memory::stats();
  for (int i = 0; i < 1000; ++i) step();
  memory::Stats after = memory::stats();
  CHECK(after.allocated == before.allocated);
  CHECK(after.system_allocations == before.system_allocations);
}

struct Scale : GradHook {
  Tensor operator()(const Tensor& g) override { return mul(g, 10.0); }
};

TEST(hooks_change_gradients) {
  Tensor x = filled({}, 2);
  Tensor y = mul(x, x);
  register_hook(y, std::make_shared<Scale>());
  backward_from(add(y, 0.0));
  CHECK(grad_of(x) == 40);
}

}  // namespace
}  // namespace fastgrad
