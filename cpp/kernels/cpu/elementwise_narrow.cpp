// Divisions and their like of integers by the kernels of int32, which divide several numbers at
// once: blocks are converted, and the results converted back. Those of shorter integers are the
// same modulo their words. A number is spread over a block, or compilers see a loop of its own in
// it, in which they divide one by one.
#include <algorithm>

#include "kernels/copy.h"
#include "kernels/cpu/elementwise_table.h"

namespace fastgrad {
namespace {

// The operands as blocks of int32.
class Blocks {
 public:
  Blocks(DType type, const char* const* in, unsigned scalars, int64_t n)
      : widen_(cast_kernel(type, DType::Int32)), scalars_(scalars) {
    for (unsigned k = 0; k < 2; ++k)
      if (scalars >> k & 1) widen_(in[k], 0, number(k), 1, std::min(kBlock, n));
  }
  void run(BlockKernel kernel, CastKernel narrow, char* out, const char* const* in, int64_t n) {
    for (unsigned k = 0; k < 2; ++k)
      if (!(scalars_ >> k & 1)) widen_(in[k], 1, number(k), 1, n);
    const char* numbers[] = {number(0), number(1)};
    kernel(number(2), numbers, 0, n);
    narrow(number(2), 1, out, 1, n);
  }

 private:
  char* number(unsigned k) { return reinterpret_cast<char*>(numbers_[k]); }
  CastKernel widen_;
  unsigned scalars_;
  alignas(64) int32_t numbers_[3][kBlock];  // the operands, the results
};

// f(out, in, count) block by block.
template <class F>
void each_block(char* out, const char* const* in, unsigned scalars, int64_t n, DType type, F f) {
  const auto size = static_cast<int64_t>(itemsize(type));
  for (int64_t i = 0; i < n; i += kBlock) {
    const char* part[2];
    for (unsigned k = 0; k < 2; ++k) part[k] = in[k] + (scalars >> k & 1 ? 0 : i * size);
    f(out + i * size, part, std::min(kBlock, n - i));
  }
}

void run_by_int32(BlockKernel kernel, DType type, char* out, const char* const* in,
                  unsigned scalars, int64_t n) {
  const CastKernel narrow = cast_kernel(DType::Int32, type);
  Blocks blocks(type, in, scalars, n);
  each_block(out, in, scalars, n, type, [&](char* to, const char* const* from, int64_t count) {
    blocks.run(kernel, narrow, to, from, count);
  });
}

template <ElementwiseOp kOp>
BlockKernel g_of_int32 = nullptr;
template <ElementwiseOp kOp>
BlockKernel g_of_int64 = nullptr;

template <ElementwiseOp kOp, DType kType>
void by_int32(char* out, const char* const* in, unsigned scalars, int64_t n) {
  run_by_int32(g_of_int32<kOp>, kType, out, in, scalars, n);
}

constexpr int64_t kShort = 32;  // which converting costs more than it saves

template <ElementwiseOp kOp>
void int32_by_blocks(char* out, const char* const* in, unsigned scalars, int64_t n) {
  if (!scalars || n < kShort) return g_of_int32<kOp>(out, in, scalars, n);
  run_by_int32(g_of_int32<kOp>, DType::Int32, out, in, scalars, n);
}

// Quotients of small numbers are small, also those by -1.
bool are_small(const char* numbers, int64_t n) {
  const auto* x = reinterpret_cast<const uint64_t*>(numbers);
  constexpr uint64_t kSmall = uint64_t{1} << 30;
  uint64_t above[8] = {};  // so that compilers see registers
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int64_t k = 0; k < 8; ++k) above[k] |= x[i + k] + kSmall;
  for (; i < n; ++i) above[0] |= x[i] + kSmall;
  for (int64_t k = 1; k < 8; ++k) above[0] |= above[k];
  return above[0] < 2 * kSmall;
}

void run_int64(BlockKernel of_int32, BlockKernel of_int64, char* out, const char* const* in,
               unsigned scalars, int64_t n) {
  if (n < kShort) return of_int64(out, in, scalars, n);
  const CastKernel narrow = cast_kernel(DType::Int32, DType::Int64);
  Blocks blocks(DType::Int64, in, scalars, n);
  each_block(out, in, scalars, n, DType::Int64,
             [&](char* to, const char* const* from, int64_t count) {
               bool small = true;
               for (unsigned k = 0; k < 2; ++k)
                 small = small && are_small(from[k], scalars >> k & 1 ? 1 : count);
               if (small)
                 blocks.run(of_int32, narrow, to, from, count);
               else
                 of_int64(to, from, scalars, count);
             });
}

template <ElementwiseOp kOp>
void int64_by_int32(char* out, const char* const* in, unsigned scalars, int64_t n) {
  run_int64(g_of_int32<kOp>, g_of_int64<kOp>, out, in, scalars, n);
}

template <ElementwiseOp kOp>
void fill_short_words(KernelTable& table) {
  BlockKernel* row = table.k[index(kOp)];
  g_of_int32<kOp> = row[static_cast<int>(DType::Int32)];
  row[static_cast<int>(DType::Int8)] = by_int32<kOp, DType::Int8>;
  row[static_cast<int>(DType::UInt8)] = by_int32<kOp, DType::UInt8>;
  row[static_cast<int>(DType::Int16)] = by_int32<kOp, DType::Int16>;
}

template <ElementwiseOp kOp>
void fill_division(KernelTable& table) {
  fill_short_words<kOp>(table);
  BlockKernel* row = table.k[index(kOp)];
  g_of_int64<kOp> = row[static_cast<int>(DType::Int64)];
  row[static_cast<int>(DType::Int32)] = int32_by_blocks<kOp>;
  row[static_cast<int>(DType::Int64)] = int64_by_int32<kOp>;
}

}  // namespace

void fill_narrow_kernels(KernelTable& table) {
  fill_division<ElementwiseOp::DivTrunc>(table);
  fill_division<ElementwiseOp::FloorDivide>(table);
  fill_division<ElementwiseOp::Remainder>(table);
  fill_division<ElementwiseOp::Fmod>(table);
  fill_short_words<ElementwiseOp::Gcd>(table);
  fill_short_words<ElementwiseOp::Lcm>(table);
  fill_short_words<ElementwiseOp::Pow>(table);
}

}  // namespace fastgrad
