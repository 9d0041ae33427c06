// What a recording is turned into: instructions on pieces of memory.
//
// Note [Graphs]
// A Storage is one block of memory, a Place some of its elements (a view needs no instruction), and
// an Instruction reads places and writes places. Each write of a storage makes a new version of it;
// storage and version together are a value of single assignment, `%3.1` in print. Instructions
// stand in an order in which they may run.
#pragma once

#include <string>
#include <vector>

#include "core/recorder.h"

namespace fastgrad {

// The number of a storage or of an external as an index.
inline size_t at(int32_t number) { return static_cast<size_t>(number); }

struct Place {
  int32_t storage = -1;  // -1: an absent input
  DType dtype = DType::Float32;
  bool contiguous = true;
  int64_t offset = 0;  // bytes from the storage's start
  int64_t numel = 0;
  Dims shape, strides;

  bool defined() const { return storage >= 0; }
  int64_t nbytes() const { return numel * static_cast<int64_t>(itemsize(dtype)); }
  // The bytes of the storage between which its elements lie.
  struct Bytes {
    int64_t first, last;
  };
  Bytes bytes() const {
    if (numel == 0) return {offset, offset};
    Extent e = extent(shape, strides);
    auto size = static_cast<int64_t>(itemsize(dtype));
    return {offset + e.lo * size, offset + (e.hi + 1) * size};
  }
};

struct Storage {
  enum class Role : uint8_t {
    Internal,  // made by an instruction
    External,  // memory of an argument or of a captured tensor, `external` of the graph's list
    Constant,  // `value` has what it holds before the first instruction
  };
  Role role = Role::Internal;
  bool unset = false;  // internal; may be read before it is written, whatever it holds
  int32_t external = -1;
  size_t nbytes = 0;
  int64_t first = 0, last = 0;  // External: the bytes that its tensors reach
  Array value;
};

struct Instruction {
  enum class Kind : uint8_t {
    Elementwise,  // a row of the op table
    Op,           // any other op
    Primitive,
    Watch,      // the values of in[0] must be `expected`
    Truth,      // bool(in[0]) must be `outcome`
    Condition,  // the condition on in[0] must be `outcome`
  };
  Kind kind = Kind::Op;
  Op op = Op::kCount;
  bool outcome = false;
  DType compute = DType::Float32, result = DType::Float32;  // Elementwise
  const Primitive* primitive = nullptr;
  const Condition* condition = nullptr;
  Attrs attrs;  // Elementwise: numbers among the operands, as on the tape
  std::vector<Place> in, out;
  Tensor expected;

  bool guards() const { return kind >= Kind::Watch; }
};

struct Graph {
  std::vector<Storage> storages;
  std::vector<Instruction> instructions;
  int32_t num_externals = 0;

  const char* name_of(const Instruction& i) const;
  // Arithmetic operations, a function of an element counting as one; bytes read and written.
  static int64_t flops(const Instruction& i);
  static int64_t bytes(const Instruction& i);
  // One line per instruction.
  std::string text() const;
  // For Graphviz.
  std::string dot() const;
  // Fails when an instruction reads memory that nothing has written, or reaches beyond a storage.
  void verify() const;
};

}  // namespace fastgrad
