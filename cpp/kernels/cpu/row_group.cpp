#include "kernels/row_group.h"

#include <algorithm>

#include "base/isa.h"
#include "base/thread_pool.h"

namespace fastgrad {
namespace {

// What the arrays of a block may take of the first-level cache. With blocks shorter than the least
// one, calling kernels would cost more than it saves.
constexpr size_t kCacheBytes = 12 << 10;
// Memory of a group that is worth asking for early: what the second-level cache cannot hold, and
// on AMD's processors what lies in memory, see Note [Prefetch].
size_t far_bytes() { return gains_by_prefetch() ? 4 << 20 : 24 << 20; }

// Asks for the memory of the next block while the kernels work on this one, a few lines before each
// of them: all at once would keep the first kernel waiting.
class LookAhead {
 public:
  // `bytes` of it are read in each block.
  void add(const char* memory, int64_t bytes) {
    for (const Stream& s : streams_)
      if (s.next == memory + bytes) return;
    streams_.push_back({memory + bytes, bytes});
    lines_ += (bytes + kLine - 1) / kLine;
  }
  void share_among(size_t kernels) {
    auto n = static_cast<int64_t>(kernels);
    share_ = (lines_ + n - 1) / n;
  }
  void before_block() {
    stream_ = streams_.begin();
    offset_ = 0;
  }
  void before_kernel() {
    for (int64_t k = 0; k < share_ && stream_ != streams_.end(); ++k) {
      __builtin_prefetch(stream_->next + offset_);
      offset_ += kLine;
      if (offset_ < stream_->bytes) continue;
      stream_->next += stream_->bytes;
      ++stream_;
      offset_ = 0;
    }
  }

 private:
  static constexpr int64_t kLine = 64;
  struct Stream {
    const char* next;  // block
    int64_t bytes;
  };
  SmallVector<Stream, 12> streams_;
  Stream* stream_ = nullptr;
  int64_t offset_ = 0, lines_ = 0, share_ = 0;
};

}  // namespace

int64_t RowGroup::block_for(size_t bytes_per_element) {
  int64_t block = kGroupBlock;
  while (block > kLeastBlock && static_cast<size_t>(block) * bytes_per_element > kCacheBytes)
    block /= 2;
  return block;
}

bool RowGroup::is_far(size_t bytes) { return bytes >= far_bytes(); }

void RowGroup::run() {
  parallel_for(n, SumStream::kChunk,
               [this](int64_t begin, int64_t end) { run_blocks(begin, end); });
  for (Total& s : totals) {
    SumStream all(s.dtype);
    for (double part : s.parts) all.push(part);
    SumStream::store(s.dtype, all.total(), s.mean, n, s.out);
  }
}

void RowGroup::run_blocks(int64_t begin, int64_t end) {
  // Other threads than the first one to come have blocks of their own.
  static thread_local std::vector<char> memory;
  int64_t away = 0;
  if (n > SumStream::kChunk) {
    if (memory.size() < own_bytes + kArenaAlignment) memory.resize(own_bytes + kArenaAlignment);
    char* base = memory.data();
    base +=
        (kArenaAlignment - reinterpret_cast<uintptr_t>(base) % kArenaAlignment) % kArenaAlignment;
    away = base - own;
  }
  auto start = [&](const Steps& s) {
    return begin * s.everywhere + away * s.own + (s.turn ? begin / s.turn * s.jump : 0);
  };
  // Where each kernel is, and how far it goes with each block.
  struct Cursor {
    char* out;
    const char* in[kMaxElementwiseInputs];
    int64_t out_step, in_step[kMaxElementwiseInputs];
  };
  SmallVector<Cursor, 24> cursors;
  struct Turn {
    size_t row, operand;
    int64_t left, every, jump;
  };
  SmallVector<Turn, 4> turns;
  LookAhead ahead;
  for (const Row& b : rows) {
    Cursor& c = cursors.emplace_back();
    c.out = b.call.out + start(b.out);
    c.out_step = block * (b.out.everywhere + b.out.inside);
    for (size_t k = 0; k < kMaxElementwiseInputs; ++k) {
      c.in[k] = b.call.in[k] + start(b.in[k]);
      c.in_step[k] = block * (b.in[k].everywhere + b.in[k].inside);
      const Steps& steps = b.in[k];
      if (steps.turn)
        turns.push_back(
            {cursors.size() - 1, k, steps.turn - begin % steps.turn, steps.turn, steps.jump});
      else if (far && steps.everywhere)
        ahead.add(c.in[k], c.in_step[k]);
    }
  }
  ahead.share_among(rows.size());
  SmallVector<SumStream, 2> running;
  for (const Total& s : totals) running.push_back(SumStream(s.dtype));
  for (int64_t leaf = begin; leaf < end; leaf += kGroupBlock) {
    const int64_t whole = std::min(kGroupBlock, end - leaf);
    for (int64_t done = 0; done < whole; done += block) {
      const int64_t count = std::min(block, whole - done);
      ahead.before_block();
      Cursor* c = cursors.data();
      for (const Row& b : rows) {
        ahead.before_kernel();
        b.call.kernel(c->out, c->in, b.call.scalars, count);
        c->out += c->out_step;
        for (size_t k = 0; k < kMaxElementwiseInputs; ++k) c->in[k] += c->in_step[k];
        ++c;
      }
      for (Turn& t : turns) {
        if ((t.left -= count) != 0) continue;
        cursors[t.row].in[t.operand] += t.jump;
        t.left = t.every;
      }
    }
    if (totals.empty()) continue;
    for (size_t k = 0; k < rows.size(); ++k) {  // back to the front of what is summed
      cursors[k].out -= kGroupBlock * rows[k].out.inside;
      for (size_t o = 0; o < kMaxElementwiseInputs; ++o)
        cursors[k].in[o] -= kGroupBlock * rows[k].in[o].inside;
    }
    for (size_t k = 0; k < totals.size(); ++k) {
      const Steps& s = totals[k].steps;
      running[k].push_block(totals[k].in + leaf * s.everywhere + away * s.own, whole);
    }
  }
  for (size_t k = 0; k < totals.size(); ++k)
    totals[k].parts[static_cast<size_t>(begin / SumStream::kChunk)] = running[k].total();
}

}  // namespace fastgrad
