// Elementwise ops on large arrays that are put off, so that many of them run in one pass.
//
// Note [Deferred rows]
// One op after the other, a chain on arrays that no near cache holds is bound by memory: each op
// reads and writes whole arrays. So the rows of the op table are not computed at once when their
// arrays are large. The result is there, with its memory and its place on the tape; its values are
// due. When somebody asks for a value, everything that is due runs block by block
// (kernels/row_group.h), and what nobody holds any more by then is never written to memory, however
// many of the others read it. Backward defers as well: between the forward pass of a loss and its
// gradients there may be one pass over the data. So that the loss does not end it, sums and means
// over everything are put off with what they sum, and arithmetic on those with them.
//
// Nobody can tell, but by the clock:
//   - Values have few doors. Python enters through guarded() (bindings/python.h), which settles,
//     unless the call is known to ask for none: see guarded_lazily(). Nothing is put off inside
//     other calls (AtOnce), so their C++ code finds all values in place. What runs inside the
//     lazy ones - elementwise(), apply(), backward - settles before it reads.
//   - What is due reads nothing that can change: each write in place settles first, but for a row
//     that writes to its own operand. That is put off as others are, so that the steps of an
//     optimiser written by hand are one pass, if nothing that is due reads the old values by their
//     address: those who ask later find that they are due. Arrays that others can write to, such as
//     those shared with NumPy, are read and written at once.
//   - Kernels of rows cannot fail, and their memory is there: errors come where they always came.
//   - The kernels, and so the bits, are the same.
// Several threads may defer and settle: one lock keeps what is due.
#pragma once

#include "core/elementwise.h"

namespace fastgrad::deferred {

// From how many elements on an op has to ask whether it should be put off: row(). While something
// is due, every op has to.
extern std::atomic<int64_t> g_ask_from;
inline bool must_ask(int64_t numel) { return numel >= g_ask_from.load(std::memory_order_acquire); }
inline bool any_due() { return g_ask_from.load(std::memory_order_acquire) == 0; }

// Rows on arrays of fewer bytes are computed at once; 0: all are. Returns the old number.
int64_t defer_from(int64_t nbytes);

// Puts off a row and returns its result. Where that cannot be, the values of the operands are there
// when it returns, and the result is undefined.
Tensor row(Op op, std::span<const Operand> operands);
// The same for one that writes to its operand `self`, of which nothing is recorded. Where that
// cannot be, all values are there when it returns false.
bool row_inplace(Op op, const Array& self, std::span<const Operand> operands);
// Puts off the sum or the mean of all elements of x, if the values of x are due.
bool total(Op op, const Array& x, const Array& out);

// How many rows are due.
int64_t count();

// Computes all that is due.
void settle_all();
inline void settle() {
  if (any_due()) [[unlikely]]
    settle_all();
}
inline bool is_due(const Array& a) { return a.buffer->deferred() != 0; }
// Lets the values of a be there.
inline void settle(const Array& a) {
  if (is_due(a)) [[unlikely]]
    settle_all();
}
// Lets a be written to: nothing that is due reads it, or makes it.
void settle_readers(const Array& a);
inline void settle_before_write(const Array& a) {
  if (any_due()) [[unlikely]]
    settle_readers(a);
}

// While it lives, this thread puts nothing off.
class AtOnce {
 public:
  AtOnce() : old_(std::exchange(t_modes.at_once, true)) {}
  ~AtOnce() { t_modes.at_once = old_; }
  AtOnce(const AtOnce&) = delete;
  AtOnce& operator=(const AtOnce&) = delete;

 private:
  bool old_;
};

}  // namespace fastgrad::deferred
