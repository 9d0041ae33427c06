// What sees everything that is computed while fg.compile records.
//
// Note [Recording]
// A recording is a list of what was done to memory: kernels with the arrays that they read and
// wrote. Operations, the rules of backward, accumulation into .grad and the steps of optimisers
// come through the same few doors (elementwise(), apply(), and the functions of core/memory.h), so
// whatever a function does is one flat list; views are only places in memory. Values that code
// outside kernels looks at (to choose a branch, a size or an index) are reported by watch(): a
// replay must find the same values or give up. Arrays that come about in any other way are unknown
// to the recorder, which then refuses: forgetting to report costs speed, never a wrong result.
#pragma once

#include <string>
#include <utility>

#include "core/deferred.h"

namespace fastgrad {

class Operand;

// A computation on arrays that is no op of the table: copies, fills, steps of optimisers. What it
// reads or writes stands in its arguments; numbers stand in Attrs.
struct Primitive {
  const char* name;
  void (*run)(const Attrs&, Inputs, std::span<Array> out);
  // The outputs' old values do not matter.
  bool overwrites = true;
  // The same inputs give the same outputs.
  bool pure = true;
};

// What may be asked of the values of an array: whether they are all in a range, how many are set.
// Numbers stand in Attrs. A replay asks again, and gives up when the answer is another one.
struct Condition {
  const char* name;
  bool (*holds)(const Attrs&, const Array&);
};

class Recorder {
 public:
  virtual ~Recorder() = default;
  // kernel(compute) of op has written `out`; numbers among the operands go in as `compute`.
  virtual void elementwise(Op op, DType compute, DType result, std::span<const Operand> operands,
                           const Array& out) = 0;
  virtual void op(Op op, const Attrs& attrs, Inputs in, std::span<const Array> out) = 0;
  virtual void primitive(const Primitive& p, const Attrs& attrs, Inputs in,
                         std::span<const Array> out) = 0;
  // New memory whose values do not matter.
  virtual void fresh(const Array& a) = 0;
  // New memory that was filled from Python numbers, or from what has been watched.
  virtual void constant(const Array& a) = 0;
  // The values of `a` have decided something.
  virtual void watch(const Array& a) = 0;
  // That condition(a) was `outcome` has decided something, and nothing else of its values.
  virtual void watch(const Condition& c, const Attrs& attrs, const Array& a, bool outcome) = 0;
  // bool(a) has decided something.
  virtual void watch_truth(const Array& a, bool outcome) = 0;
  // A leaf's .grad is set or added to.
  virtual void accumulate(const Tensor& leaf) = 0;
  // What is happening cannot be replayed; `in_parts`: but what it calls can, by itself.
  virtual void refuse(const std::string& why, bool in_parts = false) = 0;
  // Whether it has been, with all recordings around it: nobody will replay what comes now.
  virtual bool refused() const = 0;
};

inline constinit thread_local Recorder* t_recorder = nullptr;
inline Recorder* recorder() { return t_recorder; }

// While it lives, nothing is recorded: the inside of something that is recorded as a whole.
class PauseRecording {
 public:
  PauseRecording() : recorder_(std::exchange(t_recorder, nullptr)) {}
  ~PauseRecording() { t_recorder = recorder_; }
  PauseRecording(const PauseRecording&) = delete;
  PauseRecording& operator=(const PauseRecording&) = delete;

 private:
  Recorder* recorder_;
};

// The code around looks at the values of `a`.
inline void watch_values(const Array& a) {
  deferred::settle(a);
  if (Recorder* r = recorder()) [[unlikely]]
    r->watch(a);
}
// The code around has filled `a` from numbers, or from values that it has watched.
inline const Array& constant_values(const Array& a) {
  if (Recorder* r = recorder()) [[unlikely]]
    r->constant(a);
  return a;
}
inline void refuse_recording(const char* why) {
  if (Recorder* r = recorder()) [[unlikely]]
    r->refuse(why);
}

}  // namespace fastgrad
