#include "kernels/normalize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/copy.h"
#include "kernels/cpu/norm_lines.h"

namespace fastgrad {
namespace {

// Rows of n elements that make a chunk of work for a thread.
int64_t rows_at_once(int64_t n) {
  return std::max<int64_t>(kParallelGrain / std::max<int64_t>(n, 1), 1);
}
// Samples whose gradients of the parameters are summed in the element type, as one part.
int64_t samples_per_sum(int64_t samples) { return std::max<int64_t>((samples + 15) / 16, 32); }

// An optional row-major array of the element type T.
template <class T>
const T* data_of(const Array& held) {
  return held.defined() ? held.ptr<T>() : nullptr;
}
Array held(const Array* a, DType d) { return a ? as_contiguous(*a, d) : Array(); }

// Runs f with arrays to write that are row-major and of the type to compute in.
struct Target {
  Array made;
  const Array* to = nullptr;
  Target(const Array* wanted, DType d) : to(wanted) {
    if (wanted)
      made = wanted->dtype == d && wanted->contiguous ? *wanted : Array::empty(wanted->shape, d);
  }
  ~Target() {
    if (to && made.data != to->data) copy_array(made, *to);
  }
  template <class T>
  T* ptr() const {
    return to ? made.ptr<T>() : nullptr;
  }
};

}  // namespace

void row_norm(const RowNormShape& s, const Array& x, const Array* weight, const Array* bias,
              double eps, bool centred, const Array& y, const Array& mean, const Array& rstd) {
  DType d = compute_dtype(y.dtype);
  Array from = as_contiguous(x, d), hw = held(weight, d), hb = held(bias, d);
  Target to(&y, d), to_mean(&mean, d), to_rstd(&rstd, d);
  int64_t n = s.width();
  dispatch_float(d, "layer_norm", [&]<class T>(T) {
    const NormLines<T>& lines = norm_lines(T{});
    const T *w = data_of<T>(hw), *b = data_of<T>(hb), *source = from.ptr<T>();
    T *target = to.ptr<T>(), *means = to_mean.ptr<T>(), *scales = to_rstd.ptr<T>();
    parallel_for(s.rows, rows_at_once(n), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T* in = source + r * n;
        T* out = target + r * n;
        T m = centred ? static_cast<T>(lines.sum(in, n) / static_cast<double>(n)) : T(0);
        double square = lines.squares(in, m, n);
        T scale = static_cast<T>(1 / std::sqrt(square / static_cast<double>(n) + eps));
        means[r] = m;
        scales[r] = scale;
        int64_t first = r % s.groups * s.channels;
        if (s.inner == 1) {
          lines.normalize(in, m, scale, w ? w + first : nullptr, b ? b + first : nullptr, n, out);
          continue;
        }
        for (int64_t c = 0; c < s.channels; ++c)
          lines.affine(in + c * s.inner, m, w ? scale * w[first + c] : scale,
                       b ? b[first + c] : T(0), s.inner, out + c * s.inner);
      }
    });
  });
}

void row_norm_grad(const RowNormShape& s, const Array& g, const Array& x, const Array* weight,
                   const Array& mean, const Array& rstd, bool centred, const Array* dx,
                   const Array* dweight, const Array* dbias) {
  DType d = compute_dtype(x.dtype);
  Array cotangent = as_contiguous(g, d), from = as_contiguous(x, d), hw = held(weight, d);
  Array means = as_contiguous(mean, d), scales = as_contiguous(rstd, d);
  Target to_dx(dx, d), to_dw(dweight, d), to_db(dbias, d);
  int64_t n = s.width(), params = s.groups * s.channels;
  dispatch_float(d, "layer_norm", [&]<class T>(T) {
    const NormLines<T>& lines = norm_lines(T{});
    const T *w = data_of<T>(hw), *source = from.ptr<T>(), *cotangents = cotangent.ptr<T>();
    const T *all_means = means.ptr<T>(), *all_scales = scales.ptr<T>();
    T* target = to_dx.ptr<T>();
    // Samples (all groups of one) add up in T for a while, each such part for itself.
    bool wants = dweight || dbias;
    int64_t samples = s.groups ? s.rows / s.groups : 0;
    int64_t chunk = samples_per_sum(samples);
    int64_t parts = wants && samples ? (samples + chunk - 1) / chunk : 0;
    std::vector<T> sums(static_cast<size_t>(2 * parts * params), T(0));
    parallel_for(samples, chunk, [&](int64_t begin, int64_t end) {
      T* part_w = wants ? sums.data() + begin / chunk * 2 * params : nullptr;
      T* part_b = part_w + (wants ? params : 0);
      for (int64_t r = begin * s.groups; r < end * s.groups; ++r) {
        const T *in = source + r * n, *gr = cotangents + r * n;
        T m = all_means[r], scale = all_scales[r];
        int64_t first = r % s.groups * s.channels;
        double sum_g = 0, sum_gx = 0;
        if (s.inner == 1) {
          if (wants) lines.add_parameters(gr, in, m, scale, n, part_w + first, part_b + first);
          if (dx) lines.products(gr, w ? w + first : nullptr, in, m, n, &sum_g, &sum_gx);
        } else {
          for (int64_t c = 0; c < s.channels; ++c) {
            double channel_g, channel_gx;
            lines.products(gr + c * s.inner, nullptr, in + c * s.inner, m, s.inner, &channel_g,
                           &channel_gx);
            if (wants) {
              part_w[first + c] += static_cast<T>(channel_gx * static_cast<double>(scale));
              part_b[first + c] += static_cast<T>(channel_g);
            }
            double a = w ? static_cast<double>(w[first + c]) : 1.0;
            sum_g += a * channel_g;
            sum_gx += a * channel_gx;
          }
        }
        if (!dx) continue;
        double count = static_cast<double>(n);
        T mean_g = centred ? static_cast<T>(sum_g / count) : T(0);
        T slope = static_cast<T>(sum_gx / count) * scale * scale;
        T* out = target + r * n;
        if (s.inner == 1) {
          lines.gradient(gr, w ? w + first : nullptr, in, m, mean_g, slope, scale, n, out);
          continue;
        }
        for (int64_t c = 0; c < s.channels; ++c) {
          // (g w - mean - (x - m) slope) scale, with one w for the line.
          T a = w ? w[first + c] : T(1);
          int64_t at = c * s.inner;
          if (std::abs(a) > T(1e-6)) {
            lines.gradient(gr + at, nullptr, in + at, m, mean_g / a, slope / a, scale * a, s.inner,
                           out + at);
          } else {
            for (int64_t i = at; i < at + s.inner; ++i)
              out[i] = (-mean_g - (in[i] - m) * slope) * scale;
          }
        }
      }
    });
    for (int64_t i = 0; i < params; ++i) {
      double total_w = 0, total_b = 0;
      for (int64_t p = 0; p < parts; ++p) {
        total_w += static_cast<double>(sums[static_cast<size_t>(2 * p * params + i)]);
        total_b += static_cast<double>(sums[static_cast<size_t>((2 * p + 1) * params + i)]);
      }
      if (dweight) to_dw.ptr<T>()[i] = static_cast<T>(total_w);
      if (dbias) to_db.ptr<T>()[i] = static_cast<T>(total_b);
    }
  });
}

namespace {

// Channels of so few elements per sample are worked on side by side, a row of columns at a time: a
// line of its own costs more than its elements.
constexpr int64_t kShortLine = 32;
constexpr int64_t kColumns = 256;

// Some neighbouring channels whose elements, `inner` columns each, lie side by side in a sample.
template <class T>
struct Columns {
  T mean[kColumns], scale[kColumns], other[kColumns], more[kColumns];

  // Calls f(first channel, channels) for each tile.
  template <class F>
  static void for_tiles(const ChannelNormShape& s, F&& f) {
    int64_t tile = kColumns / s.inner, tiles = (s.channels + tile - 1) / tile;
    parallel_for(tiles, rows_at_once(s.batch * tile * s.inner), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) f(i * tile, std::min(tile, s.channels - i * tile));
    });
  }
  static double total(const double* sums, int64_t inner, int64_t channel) {
    double all = 0;
    for (int64_t i = channel * inner; i < (channel + 1) * inner; ++i) all += sums[i];
    return all;
  }
  static void set(T* columns, int64_t inner, int64_t channel, T value) {
    std::fill_n(columns + channel * inner, inner, value);
  }
};

template <class T>
void columns_norm(const ChannelNormShape& s, const T* x, const T* w, const T* b, double eps, T* y,
                  T* means, T* vars) {
  const NormLines<T>& lines = norm_lines(T{});
  double count = static_cast<double>(s.batch * s.inner);
  int64_t step = s.channels * s.inner, inner = s.inner;
  Columns<T>::for_tiles(s, [&](int64_t first, int64_t channels) {
    Columns<T> at;
    double sums[kColumns] = {}, squares[kColumns] = {};
    const T* from = x + first * inner;
    int64_t n = channels * inner;
    lines.column_sums(from, step, s.batch, n, sums);
    for (int64_t c = 0; c < channels; ++c) {
      means[first + c] = static_cast<T>(at.total(sums, inner, c) / count);
      at.set(at.mean, inner, c, means[first + c]);
    }
    lines.column_squares(from, step, s.batch, n, at.mean, squares);
    for (int64_t c = 0; c < channels; ++c) {
      double v = at.total(squares, inner, c) / count;
      vars[first + c] = static_cast<T>(v);
      at.set(at.scale, inner, c,
             static_cast<T>(1 / std::sqrt(v + eps)) * (w ? w[first + c] : T(1)));
      at.set(at.other, inner, c, b ? b[first + c] : T(0));
    }
    lines.column_affine(from, step, s.batch, n, at.mean, at.scale, at.other, y + first * inner);
  });
}

// dx, dw and db may be null.
template <class T>
void columns_norm_grad(const ChannelNormShape& s, const T* g, const T* x, const T* w,
                       const T* means, const T* vars, double eps, T* dx, T* dw, T* db) {
  const NormLines<T>& lines = norm_lines(T{});
  double count = static_cast<double>(s.batch * s.inner);
  int64_t step = s.channels * s.inner, inner = s.inner;
  Columns<T>::for_tiles(s, [&](int64_t first, int64_t channels) {
    Columns<T> at{};  // GCC does not see that what is read has been set
    double sums_g[kColumns] = {}, sums_gx[kColumns] = {};
    int64_t n = channels * inner, begin = first * inner;
    for (int64_t c = 0; c < channels; ++c) at.set(at.mean, inner, c, means[first + c]);
    lines.column_products(g + begin, x + begin, step, s.batch, n, at.mean, sums_g, sums_gx);
    for (int64_t c = 0; c < channels; ++c) {
      double rstd = 1 / std::sqrt(static_cast<double>(vars[first + c]) + eps);
      double sum_g = at.total(sums_g, inner, c), sum_gx = at.total(sums_gx, inner, c);
      if (dw) dw[first + c] = static_cast<T>(sum_gx * rstd);
      if (db) db[first + c] = static_cast<T>(sum_g);
      at.set(at.scale, inner, c,
             static_cast<T>((w ? static_cast<double>(w[first + c]) : 1.0) * rstd));
      at.set(at.other, inner, c, static_cast<T>(sum_g / count));
      at.set(at.more, inner, c, static_cast<T>(sum_gx / count * rstd * rstd));
    }
    if (dx)
      lines.column_gradient(g + begin, x + begin, step, s.batch, n, at.mean, at.other, at.more,
                            at.scale, dx + begin);
  });
}

}  // namespace

void channel_norm(const ChannelNormShape& s, const Array& x, const Array* weight, const Array* bias,
                  double eps, const Array& y, const Array& mean, const Array& var) {
  DType d = compute_dtype(y.dtype);
  Array from = as_contiguous(x, d), hw = held(weight, d), hb = held(bias, d);
  Target to(&y, d), to_mean(&mean, d), to_var(&var, d);
  double count = static_cast<double>(s.batch * s.inner);
  dispatch_float(d, "batch_norm", [&]<class T>(T) {
    const NormLines<T>& lines = norm_lines(T{});
    const T *w = data_of<T>(hw), *b = data_of<T>(hb), *source = from.ptr<T>();
    T *target = to.ptr<T>(), *means = to_mean.ptr<T>(), *vars = to_var.ptr<T>();
    if (s.inner > 0 && s.inner < kShortLine)
      return columns_norm(s, source, w, b, eps, target, means, vars);
    parallel_for(s.channels, rows_at_once(s.batch * s.inner), [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        auto line = [&](int64_t n) { return (n * s.channels + c) * s.inner; };
        double total = 0, square = 0;
        for (int64_t n = 0; n < s.batch; ++n) total += lines.sum(source + line(n), s.inner);
        T m = static_cast<T>(total / count);
        for (int64_t n = 0; n < s.batch; ++n) square += lines.squares(source + line(n), m, s.inner);
        double v = square / count;
        means[c] = m;
        vars[c] = static_cast<T>(v);
        T scale = static_cast<T>(1 / std::sqrt(v + eps)) * (w ? w[c] : T(1));
        for (int64_t n = 0; n < s.batch; ++n)
          lines.affine(source + line(n), m, scale, b ? b[c] : T(0), s.inner, target + line(n));
      }
    });
  });
}

void channel_norm_grad(const ChannelNormShape& s, const Array& g, const Array& x,
                       const Array* weight, const Array& mean, const Array& var, double eps,
                       const Array* dx, const Array* dweight, const Array* dbias) {
  DType d = compute_dtype(x.dtype);
  Array cotangent = as_contiguous(g, d), from = as_contiguous(x, d), hw = held(weight, d);
  Array means = as_contiguous(mean, d), vars = as_contiguous(var, d);
  Target to_dx(dx, d), to_dw(dweight, d), to_db(dbias, d);
  double count = static_cast<double>(s.batch * s.inner);
  dispatch_float(d, "batch_norm", [&]<class T>(T) {
    const NormLines<T>& lines = norm_lines(T{});
    const T *w = data_of<T>(hw), *source = from.ptr<T>(), *cotangents = cotangent.ptr<T>();
    const T *all_means = means.ptr<T>(), *all_vars = vars.ptr<T>();
    T *target = to_dx.ptr<T>(), *out_w = to_dw.ptr<T>(), *out_b = to_db.ptr<T>();
    if (s.inner > 0 && s.inner < kShortLine)
      return columns_norm_grad(s, cotangents, source, w, all_means, all_vars, eps, target, out_w,
                               out_b);
    parallel_for(s.channels, rows_at_once(s.batch * s.inner), [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        auto line = [&](int64_t n) { return (n * s.channels + c) * s.inner; };
        T m = all_means[c];
        double rstd = 1 / std::sqrt(static_cast<double>(all_vars[c]) + eps);
        double sum_g = 0, sum_gx = 0;
        for (int64_t n = 0; n < s.batch; ++n) {
          double line_g, line_gx;
          lines.products(cotangents + line(n), nullptr, source + line(n), m, s.inner, &line_g,
                         &line_gx);
          sum_g += line_g;
          sum_gx += line_gx;
        }
        if (dweight) out_w[c] = static_cast<T>(sum_gx * rstd);
        if (dbias) out_b[c] = static_cast<T>(sum_g);
        if (!dx) continue;
        T scale = static_cast<T>((w ? static_cast<double>(w[c]) : 1.0) * rstd);
        T mean_g = static_cast<T>(sum_g / count);
        T slope = static_cast<T>(sum_gx / count * rstd * rstd);
        for (int64_t n = 0; n < s.batch; ++n)
          lines.gradient(cotangents + line(n), nullptr, source + line(n), m, mean_g, slope, scale,
                         s.inner, target + line(n));
      }
    });
  });
}

}  // namespace fastgrad
