// Rules for what layers of networks compute: losses, normalization, windows, attention, recurrence.
// See Note [Graphs from files].
#include "kernels/recurrent.h"
#include "ops/basic_index.h"
#include "program/call_rules.h"

namespace fastgrad {
namespace {

// No size in attributes is larger: sums and products of a few of them do not overflow.
constexpr int64_t kMaxSize = int64_t{1} << 31;

bool is_probability(const Scalar& s) { return s.to_double() >= 0 && s.to_double() <= 1; }

// ---- losses

// List 0 as the shape of scores, its reduction, and input k as the target.
bool classes_fit(const Call& c, size_t target) {
  DimSpan shape = c.attrs().list(0);
  if (shape.empty() || c.integer(0) < 0 || c.integer(0) > 2) return false;
  Dims positions(shape);
  positions.erase(shape.size() == 1 ? 0 : 1);
  return c.in(target).shape == positions &&
         (c.in(target).dtype == DType::Int64 || c.in(target).dtype == DType::UInt8);
}
bool weight_fits(const Call& c, size_t k) {
  if (!c.in(k).defined()) return true;
  DimSpan shape = c.attrs().list(0);
  return c.rank(k) == 1 && c.size(k, 0) == shape[shape.size() == 1 ? 0 : 1] && c.same_type(k, 0);
}
bool is_list(const Call& c, size_t k) {
  DimSpan shape = c.attrs().list(0);
  return c.rank(k) == shape.size() && std::equal(shape.begin(), shape.end(), c.in(k).shape.begin());
}
bool fits_cross_entropy(const Call& c) {
  return c.i.in.size() == 3 && c.in(0).defined() && c.in(1).defined() && c.is_float(0) &&
         classes_fit(c, 1) && is_list(c, 0) && weight_fits(c, 2);
}
bool fits_cross_entropy_grad(const Call& c) {
  if (c.i.in.size() != 6) return false;
  for (size_t k : {0u, 1u, 2u, 4u, 5u})
    if (!c.in(k).defined()) return false;
  if (!c.is_float(0) || !c.same_type(0, 1) || !c.same_type(0, 5) || c.in(4).dtype != DType::Float64)
    return false;
  return classes_fit(c, 2) && is_list(c, 1) && weight_fits(c, 3) && c.same_shape(4, 2) &&
         c.rank(5) == 0 && (c.integer(0) == 0 ? c.same_shape(0, 2) : c.rank(0) == 0);
}
bool fits_nll_loss(const Call& c) {
  return c.takes(3, 0b100) && c.is_float(0) && classes_fit(c, 1) && is_list(c, 0) &&
         weight_fits(c, 2);
}
bool fits_nll_loss_adjoint(const Call& c) {
  if (!c.takes(4, 0b100) || !c.is_float(0) || !c.same_type(0, 3) || c.rank(3) != 0) return false;
  return classes_fit(c, 1) && weight_fits(c, 2) && is_result_shape(c, 0) &&
         (c.integer(0) == 0 ? c.same_shape(0, 1) : c.rank(0) == 0);
}
// The kernel checks lengths and labels.
bool fits_ctc_loss(const Call& c) {
  if (!c.takes(4) || c.rank(0) != 3 || c.rank(1) < 1 || c.rank(1) > 2 || c.rank(2) != 1 ||
      !c.same_shape(2, 3))
    return false;
  const int64_t batch = c.size(0, 1);
  return (c.in(0).dtype == DType::Float32 || c.in(0).dtype == DType::Float64) &&
         is_integral(c.in(1).dtype, false) && c.in(2).dtype == DType::Int64 &&
         c.in(3).dtype == DType::Int64 && c.size(2, 0) == batch &&
         (c.rank(1) == 1 || c.size(1, 0) == batch) && c.integer(0) >= 0 &&
         c.integer(0) < c.size(0, 2);
}
// The kernel checks the targets.
bool fits_multilabel_margin(const Call& c) {
  return c.takes(2) && c.is_float(0) && itemsize(c.in(0).dtype) >= 4 && c.rank(0) == 2 &&
         c.same_shape(0, 1) && c.in(1).dtype == DType::Int64;
}
// The kernels check the numbers of rows.
bool is_row_numbers(const Call& c, size_t k) {
  return c.in(k).dtype == DType::Int64 || c.in(k).dtype == DType::Int32;
}
bool fits_embedding(const Call& c) {
  return c.takes(2) && c.is_float(0) && c.rank(0) == 2 && is_row_numbers(c, 1) &&
         c.integer(2) >= 0 && c.integer(2) < 4 && c.integer(1) >= -1 && c.integer(1) < c.size(0, 0);
}
bool fits_embedding_adjoint(const Call& c) {
  DimSpan table = c.attrs().list(0);
  if (!c.takes(2) || !c.is_float(0) || !is_row_numbers(c, 1) || !is_result_shape(c, 0) ||
      table.size() != 2 || c.integer(2) < 0 || c.integer(2) >= 4 || c.integer(1) < -1 ||
      c.integer(1) >= table[0])
    return false;
  Dims shape = c.in(1).shape;
  shape.push_back(table[1]);
  return c.in(0).shape == shape;
}
bool fits_embedding_bag(const Call& c) {
  return c.takes(4, 0b1100) &&
         (c.in(0).dtype == DType::Float32 || c.in(0).dtype == DType::Float64) && c.rank(0) > 0 &&
         c.rank(1) > 0 && is_row_numbers(c, 1) &&
         (!c.in(2).defined() || (c.rank(1) == 1 && c.rank(2) == 1 && c.size(2, 0) > 0 &&
                                 c.in(2).dtype == DType::Int64)) &&
         (!c.in(3).defined() || (c.same_shape(3, 1) && c.same_type(3, 0)));
}

// ---- random numbers

// Seed and block of a random stream: input k, or list n.
bool stream_fits(const Call& c, size_t k, size_t n) {
  if (k >= c.i.in.size() || !c.in(k).defined()) return c.attrs().list(n).size() == 2;
  return c.in(k).dtype == DType::Int64 && c.in(k).numel == 2 && c.in(k).contiguous;
}
bool fits_dropout(const Call& c) {
  return !c.i.in.empty() && c.i.in.size() <= 2 && c.in(0).defined() && c.is_float(0) &&
         stream_fits(c, 1, 0) && is_probability(c.attrs().s[0]);
}

// ---- normalization

bool has_elements(const Call& c, size_t k, int64_t count) {
  return !c.in(k).defined() || (c.in(k).numel == count && c.same_type(k, 0));
}
// The sizes in list 0: their product is the number of elements of input x.
bool sizes_fit(const Call& c, size_t count, size_t x) {
  DimSpan sizes = c.attrs().list(0);
  if (sizes.size() != count) return false;
  for (int64_t n : sizes)
    if (n < 0 || n > kMaxSize) return false;
  if (count == 4 && sizes[1] == 0) return false;
  int64_t product = sizes[0];
  for (size_t k = 1; k < count; ++k) {
    if (count == 4 && k == 1) continue;  // groups share their rows' elements
    if (__builtin_mul_overflow(product, sizes[k], &product)) return false;
  }
  return product == c.in(x).numel && (count != 4 || sizes[0] % sizes[1] == 0);
}
bool flags_fit(const Call& c, size_t list, size_t count) {
  DimSpan flags = c.attrs().list(list);
  return flags.size() == count &&
         std::all_of(flags.begin(), flags.end(), [](int64_t f) { return f == 0 || f == 1; });
}
int64_t row_parameters(const Call& c) { return c.attrs().list(0)[1] * c.attrs().list(0)[2]; }
int64_t channels(const Call& c) { return c.attrs().list(0)[1]; }

template <size_t kSizes, int64_t (*kParameters)(const Call&)>
bool fits_norm(const Call& c) {
  return c.takes(3, 0b110) && c.is_float(0) && sizes_fit(c, kSizes, 0) &&
         has_elements(c, 1, kParameters(c)) && has_elements(c, 2, kParameters(c));
}
template <size_t kSizes, int64_t (*kParameters)(const Call&)>
bool fits_norm_grad(const Call& c) {
  if (!c.takes(5, 0b100) || !c.is_float(0) || !c.same_type(0, 1) || !c.same_shape(0, 1) ||
      !sizes_fit(c, kSizes, 1) || !flags_fit(c, 1, 3))
    return false;
  int64_t moments = kSizes == 4 ? c.attrs().list(0)[0] : channels(c);
  return has_elements(c, 2, kParameters(c)) && has_elements(c, 3, moments) &&
         has_elements(c, 4, moments);
}

// ---- windows

// A list that begins with a number of dimensions and has `parts` lists of so many sizes each.
bool is_parts(DimSpan list, size_t parts) {
  if (list.empty() || list[0] < 1 || list[0] > 3) return false;
  if (list.size() != 1 + parts * static_cast<size_t>(list[0])) return false;
  return std::all_of(list.begin() + 1, list.end(),
                     [](int64_t n) { return n >= 0 && n <= kMaxSize; });
}
DimSpan part(const Call& c, size_t number) {
  DimSpan list = c.attrs().list(0);
  auto dims = static_cast<size_t>(list[0]);
  return list.subspan(1 + number * dims, dims);
}
// The product of sizes that are not negative; false: it is too large.
bool multiply(DimSpan sizes, int64_t& product) {
  product = 1;
  return std::none_of(sizes.begin(), sizes.end(),
                      [&](int64_t n) { return __builtin_mul_overflow(product, n, &product); });
}
bool ends_with(DimSpan shape, DimSpan sizes) {
  return shape.size() >= sizes.size() && std::ranges::equal(shape.last(sizes.size()), sizes);
}

enum ConvPart : size_t { kStride, kPad, kDilation, kIn, kOut, kKernel };

// Sizes of a convolution: at most one element more is read behind the end than padded in front.
bool conv_sizes_fit(const Call& c) {
  if (!is_parts(c.attrs().list(0), 6) || c.integer(0) < 1 || c.integer(0) > kMaxSize) return false;
  for (size_t d = 0; d < part(c, kIn).size(); ++d) {
    int64_t stride = part(c, kStride)[d], pad = part(c, kPad)[d], step = part(c, kDilation)[d],
            in = part(c, kIn)[d], out = part(c, kOut)[d], kernel = part(c, kKernel)[d];
    if (stride < 1 || step < 1 || in < 1 || out < 1 || kernel < 1) return false;
    if ((kernel - 1) > (in + 2 * pad) / step || (out - 1) > (in + 2 * pad) / stride) return false;
    if ((out - 1) * stride + (kernel - 1) * step > in + 2 * pad) return false;
  }
  return true;
}
bool is_conv_array(const Call& c, size_t k, ConvPart sizes) {
  return c.is_float(k) && c.same_type(k, 0) && c.rank(k) == part(c, sizes).size() + 2 &&
         ends_with(c.in(k).shape, part(c, sizes));
}
// x has `wide` channels, y `narrow`, and the weight (y's, x's per group).
bool fits_conv(const Call& c) {
  if (!c.takes(c.i.op == Op::ConvBias ? 3 : 2) || !conv_sizes_fit(c)) return false;
  int64_t groups = c.integer(0);
  if (!is_conv_array(c, 0, kIn) || !is_conv_array(c, 1, kKernel)) return false;
  return c.size(0, 1) == c.size(1, 1) * groups && c.size(1, 0) % groups == 0 &&
         (c.i.op != Op::ConvBias ||
          (c.rank(2) == 1 && c.size(2, 0) == c.size(1, 0) && c.same_type(2, 0)));
}
bool fits_conv_input_grad(const Call& c) {
  if (!c.takes(2) || !conv_sizes_fit(c)) return false;
  return is_conv_array(c, 0, kOut) && is_conv_array(c, 1, kKernel) &&
         c.size(0, 1) == c.size(1, 0) && c.size(1, 0) % c.integer(0) == 0;
}
bool fits_conv_weight_grad(const Call& c) {
  if (!c.takes(2) || !conv_sizes_fit(c)) return false;
  int64_t groups = c.integer(0);
  return is_conv_array(c, 0, kOut) && is_conv_array(c, 1, kIn) && c.size(0, 0) == c.size(1, 0) &&
         c.size(0, 1) % groups == 0 && c.size(1, 1) % groups == 0;
}
// Whether columns of this shape, (batch, channels times window, number of windows), are those of
// the sizes in list 0; `channels` becomes how many there are.
bool are_columns(const Call& c, DimSpan shape, int64_t& channels) {
  int64_t window, count;
  if (shape.size() != 3 || !multiply(part(c, kKernel), window) || !multiply(part(c, kOut), count))
    return false;
  channels = shape[1] / window;
  return shape[1] % window == 0 && shape[2] == count;
}
bool fits_im2col(const Call& c) {
  int64_t channels;
  return c.takes(1) && conv_sizes_fit(c) && is_conv_array(c, 0, kIn) && c.i.out.size() == 1 &&
         are_columns(c, c.i.out[0].shape, channels) && channels == c.size(0, 1);
}
bool fits_col2im(const Call& c) {
  int64_t channels;
  return c.takes(1) && conv_sizes_fit(c) && c.is_float(0) &&
         are_columns(c, c.in(0).shape, channels);
}

enum PoolPart : size_t { kPoolIn, kPoolOut, kPoolKernel, kPoolStride, kPoolPad, kPoolDilation };

// The checks of pooling itself.
bool pool_sizes_fit(const Call& c) {
  bool adaptive = c.integer(0) == 1;
  if (c.integer(0) < 0 || c.integer(0) > 1 || c.integer(1) < -1 || c.integer(1) > kMaxSize ||
      !is_parts(c.attrs().list(0), adaptive ? 2 : 6))
    return false;
  for (size_t d = 0; d < part(c, kPoolIn).size(); ++d) {
    int64_t in = part(c, kPoolIn)[d], out = part(c, kPoolOut)[d];
    if (in < 1 || out < 1) return false;
    if (adaptive) continue;
    int64_t kernel = part(c, kPoolKernel)[d], stride = part(c, kPoolStride)[d],
            pad = part(c, kPoolPad)[d], step = part(c, kPoolDilation)[d];
    if (kernel < 1 || stride < 1 || step < 1 || pad > kernel / 2 || (out - 1) * stride >= in + pad)
      return false;
  }
  return true;
}
template <PoolPart kSide>
bool fits_pool(const Call& c) {
  return c.takes(1) && pool_sizes_fit(c) && c.is_number(0) &&
         ends_with(c.in(0).shape, part(c, kSide));
}

// Lists: the narrow shape, widths in front and behind.
bool pad_fits(const Call& c, bool adjoint) {
  DimSpan narrow = c.attrs().list(0), before = c.attrs().list(1), behind = c.attrs().list(2);
  if (!c.takes(1) || c.i.out.size() != 1 || is_complex(c.in(0).dtype)) return false;
  const Dims& wide = adjoint ? c.in(0).shape : c.i.out[0].shape;
  if (before.size() != narrow.size() || behind.size() != narrow.size() ||
      wide.size() != narrow.size() || c.integer(0) < 0 || c.integer(0) > 3)
    return false;
  for (size_t d = 0; d < narrow.size(); ++d) {
    int64_t n = narrow[d], a = before[d], b = behind[d];
    if (n < 0 || n > kMaxSize || std::abs(a) > kMaxSize || std::abs(b) > kMaxSize ||
        n + a + b != wide[d])
      return false;
    bool padded = a > 0 || b > 0;
    bool fits[] = {true, !padded || (a < n && b < n), !padded || n > 0,
                   a - std::min<int64_t>(b, 0) <= n && b - std::min<int64_t>(a, 0) <= n};
    if (!fits[c.integer(0)]) return false;
  }
  return adjoint ? is_result_shape(c, 0) && c.is_float(0)
                 : std::ranges::equal(narrow, c.in(0).shape);
}
bool fits_pad(const Call& c) { return pad_fits(c, false); }
bool fits_pad_adjoint(const Call& c) { return pad_fits(c, true); }

// ---- images

// Scales may be any number: what is made of them is bounded.
bool fits_resample(const Call& c) {
  DimSpan list = c.attrs().list(0);
  if (!c.takes(1) || list.empty() || list[0] < 1 || list[0] > 3 || c.integer(0) < 0 ||
      c.integer(0) > 4 || c.integer(1) < 0 || c.integer(1) > 7)
    return false;
  auto dims = static_cast<size_t>(list[0]);
  if (list.size() != 1 + 3 * dims) return false;
  DimSpan sizes = list.subspan(1, 2 * dims);
  return (c.is_float(0) || c.in(0).dtype == DType::UInt8) &&
         std::all_of(sizes.begin(), sizes.end(), [](int64_t n) { return n > 0 && n < kMaxSize; }) &&
         ends_with(c.in(0).shape, sizes.subspan(c.integer(1) & 4 ? dims : 0, dims));
}

bool is_image(DimSpan sizes) {
  int64_t pixels;
  return (sizes.size() == 2 || sizes.size() == 3) &&
         std::all_of(sizes.begin(), sizes.end(), [](int64_t n) { return n > 0 && n < kMaxSize; }) &&
         multiply(sizes, pixels) && pixels < INT32_MAX;
}
bool grid_fits(const Call& c, size_t grid) {
  DimSpan sizes = c.attrs().list(0), orders = c.attrs().list(1);
  return c.takes(grid + 1) && is_image(sizes) && orders.size() == sizes.size() &&
         c.rank(grid) == sizes.size() + 2 &&
         c.in(grid).shape.back() == static_cast<int64_t>(sizes.size()) &&
         (c.in(grid).dtype == DType::Float32 || c.in(grid).dtype == DType::Float64) &&
         std::all_of(orders.begin(), orders.end(), [](int64_t n) { return n >= 0 && n < 16; }) &&
         c.integer(0) >= 0 && c.integer(0) < (sizes.size() == 2 ? 3 : 2) && c.integer(1) >= 0 &&
         c.integer(1) < 3;
}
// Input k has (n, channels, sizes...), for as many samples as the grid.
bool is_planes(const Call& c, size_t k, size_t grid, DimSpan sizes) {
  return c.rank(k) == sizes.size() + 2 && c.size(k, 0) == c.size(grid, 0) && c.same_type(k, grid) &&
         ends_with(c.in(k).shape, sizes);
}
DimSpan places(const Call& c, size_t grid) {
  return DimSpan(c.in(grid).shape).subspan(1, c.rank(grid) - 2);
}
bool fits_grid_sample(const Call& c) {
  return grid_fits(c, 1) && is_planes(c, 0, 1, c.attrs().list(0));
}
bool fits_grid_spread(const Call& c) { return grid_fits(c, 1) && is_planes(c, 0, 1, places(c, 1)); }
bool fits_grid_slopes(const Call& c) {
  return grid_fits(c, 2) && is_planes(c, 0, 2, places(c, 2)) &&
         is_planes(c, 1, 2, c.attrs().list(0)) && c.size(0, 1) == c.size(1, 1);
}

// ---- rearrangements

bool fits_roll(const Call& c) {
  DimSpan shifts = c.attrs().list(0), dims = c.attrs().list(1);
  if (!c.takes(1) || shifts.size() != dims.size() || dims.size() > 16) return false;
  return std::all_of(dims.begin(), dims.end(),
                     [&](int64_t d) { return d >= 0 && d < static_cast<int64_t>(c.rank()); }) &&
         std::all_of(shifts.begin(), shifts.end(),
                     [](int64_t s) { return std::abs(s) <= kMaxSize; });
}
bool fits_repeat(const Call& c) {
  DimSpan repeats = c.attrs().list(0);
  if (!c.takes(1) || repeats.size() < c.rank() || repeats.size() > 64) return false;
  for (size_t d = 0, lead = repeats.size() - c.rank(); d < repeats.size(); ++d) {
    int64_t size = d < lead ? 1 : c.size(0, d - lead);
    if (repeats[d] < 0 || __builtin_mul_overflow(size, repeats[d], &size)) return false;
  }
  return true;
}
// Attributes: offset and the two dimensions of the output; list 0: its shape.
bool fits_diag_embed(const Call& c) {
  auto dims = static_cast<int64_t>(c.attrs().list(0).size());
  int64_t offset = c.integer(0), a = c.integer(1), b = c.integer(2);
  if (!c.takes(1) || !is_result_shape(c, 0) || std::abs(offset) > kMaxSize || a < 0 || b < 0 ||
      a >= dims || b >= dims || a == b)
    return false;
  Dims expected;
  for (int64_t d = 0; d < dims; ++d)
    if (d != a && d != b) expected.push_back(c.attrs().list(0)[static_cast<size_t>(d)]);
  int64_t rows = c.attrs().list(0)[static_cast<size_t>(a)],
          cols = c.attrs().list(0)[static_cast<size_t>(b)];
  expected.push_back(std::max<int64_t>(
      0, offset >= 0 ? std::min(rows, cols - offset) : std::min(rows + offset, cols)));
  return c.in(0).shape == expected;
}
bool fits_frexp(const Call& c) { return c.takes(1) && c.is_float(0); }

// ---- as_strided: the gradient of writes to views

bool are_strides(DimSpan sizes, DimSpan strides) {
  if (sizes.size() != strides.size() || sizes.size() > 64) return false;
  int64_t numel = 1;
  for (size_t d = 0; d < sizes.size(); ++d)
    if (sizes[d] < 0 || sizes[d] > kMaxSize || strides[d] < 0 || strides[d] > kMaxSize ||
        __builtin_mul_overflow(numel, sizes[d], &numel) || numel > kMaxSize)
      return false;
  return true;
}
// Lists: sizes and strides of a part, and of its base. The kernels check that it lies inside.
bool strided_fits(const Call& c) {
  DimSpan base = c.attrs().list(2), strides = c.attrs().list(3);
  return std::abs(c.integer(0)) <= kMaxSize && are_strides(c.attrs().list(0), c.attrs().list(1)) &&
         are_strides(base, strides) && numel_of(base) > 0 &&
         extent(base, strides).hi <= 64 * numel_of(base) && numel_of(c.attrs().list(0)) > 0;
}
bool fits_strided_gather(const Call& c) {
  return c.takes(1) && strided_fits(c) && std::ranges::equal(c.in(0).shape, c.attrs().list(2)) &&
         !is_complex(c.in(0).dtype);
}
bool fits_strided_adjoint(const Call& c) {
  return c.takes(1) && strided_fits(c) && std::ranges::equal(c.in(0).shape, c.attrs().list(0)) &&
         is_result_shape(c, 2) && !is_complex(c.in(0).dtype);
}
bool fits_strided_scatter(const Call& c) {
  return c.takes(2) && strided_fits(c) && c.same_type(0, 1) && !is_complex(c.in(0).dtype) &&
         std::ranges::equal(c.in(0).shape, c.attrs().list(2)) &&
         std::ranges::equal(c.in(1).shape, c.attrs().list(0));
}

// ---- attention, recurrence

// Inputs q, k, v from `first` on, and a mask behind them. List 0: how many batches share keys.
bool heads_fit(const Call& c, size_t first) {
  size_t q = first, k = first + 1, v = first + 2, mask = first + 3;
  size_t n = c.rank(q);
  if (!c.is_float(q) || !c.same_type(q, k) || !c.same_type(q, v) || n < 3 || c.rank(k) != n ||
      c.rank(v) != n || c.attrs().list(0).size() != 1)
    return false;
  int64_t sharing = c.attrs().list(0)[0];
  if (sharing < 1 || sharing > kMaxSize) return false;
  for (size_t d = 0; d + 2 < n; ++d) {
    bool head = d + 3 == n;
    if (c.size(q, d) != c.size(k, d) * (head ? sharing : 1) || c.size(k, d) != c.size(v, d))
      return false;
  }
  if (c.size(q, n - 1) != c.size(k, n - 1) || c.size(k, n - 2) != c.size(v, n - 2)) return false;
  if (!c.in(mask).defined()) return true;
  Dims weights = c.in(q).shape;
  weights.back() = c.size(k, n - 2);
  return (c.in(mask).dtype == DType::Bool || c.same_type(mask, q)) &&
         is_expandable_to(c.in(mask).shape, weights);
}
bool fits_attention(const Call& c) {
  return c.takes(5, 0b11000) && heads_fit(c, 0) && c.filled() && stream_fits(c, 4, 1) &&
         is_probability(c.attrs().s[1]);
}
bool fits_attention_grad(const Call& c) {
  if (!c.takes(8, 0b10010000) || !heads_fit(c, 1) || !c.filled() || !stream_fits(c, 7, 1) ||
      !is_probability(c.attrs().s[1]))
    return false;
  Dims result = c.in(1).shape, sums = c.in(1).shape;
  result.back() = c.in(3).shape.back();
  sums.pop_back();
  return c.in(0).shape == result && c.in(5).shape == result && c.in(6).shape == sums &&
         c.same_type(0, 1) && c.same_type(5, 1) && c.in(6).dtype == compute_dtype(c.in(1).dtype);
}

// Lists: kind, whether reverse, one more flag; sizes of the steps, longest first.
bool recurrence_fits(const Call& c, size_t weight, int64_t rows, RecurrentShape& s) {
  DimSpan how = c.attrs().list(0), sizes = c.attrs().list(1);
  DType d = c.in(weight).dtype;
  if (how.size() != 3 || how[0] < 0 || how[0] > 3 || how[1] < 0 || how[1] > 1 || how[2] < 0 ||
      how[2] > 1 || sizes.empty() || c.rank(weight) != 2 ||
      (d != DType::Float32 && d != DType::Float64) || !c.in(weight).numel)
    return false;
  s = {static_cast<RecurrentKind>(how[0]), how[1] != 0, c.size(weight, 1), sizes};
  int64_t sum = 0, last = sizes[0];
  for (int64_t n : sizes) {
    if (n < 1 || n > last || n > kMaxSize || (sum += n) > kMaxSize) return false;
    last = n;
  }
  return sum == rows && c.size(weight, 0) == s.gates() * s.hidden;
}
bool is_matrix(const Call& c, size_t k, size_t like, int64_t rows, int64_t cols) {
  return c.rank(k) == 2 && c.size(k, 0) == rows && c.size(k, 1) == cols && c.same_type(k, like);
}
bool fits_recurrent(const Call& c) {
  RecurrentShape s{};
  if (!c.takes(5, 0b11000) || c.rank(0) != 2 || !recurrence_fits(c, 2, c.size(0, 0), s))
    return false;
  bool lstm = s.kind == RecurrentKind::Lstm;
  return is_matrix(c, 0, 2, c.size(0, 0), s.gates() * s.hidden) &&
         is_matrix(c, 1, 2, s.sizes[0], s.hidden) && c.in(3).defined() == lstm &&
         (!lstm || is_matrix(c, 3, 2, s.sizes[0], s.hidden)) &&
         (!c.in(4).defined() || (s.kind == RecurrentKind::Gru && c.rank(4) == 1 &&
                                 c.size(4, 0) == 3 * s.hidden && c.same_type(4, 2)));
}
bool fits_recurrent_grad(const Call& c) {
  RecurrentShape s{};
  if (!c.takes(8, 0b11110000) || c.rank(1) != 2 || !recurrence_fits(c, 0, c.size(1, 0), s) ||
      !flags_fit(c, 2, 2))
    return false;
  int64_t rows = c.size(1, 0), first = s.sizes[0], hidden = s.hidden;
  bool lstm = s.kind == RecurrentKind::Lstm;
  auto state = [&](size_t k) { return !c.in(k).defined() || is_matrix(c, k, 0, first, hidden); };
  return is_matrix(c, 1, 0, rows, hidden) && c.in(1).contiguous && c.in(2).contiguous &&
         is_matrix(c, 2, 0, rows, s.kept() * hidden) && is_matrix(c, 3, 0, first, hidden) &&
         c.in(4).defined() == lstm && state(4) && state(6) && state(7) &&
         (!c.in(5).defined() || is_matrix(c, 5, 0, rows, hidden));
}

constexpr OpRule kRules[] = {
    {Op::CrossEntropy, fits_cross_entropy},
    {Op::CrossEntropyGrad, fits_cross_entropy_grad},
    {Op::NllLoss, fits_nll_loss},
    {Op::NllLossAdjoint, fits_nll_loss_adjoint},
    {Op::CtcLoss, fits_ctc_loss},
    {Op::MultilabelMargin, fits_multilabel_margin},
    {Op::Embedding, fits_embedding},
    {Op::EmbeddingAdjoint, fits_embedding_adjoint},
    {Op::EmbeddingBag, fits_embedding_bag},
    {Op::Dropout, fits_dropout},
    {Op::RowNorm, fits_norm<4, row_parameters>},
    {Op::RowNormGrad, fits_norm_grad<4, row_parameters>},
    {Op::BatchNorm, fits_norm<3, channels>},
    {Op::BatchNormGrad, fits_norm_grad<3, channels>},
    {Op::ConvForward, fits_conv},
    {Op::ConvBias, fits_conv},
    {Op::ConvInputGrad, fits_conv_input_grad},
    {Op::ConvWeightGrad, fits_conv_weight_grad},
    {Op::Im2Col, fits_im2col},
    {Op::Col2Im, fits_col2im},
    {Op::MaxPool, fits_pool<kPoolIn>},
    {Op::AvgPool, fits_pool<kPoolIn>},
    {Op::AvgPoolAdjoint, fits_pool<kPoolOut>},
    {Op::Resample, fits_resample},
    {Op::GridSample, fits_grid_sample},
    {Op::GridSpread, fits_grid_spread},
    {Op::GridSlopes, fits_grid_slopes},
    {Op::Pad, fits_pad},
    {Op::PadAdjoint, fits_pad_adjoint},
    {Op::Roll, fits_roll},
    {Op::Repeat, fits_repeat},
    {Op::DiagEmbed, fits_diag_embed},
    {Op::Frexp, fits_frexp},
    {Op::AsStridedGather, fits_strided_gather},
    {Op::AsStridedAdjoint, fits_strided_adjoint},
    {Op::AsStridedScatter, fits_strided_scatter},
    {Op::CopySlices, fits_strided_scatter},
    {Op::SelectScatter, fits_strided_scatter},
    {Op::SliceScatter, fits_strided_scatter},
    {Op::DiagonalScatter, fits_strided_scatter},
    {Op::Attention, fits_attention},
    {Op::AttentionGrad, fits_attention_grad},
    {Op::Recurrent, fits_recurrent},
    {Op::RecurrentGrad, fits_recurrent_grad},
};

}  // namespace

std::span<const OpRule> layer_rules() { return kRules; }

}  // namespace fastgrad
