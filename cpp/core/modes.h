// Per-thread switches: grad mode, inference mode, anomaly mode, saved-tensor hooks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace fastgrad {

class Tensor;
struct Node;

// A value that saved_tensors_hooks made of a tensor; unpack gives the tensor back.
struct PackedTensor {
  virtual ~PackedTensor() = default;
  virtual Tensor unpack() = 0;
};
struct SavedTensorHooks {
  virtual ~SavedTensorHooks() = default;
  virtual std::unique_ptr<PackedTensor> pack(const Tensor& t) = 0;
};

struct Modes {
  bool grad = true;
  bool inference = false;
  bool anomaly = false;      // remember the user's line at every node
  bool check_nan = true;     // in anomaly mode: fail when a rule makes NaN
  bool slow_record = false;  // anomaly or hooks are on: record() takes the long way
  bool at_once = false;      // nothing is put off: see core/deferred.h
  uint64_t clock = 0;        // see Node::sequence
};
inline constinit thread_local Modes t_modes{};

inline bool grad_enabled() { return t_modes.grad; }

class GradModeGuard {
 public:
  explicit GradModeGuard(bool on) : old_(t_modes.grad) { t_modes.grad = on; }
  ~GradModeGuard() { t_modes.grad = old_; }
  GradModeGuard(const GradModeGuard&) = delete;
  GradModeGuard& operator=(const GradModeGuard&) = delete;

 private:
  bool old_;
};

// The stack of saved-tensor hooks of this thread; the last one is in force.
std::vector<std::shared_ptr<SavedTensorHooks>>& saved_tensor_hooks();
// Recomputes Modes::slow_record after a change of its causes.
void update_slow_record();

// Set by the bindings: describes the user's current line, for anomaly mode.
extern std::string (*g_describe_user_frame)();
// Set by the bindings: shows a warning to the user.
extern void (*g_warn)(const std::string& text);

}  // namespace fastgrad
