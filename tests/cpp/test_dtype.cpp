#include <cmath>
#include <cstdint>
#include <limits>

#include "base/dtype.h"
#include "check.h"

namespace fastgrad {
namespace {

TEST(promotion_is_symmetric_and_idempotent) {
  for (int i = 0; i < kNumDTypes; ++i) {
    auto a = static_cast<DType>(i);
    CHECK(promote_types(a, a) == a);
    for (int j = 0; j < kNumDTypes; ++j) {
      auto b = static_cast<DType>(j);
      CHECK(promote_types(a, b) == promote_types(b, a));
      CHECK(kind(promote_types(a, b)) >= std::max(kind(a), kind(b)));
    }
  }
}

TEST(promotion_known_cases) {
  CHECK(promote_types(DType::UInt8, DType::Int8) == DType::Int16);
  CHECK(promote_types(DType::Int64, DType::Float32) == DType::Float32);
  CHECK(promote_types(DType::Float16, DType::BFloat16) == DType::Float32);
  CHECK(promote_types(DType::Float64, DType::Complex64) == DType::Complex128);
  CHECK(promote_types(DType::Bool, DType::UInt8) == DType::UInt8);
}

TEST(half_types_survive_a_round_trip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    Half h;
    h.bits = static_cast<uint16_t>(bits);
    auto f = static_cast<float>(h);
    if (std::isnan(f)) {
      CHECK(std::isnan(static_cast<float>(Half(f))));
    } else if (Half(f).bits != bits) {
      CHECK(Half(f).bits == bits);
    }
    BFloat16 b;
    b.bits = static_cast<uint16_t>(bits);
    f = static_cast<float>(b);
    if (std::isnan(f)) {
      CHECK(std::isnan(static_cast<float>(BFloat16(f))));
    } else if (BFloat16(f).bits != bits) {
      CHECK(BFloat16(f).bits == bits);
    }
  }
}

TEST(half_types_round_to_nearest_even) {
  auto half = [](float f) { return static_cast<float>(Half(f)); };
  CHECK(half(2049.0f) == 2048.0f);
  CHECK(half(2051.0f) == 2052.0f);
  CHECK(half(65519.0f) == 65504.0f);
  CHECK(std::isinf(half(65520.0f)));
  CHECK(half(std::ldexp(1.0f, -25)) == 0.0f);
  CHECK(half(std::ldexp(1.5f, -25)) == std::ldexp(1.0f, -24));
  auto bfloat = [](float f) { return static_cast<float>(BFloat16(f)); };
  CHECK(bfloat(257.0f) == 256.0f);
  CHECK(bfloat(259.0f) == 260.0f);
  CHECK(std::isinf(bfloat(std::numeric_limits<float>::max())));
}

}  // namespace
}  // namespace fastgrad
