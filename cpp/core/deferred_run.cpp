// How rows that are due run together: see Note [Deferred rows] in core/deferred.h.
#include <algorithm>

#include "core/deferred_rows.h"
#include "kernels/pairs.h"
#include "kernels/row_group.h"

namespace fastgrad::deferred {
namespace {

using Sources = SmallVector<const Source*, kMaxElementwiseInputs>;

// A kernel that has nothing to share with others takes longer strides than blocks.
void run_alone(BlockKernel kernel, const Sources& sources, const Row& r, int64_t numel) {
  const char* in[kMaxElementwiseInputs];
  unsigned scalars = 0;
  for (size_t i = 0; i < sources.size(); ++i) {
    in[i] = sources[i]->address();
    if (sources[i]->kind == Source::Kind::One) scalars |= 1u << i;
  }
  run_contiguous(kernel, r.compute, r.result, r.out, in, static_cast<int>(sources.size()), scalars,
                 numel);
}

bool has_turns(const Sources& sources) {
  return std::any_of(sources.begin(), sources.end(), [](const Source* s) { return s->turn != 0; });
}

// How the rows of a group are run.
class Plan {
 public:
  explicit Plan(const Rows& due) : due_(due), uses_(due.rows.size()) {}
  void run();

 private:
  // A kernel: a row, or two of them, the first of which hands its result over in a register.
  struct Step {
    size_t row;
    size_t inner;  // kNone
    BlockKernel kernel;
    Sources in;
  };
  struct Uses {
    int reads = 0;  // by rows that run
    bool runs = false, summed = false, joined = false;
    size_t last = 0;  // step that reads it
    int slot = -1;    // of the memory for one block, when it never leaves the cache
  };
  static constexpr size_t kNone = SIZE_MAX;

  const Row& row(size_t k) const { return due_.rows[k]; }
  bool in_cache(size_t k) const { return !row(k).buffer; }
  void find_uses();
  void make_steps();
  void place_blocks();
  void fill(RowGroup& group, char* own) const;

  const Rows& due_;
  std::vector<Uses> uses_;
  std::vector<Step> steps_;
  size_t slots_ = 0, summed_slots_ = 0, slot_bytes_ = 0, summed_bytes_ = 0;
  int64_t block_ = kGroupBlock;
  size_t streams_ = 0;  // bytes per element that come from memory or go there
};

// What somebody holds, what is summed, and what they read.
void Plan::find_uses() {
  for (const Total& t : due_.totals)
    if (t.buffer) uses_[t.row].runs = uses_[t.row].summed = true;
  for (size_t k = due_.rows.size(); k-- > 0;) {
    if (row(k).buffer) uses_[k].runs = true;
    if (!uses_[k].runs) continue;
    for (size_t i = 0; i < row(k).arity; ++i) {
      if (row(k).in[i].kind != Source::Kind::Row) continue;
      Uses& from = uses_[row(k).in[i].row];
      from.runs = true;
      ++from.reads;
    }
  }
}

// Rows in the order in which they came. One whose only reader can take its result from a register
// goes along with that one: see kernels/pairs.h.
void Plan::make_steps() {
  std::vector<size_t> inner_of(due_.rows.size(), kNone);
  for (size_t k = 0; k < due_.rows.size(); ++k) {
    const Row& outer = row(k);
    if (!uses_[k].runs || outer.compute != outer.result) continue;
    for (size_t i = 0; i < outer.arity && inner_of[k] == kNone; ++i) {
      if (outer.in[i].kind != Source::Kind::Row) continue;
      const size_t from = outer.in[i].row;
      const Row& inner = row(from);
      if (uses_[from].reads != 1 || uses_[from].summed || inner.buffer || inner_of[from] != kNone ||
          inner.compute != inner.result || inner.compute != outer.compute ||
          !pair_kernel(inner.op, outer.op, i, outer.compute, kGroupBlock))
        continue;
      inner_of[k] = from;
      uses_[from].joined = true;
    }
  }
  for (size_t k = 0; k < due_.rows.size(); ++k) {
    if (!uses_[k].runs || uses_[k].joined) continue;
    Step& s = steps_.emplace_back(Step{k, inner_of[k], nullptr, {}});
    size_t operand = 0;
    if (s.inner != kNone)
      for (size_t i = 0; i < row(s.inner).arity; ++i) s.in.push_back(&row(s.inner).in[i]);
    for (size_t i = 0; i < row(k).arity; ++i) {
      const Source& from = row(k).in[i];
      if (s.inner != kNone && from.kind == Source::Kind::Row && from.row == s.inner)
        operand = i;
      else
        s.in.push_back(&from);
    }
    s.kernel = s.inner == kNone
                   ? row(k).kernel
                   : pair_kernel(row(s.inner).op, row(k).op, operand, row(k).compute, kGroupBlock);
    for (const Source* from : s.in)
      if (from->kind == Source::Kind::Row) uses_[from->row].last = steps_.size() - 1;
  }
}

// Gives each result that stays in the cache a slot, which another one takes when it is read no
// more. Sums read kGroupBlock elements when all of them are there: such slots are their own.
void Plan::place_blocks() {
  std::vector<int> free;
  size_t size = 0;
  std::vector<const char*> outside;
  auto stream = [&](const char* memory, DType type) {
    for (const char* known : outside)
      if (known == memory) return;
    outside.push_back(memory);
    streams_ += itemsize(type);
  };
  for (size_t s = 0; s < steps_.size(); ++s) {
    const Row& r = row(steps_[s].row);
    for (const Source* from : steps_[s].in)
      if (from->kind == Source::Kind::Array && from->turn == 0) stream(from->data, r.compute);
    if (in_cache(steps_[s].row)) {
      Uses& u = uses_[steps_[s].row];
      size = std::max(size, itemsize(r.result));
      if (u.summed) {
        u.slot = static_cast<int>(summed_slots_++);
      } else if (free.empty()) {
        u.slot = static_cast<int>(slots_++);
      } else {
        u.slot = free.back();
        free.pop_back();
      }
    } else {
      stream(r.out, r.result);
    }
    for (const Source* from : steps_[s].in) {
      if (from->kind != Source::Kind::Row || !in_cache(from->row)) continue;
      Uses& u = uses_[from->row];
      if (u.last != s || u.summed) continue;
      if (std::find(free.begin(), free.end(), u.slot) == free.end()) free.push_back(u.slot);
    }
  }
  block_ = RowGroup::block_for(streams_ + (slots_ + summed_slots_) * size);
  for (const Step& s : steps_)
    for (const Source* from : s.in)
      while (from->turn % block_ != 0) block_ /= 2;
  slot_bytes_ = arena_block(static_cast<size_t>(block_) * size);
  summed_bytes_ = arena_block(static_cast<size_t>(kGroupBlock) * size);
}

void Plan::fill(RowGroup& group, char* own) const {
  group.n = due_.numel;
  group.block = block_;
  group.far = RowGroup::is_far(streams_ * static_cast<size_t>(due_.numel));
  group.own = own;
  group.own_bytes = slots_ * slot_bytes_ + summed_slots_ * summed_bytes_;
  auto place = [&](size_t k, RowGroup::Steps& steps) {
    const auto bytes = static_cast<int64_t>(itemsize(row(k).result));
    const Uses& u = uses_[k];
    if (!in_cache(k)) {
      steps = {bytes, 0, 0};
      return row(k).out;
    }
    steps = {0, u.summed ? bytes : 0, 1};
    const auto slot = static_cast<size_t>(u.slot);
    return own + (u.summed ? slots_ * slot_bytes_ + slot * summed_bytes_ : slot * slot_bytes_);
  };
  for (const Step& s : steps_) {
    RowGroup::Row& r = group.rows.emplace_back();
    r.call.kernel = s.kernel;
    r.call.out = place(s.row, r.out);
    for (size_t i = 0; i < s.in.size(); ++i) {
      const Source& from = *s.in[i];
      if (from.kind == Source::Kind::Row) {
        r.call.in[i] = place(from.row, r.in[i]);
        continue;
      }
      r.call.in[i] = from.address();
      const auto bytes = static_cast<int64_t>(itemsize(row(s.row).compute));
      r.in[i].turn = from.turn;
      if (from.kind == Source::Kind::One) {
        r.call.scalars |= static_cast<uint8_t>(1u << i);
        r.in[i].jump = bytes;
      } else {
        r.in[i].everywhere = bytes;
        r.in[i].jump = -from.turn * bytes;
      }
    }
  }
  for (const Total& t : due_.totals) {
    if (!t.buffer) continue;
    group.add_total(row(t.row).result, t.mean);
    RowGroup::Total& total = group.totals.back();
    total.in = place(t.row, total.steps);
    total.out = t.out;
  }
}

void Plan::run() {
  find_uses();
  make_steps();
  if (steps_.empty()) return;
  if (steps_.size() == 1 && due_.totals.empty() && !has_turns(steps_[0].in))
    return run_alone(steps_[0].kernel, steps_[0].in, row(steps_[0].row), due_.numel);
  place_blocks();
  const size_t bytes = slots_ * slot_bytes_ + summed_slots_ * summed_bytes_;
  std::vector<char> memory(bytes + kArenaAlignment);
  char* own = memory.data();
  own += (kArenaAlignment - reinterpret_cast<uintptr_t>(own) % kArenaAlignment) % kArenaAlignment;
  RowGroup group;
  fill(group, own);
  group.run();
}

}  // namespace

void run_rows(const Rows& due) {
  if (due.rows.size() == 1 && due.totals.empty() && due.small.empty()) {
    const Row& r = due.rows[0];
    Sources all;
    for (size_t i = 0; i < r.arity; ++i) all.push_back(&r.in[i]);
    if (!r.buffer) return;
    if (!has_turns(all)) return run_alone(r.kernel, all, r, due.numel);
  }
  Plan(due).run();
  for (const Small& s : due.small) {
    Sources all;
    for (size_t i = 0; i < s.row.arity; ++i) all.push_back(&s.row.in[i]);
    run_alone(s.row.kernel, all, s.row, 1);
  }
}

}  // namespace fastgrad::deferred
