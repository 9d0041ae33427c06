// Graphs in several threads at once; what the thread sanitizer is for.
#include <functional>
#include <thread>
#include <vector>

#include "autograd/engine.h"
#include "base/threads.h"
#include "check.h"
#include "core/deferred.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace fastgrad {
namespace {

constexpr int kThreads = 4;
constexpr int kRounds = 200;

Tensor leaf(DimSpan shape, double value) {
  Tensor t(Array::empty(shape, DType::Float64));
  for (int64_t i = 0; i < t.numel(); ++i) t.array().ptr<double>()[i] = value;
  t->leaf_requires_grad = true;
  return t;
}
double first(const Tensor& t) { return *t.array().ptr<double>(); }

void in_threads(const std::function<void(int)>& body) {
  // The flag of Note [Reference counts] has to be up before threads share tensors.
  enter_thread();
  std::thread([] { enter_thread(); }).join();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&body, t] {
      enter_thread();
      body(t);
    });
  for (auto& thread : threads) thread.join();
}

void backward_of_sum(const Tensor& y) {
  Tensor root = sum(y);
  backward({&root, 1}, {}, {});
}

TEST(threads_differentiate_their_own_graphs) {
  in_threads([](int t) {
    for (int i = 0; i < kRounds; ++i) {
      Tensor x = leaf(Dims{50}, t + 1);
      backward_of_sum(mul(sin(x), x));
      CHECK(x->grad.numel() == 50);
    }
  });
}

TEST(threads_accumulate_into_one_leaf) {
  Tensor x = leaf(Dims{50}, 1);
  in_threads([&](int) {
    for (int i = 0; i < kRounds; ++i) backward_of_sum(mul(x, 2.0));
  });
  CHECK(first(x->grad) == 2.0 * kThreads * kRounds);
}

TEST(threads_run_one_graph) {
  Tensor x = leaf(Dims{50}, 1);
  Tensor y = mul(mul(x, 3.0), x);
  in_threads([&](int) {
    BackwardOptions keep;
    keep.retain_graph = true;
    for (int i = 0; i < kRounds; ++i) {
      Tensor root = sum(y);
      backward({&root, 1}, {}, keep);
    }
  });
  CHECK(first(x->grad) == 6.0 * kThreads * kRounds);
}

TEST(threads_put_off_their_own_rows) {
  const int64_t before = deferred::defer_from(1);
  in_threads([](int t) {
    for (int i = 0; i < kRounds; ++i) {
      Tensor x = leaf(Dims{50 + t % 2}, t + 1);
      Tensor y = add(mul(x, 2.0), 1.0);
      backward_of_sum(mul(y, y));
      deferred::settle(y.array());
      CHECK(first(y) == 2.0 * (t + 1) + 1);
      CHECK(first(x->grad) == 4.0 * (2.0 * (t + 1) + 1));
    }
  });
  CHECK(deferred::defer_from(before) == 1);
}

TEST(modes_belong_to_their_thread) {
  in_threads([](int t) {
    GradModeGuard guard(t % 2 == 0);
    Tensor x = leaf({}, 1);
    for (int i = 0; i < kRounds; ++i) CHECK(mul(x, x).requires_grad() == (t % 2 == 0));
  });
}

}  // namespace
}  // namespace fastgrad
