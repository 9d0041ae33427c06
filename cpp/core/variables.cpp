#include "core/variables.h"

#include <unordered_set>

namespace fastgrad {
namespace {

struct Watch {
  bool on = false;
  Tensors used;
  std::unordered_set<const TensorImpl*> known;
};
Watch& watch_of_thread() {
  static thread_local Watch watch;
  return watch;
}

}  // namespace

Tensor present_value(const Tensor& variable, const Edge& edge) {
  Tensor t = Tensor::adopt(TensorImpl::make());
  t->array = variable.array();
  t->node = edge.node;
  t->output_nr = edge.nr;
  return t;
}

void watch_variables(bool on) {
  watch_of_thread().on = on;
  update_slow_record();
}

bool watching_variables() { return watch_of_thread().on; }

Tensors take_used_variables() {
  Watch& watch = watch_of_thread();
  watch.known.clear();
  return std::exchange(watch.used, {});
}

void note_circumstances(Node& node) {
  if (t_modes.anomaly && g_describe_user_frame) node.extra().user_frame = g_describe_user_frame();
  Watch& watch = watch_of_thread();
  if (!watch.on) return;
  for (const Edge& e : node.edges) {
    if (!e.node || !e.node->is_accumulator() || !e.node->variable->assignable) continue;
    if (watch.known.insert(e.node->variable).second)
      watch.used.push_back(Tensor::share(e.node->variable));
  }
}

}  // namespace fastgrad
