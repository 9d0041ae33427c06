// Reductions: the same bits for every instruction set and layout of lanes, errors that stay small.
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/isa.h"
#include "check.h"
#include "kernels/cpu/reduce_lanes.h"
#include "kernels/reduce.h"

namespace fastgrad {
namespace {

template <class T>
std::vector<T> noise(int64_t n) {
  std::vector<T> values(static_cast<size_t>(n));
  uint64_t state = 1;
  for (T& v : values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    v = static_cast<T>(static_cast<double>(state >> 11) / 9007199254740992.0 - 0.3);
  }
  return values;
}

template <class T>
bool same_bits(T a, T b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

template <class T>
void check_lanes(const LaneKernels<T>& expected, const LaneKernels<T>& actual) {
  const std::vector<T> x = noise<T>(3000);
  for (int64_t n = 1; n < 300; ++n) {
    CHECK(same_bits(actual.sum(x.data(), n), expected.sum(x.data(), n)));
    CHECK(same_bits(actual.largest(x.data(), n), expected.largest(x.data(), n)));
    CHECK(same_bits(actual.smallest(x.data(), n), expected.smallest(x.data(), n)));
  }
  CHECK(same_bits(actual.sum(x.data(), 3000), expected.sum(x.data(), 3000)));
}

TEST(every_instruction_set_gives_the_same_bits) {
  if (isa() >= Isa::Avx2 && kLanesAvx2.f64.sum) {
    check_lanes(kLanesBaseline.f32, kLanesAvx2.f32);
    check_lanes(kLanesBaseline.f64, kLanesAvx2.f64);
  }
  if (isa() >= Isa::Avx512 && kLanesAvx512.f64.sum) {
    check_lanes(kLanesBaseline.f32, kLanesAvx512.f32);
    check_lanes(kLanesBaseline.f64, kLanesAvx512.f64);
  }
}

TEST(nan_wins_wherever_it_stands) {
  for (int64_t n : {1, 5, 40, 200})
    for (int64_t at = 0; at < n; ++at) {
      std::vector<double> x = noise<double>(n);
      x[static_cast<size_t>(at)] = std::numeric_limits<double>::quiet_NaN();
      CHECK(std::isnan(lanes(0.0).largest(x.data(), n)));
      CHECK(std::isnan(lanes(0.0).smallest(x.data(), n)));
    }
}

Array filled(DimSpan shape) {
  Array a = Array::empty(shape, DType::Float32);
  std::vector<float> values = noise<float>(a.numel);
  std::memcpy(a.data, values.data(), values.size() * sizeof(float));
  return a;
}

TEST(sums_of_rows_and_of_columns_are_both_pairwise) {
  const int64_t n = 200'000;
  Array x = filled(Dims{n, 5});
  const Array rows = x.permuted(Dims{1, 0});
  double exact[5] = {};
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < 5; ++j) exact[j] += static_cast<double>(x.ptr<float>()[i * 5 + j]);
  Array columns = Array::empty(Dims{5}, DType::Float32);
  Array lines = Array::empty(Dims{5}, DType::Float32);
  reduce_sum(x, 0b01, columns);
  reduce_sum(rows, 0b10, lines);
  for (int j = 0; j < 5; ++j) {
    CHECK(std::fabs(static_cast<double>(columns.ptr<float>()[j]) / exact[j] - 1) < 5e-7);
    CHECK(std::fabs(static_cast<double>(lines.ptr<float>()[j]) / exact[j] - 1) < 5e-7);
  }
}

TEST(reductions_of_nothing) {
  const Array none = Array::empty(Dims{0, 3}, DType::Float64);
  Array out = Array::empty(Dims{3}, DType::Float64);
  reduce_sum(none, 0b01, out);
  CHECK(out.ptr<double>()[0] == 0);
  reduce_prod(none, 0b01, out);
  CHECK(out.ptr<double>()[2] == 1);
  reduce_mean(none, 0b01, out);
  CHECK(std::isnan(out.ptr<double>()[1]));
  reduce_logsumexp(none, 0b01, out);
  CHECK(out.ptr<double>()[1] == -std::numeric_limits<double>::infinity());
  Array empty = Array::empty(Dims{0}, DType::Float64);
  reduce_sum(none, 0b10, empty);
}

TEST(the_first_of_equal_extremes_across_blocks) {
  Array x = Array::zeros(Dims{5000}, DType::Float32);
  x.ptr<float>()[2000] = x.ptr<float>()[4000] = 1;
  Array index = Array::empty({}, DType::Int64);
  reduce_extreme(x, 1, true, nullptr, &index);
  CHECK(*index.ptr<int64_t>() == 2000);
  reduce_extreme(x, 1, false, nullptr, &index);
  CHECK(*index.ptr<int64_t>() == 0);
}

}  // namespace
}  // namespace fastgrad
