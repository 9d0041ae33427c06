// The walk of the elementwise engine. The block kernels stand in elementwise_loops.h.
#include <algorithm>
#include <cstdlib>
#include <functional>

#include "base/isa.h"
#include "kernels/copy.h"
#include "kernels/cpu/elementwise_single.h"
#include "kernels/cpu/elementwise_table.h"
#include "kernels/cpu/half_arithmetic.h"
#include "kernels/cpu/prefetch.h"
#include "kernels/cpu/row_arithmetic.h"
#include "kernels/cpu/row_stream.h"
#include "kernels/short.h"

namespace fastgrad {
namespace {

bool is_scalar(const Array& a) {
  for (size_t i = 0; i < a.shape.size(); ++i)
    if (a.shape[i] != 1 && a.strides[i] != 0) return false;
  return true;
}

// The dimensions from the one with the longest stride to that with the shortest.
Dims memory_order(const Array& a) {
  Dims order;
  for (int64_t d = 0; d < a.ndim(); ++d) order.push_back(d);
  std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
    return a.strides[static_cast<size_t>(i)] > a.strides[static_cast<size_t>(j)];
  });
  return order;
}

// Operands with steps straight into results with or without, for arithmetic that takes less time
// than to bring them into blocks would. Steps are in elements, the result's first.
using SteppedKernel = void (*)(char* out, const char* const* in, const int64_t* step, int64_t n);

template <class T, class F>
void run_stepped(char* out, const char* const* in, const int64_t* step, int64_t n) {
  const T *a = reinterpret_cast<const T*>(in[0]), *b = reinterpret_cast<const T*>(in[1]);
  T* y = reinterpret_cast<T*>(out);
  const int64_t u = step[0], s = step[1], t = step[2];
  int64_t i = 0;
  for (; u == 1 && i + 4 <= n; i += 4, a += 4 * s, b += 4 * t) {
    // loads first: y might be one of them
    const T v[4] = {F{}(a[0], b[0]), F{}(a[s], b[t]), F{}(a[2 * s], b[2 * t]),
                    F{}(a[3 * s], b[3 * t])};
    for (int64_t j = 0; j < 4; ++j) y[i + j] = v[j];
  }
  y += i;
#pragma GCC unroll 4
  for (; i < n; ++i, a += s, b += t, y += u) *y = F{}(*a, *b);
}

template <class F>
SteppedKernel stepped_of(DType type) {
  switch (type) {
    case DType::Float32:
      return run_stepped<float, F>;
    case DType::Float64:
      return run_stepped<double, F>;
    case DType::Int64:
      return run_stepped<uint64_t, F>;  // which wraps around
    default:
      return nullptr;
  }
}

// What does the same as `kernel`, or null.
SteppedKernel stepped_kernel(BlockKernel kernel, DType type) {
  auto is = [&](ElementwiseOp op) { return kernel == block_kernel(op, type); };
  return is(ElementwiseOp::Mul)   ? stepped_of<std::multiplies<>>(type)
         : is(ElementwiseOp::Add) ? stepped_of<std::plus<>>(type)
         : is(ElementwiseOp::Sub) ? stepped_of<std::minus<>>(type)
                                  : nullptr;
}

// What does the same to two operands row by row as `kernel`, or null. `scalars` says which of them
// is one element for each row; `swap`, that they are to change places.
RowKernel row_kernel(BlockKernel kernel, DType type, unsigned scalars, bool& swap) {
  static const RowArithmetic table = [] {
    RowArithmetic t;
    if (isa() >= Isa::Avx2) fill_row_arithmetic_avx2(t);
    if (isa() >= Isa::Avx512) fill_row_arithmetic_avx512(t);
    return t;
  }();
  if ((type != DType::Float32 && type != DType::Float64) || scalars == 3) return nullptr;
  const RowArithmetic::OfType& of = type == DType::Float32 ? table.f32 : table.f64;
  auto is = [&](ElementwiseOp op) { return kernel == block_kernel(op, type); };
  const bool add = is(ElementwiseOp::Add), mul = is(ElementwiseOp::Mul);
  if (!add && !mul && !is(ElementwiseOp::Sub) && !is(ElementwiseOp::Div)) return nullptr;
  const RowArithmetic::OfOp& op = add                      ? of.add
                                  : mul                    ? of.mul
                                  : is(ElementwiseOp::Sub) ? of.sub
                                                           : of.div;
  swap = scalars == 1 && (add || mul);
  return scalars == 0 ? op.rows : scalars == 2 || swap ? op.by_element : op.of_element;
}

// Note [Elementwise walk]
// What is not contiguous is walked along the last of the collapsed dimensions. Where that is long,
// a segment of it is one call of the kernel: an operand that steps by 1 is read in place, one that
// stands still is a scalar, and only the others (other strides, other types) are brought into
// blocks. Where it is short, blocks go across rows, so that the kernel still has long loops: what
// does not lie in a row for the length of a block is brought there, see Note [Short rows].
class Walk {
 public:
  Walk(BlockKernel kernel, DType compute, DType result, const Array* const* in, int num_inputs,
       const Array& out)
      : kernel_(kernel),
        num_inputs_(num_inputs),
        size_(static_cast<int64_t>(itemsize(compute))),
        result_size_(static_cast<int64_t>(itemsize(result))),
        out_size_(static_cast<int64_t>(out.itemsize())),
        out_data_(out.data),
        store_(cast_kernel(result, out.dtype)),
        out_typed_(out.dtype == result),
        out_contiguous_(out_typed_ && out.contiguous),
        far_(out.numel >= kFar && gains_by_prefetch()) {
    const Array* all[kMaxElementwiseInputs + 1] = {&out};
    for (int k = 0; k < num_inputs; ++k) {
      const Array& a = *in[k];
      all[k + 1] = in[k];
      input_[k] = {a.data, cast_kernel(a.dtype, compute), static_cast<int64_t>(a.itemsize()),
                   a.dtype == compute};
    }
    dims_ = collapse(out.shape, {all, static_cast<size_t>(num_inputs) + 1});
    if (dims_.shape.empty()) {  // one element
      dims_.shape.push_back(1);
      for (int k = 0; k <= num_inputs; ++k) dims_.strides[static_cast<size_t>(k)].push_back(0);
    }
    inner_ = dims_.shape.back();
    far_ = far_ && inner_ * size_ >= kAhead / 4;  // shorter rows gain nothing by it
    for (int k = 0; k <= num_inputs; ++k) step_[k] = dims_.strides[static_cast<size_t>(k)].back();
    in_place_ = out_typed_ && step_[0] == 1;
    for (int k = 0; k < num_inputs; ++k) {
      if (step_[k + 1] == 0) scalars_ |= 1u << k;
      in_place_ = in_place_ && input_[k].typed && (step_[k + 1] == 0 || step_[k + 1] == 1);
    }
    in_rows_ = inner_ >= (in_place_ ? kLongRowInPlace : kLongRow);
    if (in_place_ && in_rows_ && out.numel >= kManyBlocks) {
      if (num_inputs == 2 && inner_ < kLongRowOfTwo && !far_)
        row_kernel_ = row_kernel(kernel, compute, scalars_, swap_);
      if (!row_kernel_ && out_contiguous_ && inner_ * size_ < kLongRowInBlocks) {
        in_rows_ = false;
        for (int k = 0; k < num_inputs; ++k)
          in_rows_ = in_rows_ || !RowLayout(*in[k]).comes_cheap(inner_);
      }
    }
    const bool pairs = size_ == 4 && (step_[1] == 2 || step_[2] == 2);  // are parted in registers
    if (in_rows_ && !in_place_ && num_inputs == 2 && out_typed_ && !(pairs && step_[0] == 1) &&
        input_[0].typed && input_[1].typed)
      stepped_ = stepped_kernel(kernel, compute);
    if (!in_rows_)
      for (int k = 0; k < num_inputs; ++k) layout_[k] = RowLayout(*in[k]);
  }

  // The elements [begin, end) of the output in row-major order.
  void run(int64_t begin, int64_t end) const {
    in_rows_ ? run_rows(begin, end) : run_blocks(begin, end);
  }

 private:
  static constexpr int64_t kLongRow = 96, kLongRowInPlace = 16;
  static constexpr int64_t kLongRowOfTwo = 1024;
  static constexpr int64_t kLongRowInBlocks = 256;  // bytes
  static constexpr int64_t kManyBlocks = 8 * kBlock;
  static constexpr int64_t kFar = 1 << 18;  // elements that are not in the near caches
  static constexpr int64_t kAhead = 1024;   // bytes

  struct Input {
    const char* data;
    CastKernel cast;
    int64_t itemsize;
    bool typed;  // of the compute type already
  };
  struct Scratch {
    alignas(64) char block[kMaxElementwiseInputs][kBlock * sizeof(double)];
    alignas(64) char out[kBlock * sizeof(double)];
    alignas(16) char scalar[kMaxElementwiseInputs][kMaxItemSize];
  };

  StridedCursor cursor(int k, int64_t begin) const {
    return StridedCursor(dims_.shape, dims_.strides[static_cast<size_t>(k)], begin);
  }

  void run_rows(int64_t begin, int64_t end) const {
    Scratch scratch;
    const size_t last = dims_.shape.size() - 1;
    SmallVector<int64_t, 8> index(last + 1, 0);
    const char* in[kMaxElementwiseInputs];
    for (int k = 0; k < num_inputs_; ++k) in[k] = input_[k].data;
    char* out = out_data_;
    auto move = [&](size_t d, int64_t count) {
      index[d] += count;
      out += count * stride(0, d) * out_size_;
      for (int k = 0; k < num_inputs_; ++k) in[k] += count * stride(k + 1, d) * input_[k].itemsize;
    };
    for (int64_t d = static_cast<int64_t>(last), rest = begin; d >= 0; --d) {
      const int64_t n = dims_.shape[static_cast<size_t>(d)];
      move(static_cast<size_t>(d), rest % n);
      rest /= n;
    }
    for (int64_t at = begin; at < end;) {
      const int64_t n = std::min(inner_ - index[last], end - at);
      size_t d = last;
      if (n < inner_ || last == 0) {
        segment(out, in, n, scratch);
        move(last, n);
        at += n;
      } else {
        d = last - 1;
        const int64_t rows = std::min((end - at) / inner_, dims_.shape[d] - index[d]);
        run_whole_rows(out, in, rows, scratch);
        move(d, rows);
        at += rows * inner_;
      }
      for (; d > 0 && index[d] == dims_.shape[d]; --d) {
        move(d, -index[d]);
        move(d - 1, 1);
      }
    }
  }

  // Rows along the dimension before the last.
  void run_whole_rows(char* out, const char* const* first, int64_t rows, Scratch& scratch) const {
    const size_t d = dims_.shape.size() - 2;
    const char* in[kMaxElementwiseInputs] = {};
    int64_t step[kMaxElementwiseInputs] = {};
    for (int k = 0; k < num_inputs_; ++k) {
      in[k] = first[k];
      step[k] = stride(k + 1, d) * input_[k].itemsize;
    }
    const int64_t out_step = stride(0, d) * out_size_;
    if (row_kernel_)
      return row_kernel_(
          {out, in[swap_], in[!swap_], out_step, step[swap_], step[!swap_], inner_, rows});
    for (; rows > 0; --rows, out += out_step) {
      segment(out, in, inner_, scratch);
      for (int k = 0; k < kMaxElementwiseInputs; ++k) in[k] += step[k];
    }
  }

  // n elements of a row.
  void segment(char* out, const char* const* at, int64_t n, Scratch& scratch) const {
    if (in_place_ && !far_) return kernel_(out, at, scalars_, n);
    if (stepped_) return stepped_(out, at, step_, n);
    const char* in[kMaxElementwiseInputs];
    for (int k = 0; k < num_inputs_; ++k) in[k] = at[k];
    if (in_place_) return run_ahead(out, in, scalars_, n);
    for (int k = 0; k < num_inputs_; ++k) {
      if (!(scalars_ >> k & 1) || input_[k].typed) continue;
      input_[k].cast(in[k], 0, scratch.scalar[k], 0, 1);
      in[k] = scratch.scalar[k];
    }
    const bool out_direct = out_typed_ && step_[0] == 1;
    for (int64_t i = 0; i < n; i += kBlock) {
      const int64_t m = std::min(kBlock, n - i);
      const char* p[kMaxElementwiseInputs];
      for (int k = 0; k < num_inputs_; ++k) {
        const Input& input = input_[k];
        p[k] = in[k];
        if (scalars_ >> k & 1) continue;
        p[k] += i * step_[k + 1] * input.itemsize;
        if (step_[k + 1] == 1) {
          if (far_) ask_for_input(p[k] + m * input.itemsize, m * input.itemsize);
          if (input.typed) continue;
        }
        input.cast(p[k], step_[k + 1], scratch.block[k], 1, m);
        p[k] = scratch.block[k];
      }
      if (far_ && step_[0] == 1) ask_for_output(out + (i + m) * out_size_, m * out_size_);
      if (out_direct) {
        kernel_(out + i * out_size_, p, scalars_, m);
      } else {
        kernel_(scratch.out, p, scalars_, m);
        store_(scratch.out, 1, out + i * step_[0] * out_size_, step_[0], m);
      }
    }
  }

  // See Note [Prefetch].
  static void ask_for_input(const char* p, int64_t bytes) {
    for (int64_t b = 0; b < bytes; b += kCacheLine) prefetch_line_to_read(p + b);
  }
  static void ask_for_output(char* p, int64_t bytes) {
    for (int64_t b = 0; b < bytes; b += kCacheLine) prefetch_line_to_write(p + b);
  }
  // By the kilobyte, what comes next being asked for first, be it of the next row: Note [Prefetch].
  void run_ahead(char* out, const char** in, unsigned scalars, int64_t n) const {
    const int64_t piece = kAhead / size_;
    for (; n > 0; n -= piece) {
      const int64_t m = std::min(piece, n);
      for (int k = 0; k < num_inputs_; ++k)
        if (!(scalars >> k & 1)) ask_for_input(in[k] + kAhead, m * size_);
      ask_for_output(out + piece * result_size_, m * result_size_);
      kernel_(out, in, scalars, m);
      for (int k = 0; k < num_inputs_; ++k)
        if (!(scalars >> k & 1)) in[k] += piece * size_;
      out += piece * result_size_;
    }
  }

  void run_blocks(int64_t begin, int64_t end) const {
    Scratch scratch;
    alignas(64) char raw[kBlock * kMaxItemSize];
    RowStream stream[kMaxElementwiseInputs];
    for (int k = 0; k < num_inputs_; ++k) stream[k] = RowStream(layout_[k], begin);
    StridedCursor written = cursor(0, begin);
    int64_t next;
    for (int64_t at = begin; at < end; at = next) {
      next = std::min((at + kBlock) / inner_ * inner_, end);  // whole rows
      const int64_t n = next - at;
      const char* in[kMaxElementwiseInputs];
      unsigned scalars = 0;
      for (int k = 0; k < num_inputs_; ++k) {
        const Input& input = input_[k];
        bool single;
        in[k] = stream[k].next(n, input.typed ? scratch.block[k] : raw, input.typed, single);
        if (single) scalars |= 1u << k;
        if (input.typed) continue;
        input.cast(in[k], 1, scratch.block[k], 1, single ? 1 : n);
        in[k] = scratch.block[k];
      }
      if (out_contiguous_) {
        kernel_(out_data_ + at * out_size_, in, scalars, n);
        continue;
      }
      kernel_(scratch.out, in, scalars, n);
      const char* src = scratch.out;
      written.advance(n, [&](int64_t offset, int64_t stride, int64_t count) {
        store_(src, 1, out_data_ + offset * out_size_, stride, count);
        src += count * result_size_;
      });
    }
  }

  int64_t stride(int k, size_t d) const { return dims_.strides[static_cast<size_t>(k)][d]; }

  BlockKernel kernel_;
  int num_inputs_;
  int64_t size_, result_size_, out_size_;
  char* out_data_;
  CastKernel store_;
  bool out_typed_, out_contiguous_, far_;
  Input input_[kMaxElementwiseInputs];
  CollapsedDims dims_;
  int64_t inner_;
  unsigned scalars_ = 0;                     // inputs that stand still along the last dimension
  bool in_place_;                            // a row needs no block
  bool in_rows_;                             // one call of the kernel for each row
  SteppedKernel stepped_ = nullptr;          // or of this one,
  RowKernel row_kernel_ = nullptr;           // or one of this for many rows
  bool swap_ = false;                        // with the second operand as the first
  RowLayout layout_[kMaxElementwiseInputs];  // where it is not
  int64_t step_[kMaxElementwiseInputs + 1];  // strides along the last dimension, the output's first
};

// Of truth values both are the same, and only the one that takes them for bytes has wide loops.
void share_kernels(KernelTable& table) {
  constexpr auto kBool = static_cast<size_t>(DType::Bool);
  table.k[index(ElementwiseOp::BitwiseNot)][kBool] =
      table.k[index(ElementwiseOp::LogicalNot)][kBool];
}

KernelTable narrow_kernels() {
  KernelTable table;
  fill_activation_kernels(table);
  fill_arithmetic_kernels(table);
  fill_comparison_kernels(table);
  fill_special_kernels(table);
  fill_transcendental_kernels(table);
  if (isa() >= Isa::Avx2) {
    fill_arithmetic_kernels_avx2(table);
    fill_comparison_kernels_avx2(table);
    fill_vector_kernels_avx2(table);
    fill_composed_kernels_avx2(table);
  }
  fill_narrow_kernels(table);
  share_kernels(table);
  return table;
}

const KernelTable g_kernels = [] {
  KernelTable table = narrow_kernels();
  if (isa() >= Isa::Avx512) {
    fill_arithmetic_kernels_avx512(table);
    fill_comparison_kernels_avx512(table);
    fill_short_vector_kernels_avx512(table);
    fill_vector_kernels_avx512(table);
  }
  share_kernels(table);
  return table;
}();

// What the kernels of g_kernels hand short arrays to.
const KernelTable& short_kernels() {
  static const KernelTable table = [] {
    KernelTable t = narrow_kernels();
    if (isa() >= Isa::Avx512) fill_short_vector_kernels_avx512(t);
    return t;
  }();
  return table;
}

const KernelTable& single_kernels() {
  static const KernelTable table = [] {
    KernelTable t = short_kernels();
    fill_single_kernels(t);
    if (isa() >= Isa::Avx2) fill_single_kernels_avx2(t);
    if (isa() >= Isa::Avx512) fill_single_kernels_avx512(t);
    return t;
  }();
  return table;
}

}  // namespace

BlockKernel block_kernel(ElementwiseOp op, DType compute) {
  return g_kernels.k[index(op)][static_cast<int>(compute)];
}

BlockKernel kernel_for(ElementwiseOp op, DType compute, int64_t n) {
  const KernelTable& table = n == 1            ? single_kernels()
                             : n < kShortArray ? short_kernels()
                                               : g_kernels;
  return table.k[index(op)][static_cast<int>(compute)];
}

void run_contiguous_parallel(BlockKernel kernel, DType compute, DType result, char* out,
                             const char* const* in, int num_inputs, unsigned scalars, int64_t n) {
  const int64_t size = static_cast<int64_t>(itemsize(compute));
  const int64_t result_size = static_cast<int64_t>(itemsize(result));
  parallel_for(n, kParallelGrain, [&](int64_t begin, int64_t end) {
    const char* part[kMaxElementwiseInputs];
    for (int k = 0; k < num_inputs; ++k) part[k] = scalars >> k & 1 ? in[k] : in[k] + begin * size;
    kernel(out + begin * result_size, part, scalars, end - begin);
  });
}

namespace {

// What does the same to contiguous operands of a half type as `kernel` does to them in float32, or
// null.
BlockKernel half_kernel(BlockKernel kernel, DType half) {
  static const HalfArithmetic table = [] {
    HalfArithmetic t;
    if (isa() >= Isa::Avx2) fill_half_arithmetic_avx2(t);
    if (isa() >= Isa::Avx512) fill_half_arithmetic_avx512(t);
    return t;
  }();
  const HalfArithmetic::OfType& of = half == DType::Float16 ? table.half : table.bfloat;
  auto is = [kernel](ElementwiseOp op) { return kernel == block_kernel(op, DType::Float32); };
  return is(ElementwiseOp::Mul)   ? of.mul
         : is(ElementwiseOp::Add) ? of.add
         : is(ElementwiseOp::Sub) ? of.sub
         : is(ElementwiseOp::Div) ? of.div
                                  : nullptr;
}

// Whether a walk along the last dimension jumps over what lies along another one.
bool is_transposed(const Array& a) {
  constexpr int64_t kWorthwhile = 8;
  const size_t last = a.shape.size() - 1;
  const int64_t step = std::abs(a.strides[last]);
  if (step <= 1 || a.shape[last] < kWorthwhile) return false;
  for (size_t d = 0; d < last; ++d)
    if (a.strides[d] == 1 && a.shape[d] >= kWorthwhile) return true;
  return false;
}

// In bands along the first dimension, of which transposed operands are copied first: by tiles, so
// that no cache line is read twice. Each band has work for all threads, and one thread's stay in
// its caches. False, and nothing done, where no operand is transposed.
bool run_in_bands(BlockKernel kernel, DType compute, DType result, const Array* const* in,
                  int num_inputs, const Array& out) {
  constexpr int64_t kFew = 4096, kRows = 32, kOwn = 16384;
  if (out.numel < kFew || out.ndim() < 2 || out.strides.back() != 1) return false;
  bool any = false, transposed[kMaxElementwiseInputs];
  for (int k = 0; k < num_inputs; ++k) {
    transposed[k] = is_transposed(*in[k]);
    any |= transposed[k];
  }
  if (!any) return false;
  const int64_t rows = out.shape[0], threads = pool_size();
  const int64_t elements = threads == 1 ? kOwn : kParallelGrain * threads;
  // Whole tiles of the copies for each thread.
  const int64_t tiles = kRows * threads, least = elements / (out.numel / rows);
  const int64_t band = std::max<int64_t>(1, (least + tiles - 1) / tiles) * tiles;
  for (int64_t begin = 0; begin < rows; begin += band) {
    const int64_t n = std::min(band, rows - begin);
    Array part[kMaxElementwiseInputs];
    const Array* pointers[kMaxElementwiseInputs];
    for (int k = 0; k < num_inputs; ++k) {
      part[k] = in[k]->narrowed(0, begin, n);
      if (transposed[k]) part[k] = contiguous_copy(part[k]);
      pointers[k] = &part[k];
    }
    run_elementwise(kernel, compute, result, pointers, num_inputs, out.narrowed(0, begin, n));
  }
  return true;
}

}  // namespace

void run_elementwise(BlockKernel kernel, DType compute, DType result, const Array* const* inputs,
                     int num_inputs, const Array& given_out) {
  if (given_out.numel == 0) return;
  // Walked in the order of the output's memory: a transposed operand beside a transposed output
  // is as good as contiguous.
  Array out = given_out;
  Array reordered[kMaxElementwiseInputs];
  const Array* given[kMaxElementwiseInputs];
  for (int k = 0; k < num_inputs; ++k) given[k] = inputs[k];
  if (!out.contiguous) {
    Dims order = memory_order(out);
    out = out.permuted(order);
    for (int k = 0; k < num_inputs; ++k) {
      reordered[k] = given[k]->permuted(order);
      given[k] = &reordered[k];
    }
  }
  // An input that overlaps the output other than element by element is copied first.
  Array held[kMaxElementwiseInputs];
  const Array* in[kMaxElementwiseInputs];
  for (int k = 0; k < num_inputs; ++k) {
    in[k] = given[k];
    bool aligned = in[k]->data == out.data && in[k]->strides == out.strides &&
                   in[k]->itemsize() == out.itemsize();
    if (!aligned && memory_overlaps(*in[k], out)) {
      held[k] = contiguous_copy(*in[k]);
      in[k] = &held[k];
    }
  }
  unsigned scalars = 0;
  bool direct = out.contiguous && out.dtype == result;
  bool halves = num_inputs == 2 && out.contiguous && result == DType::Float32 &&
                (out.dtype == DType::Float16 || out.dtype == DType::BFloat16);
  const char* pointers[kMaxElementwiseInputs];
  alignas(16) char scalar_values[kMaxElementwiseInputs][kMaxItemSize];
  for (int k = 0; k < num_inputs; ++k) {
    pointers[k] = in[k]->data;
    bool single = is_scalar(*in[k]);
    if (single) {
      scalars |= 1u << k;
      cast_kernel(in[k]->dtype, compute)(in[k]->data, 0, scalar_values[k], 0, 1);
      pointers[k] = scalar_values[k];
    }
    direct = direct && (single || (in[k]->contiguous && in[k]->dtype == compute));
    halves = halves && (single || (in[k]->contiguous && in[k]->dtype == out.dtype));
  }
  if (halves && scalars != 3)
    if (BlockKernel of_halves = half_kernel(kernel, out.dtype))
      return run_contiguous(of_halves, out.dtype, out.dtype, out.data, pointers, num_inputs,
                            scalars, out.numel);
  if (direct) {
    run_contiguous(kernel, compute, result, out.data, pointers, num_inputs, scalars, out.numel);
    return;
  }
  if (run_in_bands(kernel, compute, result, in, num_inputs, out)) return;
  const Walk walk(kernel, compute, result, in, num_inputs, out);
  parallel_for(out.numel, kParallelGrain,
               [&](int64_t begin, int64_t end) { walk.run(begin, end); });
}

}  // namespace fastgrad
