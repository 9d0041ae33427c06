// Rewrites of a recording that keep every bit of its results.
#pragma once

#include "transforms/graph.h"

namespace fastgrad {

// A graph, and the places that somebody reads when it has run.
struct Task {
  Graph graph;
  std::vector<Place> results;
};

// Constants that are written, or are results, become internal storages that start as a copy.
void copy_used_constants(Task& t);
// Guards stand as soon as what they look at is there, and once.
void advance_guards(Task& t);
// What is written outside before the last guard is written to a shadow, and copied at the end.
void delay_outside_writes(Task& t);
// Instructions on constants alone run now.
void fold_constants(Task& t);
// Reductions of single elements, conversions to the same type and the like become copies.
void simplify_to_copies(Task& t);
// Powers by 2 become squares, which have kernels of their own.
void simplify_powers(Task& t);
// Products with 1, and copies of what nobody changes, are what they are made of.
void forward_copies(Task& t);
// What is copied into a result, and not needed elsewhere, is made there.
void sink_copies(Task& t);
// Instructions that compute what is there already.
void merge_common(Task& t);
void drop_dead(Task& t);

// Gradients of slices are zero outside the slice: kernels that read one run on its parts, and read
// the slice where it is. Storages have several writes afterwards.
void split_paddings(Task& t);

// All of them, in a good order.
void optimise(Task& t);

}  // namespace fastgrad
