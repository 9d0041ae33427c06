// The recorder behind fg.compile: see Note [Recording] in core/recorder.h.
#pragma once

#include <unordered_map>
#include <unordered_set>

#include "core/elementwise.h"
#include "transforms/graph.h"

namespace fastgrad {

class Trace final : public Recorder {
 public:
  Trace() = default;
  ~Trace() override { stop(); }
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  // Memory that exists before the recording; places in one buffer share a storage.
  Place external(const Array& a);
  void start() { t_recorder = this; }
  // The same, inside whatever else is recording, which goes on hearing of everything. Memory from
  // before may be read without being announced: it becomes external.
  void start_inside();
  // Goes on with such a recording.
  void start_again();
  // Forgets what was recorded since there were so many.
  void cut(size_t storages, size_t instructions);
  void stop() {
    if (t_recorder == this) t_recorder = outer_;
  }

  // Where an array stands that is known; an undefined place otherwise.
  Place find(const Array& a) const;
  bool is_outside(const Place& p) const {
    return graph_.storages[static_cast<size_t>(p.storage)].role == Storage::Role::External;
  }
  // Storages from this one on are unknown again: what reads them is refused.
  void forget(size_t storages);
  // Why the recording cannot be used; empty: it can.
  const std::string& refusal() const { return refusal_; }
  bool refused_in_parts() const { return in_parts_; }
  // The same for an array from before start_inside(), which becomes external if it is not known;
  // undefined for others.
  Place from_before(const Array& a) {
    return a.buffer->is_younger_than(age_) && a.numel ? Place() : external(a);
  }
  // That the values of a storage are others for other examples; whether an array's are therefore.
  void mark_differing(int32_t storage);
  bool differs(const Array& a) const;
  // The memory of a storage.
  const Ref<Buffer>& memory(int32_t storage) const { return kept_[static_cast<size_t>(storage)]; }
  // Whether the .grad of a leaf was set or added to that somebody else still has; start_inside()
  // only.
  bool left_gradients() const;
  Graph& graph() { return graph_; }
  const Graph& graph() const { return graph_; }
  // Called at a refusal: where the user's code is.
  std::string (*describe_line)() = nullptr;

  void elementwise(Op op, DType compute, DType result, std::span<const Operand> operands,
                   const Array& out) override;
  void op(Op op, const Attrs& attrs, Inputs in, std::span<const Array> out) override;
  void primitive(const Primitive& p, const Attrs& attrs, Inputs in,
                 std::span<const Array> out) override;
  void fresh(const Array& a) override;
  void constant(const Array& a) override;
  void watch(const Array& a) override;
  void watch(const Condition& c, const Attrs& attrs, const Array& a, bool outcome) override;
  void watch_truth(const Array& a, bool outcome) override;
  void accumulate(const Tensor& leaf) override;
  void refuse(const std::string& why, bool in_parts = false) override;
  bool refused() const override { return !refusal_.empty() && (!outer_ || outer_->refused()); }

 private:
  bool is_differing(const Place& p) const;
  void follow_differences(const Instruction& i);
  bool has_accumulated(const Tensor& leaf) const;
  void refuse_here(const std::string& why, bool in_parts = false);
  int32_t add(const Array& a, Storage::Role role);
  Place place(const Array& a, int32_t storage) const;
  bool is_constant(const Place& p) const;
  Place read(const Array& a, const char* by);
  Place write(const Array& a, const char* by);
  Instruction& append(Instruction::Kind kind);
  void call(Instruction& i, const char* name, Inputs in, std::span<const Array> out);

  Graph graph_;
  std::unordered_map<const char*, int32_t> known_;  // by where the memory begins
  std::vector<Ref<Buffer>> kept_;           // addresses stay identities as long as these live
  std::unordered_set<int32_t> read_unset_;  // storages that were read before they were written
  std::string refusal_;
  bool in_parts_ = false;
  bool open_ = false;  // see start_inside()
  uint32_t age_ = 0;   // of the memory that the recording makes
  Trace* outer_ = nullptr;
  Tensors accumulated_;
  std::vector<uint8_t> differs_;  // by storage; may be shorter
};

}  // namespace fastgrad
