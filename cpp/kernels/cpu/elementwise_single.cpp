// Arithmetic on single elements of float32 and float64: no loop, no tail, nothing to set up.
#include "kernels/cpu/elementwise_table.h"
#define FG_ROWS "base/op_arithmetic.def"
#include "kernels/cpu/elementwise_formulas.h"

namespace fastgrad {
namespace {

// The wider kernels compute powers by other formulas; all else is the same operations everywhere.
template <class F>
constexpr bool kHasSingle = F::kTypes != OpTypes::P && F::kTypes != OpTypes::I &&
                            F::kTypes != OpTypes::J && F::kOp != ElementwiseOp::Pow;

template <class F, int kArity, class T>
void single(char* out, const char* const* in, unsigned, int64_t) {
  auto x = [in](int k) { return *reinterpret_cast<const T*>(in[k]); };
  T* y = reinterpret_cast<T*>(out);
  if constexpr (kArity == 1)
    *y = F::template call<T>(x(0));
  else if constexpr (kArity == 2)
    *y = F::template call<T>(x(0), x(1));
  else
    *y = F::template call<T>(x(0), x(1), x(2));
}

template <class F, int kArity>
void fill_row(BlockKernel* row) {
  if constexpr (kHasSingle<F>) {
    row[static_cast<int>(DType::Float32)] = single<F, kArity, float>;
    row[static_cast<int>(DType::Float64)] = single<F, kArity, double>;
  }
}

}  // namespace

void fill_single_kernels(KernelTable& table) {
#define FG_UNARY(Id, ...) fill_row<formula::Id, 1>(table.k[index(ElementwiseOp::Id)]);
#define FG_BINARY(Id, ...) fill_row<formula::Id, 2>(table.k[index(ElementwiseOp::Id)]);
#define FG_TERNARY(Id, ...) fill_row<formula::Id, 3>(table.k[index(ElementwiseOp::Id)]);
#include "base/op_rows.def"
}

}  // namespace fastgrad
