// Convolution, pooling, patches and padding.
#include "bindings/families.h"
#include "ops/conv.h"
#include "ops/images.h"
#include "ops/pool.h"

namespace fastgrad::py {
namespace {

constexpr const char* kConvName[] = {"", "conv1d", "conv2d", "conv3d"};
constexpr const char* kTransposeName[] = {"", "conv_transpose1d", "conv_transpose2d",
                                          "conv_transpose3d"};
constexpr const char* kMaxName[] = {"", "max_pool1d", "max_pool2d", "max_pool3d"};
constexpr const char* kAvgName[] = {"", "avg_pool1d", "avg_pool2d", "avg_pool3d"};
constexpr const char* kAdaptiveMaxName[] = {"", "adaptive_max_pool1d", "adaptive_max_pool2d",
                                            "adaptive_max_pool3d"};
constexpr const char* kAdaptiveAvgName[] = {"", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
                                            "adaptive_avg_pool3d"};

std::string in_functional(const char* name) { return std::string("nn.functional.") + name; }

template <int kDims>
void bind_conv_of(Registry& r) {
  auto walk = [](const Arguments& a) {
    ConvOptions o;
    o.stride = a.ints(3);
    o.dilation = a.ints(5);
    o.groups = a.integer(6);
    return o;
  };
  static constexpr auto run = [](const Arguments& a, const ConvOptions& o) {
    return wrap(conv(a.tensor(0), a.tensor(1), a.optional_tensor(2), o, kDims, kConvName[kDims]));
  };
  static constexpr auto options = walk;
  r.add(in_functional(kConvName[kDims]).c_str(), kFunction,
        "Convolution over the spatial dimensions: y[n, k, o] = bias[k] + sum of "
        "x[n, c, o * stride - padding + i * dilation] * weight[k, c, i] over c and i.")
      .on("(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=1, int[1] padding=0, "
          "int[1] dilation=1, int groups=1)",
          [](const Arguments& a) {
            ConvOptions o = options(a);
            o.padding = a.ints(4);
            return run(a, o);
          })
      .on("(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=1, str "
          "padding='valid', "
          "int[1] dilation=1, int groups=1)",
          [](const Arguments& a) {
            ConvOptions o = options(a);
            o.padding_name = a.text(4);
            FG_CHECK(o.padding_name == "valid" || o.padding_name == "same",
                     "Invalid padding string: '", o.padding_name,
                     "'; expected 'valid' or 'same' (in ", kConvName[kDims], ")");
            return run(a, o);
          });
  r.add(in_functional(kTransposeName[kDims]).c_str(), kFunction,
        "The adjoint of the convolution with that weight: its gradient in the input, as a "
        "function of the cotangent.")
      .on("(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=1, int[1] padding=0, "
          "int[1] output_padding=0, int groups=1, int[1] dilation=1)",
          [](const Arguments& a) {
            ConvOptions o;
            o.stride = a.ints(3);
            o.padding = a.ints(4);
            o.output_padding = a.ints(5);
            o.groups = a.integer(6);
            o.dilation = a.ints(7);
            return wrap(conv_transpose(a.tensor(0), a.tensor(1), a.optional_tensor(2), o, kDims,
                                       kTransposeName[kDims]));
          });
}

PyObject* with_places(std::pair<Tensor, Tensor> r, bool wanted) {
  return wanted ? wrap_tuple({r.first, r.second}) : wrap(r.first);
}

// An output size whose entries may be None: the input's size.
Dims adaptive_size(PyObject* o) {
  auto entry = [](PyObject* e) { return e == Py_None ? kKeepSize : to_integer(e); };
  Dims sizes;
  if (!PyTuple_Check(o) && !PyList_Check(o)) {
    sizes.push_back(entry(o));
    return sizes;
  }
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i)
    sizes.push_back(entry(PySequence_Fast_ITEMS(o)[i]));
  return sizes;
}

template <int kDims>
void bind_pool_of(Registry& r) {
  r.add(in_functional(kMaxName[kDims]).c_str(), kFunction,
        "The maximum over windows that slide along the spatial dimensions.")
      .on("(Tensor input, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, "
          "int[1] dilation=1, bool ceil_mode=False, bool return_indices=False)"
          " -> Tensor|Tensor[]",
          [](const Arguments& a) {
            PoolOptions o;
            o.kernel = a.ints(1);
            o.stride = a.optional_ints(2).value_or(Dims());
            o.padding = a.ints(3);
            o.dilation = a.ints(4);
            o.ceil_mode = a.boolean(5);
            bool places = a.boolean(6);
            return with_places(max_pool(a.tensor(0), o, kDims, places, kMaxName[kDims]), places);
          });
  Body average = [](const Arguments& a) {
    PoolOptions o;
    o.kernel = a.ints(1);
    o.stride = a.optional_ints(2).value_or(Dims());
    o.padding = a.ints(3);
    o.ceil_mode = a.boolean(4);
    o.count_include_pad = a.boolean(5);
    if constexpr (kDims > 1) o.divisor = a.optional_integer(6);
    return wrap(avg_pool(a.tensor(0), o, kDims, kAvgName[kDims]));
  };
  r.add(in_functional(kAvgName[kDims]).c_str(), kFunction,
        "The mean over windows that slide along the spatial dimensions.")
      .on(kDims == 1
              ? "(Tensor input, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, "
                "bool ceil_mode=False, bool count_include_pad=True)"
              : "(Tensor input, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, "
                "bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None)",
          average);
  r.add(in_functional(kAdaptiveMaxName[kDims]).c_str(), kFunction,
        "The maximum over windows that cut the input into output_size parts.")
      .on("(Tensor input, Any output_size, bool return_indices=False) -> Tensor|Tensor[]",
          [](const Arguments& a) {
            bool places = a.boolean(2);
            return with_places(adaptive_max_pool(a.tensor(0), adaptive_size(a.object(1)), kDims,
                                                 places, kAdaptiveMaxName[kDims]),
                               places);
          });
  r.add(in_functional(kAdaptiveAvgName[kDims]).c_str(), kFunction,
        "The mean over windows that cut the input into output_size parts.")
      .on("(Tensor input, Any output_size)", [](const Arguments& a) {
        return wrap(adaptive_avg_pool(a.tensor(0), adaptive_size(a.object(1)), kDims,
                                      kAdaptiveAvgName[kDims]));
      });
}

}  // namespace

void bind_conv(Registry& r) {
  bind_conv_of<1>(r);
  bind_conv_of<2>(r);
  bind_conv_of<3>(r);
  bind_pool_of<1>(r);
  bind_pool_of<2>(r);
  bind_pool_of<3>(r);
  r.add("nn.functional.unfold", kFunction,
        "Every patch of the images as a column: (n, c, h, w) to (n, c * patch, positions).")
      .on("(Tensor input, int[1] kernel_size, int[1] dilation=1, int[1] padding=0, "
          "int[1] stride=1)",
          [](const Arguments& a) {
            return wrap(unfold_patches(a.tensor(0), a.ints(1), a.ints(2), a.ints(3), a.ints(4)));
          });
  r.add("nn.functional.fold", kFunction,
        "The adjoint of unfold: columns summed at their places in images of output_size.")
      .on("(Tensor input, int[1] output_size, int[1] kernel_size, int[1] dilation=1, "
          "int[1] padding=0, int[1] stride=1)",
          [](const Arguments& a) {
            return wrap(
                fold_patches(a.tensor(0), a.ints(1), a.ints(2), a.ints(3), a.ints(4), a.ints(5)));
          });
  r.add("nn.functional.pad", kFunction,
        "Values around the input, given as widths before and behind from the last dimension on; "
        "negative widths crop.")
      .on("(Tensor input, int[] pad, str mode='constant', float? value=None)",
          [](const Arguments& a) {
            return wrap(pad(a.tensor(0), a.ints(1), a.text(2), a.optional_real(3)));
          });
  // What nn/functional/images.py is made of.
  r.add("_interpolate", kFunction, "The last dimensions in other sizes, by the mode's number.")
      .on("(Tensor input, int[] size, int mode, bool align_corners, bool antialias, "
          "float scale, float scale2, float scale3)",
          [](const Arguments& a) {
            const double scales[] = {a.real(5), a.real(6), a.real(7)};
            return wrap(interpolate(a.tensor(0), a.ints(1), scales,
                                    static_cast<ResizeMode>(a.integer(2)), a.boolean(3),
                                    a.boolean(4)));
          });
  r.add("_grid_sample", kFunction, "Images sampled at the places of a grid.")
      .on("(Tensor input, Tensor grid, str mode, str padding_mode, bool align_corners)",
          [](const Arguments& a) {
            return wrap(grid_sample(a.tensor(0), a.tensor(1), a.text(2), a.text(3), a.boolean(4)));
          });
  r.add("_shuffle_pixels", kFunction, "See nn.functional.pixel_shuffle and pixel_unshuffle.")
      .on("(Tensor input, int factor, bool back)", [](const Arguments& a) {
        return wrap(shuffle_pixels(a.tensor(0), a.integer(1), a.boolean(2)));
      });
}

}  // namespace fastgrad::py
