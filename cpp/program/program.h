// A recording, ready to run again: flat instructions on memory that is laid out once.
//
// Note [Replay]
// All memory of a program but its inputs and results lies in one block, planned when the program is
// made: a storage takes the place of one that is dead. Running is one loop over kernels whose
// pointers are already there; only the addresses of inputs and results are written into them first,
// where they changed since the last run. Nothing is allocated, nothing is looked up, and nobody
// asks for Python.
#pragma once

#include <atomic>
#include <memory>

#include "kernels/row_group.h"
#include "program/passes.h"

namespace fastgrad {

class Frame;

// Smaller arrays stay in the cache anyway.
inline constexpr int64_t kMinGroup = 4 * kGroupBlock;
// How far an instruction may move to the one whose values it shares.
inline constexpr size_t kMaxMove = 64;

// Whether an instruction is the sum or the mean of all elements, which lie in a row.
bool sums_all(const Instruction& i);
// Moves instructions on large arrays next to others of their size.
void gather_groups(Graph& g);

class Program {
 public:
  // Storages of `results` that are internal get their memory from the caller: see fresh().
  explicit Program(Task task);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // The sizes of the blocks that a run needs for its results.
  const std::vector<size_t>& fresh() const { return fresh_sizes_; }
  // Which of them a storage is, or -1.
  int32_t fresh_index(int32_t storage) const { return fresh_of_[static_cast<size_t>(storage)]; }
  // Where the results lie, in the order of the task's.
  const std::vector<Place>& results() const { return task_.results; }

  // Runs with the addresses of the external storages and of fresh blocks. False: a guard failed,
  // and nothing outside has changed.
  // When a kernel throws, `written` says what the steps before it may have written to.
  enum class Written : uint8_t { Nothing, Results, Outside };
  bool run(char* const* externals, char* const* fresh, Written* written = nullptr);

  // Promises that who calls run() holds Python's lock, so that frames need no atomic exchange.
  void run_under_gil() { under_gil_ = true; }

  const Graph& graph() const { return task_.graph; }
  // What became of the recording, for a person to read.
  std::string explain() const;
  // Whether a run may stop at a value that is not as it was.
  bool guarded() const { return guarded_; }
  // Whether a fresh block is written only when nothing can stop the run any more.
  bool written_late(size_t block) const { return written_late_[block]; }
  // Whether it takes from a random generator, or does anything else but write its outputs.
  bool impure() const { return impure_; }

 private:
  friend class Frame;
  // Elementwise instructions in a row, on arrays of one size: they run block by block, so that what
  // only they use never leaves the cache. See Note [Groups] in groups.cpp.
  struct Group {
    size_t first, last;  // instructions, the last one excluded
    int64_t n;
    int64_t block = kGroupBlock;  // elements that pass through all instructions at a time
    bool far = false;             // its memory is more than the nearer caches hold
  };
  // A product, and elementwise instructions that run on its pieces: see Note [Epilogues] in
  // epilogues.cpp.
  struct Epilogue {
    size_t product, last;  // the last one excluded
  };
  // What an elementwise kernel reads.
  struct Operand {
    const Instruction* instruction;
    size_t index;
    bool scalar;  // one element for all
    const Place& place() const { return instruction->in[index]; }
  };
  using Operands = SmallVector<Operand, kMaxElementwiseInputs>;
  void join_pairs();
  void find_epilogues();
  void find_groups();
  void examine_guards();
  void find_blocks();
  void choose_block(Group& group, const std::vector<int>& last) const;
  void plan();
  // Of instruction k, which is not joined to the next one; in order.
  Operands operands(size_t k) const;
  // The storages whose memory the kernel of instruction k may write its output to, if they die
  // there.
  SmallVector<int32_t, kMaxElementwiseInputs> written_over(size_t k) const;
  // Whether nothing but a register ever holds a storage.
  bool in_register(int32_t storage) const { return in_register_[static_cast<size_t>(storage)]; }

  Task task_;
  std::vector<int64_t> arena_offset_;  // of every storage; -1: not in the arena
  std::vector<int32_t> fresh_of_;
  std::vector<size_t> fresh_sizes_;
  std::vector<uint8_t> written_late_;
  // Instructions that are computed along with the next one, and the storages between them: see Note
  // [Pairs] in pairs.cpp.
  std::vector<uint8_t> joined_, in_register_;
  std::vector<Epilogue> epilogues_;
  std::vector<uint8_t> in_epilogue_;
  std::vector<Group> groups_;
  // Storages of which a group keeps one block at a time: the size of an element; 0 for others.
  std::vector<uint8_t> is_block_;
  // Those of them that a sum reads when kGroupBlock elements are there.
  std::vector<uint8_t> is_summed_;
  size_t block_bytes_ = 0;  // what the blocks take, at the front of the arena
  size_t arena_bytes_ = 0, recorded_steps_ = 0;
  bool guarded_ = false, impure_ = false, under_gil_ = false;
  std::atomic<Frame*> idle_{nullptr};  // owned: the frame of a run that is over
};

}  // namespace fastgrad
