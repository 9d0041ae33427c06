#include "ops/products.h"

#include "core/recorder.h"
#include "ops/basic_index.h"
#include "ops/creation.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/rearrange.h"
#include "ops/scan.h"
#include "ops/select.h"
#include "ops/shape.h"

namespace fastgrad {

Tensors meshgrid(std::span<const Tensor> tensors, bool xy) {
  FG_CHECK(!tensors.empty(), "meshgrid expects a non-empty TensorList");
  Dims shape;
  for (const Tensor& x : tensors) {
    FG_CHECK(x.ndim() <= 1,
             "meshgrid: Expected 0D or 1D tensor in the tensor list but got: a tensor of shape ",
             x.shape());
    FG_CHECK(x.dtype() == tensors[0].dtype(),
             "meshgrid expects all tensors to have the same dtype");
    shape.push_back(x.numel());
  }
  // The dimension of each tensor in the grid.
  auto place = [&](size_t i) { return xy && tensors.size() >= 2 && i < 2 ? 1 - i : i; };
  if (xy && shape.size() >= 2) std::swap(shape[0], shape[1]);
  Tensors out;
  for (size_t i = 0; i < tensors.size(); ++i) {
    Dims own(shape.size(), 1);
    own[place(i)] = tensors[i].numel();
    out.push_back(expand(view(tensors[i], own), shape));
  }
  return out;
}

Tensor cartesian_prod(std::span<const Tensor> tensors) {
  FG_CHECK(!tensors.empty(), "cartesian_prod expects a non-empty TensorList");
  for (const Tensor& x : tensors)
    FG_CHECK(x.ndim() == 1, "Expect a 1D vector, but got shape ", x.shape());
  if (tensors.size() == 1) return tensors[0];
  Tensors columns;
  for (const Tensor& grid : meshgrid(tensors)) columns.push_back(flatten(grid));
  return stack(columns, 1);
}

Tensor combinations(const Tensor& x, int64_t r, bool with_replacement) {
  FG_CHECK(x.ndim() == 1, "Expect a 1D vector, but got shape ", x.shape());
  FG_CHECK(r >= 0, "Expect a non-negative number, but got ", r);
  if (r == 0) return zeros(Dims{0}, x.dtype());
  int64_t n = x.numel();
  // Index tuples in lexicographic order.
  SmallVector<int64_t, 8> at(static_cast<size_t>(r), 0);
  std::vector<int64_t> rows;
  for (int64_t k = 0; k < r && !with_replacement; ++k) at[k] = k;
  bool any = n > 0 && (with_replacement || r <= n);
  while (any) {
    rows.insert(rows.end(), at.begin(), at.end());
    int64_t k = r - 1;
    while (k >= 0 && at[k] == (with_replacement ? n - 1 : n - r + k)) --k;
    if (k < 0) break;
    ++at[k];
    for (int64_t j = k + 1; j < r; ++j) at[j] = with_replacement ? at[k] : at[j - 1] + 1;
  }
  Array index = Array::empty(Dims{static_cast<int64_t>(rows.size()) / r, r}, DType::Int64);
  std::copy(rows.begin(), rows.end(), index.ptr<int64_t>());
  constant_values(index);
  Tensor places(std::move(index));
  return take(x, places);
}

Tensor vander(const Tensor& x, std::optional<int64_t> n, bool increasing) {
  FG_CHECK(x.ndim() == 1, "x must be a one-dimensional tensor.");
  int64_t count = n.value_or(x.numel());
  FG_CHECK(count >= 0, "N must be non-negative.");
  bool integral = is_integral(x.dtype(), true);
  DType type = integral ? DType::Int64 : x.dtype();
  Tensor ones = full(Dims{x.numel(), std::min<int64_t>(count, 1)}, 1, type);
  Tensor powers = ones;
  if (count > 1) {
    Tensor factors = expand(unsqueeze(x, 1), Dims{x.numel(), count - 1});
    powers = cat(Tensors{ones, cumprod(factors, 1)}, 1);
  }
  const int64_t columns[] = {1};
  return increasing ? powers : flip(powers, columns);
}

Tensor kron(const Tensor& a, const Tensor& b) {
  size_t n = static_cast<size_t>(std::max(a.ndim(), b.ndim()));
  Dims wide_a, wide_b, shape;
  for (size_t i = 0; i < n; ++i) {
    size_t skip_a = n - a.shape().size(), skip_b = n - b.shape().size();
    int64_t p = i < skip_a ? 1 : a.shape()[i - skip_a], q = i < skip_b ? 1 : b.shape()[i - skip_b];
    wide_a.push_back(p);
    wide_a.push_back(1);
    wide_b.push_back(1);
    wide_b.push_back(q);
    shape.push_back(p * q);
  }
  return reshape(mul(reshape(a, wide_a), reshape(b, wide_b)), shape);
}

}  // namespace fastgrad
