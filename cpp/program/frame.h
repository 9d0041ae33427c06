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
  bool run(char* const* externals, char* const* fresh);

 private:
  enum class Kind : uint8_t { Kernel, Rows, Copy, Zero, Call, Watch, Truth, Group };
  struct Step {
    BlockKernel kernel = nullptr;
    char* out = nullptr;
    const char* in[kMaxElementwiseInputs] = {};
    int64_t n = 0;  // elements; Copy, Zero: bytes
    uint32_t call = 0;
    uint8_t scalars = 0;
    Kind kind = Kind::Kernel;
  };
  // A group's kernels with their operands in the first block; `step_*` lead to the next one.
  struct Block {
    Step kernel;
    int64_t step_out = 0;
    int64_t step_in[kMaxElementwiseInputs] = {};
  };
  // Memory that a group passes through once, front to back.
  struct Stream {
    const char* data;
    int64_t step;  // bytes per element
    bool written;
  };
  struct Group {
    std::vector<Block> blocks;
    int64_t n = 0;
    bool beyond_cache = false;
    void run() const;
    void find_streams(std::vector<Stream>& streams) const;
    template <bool kPrefetch>
    void run_blocks(std::span<const Stream> streams) const;
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

  void add(const Instruction& i);
  bool add_bytes(Step& s, const Instruction& i);
  void add_call(Step& s, const Instruction& i);
  void add_group(const Program::Group& g);
  void add_kernel(Step& s, const Instruction& i, unsigned scalars);
  void point(char** pointer, const Place& p);
  Array array(const Place& p);
  void run_rows(const Step& s) const;
  bool run_call(const Step& s);
  static bool check(const Call& c);

  const Program& program_;
  Array arena_;
  Ref<Buffer> outside_ = Buffer::foreign(nullptr, 0, nullptr, nullptr);
  std::vector<Ref<Buffer>> buffers_;  // of the storages inside
  std::vector<Array> numbers_;
  std::vector<Step> steps_;
  std::vector<RowForm> rows_;
  std::deque<Call> calls_;
  std::deque<Group> groups_;
  std::vector<std::vector<Patch>> patches_;  // of externals, then of fresh blocks
  std::vector<char*> bound_;
};

}  // namespace fastgrad
