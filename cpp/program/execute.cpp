#include "program/execute.h"

namespace fastgrad {

Array array_at(const Place& p, char* base, const Ref<Buffer>& buffer) {
  Array a;
  place_array(a, p, base, buffer);
  return a;
}

Array number_array_of(const Instruction& i, size_t operand) {
  Array a = Array::empty({}, i.compute);
  i.attrs.s[operand].store(i.compute, a.data);
  return a;
}

void execute(const Instruction& i, Inputs in, std::span<Array> out) {
  switch (i.kind) {
    case Instruction::Kind::Elementwise: {
      Array held[kMaxElementwiseInputs];
      const Array* operands[kMaxElementwiseInputs];
      for (size_t k = 0; k < i.in.size(); ++k) {
        held[k] = (in[k] ? *in[k] : number_array_of(i, k)).expanded(out[0].shape);
        operands[k] = &held[k];
      }
      run_elementwise(block_kernel(row(i.op), i.compute), i.compute, i.result, operands,
                      static_cast<int>(i.in.size()), out[0]);
      break;
    }
    case Instruction::Kind::Op:
      info(i.op).eval(i.attrs, in, out);
      break;
    case Instruction::Kind::Primitive:
      i.primitive->run(i.attrs, in, out);
      break;
    case Instruction::Kind::Watch:
    case Instruction::Kind::Truth:
    case Instruction::Kind::Condition:
      break;
  }
}

}  // namespace fastgrad
