#include "ops/conv.h"

#include "core/promotion.h"
#include "kernels/conv.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace fastgrad {
namespace {

// Note [Convolutions]
// y = conv(x, w) is linear in x and in w, so that there are three products of the same sizes: y of
// x and w, dx of dy and w, dw of dy and x. Each has the other two as its gradients, to any order.
// All three carry the same attributes: the groups (s[0]), and one list with the number of spatial
// dimensions and stride, padding, dilation, sizes of x, y and kernel. Padding is that in front;
// what is read behind the end counts as zero, so that padding by "same" may be uneven.
enum Part : size_t { kStride, kPad, kDilation, kIn, kOut, kKernel };

struct Spatial {
  Dims stride, pad, dilation, in, out, kernel;
};

Attrs conv_attrs(const Spatial& s, int64_t groups) {
  Dims list{static_cast<int64_t>(s.in.size())};
  list.reserve(1 + 6 * s.in.size());
  for (const Dims* part : {&s.stride, &s.pad, &s.dilation, &s.in, &s.out, &s.kernel})
    for (int64_t v : *part) list.push_back(v);
  return Attrs(Scalar(groups)).with(list);
}

DimSpan part_of(const Attrs& a, Part part) {
  DimSpan list = a.list(0);
  auto dims = static_cast<size_t>(list[0]);
  return list.subspan(1 + part * dims, dims);
}

ConvGeometry geometry(const Attrs& a, int64_t batch, int64_t in_channels, int64_t out_channels) {
  ConvGeometry g;
  g.groups = a.integer(0);
  g.batch = batch;
  g.in_channels = in_channels;
  g.out_channels = out_channels;
  auto fill = [&](Part part, int64_t* to) {
    DimSpan values = part_of(a, part);
    std::copy(values.begin(), values.end(), to + 3 - values.size());
  };
  fill(kStride, g.stride);
  fill(kPad, g.pad);
  fill(kDilation, g.dilation);
  fill(kIn, g.in);
  fill(kOut, g.out);
  fill(kKernel, g.kernel);
  return g;
}

Meta meta_of(DType dtype, int64_t first, int64_t second, DimSpan rest) {
  Meta m;
  m.dtype = dtype;
  m.shape = {first, second};
  for (int64_t n : rest) m.shape.push_back(n);
  return m;
}

void infer_forward(const Attrs& a, Inputs in, Metas& out) {
  out[0] = meta_of(in[0]->dtype, in[0]->shape[0], in[1]->shape[0], part_of(a, kOut));
}

Tensor forward(const Tensor& x, const Tensor& w, const Attrs& a) {
  return apply(Op::ConvForward, {x, w}, a);
}
Tensor input_grad(const Tensor& gy, const Tensor& w, const Attrs& a) {
  return apply(Op::ConvInputGrad, {gy, w}, a);
}
Tensor weight_grad(const Tensor& gy, const Tensor& x, const Attrs& a) {
  return apply(Op::ConvWeightGrad, {gy, x}, a);
}

}  // namespace

FG_DEFINE_OP(ConvForward) = {
    .name = "convolution",
    .backward_name = "ConvolutionBackward0",
    .cls = OpClass::Bilinear,
    .infer = infer_forward,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          ConvGeometry g = geometry(a, in[0]->shape[0], in[0]->shape[1], in[1]->shape[0]);
          conv_forward(g, *in[0], *in[1], nullptr, out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          if (c.needs(0)) c.set(0, input_grad(c.g(), c.in(1), c.attrs()));
          if (c.needs(1)) c.set(1, weight_grad(c.g(), c.in(0), c.attrs()));
        },
    .save = {save_in(1), save_in(0)},
};

// With a bias, added as the result is written.
FG_DEFINE_OP(ConvBias) = {
    .name = "convolution",
    .backward_name = "ConvolutionBackward0",
    .infer = infer_forward,
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          ConvGeometry g = geometry(a, in[0]->shape[0], in[0]->shape[1], in[1]->shape[0]);
          conv_forward(g, *in[0], *in[1], in[2], out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          if (c.needs(0)) c.set(0, input_grad(c.g(), c.in(1), c.attrs()));
          if (c.needs(1)) c.set(1, weight_grad(c.g(), c.in(0), c.attrs()));
          if (!c.needs(2)) return;
          Dims others{0};
          for (int64_t d = 2; d < c.g().ndim(); ++d) others.push_back(d);
          c.set(2, sum(c.g(), others));
        },
    .save = {save_in(1), save_in(0), 0},
};

FG_DEFINE_OP(ConvInputGrad) = {
    .name = "convolution_transpose",
    .backward_name = "ConvolutionBackward0",
    .cls = OpClass::Bilinear,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0] = meta_of(in[0]->dtype, in[0]->shape[0], in[1]->shape[1] * a.integer(0),
                           part_of(a, kIn));
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          ConvGeometry g = geometry(a, in[0]->shape[0], out[0].shape[1], in[0]->shape[1]);
          conv_input_grad(g, *in[0], *in[1], out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          if (c.needs(0)) c.set(0, forward(c.g(), c.in(1), c.attrs()));
          if (c.needs(1)) c.set(1, weight_grad(c.in(0), c.g(), c.attrs()));
        },
    .save = {save_in(1), save_in(0)},
};

FG_DEFINE_OP(ConvWeightGrad) = {
    .name = "convolution_weight_grad",
    .backward_name = "ConvolutionBackward0",
    .cls = OpClass::Bilinear,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          out[0] = meta_of(in[0]->dtype, in[0]->shape[1], in[1]->shape[1] / a.integer(0),
                           part_of(a, kKernel));
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          ConvGeometry g = geometry(a, in[0]->shape[0], in[1]->shape[1], in[0]->shape[1]);
          conv_weight_grad(g, *in[0], *in[1], out[0]);
        },
    .vjp =
        [](VjpContext& c) {
          if (c.needs(0)) c.set(0, forward(c.in(1), c.g(), c.attrs()));
          if (c.needs(1)) c.set(1, input_grad(c.in(0), c.g(), c.attrs()));
        },
    .save = {save_in(1), save_in(0)},
};

// Patches as columns: the group count is unused, the channels are those of x.
FG_DEFINE_OP(Im2Col) = {
    .name = "im2col",
    .cls = OpClass::Linear,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          int64_t rows = in[0]->shape[1] * numel_of(part_of(a, kKernel));
          out[0] = meta_of(in[0]->dtype, in[0]->shape[0], rows, {});
          out[0].shape.push_back(numel_of(part_of(a, kOut)));
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          im2col(geometry(a, in[0]->shape[0], in[0]->shape[1], 0), *in[0], out[0]);
        },
    .vjp = [](VjpContext& c) { c.set(0, apply(Op::Col2Im, {c.g()}, c.attrs())); },
};

FG_DEFINE_OP(Col2Im) = {
    .name = "col2im",
    .cls = OpClass::Linear,
    .infer =
        [](const Attrs& a, Inputs in, Metas& out) {
          int64_t channels = in[0]->shape[1] / numel_of(part_of(a, kKernel));
          out[0] = meta_of(in[0]->dtype, in[0]->shape[0], channels, part_of(a, kIn));
        },
    .eval =
        [](const Attrs& a, Inputs in, std::span<Array> out) {
          col2im(geometry(a, in[0]->shape[0], out[0].shape[1], 0), *in[0], out[0]);
        },
    .vjp = [](VjpContext& c) { c.set(0, apply(Op::Im2Col, {c.g()}, c.attrs())); },
};

std::string by_text(DimSpan sizes) {
  std::string text = "(";
  for (size_t i = 0; i < sizes.size(); ++i) text += (i ? " x " : "") + std::to_string(sizes[i]);
  return text + ")";
}

Dims one_per_dim(DimSpan values, int64_t dims, const char* what, const char* name) {
  if (values.size() == 1) return Dims(static_cast<size_t>(dims), values[0]);
  FG_CHECK(static_cast<int64_t>(values.size()) == dims, "expected ", what,
           " to be a single integer value or a list of ", dims,
           " values to match the convolution dimensions, but got ", what, "=", to_string(values),
           " (in ", name, ")");
  return Dims(values);
}

namespace {

Dims spatial_sizes(const Tensor& t, int64_t dims) {
  return Dims(t.shape().end() - dims, t.shape().end());
}

void check_types(const Tensor& x, const Tensor& w, const Tensor& bias, const char* name) {
  auto same = [&](const Tensor& t, const char* what) {
    FG_CHECK(t.dtype() == x.dtype(), "Input type (", fastgrad::name(x.dtype()), ") and ", what,
             " type (", fastgrad::name(t.dtype()), ") should be the same (in ", name,
             "; convert one of them with .to(...))");
  };
  same(w, "weight");
  if (bias.defined()) same(bias, "bias");
  FG_CHECK_KIND(ErrorKind::NotImplemented, x.dtype() != DType::Bool && !is_complex(x.dtype()), "\"",
                name, "\" not implemented for '", scalar_type_name(x.dtype()),
                "'; convert first, e.g. with .to(fastgrad.float32)");
}

// The sizes that both directions check alike, with one entry per spatial dimension.
Spatial walk(const Tensor& x, const Tensor& w, const ConvOptions& o, int64_t dims,
             const char* name) {
  FG_CHECK(x.ndim() == dims + 1 || x.ndim() == dims + 2, "Expected ", dims + 1, "D (unbatched) or ",
           dims + 2, "D (batched) input to ", name, ", but got input of size: ", x.shape());
  FG_CHECK(w.ndim() == dims + 2, "Expected ", dims + 2, "-dimensional weight for ", name,
           ", but got weight of size: ", w.shape());
  Spatial s;
  s.stride = one_per_dim(o.stride, dims, "stride", name);
  s.pad = one_per_dim(o.padding, dims, "padding", name);
  s.dilation = one_per_dim(o.dilation, dims, "dilation", name);
  s.kernel = spatial_sizes(w, dims);
  for (size_t d = 0; d < s.kernel.size(); ++d) {
    FG_CHECK(s.pad[d] >= 0, "negative padding is not supported, got ", to_string(s.pad), " (in ",
             name, ")");
    FG_CHECK(s.stride[d] > 0, "non-positive stride is not supported, got ", to_string(s.stride),
             " (in ", name, ")");
    FG_CHECK(s.dilation[d] > 0, "dilation should be greater than zero, got ", to_string(s.dilation),
             " (in ", name, ")");
    FG_CHECK(s.kernel[d] > 0, "weight should have positive kernel sizes, got weight of size ",
             w.shape(), " (in ", name, ")");
  }
  FG_CHECK(o.groups > 0, "expected groups to be greater than 0, but got groups=", o.groups, " (in ",
           name, ")");
  FG_CHECK(w.shape()[0] >= o.groups && w.shape()[0] % o.groups == 0, "Given groups=", o.groups,
           ", expected weight to be at least ", o.groups, " and divisible by ", o.groups,
           " at dimension 0, but got weight of size ", w.shape(), " instead");
  return s;
}

void check_bias(const Tensor& bias, const Tensor& w, int64_t channels, const char* transposed) {
  FG_CHECK(!bias.defined() || (bias.ndim() == 1 && bias.numel() == channels), "Given ", transposed,
           "weight of size ", w.shape(), ", expected bias to be 1-dimensional with ", channels,
           " elements, but got bias of size ", bias.defined() ? bias.shape() : Dims(), " instead");
}

Tensor batched(const Tensor& x, int64_t dims) {
  if (x.ndim() == dims + 2) return x;
  Dims shape{1};
  for (int64_t n : x.shape()) shape.push_back(n);
  return reshape(x, shape);
}
Tensor unbatched(const Tensor& y) {
  return reshape(y, Dims(y.shape().begin() + 1, y.shape().end()));
}

}  // namespace

Tensor conv(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvOptions& o,
            int64_t dims, const char* name) {
  Spatial s = walk(x, w, o, dims, name);
  int64_t channels = x.shape()[static_cast<size_t>(x.ndim() - dims - 1)];
  FG_CHECK(channels == w.shape()[1] * o.groups, "Given groups=", o.groups, ", weight of size ",
           w.shape(), ", expected input", x.shape(), " to have ", w.shape()[1] * o.groups,
           " channels, but got ", channels, " channels instead");
  check_bias(bias, w, w.shape()[0], "");
  check_types(x, w, bias, name);
  s.in = spatial_sizes(x, dims);
  Dims padded;
  bool fits = true;
  for (size_t d = 0; d < s.in.size(); ++d) {
    int64_t reach = s.dilation[d] * (s.kernel[d] - 1) + 1, both = 2 * s.pad[d];
    if (o.padding_name == "same") {
      FG_CHECK(s.stride[d] == 1,
               "padding='same' is not supported for strided convolutions, got "
               "stride=",
               to_string(s.stride), " (in ", name, ")");
      both = reach - 1;
      s.pad[d] = both / 2;
    }
    padded.push_back(s.in[d] + both);
    fits = fits && padded[d] >= reach;
    s.out.push_back(fits ? (padded[d] - reach) / s.stride[d] + 1 : 0);
  }
  if (!fits) {
    Dims reach;
    for (size_t d = 0; d < s.in.size(); ++d) reach.push_back(s.dilation[d] * (s.kernel[d] - 1) + 1);
    fail(ErrorKind::Runtime, "Calculated padded input size per channel: ", by_text(padded),
         ". Kernel size: ", by_text(reach),
         ". Kernel size can't be greater than actual input size (in ", name, ")");
  }
  Attrs attrs = conv_attrs(s, o.groups);
  Tensor from = batched(x, dims);
  Tensor y = bias.defined() ? apply(Op::ConvBias, {from, w, bias}, std::move(attrs))
                            : apply(Op::ConvForward, {from, w}, std::move(attrs));
  return x.ndim() == dims + 2 ? y : unbatched(y);
}

Tensor conv_transpose(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvOptions& o,
                      int64_t dims, const char* name) {
  // In terms of the convolution whose adjoint this is, x is its output.
  Spatial s = walk(x, w, o, dims, name);
  int64_t channels = x.shape()[static_cast<size_t>(x.ndim() - dims - 1)];
  FG_CHECK(channels == w.shape()[0], "Given transposed=1, weight of size ", w.shape(),
           ", expected input", x.shape(), " to have ", w.shape()[0], " channels, but got ",
           channels, " channels instead");
  int64_t out_channels = w.shape()[1] * o.groups;
  check_bias(bias, w, out_channels, "transposed=1, ");
  check_types(x, w, bias, name);
  Dims extra = one_per_dim(o.output_padding, dims, "output_padding", name);
  s.out = spatial_sizes(x, dims);
  for (size_t d = 0; d < s.out.size(); ++d) {
    FG_CHECK(extra[d] >= 0, "negative output_padding is not supported, got ", to_string(extra),
             " (in ", name, ")");
    FG_CHECK(extra[d] < std::max(s.stride[d], s.dilation[d]),
             "output padding must be smaller than either stride or dilation, but got "
             "output_padding=",
             to_string(extra), ", stride=", to_string(s.stride),
             ", dilation=", to_string(s.dilation), " (in ", name, ")");
    s.in.push_back((s.out[d] - 1) * s.stride[d] - 2 * s.pad[d] + s.dilation[d] * (s.kernel[d] - 1) +
                   extra[d] + 1);
    FG_CHECK(s.in[d] > 0, "Given input size per channel: ", by_text(s.out),
             ". Calculated output size per channel is too small: ", s.in[d], " in dimension ", d,
             " (in ", name, ")");
  }
  Tensor y = apply(Op::ConvInputGrad, {batched(x, dims), w}, conv_attrs(s, o.groups));
  if (bias.defined()) {
    Dims shape(static_cast<size_t>(dims + 1), 1);
    shape[0] = out_channels;
    y = add(y, reshape(bias, shape));
  }
  return x.ndim() == dims + 2 ? y : unbatched(y);
}

namespace {

// The walk of unfold and fold over images of size `in`.
Spatial patch_walk(DimSpan in, DimSpan kernel, DimSpan dilation, DimSpan padding, DimSpan stride,
                   const char* name) {
  Spatial s;
  s.in = Dims(in);
  s.kernel = one_per_dim(kernel, 2, "kernel_size", name);
  s.dilation = one_per_dim(dilation, 2, "dilation", name);
  s.pad = one_per_dim(padding, 2, "padding", name);
  s.stride = one_per_dim(stride, 2, "stride", name);
  for (size_t d = 0; d < 2; ++d) {
    FG_CHECK(s.kernel[d] > 0,
             "kernel size should be greater than zero, but got kernel_size=", to_string(s.kernel),
             " (in ", name, ")");
    FG_CHECK(s.dilation[d] > 0,
             "dilation should be greater than zero, but got dilation=", to_string(s.dilation),
             " (in ", name, ")");
    FG_CHECK(s.stride[d] > 0,
             "stride should be greater than zero, but got stride=", to_string(s.stride), " (in ",
             name, ")");
    FG_CHECK(s.pad[d] >= 0, "padding should be non-negative, but got padding=", to_string(s.pad),
             " (in ", name, ")");
    int64_t room = s.in[d] + 2 * s.pad[d] - s.dilation[d] * (s.kernel[d] - 1) - 1;
    s.out.push_back(room < 0 ? 0 : room / s.stride[d] + 1);
  }
  return s;
}

}  // namespace

Tensor unfold_patches(const Tensor& x, DimSpan kernel, DimSpan dilation, DimSpan padding,
                      DimSpan stride) {
  FG_CHECK(x.ndim() == 3 || x.ndim() == 4,
           "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero "
           "dimensions for input, but got: ",
           x.shape(), " (in unfold)");
  FG_CHECK_KIND(ErrorKind::NotImplemented, !is_complex(x.dtype()),
                "\"im2col\" not implemented for '", scalar_type_name(x.dtype()), "'");
  Spatial s = patch_walk(spatial_sizes(x, 2), kernel, dilation, padding, stride, "unfold");
  FG_CHECK(s.out[0] > 0 && s.out[1] > 0, "Given input with spatial size ", by_text(s.in),
           ", kernel_size=", by_text(s.kernel), ", dilation=", by_text(s.dilation),
           ", padding=", by_text(s.pad), ", stride=", by_text(s.stride),
           ", calculated shape of the array of sliding blocks as ", by_text(s.out),
           ", but its components must be at least one.");
  Tensor y = apply(Op::Im2Col, {batched(x, 2)}, conv_attrs(s, 1));
  return x.ndim() == 4 ? y : unbatched(y);
}

Tensor fold_patches(const Tensor& columns, DimSpan output_size, DimSpan kernel, DimSpan dilation,
                    DimSpan padding, DimSpan stride) {
  FG_CHECK(columns.ndim() == 2 || columns.ndim() == 3,
           "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and "
           "non-zero dimensions for input, but got: ",
           columns.shape(), " (in fold)");
  Dims size = one_per_dim(output_size, 2, "output_size", "fold");
  Spatial s = patch_walk(size, kernel, dilation, padding, stride, "fold");
  int64_t rows = columns.size(-2), positions = columns.size(-1);
  FG_CHECK(rows % numel_of(s.kernel) == 0,
           "Expected size of input's dimension 1 to be divisible by the product of kernel_size, "
           "but got input.size(1)=",
           rows, " and kernel_size=", by_text(s.kernel), ".");
  FG_CHECK(positions == numel_of(s.out), "Given output_size=", by_text(size),
           ", kernel_size=", by_text(s.kernel), ", dilation=", by_text(s.dilation),
           ", padding=", by_text(s.pad), ", stride=", by_text(s.stride),
           ", expected size of input's dimension 2 to match the calculated number of sliding "
           "blocks ",
           s.out[0], " * ", s.out[1], " = ", numel_of(s.out), ", but got input.size(2)=", positions,
           ".");
  Tensor from = columns.ndim() == 3 ? columns : reshape(columns, Dims{1, rows, positions});
  Tensor y = apply(Op::Col2Im, {from}, conv_attrs(s, 1));
  return columns.ndim() == 3 ? y : unbatched(y);
}

}  // namespace fastgrad
