// What a history depends on.
#pragma once

#include <span>
#include <vector>

#include "core/node.h"

namespace fastgrad {

// Whose leaves there are: `own` alone; also some that do not require grad any more; also some that
// do.
enum class Reach { Own, Retired, Others };

// Looks through the history of `output`.
Reach reach(const Tensor& output, std::span<const Tensor> own);

// Whether a history has a tensor: as a leaf, as the result of a node recorded in time, or of
// another node.
enum class Met : uint8_t { Never, Leaf, Recorded, Older };

// The part of a history that was recorded in certain spans of time.
struct Route {
  std::vector<Met> met;            // for each source
  std::vector<Ref<Node>> borders;  // recorded at other times, with nodes of these leading to them
  bool outside = false;            // a leaf requires grad, and is no Variable
};

// Nodes of a span have sequence numbers above `after`, and at most `until`.
struct Span {
  uint64_t after, until;
};

Route trace_route(std::span<const Tensor> targets, std::span<const Tensor> sources,
                  std::span<const Span> times);

}  // namespace fastgrad
