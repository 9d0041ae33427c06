#include <cstdint>
#include <limits>

#include "base/shape.h"
#include "check.h"

namespace fastgrad {
namespace {

TEST(numel_counts_and_checks) {
  CHECK(checked_numel(Dims{}) == 1);
  CHECK(checked_numel(Dims{2, 3, 4}) == 24);
  CHECK(checked_numel(Dims{2, 0, 4}) == 0);
  CHECK_FAILS(ErrorKind::Runtime, checked_numel(Dims{2, -1}));
  int64_t huge = std::numeric_limits<int64_t>::max() / 2;
  CHECK_FAILS(ErrorKind::Runtime, checked_numel(Dims{huge, 3}));
  CHECK(checked_numel(Dims{huge, 3, 0}) == 0);
}

TEST(contiguous_strides_are_row_major) {
  CHECK((contiguous_strides(Dims{2, 3, 4}) == Dims{12, 4, 1}));
  CHECK((contiguous_strides(Dims{2, 0, 4}) == Dims{4, 4, 1}));
  CHECK(is_contiguous(Dims{2, 3}, Dims{3, 1}));
  CHECK(!is_contiguous(Dims{2, 3}, Dims{1, 2}));
  CHECK(is_contiguous(Dims{1, 3}, Dims{77, 1}));
  CHECK(is_contiguous(Dims{0, 3}, Dims{1, 1}));
}

TEST(broadcasting_follows_the_trailing_rule) {
  CHECK((broadcast(Dims{2, 1, 4}, Dims{3, 1}) == Dims{2, 3, 4}));
  CHECK((broadcast(Dims{}, Dims{5}) == Dims{5}));
  CHECK((broadcast(Dims{0}, Dims{1}) == Dims{0}));
  CHECK(!try_broadcast(Dims{2}, Dims{3}));
  CHECK(!try_broadcast(Dims{0}, Dims{2}));
  CHECK_FAILS(ErrorKind::Runtime, broadcast(Dims{2, 3}, Dims{2, 4}));
  CHECK(is_expandable_to(Dims{1, 3}, Dims{2, 2, 3}));
  CHECK(!is_expandable_to(Dims{2, 3}, Dims{3}));
}

TEST(axes_wrap) {
  CHECK(wrap_dim(-1, 3) == 2);
  CHECK(wrap_dim(0, 0) == 0);
  CHECK_FAILS(ErrorKind::Index, wrap_dim(3, 3));
  CHECK_FAILS(ErrorKind::Index, wrap_dim(-4, 3));
  CHECK((wrap_dims(Dims{-1, 0}, 3) == Dims{2, 0}));
  CHECK((wrap_dims(Dims{}, 2) == Dims{0, 1}));
  CHECK_FAILS(ErrorKind::Runtime, wrap_dims(Dims{0, -2}, 2));
}

TEST(extent_and_overlap) {
  CHECK(extent(Dims{2, 3}, Dims{3, 1}).hi == 5);
  CHECK(extent(Dims{3}, Dims{-2}).lo == -4);
  CHECK(!may_overlap_itself(Dims{2, 3}, Dims{3, 1}));
  CHECK(!may_overlap_itself(Dims{2, 3}, Dims{1, 2}));
  CHECK(may_overlap_itself(Dims{2, 3}, Dims{0, 1}));
  CHECK(may_overlap_itself(Dims{2, 3}, Dims{2, 1}));
}

TEST(views_need_no_copy_where_strides_allow) {
  CHECK((view_strides(Dims{2, 6}, Dims{6, 1}, Dims{4, 3}) == Dims{3, 1}));
  CHECK((view_strides(Dims{2, 6}, Dims{12, 1}, Dims{2, 2, 3}) == Dims{12, 3, 1}));
  CHECK(!view_strides(Dims{2, 6}, Dims{12, 1}, Dims{12}));
  CHECK(!view_strides(Dims{2, 3}, Dims{1, 2}, Dims{6}));
  CHECK((view_strides(Dims{}, Dims{}, Dims{1, 1}) == Dims{1, 1}));
  CHECK((view_strides(Dims{1, 4}, Dims{99, 2}, Dims{2, 2}) == Dims{4, 2}));
}

TEST(one_size_may_be_inferred) {
  CHECK((infer_size(Dims{2, -1}, 6) == Dims{2, 3}));
  CHECK((infer_size(Dims{-1}, 0) == Dims{0}));
  CHECK_FAILS(ErrorKind::Runtime, infer_size(Dims{4, -1}, 6));
  CHECK_FAILS(ErrorKind::Runtime, infer_size(Dims{-1, -1}, 6));
  CHECK_FAILS(ErrorKind::Runtime, infer_size(Dims{0, -1}, 0));
  CHECK_FAILS(ErrorKind::Runtime, infer_size(Dims{5}, 6));
}

TEST(reduction_drops_or_keeps_axes) {
  CHECK((reduced_shape(Dims{2, 3, 4}, DimSet{0b010}, false) == Dims{2, 4}));
  CHECK((reduced_shape(Dims{2, 3, 4}, DimSet{0b101}, true) == Dims{1, 3, 1}));
}

}  // namespace
}  // namespace fastgrad
