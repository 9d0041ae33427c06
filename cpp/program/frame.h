// The memory and the instructions of one run of a program at a time: see Note [Replay].
#pragma once

#include <deque>

#include "program/direct.h"
#include "program/program.h"

namespace fastgrad {

class Frame {
 public:
  explicit Frame(const Program& p);
  // False: a guard failed.
  bool run(char* const* externals, char* const* fresh, Program::Written* written);

 private:
  enum class Kind : uint8_t { Kernel, Rows, Copy, Zero, Call, Guard, Group, Product, End };
  struct Step : KernelCall {
    Kind kind = Kind::Kernel;
    uint32_t call = 0;
    int64_t n = 0;  // elements; Copy, Zero: bytes
  };
  // A product, and kernels that run on its pieces. Steps lead from one row or column to the next.
  struct Product {
    struct Kernel {
      Step step;
      int64_t out_row = 0, out_col = 0, in_row[kMaxElementwiseInputs] = {},
              in_col[kMaxElementwiseInputs] = {};
      bool by_rows = false;  // something is broadcast along them
    };
    size_t call;
    int64_t cols;
    std::vector<Kernel> kernels;
    void run(int64_t row, int64_t col, int64_t rows, int64_t cols) const;
  };
  struct Call {
    const Instruction* instruction;
    SmallVector<Array, 4> arrays;
    SmallVector<const Array*, 4> in;
    SmallVector<Array, 2> out;
    BlockKernel kernel = nullptr;  // an elementwise instruction whose operands must be walked
  };
  // An address that depends on where an outside block lies.
  struct Patch {
    char** pointer;
    int64_t offset;
  };

  void add(size_t k);
  bool add_bytes(Step& s, const Instruction& i);
  void add_call(Step& s, const Instruction& i);
  void add_group(const Program::Group& g);
  void add_product(const Program::Epilogue& e);
  void add_sum(RowGroup& group, const Instruction& i);
  void add_kernel(KernelCall& s, size_t k, unsigned scalars, int64_t n);
  BlockKernel kernel_of(size_t k, int64_t n) const;
  BlockKernel whole_kernel_of(size_t k, int64_t n) const;
  // Short arrays: see frame_short.cpp.
  void add_short(size_t k);
  bool is_padded(size_t k) const;
  bool has_padding(const Place& p) const;
  void fetch(const Place& p);
  const char* number(const Program::Operand& o, int64_t n);
  const char* copy_of(const Place& p, int64_t n);
  RowGroup::Steps steps_of(const Place& p) const;
  void point(char** pointer, const Place& p);
  Array array(const Place& p);
  void note_writes(const Instruction& i);
  bool run_steps(const Step*& step);
  void run_rows(const Step& s) const;
  void run_product(const Step& s);
  bool run_call(const Step& s);
  static bool check(const Call& c);

  const Program& program_;
  Array arena_;
  char* arena_base_ = nullptr;
  Ref<Buffer> outside_ = Buffer::foreign(nullptr, 0, nullptr, nullptr);
  std::vector<Ref<Buffer>> buffers_;  // of the storages inside
  std::vector<Array> numbers_;
  // Numbers, and constants, that are spread over as many elements as their kernel works on.
  struct Number {
    DType dtype;
    int64_t n;
    double value;
    const char* data;
  };
  std::vector<Number> known_numbers_;
  // Copies of memory outside, with padding, which are made before they are first read.
  struct Fetched {
    int32_t storage;
    DType dtype;
    int64_t offset, n;
    const char* data;
  };
  std::vector<Fetched> fetched_;
  std::vector<uint8_t> is_written_;  // storages
  std::vector<int64_t> reach_;       // how far into each storage steps so far write
  std::vector<Step> steps_;          // the last one is the end
  std::vector<size_t> stops_;        // those that are no kernels
  size_t first_result_ = SIZE_MAX, first_outside_ = SIZE_MAX;  // steps that write there
  std::vector<RowForm> rows_;
  std::deque<Call> calls_;
  std::deque<RowGroup> groups_;
  std::vector<Product> products_;
  std::vector<std::vector<Patch>> patches_;  // of externals, then of fresh blocks
  std::vector<char*> bound_;
};

}  // namespace fastgrad
