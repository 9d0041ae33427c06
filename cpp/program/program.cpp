#include "program/program.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <unordered_map>

#include "base/thread_pool.h"
#include "core/elementwise.h"
#include "kernels/copy.h"
#include "program/execute.h"

namespace fastgrad {
namespace {

constexpr size_t kAlignment = 64;
// Large blocks do not begin at the same place of a page: loads and stores whose addresses end alike
// wait for each other.
size_t rounded(size_t n) {
  return (n + kAlignment - 1) / kAlignment * kAlignment + (n >= 2048 ? 3 * kAlignment : 0);
}
size_t at(int32_t storage) { return static_cast<size_t>(storage); }

bool reads_one_element(const Place& p) {
  if (p.numel == 1) return true;
  for (size_t d = 0; d < p.shape.size(); ++d)
    if (p.shape[d] != 1 && p.strides[d] != 0) return false;
  return true;
}

// Whether an elementwise instruction is one call of its kernel. `scalars` gets the operands that
// are one element.
bool is_direct(const Instruction& i, unsigned& scalars) {
  const Place& out = i.out[0];
  if (!out.contiguous || out.dtype != i.result) return false;
  scalars = 0;
  for (size_t k = 0; k < i.in.size(); ++k) {
    const Place& p = i.in[k];
    if (!p.defined()) {
      scalars |= 1u << k;
      continue;
    }
    if (p.dtype != i.compute) return false;
    bool overlaps = p.storage == out.storage;
    if (p.contiguous && p.shape == out.shape) {
      if (overlaps && p.offset != out.offset) return false;
      continue;
    }
    if (!reads_one_element(p) || overlaps) return false;
    scalars |= 1u << k;
  }
  return true;
}

// Elements per block of a group: some arrays of it fit the first-level cache.
constexpr int64_t kGroupBlock = 1024;
// Smaller arrays stay in the cache anyway.
constexpr int64_t kMinGroup = 4 * kGroupBlock;

// The inputs whose memory a direct kernel may write its output to, if they die here: those that it
// reads element by element, at the same place in all operands.
SmallVector<int32_t, kMaxElementwiseInputs> written_over(const Instruction& i) {
  SmallVector<int32_t, kMaxElementwiseInputs> storages;
  unsigned scalars = 0;
  if (i.kind != Instruction::Kind::Elementwise || !is_direct(i, scalars) ||
      itemsize(i.compute) != itemsize(i.result) || i.out[0].offset != 0)
    return storages;
  for (size_t k = 0; k < i.in.size(); ++k) {
    bool fits = i.in[k].defined();
    for (size_t n = 0; fits && n < i.in.size(); ++n)
      if (i.in[n].storage == i.in[k].storage) fits = i.in[n].offset == 0 && !(scalars >> n & 1);
    if (fits) storages.push_back(i.in[k].storage);
  }
  return storages;
}

}  // namespace

// The memory and the instructions of one run at a time.
class Frame {
 public:
  explicit Frame(const Program& p);
  bool run(char* const* externals, char* const* fresh);

 private:
  enum class Kind : uint8_t { Kernel, Call, Watch, Truth, Group };
  struct Step {
    BlockKernel kernel = nullptr;
    char* out = nullptr;
    const char* in[kMaxElementwiseInputs] = {};
    int64_t n = 0;
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
  struct Group {
    std::vector<Block> blocks;
    int64_t n;
    void run() const;
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
  void add_group(const Program::Group& g);
  void add_kernel(Step& s, const Instruction& i, unsigned scalars);
  void point(char** pointer, const Place& p);
  Array array(const Place& p);
  static bool check(const Call& c);

  const Program& program_;
  Array arena_;
  Ref<Buffer> outside_ = Buffer::foreign(nullptr, 0, nullptr, nullptr);
  std::vector<Ref<Buffer>> buffers_;  // of the storages inside
  std::vector<Array> numbers_;
  std::vector<Step> steps_;
  std::deque<Call> calls_;
  std::deque<Group> groups_;
  std::vector<std::vector<Patch>> patches_;  // of externals, then of fresh blocks
  std::vector<char*> bound_;
};

Frame::Frame(const Program& p) : program_(p) {
  const Graph& g = p.graph();
  arena_ = Array::empty(Dims{static_cast<int64_t>(p.arena_bytes_ + kAlignment)}, DType::UInt8);
  char* base = arena_.data;
  base += (kAlignment - reinterpret_cast<uintptr_t>(base) % kAlignment) % kAlignment;
  buffers_.resize(g.storages.size());
  for (size_t s = 0; s < g.storages.size(); ++s) {
    if (g.storages[s].role == Storage::Role::Constant)
      buffers_[s] = g.storages[s].value.defined() ? g.storages[s].value.buffer
                                                  : Buffer::foreign(base, 0, nullptr, nullptr);
    else if (p.arena_offset_[s] >= 0)
      buffers_[s] =
          Buffer::foreign(base + p.arena_offset_[s], g.storages[s].nbytes, nullptr, nullptr);
  }
  patches_.resize(static_cast<size_t>(g.num_externals) + p.fresh_sizes_.size());
  bound_.assign(patches_.size(), nullptr);
  steps_.reserve(g.instructions.size());
  size_t next = 0;
  for (const Program::Group& group : p.groups_) {
    for (; next < group.first; ++next) add(g.instructions[next]);
    add_group(group);
    next = group.last;
  }
  for (; next < g.instructions.size(); ++next) add(g.instructions[next]);
}

void Frame::add_group(const Program::Group& g) {
  Step& s = steps_.emplace_back();
  s.kind = Kind::Group;
  s.call = static_cast<uint32_t>(groups_.size());
  Group& group = groups_.emplace_back();
  group.n = g.n;
  group.blocks.reserve(g.last - g.first);  // addresses stay: patches point to them
  for (size_t k = g.first; k < g.last; ++k) {
    const Instruction& i = program_.graph().instructions[k];
    unsigned scalars = 0;
    is_direct(i, scalars);
    Block& b = group.blocks.emplace_back();
    add_kernel(b.kernel, i, scalars);
    auto step = [&](const Place& p) {
      return program_.is_block_[at(p.storage)] ? 0 : static_cast<int64_t>(itemsize(p.dtype));
    };
    b.step_out = step(i.out[0]);
    for (size_t n = 0; n < i.in.size(); ++n) b.step_in[n] = scalars >> n & 1 ? 0 : step(i.in[n]);
  }
}

void Frame::Group::run() const {
  for (int64_t first = 0; first < n; first += kGroupBlock) {
    int64_t count = std::min(kGroupBlock, n - first);
    for (const Block& b : blocks) {
      const char* in[kMaxElementwiseInputs];
      for (size_t k = 0; k < kMaxElementwiseInputs; ++k)
        in[k] = b.kernel.in[k] + first * b.step_in[k];
      b.kernel.kernel(b.kernel.out + first * b.step_out, in, b.kernel.scalars, count);
    }
  }
}

// Lets *pointer be the address of p, now or before each run.
void Frame::point(char** pointer, const Place& p) {
  const Graph& g = program_.graph();
  const Storage& s = g.storages[at(p.storage)];
  int32_t fresh = program_.fresh_of_[at(p.storage)];
  if (s.role == Storage::Role::External)
    patches_[at(s.external)].push_back({pointer, p.offset});
  else if (fresh >= 0)
    patches_[at(g.num_externals + fresh)].push_back({pointer, p.offset});
  else
    *pointer = buffers_[at(p.storage)]->data() + p.offset;
}

Array Frame::array(const Place& p) {
  const Ref<Buffer>& b = buffers_[at(p.storage)];
  Array a = array_at(p, nullptr, b ? b : outside_);
  return a;
}

void Frame::add(const Instruction& i) {
  Step& s = steps_.emplace_back();
  unsigned scalars = 0;
  // Large arrays are left to run_elementwise, which lets the thread pool help.
  if (i.kind == Instruction::Kind::Elementwise && is_direct(i, scalars) &&
      i.out[0].numel < kParallelGrain) {
    add_kernel(s, i, scalars);
    return;
  }
  s.kind = i.kind == Instruction::Kind::Watch   ? Kind::Watch
           : i.kind == Instruction::Kind::Truth ? Kind::Truth
                                                : Kind::Call;
  s.call = static_cast<uint32_t>(calls_.size());
  Call& c = calls_.emplace_back();
  c.instruction = &i;
  c.arrays.resize(i.in.size());
  c.out.resize(i.out.size());
  c.in.resize(i.in.size());
  for (size_t k = 0; k < i.out.size(); ++k) {
    c.out[k] = array(i.out[k]);
    point(&c.out[k].data, i.out[k]);
  }
  bool walked = i.kind == Instruction::Kind::Elementwise;
  if (walked) c.kernel = block_kernel(row(i.op), i.compute);
  for (size_t k = 0; k < i.in.size(); ++k) {
    if (i.in[k].defined()) {
      c.arrays[k] = array(i.in[k]);
      if (walked) c.arrays[k] = c.arrays[k].expanded(i.out[0].shape);
      point(&c.arrays[k].data, i.in[k]);
      c.in[k] = &c.arrays[k];
    } else if (walked) {
      c.arrays[k] = number_array_of(i, k).expanded(i.out[0].shape);
      c.in[k] = &c.arrays[k];
    } else {
      c.in[k] = nullptr;
    }
  }
}

// One call of a kernel.
void Frame::add_kernel(Step& s, const Instruction& i, unsigned scalars) {
  s.kernel = block_kernel(row(i.op), i.compute);
  s.scalars = static_cast<uint8_t>(scalars);
  s.n = i.out[0].numel;
  point(&s.out, i.out[0]);
  for (size_t k = 0; k < i.in.size(); ++k) {
    if (i.in[k].defined()) {
      point(const_cast<char**>(&s.in[k]), i.in[k]);
    } else {
      numbers_.push_back(number_array_of(i, k));
      s.in[k] = numbers_.back().data;
    }
  }
  // One element each: no operand need be a scalar to the kernel.
  if (s.n == 1) s.scalars = 0;
}

bool Frame::check(const Call& c) {
  const Array& a = c.arrays[0];
  if (c.instruction->kind == Instruction::Kind::Truth) {
    bool truth = false;
    cast_kernel(a.dtype, DType::Bool)(a.data, 1, reinterpret_cast<char*>(&truth), 1, 1);
    return truth == c.instruction->outcome;
  }
  const Array& expected = c.instruction->expected.array();
  if (a.contiguous)
    return !a.numel || !std::memcmp(a.data, expected.data, static_cast<size_t>(a.nbytes()));
  Array rows = contiguous_copy(a);
  return !a.numel || !std::memcmp(rows.data, expected.data, static_cast<size_t>(a.nbytes()));
}

bool Frame::run(char* const* externals, char* const* fresh) {
  auto num_externals = static_cast<size_t>(program_.graph().num_externals);
  for (size_t d = 0; d < bound_.size(); ++d) {
    char* to = d < num_externals ? externals[d] : fresh[d - num_externals];
    if (bound_[d] == to) continue;
    bound_[d] = to;
    for (const Patch& p : patches_[d]) *p.pointer = to + p.offset;
  }
  for (const Step& s : steps_) {
    if (s.kind == Kind::Kernel) [[likely]] {
      s.kernel(s.out, s.in, s.scalars, s.n);
      continue;
    }
    if (s.kind == Kind::Group) {
      groups_[s.call].run();
      continue;
    }
    Call& c = calls_[s.call];
    if (s.kind != Kind::Call) {
      if (!check(c)) return false;
      continue;
    }
    const Instruction& i = *c.instruction;
    if (c.kernel)
      run_elementwise(c.kernel, i.compute, i.result, c.in.data(), static_cast<int>(c.in.size()),
                      c.out[0]);
    else if (i.kind == Instruction::Kind::Op)
      info(i.op).eval(i.attrs, {c.in.data(), c.in.size()}, {c.out.data(), c.out.size()});
    else
      i.primitive->run(i.attrs, {c.in.data(), c.in.size()}, {c.out.data(), c.out.size()});
  }
  return true;
}

Program::Program(Task task) : task_(std::move(task)) {
  recorded_steps_ = task_.graph.instructions.size();
  optimise(task_);
  task_.graph.verify();
  for (const Instruction& i : task_.graph.instructions) {
    guarded_ = guarded_ || i.guards();
    impure_ = impure_ || (i.kind == Instruction::Kind::Primitive && !i.primitive->pure);
  }
  find_groups();
  plan();
  idle_ = new Frame(*this);
}
Program::~Program() { delete idle_.load(); }

// Note [Groups]
// A group may run block by block when each of its instructions, on elements [a, b), reads of what
// the group writes only those elements. That holds when an array is written and read at one place
// (storage, offset, element size), and what serves as one element for all is not written inside.
// Storages that nothing outside the group reads or writes shrink to a block. Blocks end at
// multiples of kGroupBlock, so every element is computed by the same kernel from the same values.
void Program::find_groups() {
  const Graph& g = task_.graph;
  is_block_.assign(g.storages.size(), 0);
  struct Use {
    int64_t offset;
    size_t size;
    bool written, scalar;
  };
  std::unordered_map<int32_t, Use> uses;
  auto fits = [&](const Place& p, bool write, bool scalar) {
    auto found = uses.find(p.storage);
    if (found == uses.end()) return true;
    const Use& u = found->second;
    if (!write && !u.written) return true;
    return !scalar && !u.scalar && u.offset == p.offset && u.size == itemsize(p.dtype);
  };
  auto use = [&](const Place& p, bool write, bool scalar) {
    auto [found, added] = uses.emplace(p.storage, Use{p.offset, itemsize(p.dtype), write, scalar});
    Use& u = found->second;
    if (added) return;
    // Readers at several places: nobody may write there.
    u.scalar = u.scalar || scalar || u.offset != p.offset || u.size != itemsize(p.dtype);
    u.written = u.written || write;
  };
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    const Instruction& i = g.instructions[k];
    unsigned scalars = 0;
    if (i.kind != Instruction::Kind::Elementwise || !is_direct(i, scalars) ||
        i.out[0].numel < kMinGroup)
      continue;
    bool joins = !groups_.empty() && groups_.back().last == k && groups_.back().n == i.out[0].numel;
    for (size_t n = 0; joins && n < i.in.size(); ++n)
      joins = !i.in[n].defined() || fits(i.in[n], false, scalars >> n & 1);
    joins = joins && fits(i.out[0], true, false);
    if (!joins) {
      uses.clear();
      groups_.push_back({k, k, i.out[0].numel});
    }
    groups_.back().last = k + 1;
    for (size_t n = 0; n < i.in.size(); ++n)
      if (i.in[n].defined()) use(i.in[n], false, scalars >> n & 1);
    use(i.out[0], true, false);
  }
  std::erase_if(groups_, [](const Group& group) { return group.last - group.first < 2; });

  std::vector<int> first(g.storages.size(), -1), last(g.storages.size(), -1);
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    auto touch = [&](const Place& p) {
      if (!p.defined()) return;
      if (first[at(p.storage)] < 0) first[at(p.storage)] = static_cast<int>(k);
      last[at(p.storage)] = static_cast<int>(k);
    };
    for (const Place& p : g.instructions[k].in) touch(p);
    for (const Place& p : g.instructions[k].out) touch(p);
  }
  std::vector<uint8_t> result(g.storages.size(), 0);
  for (const Place& p : task_.results)
    if (p.defined()) result[at(p.storage)] = 1;
  for (const Group& group : groups_)
    for (size_t k = group.first; k < group.last; ++k) {
      const Place& p = g.instructions[k].out[0];
      size_t s = at(p.storage);
      is_block_[s] =
          g.storages[s].role == Storage::Role::Internal && !g.storages[s].unset && !result[s] &&
          p.offset == 0 && static_cast<size_t>(p.nbytes()) == g.storages[s].nbytes &&
          first[s] >= static_cast<int>(group.first) && last[s] < static_cast<int>(group.last);
    }
}

void Program::plan() {
  const Graph& g = task_.graph;
  arena_offset_.assign(g.storages.size(), -1);
  fresh_of_.assign(g.storages.size(), -1);
  for (const Place& p : task_.results) {
    if (!p.defined() || g.storages[at(p.storage)].role != Storage::Role::Internal ||
        fresh_of_[at(p.storage)] >= 0)
      continue;
    fresh_of_[at(p.storage)] = static_cast<int32_t>(fresh_sizes_.size());
    fresh_sizes_.push_back(g.storages[at(p.storage)].nbytes);
  }
  std::vector<int> last(g.storages.size(), -1);
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    for (const Place& p : g.instructions[k].in)
      if (p.defined()) last[at(p.storage)] = static_cast<int>(k);
    for (const Place& p : g.instructions[k].out) last[at(p.storage)] = static_cast<int>(k);
  }
  // Blocks that are free again, by size.
  std::unordered_map<size_t, std::vector<int64_t>> free;
  // The free list that a storage's memory comes from: blocks have one of their own.
  auto class_of = [&](int32_t s) -> size_t {
    if (is_block_[at(s)]) return 1;
    return rounded(std::max<size_t>(g.storages[at(s)].nbytes, 1));
  };
  auto planned = [&](int32_t s) {
    return g.storages[at(s)].role == Storage::Role::Internal && fresh_of_[at(s)] < 0;
  };
  auto allocate = [&](int32_t s) {
    if (!planned(s) || arena_offset_[at(s)] >= 0) return;
    size_t size = class_of(s);
    auto& blocks = free[size];
    if (blocks.empty()) {
      arena_offset_[at(s)] = static_cast<int64_t>(arena_bytes_);
      arena_bytes_ += size == 1 ? static_cast<size_t>(kGroupBlock) * kMaxItemSize : size;
    } else {
      arena_offset_[at(s)] = blocks.back();
      blocks.pop_back();
    }
  };
  // The end of the group that instruction k is in; 0: none. What dies inside keeps its memory until
  // then, because each block of the group passes there again.
  std::vector<size_t> end_of_group(g.instructions.size(), 0);
  for (const Group& group : groups_)
    for (size_t k = group.first; k < group.last; ++k) end_of_group[k] = group.last;
  std::vector<int32_t> dying;
  auto release = [&](int32_t s, size_t k) {
    if (!planned(s) || last[at(s)] != static_cast<int>(k)) return;
    last[at(s)] = -2;  // once
    if (end_of_group[k] && !is_block_[at(s)])
      dying.push_back(s);
    else
      free[class_of(s)].push_back(arena_offset_[at(s)]);
  };
  for (size_t k = 0; k < g.instructions.size(); ++k) {
    const Instruction& i = g.instructions[k];
    for (const Place& p : i.in)
      if (p.defined()) allocate(p.storage);  // unset memory
    for (int32_t s : written_over(i)) release(s, k);
    for (const Place& p : i.out) allocate(p.storage);
    for (const Place& p : i.in)
      if (p.defined()) release(p.storage, k);
    for (const Place& p : i.out) release(p.storage, k);
    if (end_of_group[k] != k + 1) continue;
    for (int32_t s : dying) free[class_of(s)].push_back(arena_offset_[at(s)]);
    dying.clear();
  }
}

std::string Program::explain() const {
  const Graph& g = task_.graph;
  size_t direct = 0, small = 0, walked = 0, watched = 0, others = 0, grouped = 0;
  for (const Instruction& i : g.instructions) {
    unsigned scalars = 0;
    if (i.guards())
      ++watched;
    else if (i.kind != Instruction::Kind::Elementwise)
      ++others;
    else if (!is_direct(i, scalars))
      ++walked;
    else if (++direct; i.out[0].numel < kMinGroup)
      ++small;
  }
  std::string text = str(recorded_steps_, " recorded operations became ", g.instructions.size(),
                         " instructions; ", arena_bytes_, " bytes of memory inside.\n");
  for (const Group& group : groups_) {
    grouped += group.last - group.first;
    text += str("group of ", group.last - group.first, " on blocks of ", group.n, " elements:");
    for (size_t k = group.first; k < group.last; ++k)
      text += str(" ", g.name_of(g.instructions[k]));
    text += "\n";
  }
  text += str(direct - grouped, " elementwise kernels run alone: ", small, " on arrays below ",
              kMinGroup, " elements, ", direct - grouped - small,
              " without a neighbour of their size.\n", walked,
              " elementwise instructions broadcast, convert or have strides, and are walked.\n",
              others, " are other kernels.\n", watched, " compare values with the recorded ones",
              guarded_ ? "; memory outside is written at the end." : ".", "\n");
  return text;
}

bool Program::run(char* const* externals, char* const* fresh) {
  struct Lease {
    Program& program;
    Frame* frame;
    ~Lease() { delete program.idle_.exchange(frame, std::memory_order_acq_rel); }
  } lease{*this, idle_.exchange(nullptr, std::memory_order_acq_rel)};
  if (!lease.frame) lease.frame = new Frame(*this);  // another thread runs the usual one
  return lease.frame->run(externals, fresh);
}

}  // namespace fastgrad
