// Products and the elementwise kernels that run on their pieces: see Note [Epilogues].
#include "program/epilogues.h"
#include "program/frame.h"

namespace fastgrad {

void Frame::add_product(const Program::Epilogue& e) {
  const auto& list = program_.graph().instructions;
  Step& s = steps_.emplace_back();
  s.kind = Kind::Product;
  s.call = static_cast<uint32_t>(products_.size());
  const Place& result = list[e.product].out[0];
  Product& product = products_.emplace_back();
  product.call = calls_.size();
  product.cols = result.shape.back();
  product.kernels.reserve(e.last - e.product);  // addresses stay: patches point to them
  Step call;
  add_call(call, list[e.product]);
  for (size_t k = e.product + 1; k < e.last; ++k) {
    if (program_.joined_[k]) continue;
    const Instruction& i = list[k];
    Product::Kernel& kernel = product.kernels.emplace_back();
    auto size = static_cast<int64_t>(itemsize(i.compute));
    kernel.out_col = static_cast<int64_t>(itemsize(i.result));
    kernel.out_row = product.cols * kernel.out_col;
    unsigned scalars = 0;
    RowForm form;
    kernel.by_rows = !is_direct(i, scalars);
    Program::Operands operands = program_.operands(k);
    if (kernel.by_rows) {
      find_rows(i, form);
      scalars = form.scalars;
    } else {
      scalars = 0;
      for (size_t n = 0; n < operands.size(); ++n) {
        scalars |= (operands[n].scalar ? 1u : 0u) << n;
        form.in_step[n] = operands[n].scalar ? 0 : product.cols * size;
      }
    }
    for (size_t n = 0; n < operands.size(); ++n) {
      kernel.in_row[n] = form.in_step[n];
      kernel.in_col[n] = scalars >> n & 1 ? 0 : size;
    }
    add_kernel(kernel.step, k, scalars, i.out[0].numel);
  }
}

void Frame::run_product(const Step& s) {
  const Product& product = products_[s.call];
  Call& c = calls_[product.call];
  PieceDone done;
  done.call = [](void* p, int64_t row, int64_t col, int64_t rows, int64_t cols) {
    static_cast<const Product*>(p)->run(row, col, rows, cols);
  };
  done.context = const_cast<Product*>(&product);
  product_kernel (*c.instruction)(c.instruction->attrs, {c.in.data(), c.in.size()},
                                  {c.out.data(), c.out.size()}, done);
}

void Frame::Product::run(int64_t row, int64_t col, int64_t rows, int64_t width) const {
  for (const Kernel& k : kernels) {
    char* out = k.step.out + row * k.out_row + col * k.out_col;
    const char* in[kMaxElementwiseInputs];
    for (size_t n = 0; n < kMaxElementwiseInputs; ++n)
      in[n] = k.step.in[n] + row * k.in_row[n] + col * k.in_col[n];
    if (!k.by_rows && width == cols) {
      k.step.kernel(out, in, k.step.scalars, rows * width);
      continue;
    }
    for (int64_t i = 0; i < rows; ++i) {
      k.step.kernel(out, in, k.step.scalars, width);
      out += k.out_row;
      for (size_t n = 0; n < kMaxElementwiseInputs; ++n) in[n] += k.in_row[n];
    }
  }
}

}  // namespace fastgrad
