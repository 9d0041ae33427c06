#include "base/dtype.h"

#include <atomic>

namespace fastgrad {

namespace {

std::atomic<DType> g_default_dtype{DType::Float32};

uint16_t float_to_half_bits(float f) {
  uint32_t x = std::bit_cast<uint32_t>(f);
  uint32_t sign = (x >> 16) & 0x8000u;
  uint32_t mag = x & 0x7fffffffu;
  if (mag >= 0x7f800000u)  // inf or NaN; a NaN keeps its top payload bits and stays a NaN
    return static_cast<uint16_t>(sign | 0x7c00u |
                                 (mag > 0x7f800000u ? 0x200u | (mag >> 13 & 0x3ffu) : 0));
  if (mag >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // rounds to inf
  if (mag < 0x38800000u) {                                               // subnormal half
    // Adding 0.5 aligns the mantissa so that the hardware rounds to nearest even for us.
    float magic = std::bit_cast<float>(mag) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(magic) - 0x3f000000u));
  }
  uint32_t odd = (mag >> 13) & 1;
  return static_cast<uint16_t>(sign | ((mag - 0x38000000u + 0xfffu + odd) >> 13));
}

float half_bits_to_float(uint16_t h) {
  uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  uint32_t mag = h & 0x7fffu;
  if (mag >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | (mag & 0x3ffu) << 13);
  if (mag < 0x400u) {
    float f = static_cast<float>(mag) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(f) | sign);
  }
  return std::bit_cast<float>(sign | ((mag << 13) + 0x38000000u));
}

}  // namespace

Half::Half(float f) : bits(float_to_half_bits(f)) {}
Half::operator float() const { return half_bits_to_float(bits); }

BFloat16::BFloat16(float f) {
  uint32_t x = std::bit_cast<uint32_t>(f);
  if ((x & 0x7fffffffu) > 0x7f800000u)
    bits = static_cast<uint16_t>((x >> 16) | 0x40u);
  else
    bits = static_cast<uint16_t>((x + 0x7fffu + ((x >> 16) & 1)) >> 16);
}
BFloat16::operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

DType promote_types(DType a, DType b) {
  if (a == b) return a;
  DTypeKind ka = kind(a), kb = kind(b);
  if (ka != kb) {
    DType hi = ka > kb ? a : b, lo = ka > kb ? b : a;
    // A complex type keeps the precision of a wider real partner.
    if (hi == DType::Complex64 && lo == DType::Float64) return DType::Complex128;
    return hi;
  }
  if (ka == DTypeKind::Int && (a == DType::UInt8 || b == DType::UInt8)) {
    DType other = a == DType::UInt8 ? b : a;
    return other == DType::Int8 ? DType::Int16 : other;
  }
  if (ka == DTypeKind::Float && itemsize(a) == itemsize(b)) return DType::Float32;
  return itemsize(a) > itemsize(b) ? a : b;
}

bool can_cast(DType from, DType to) {
  DTypeKind kf = kind(from), kt = kind(to);
  if (kf == DTypeKind::Complex && kt != DTypeKind::Complex) return false;
  if (kf == DTypeKind::Float && kt <= DTypeKind::Int) return false;
  if (kf != DTypeKind::Bool && kt == DTypeKind::Bool) return false;
  return true;
}

DType default_dtype() { return g_default_dtype.load(std::memory_order_relaxed); }

void set_default_dtype(DType d) {
  FG_CHECK_TYPE(is_floating(d), "only floating-point types are supported as the default type, got ",
                name(d));
  g_default_dtype.store(d);
}

DType parse_dtype(const std::string& text) {
  for (int i = 0; i < kNumDTypes; ++i)
    if (text == kDTypeInfo[i].name || (*kDTypeInfo[i].alias && text == kDTypeInfo[i].alias))
      return static_cast<DType>(i);
  fail(ErrorKind::Type, "unknown dtype '", text, "'");
}

}  // namespace fastgrad
