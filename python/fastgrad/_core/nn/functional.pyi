# Made by tools/make_stubs.py; do not edit.
from typing import Any, Literal, overload

from fastgrad._core import (
    Tensor,
    _bool,
    _DType,
    _float,
    _int,
    _Ints,
    _Number,
    _str,
)

@overload
def one_hot(tensor: Tensor, num_classes: _int = ...) -> Tensor: ...
@overload
def one_hot(input: Tensor, num_classes: _int = ...) -> Tensor: ...
def softmax(
    input: Tensor, dim: _int | None = ..., _stacklevel: _int = ..., dtype: _DType | None = ...
) -> Tensor: ...
def log_softmax(
    input: Tensor, dim: _int | None = ..., _stacklevel: _int = ..., dtype: _DType | None = ...
) -> Tensor: ...
def softmin(
    input: Tensor, dim: _int | None = ..., _stacklevel: _int = ..., dtype: _DType | None = ...
) -> Tensor: ...
@overload
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = ...,
    stride: _int | _Ints = ...,
    padding: _int | _Ints = ...,
    dilation: _int | _Ints = ...,
    groups: _int = ...,
) -> Tensor: ...
@overload
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = ...,
    stride: _int | _Ints = ...,
    padding: _str = ...,
    dilation: _int | _Ints = ...,
    groups: _int = ...,
) -> Tensor: ...
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = ...,
    stride: _int | _Ints = ...,
    padding: _int | _Ints = ...,
    output_padding: _int | _Ints = ...,
    groups: _int = ...,
    dilation: _int | _Ints = ...,
) -> Tensor: ...
@overload
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = ...,
    stride: _int | _Ints = ...,
    padding: _int | _Ints = ...,
    dilation: _int | _Ints = ...,
    groups: _int = ...,
) -> Tensor: ...
@overload
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = ...,
    stride: _int | _Ints = ...,
    padding: _str = ...,
    dilation: _int | _Ints = ...,
    groups: _int = ...,
) -> Tensor: ...
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = ...,
    stride: _int | _Ints = ...,
    padding: _int | _Ints = ...,
    output_padding: _int | _Ints = ...,
    groups: _int = ...,
    dilation: _int | _Ints = ...,
) -> Tensor: ...
@overload
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = ...,
    stride: _int | _Ints = ...,
    padding: _int | _Ints = ...,
    dilation: _int | _Ints = ...,
    groups: _int = ...,
) -> Tensor: ...
@overload
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = ...,
    stride: _int | _Ints = ...,
    padding: _str = ...,
    dilation: _int | _Ints = ...,
    groups: _int = ...,
) -> Tensor: ...
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = ...,
    stride: _int | _Ints = ...,
    padding: _int | _Ints = ...,
    output_padding: _int | _Ints = ...,
    groups: _int = ...,
    dilation: _int | _Ints = ...,
) -> Tensor: ...
@overload
def max_pool1d(
    input: Tensor,
    kernel_size: _int | _Ints,
    stride: _int | _Ints | None = ...,
    padding: _int | _Ints = ...,
    dilation: _int | _Ints = ...,
    ceil_mode: _bool = ...,
    return_indices: Literal[False] = ...,
) -> Tensor: ...
@overload
def max_pool1d(
    input: Tensor,
    kernel_size: _int | _Ints,
    stride: _int | _Ints | None = ...,
    padding: _int | _Ints = ...,
    dilation: _int | _Ints = ...,
    ceil_mode: _bool = ...,
    *,
    return_indices: Literal[True],
) -> tuple[Tensor, ...]: ...
@overload
def max_pool1d(
    input: Tensor,
    kernel_size: _int | _Ints,
    stride: _int | _Ints | None = ...,
    padding: _int | _Ints = ...,
    dilation: _int | _Ints = ...,
    ceil_mode: _bool = ...,
    return_indices: _bool = ...,
) -> Any: ...
def avg_pool1d(
    input: Tensor,
    kernel_size: _int | _Ints,
    stride: _int | _Ints | None = ...,
    padding: _int | _Ints = ...,
    ceil_mode: _bool = ...,
    count_include_pad: _bool = ...,
) -> Tensor: ...
@overload
def adaptive_max_pool1d(
    input: Tensor, output_size: Any, return_indices: Literal[False] = ...
) -> Tensor: ...
@overload
def adaptive_max_pool1d(
    input: Tensor, output_size: Any, *, return_indices: Literal[True]
) -> tuple[Tensor, ...]: ...
@overload
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: _bool = ...) -> Any: ...
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor: ...
@overload
def max_pool2d(
    input: Tensor,
    kernel_size: _int | _Ints,
    stride: _int | _Ints | None = ...,
    padding: _int | _Ints = ...,
    dilation: _int | _Ints = ...,
    ceil_mode: _bool = ...,
    return_indices: Literal[False] = ...,
) -> Tensor: ...
@overload
def max_pool2d(
    input: Tensor,
    kernel_size: _int | _Ints,
    stride: _int | _Ints | None = ...,
    padding: _int | _Ints = ...,
    dilation: _int | _Ints = ...,
    ceil_mode: _bool = ...,
    *,
    return_indices: Literal[True],
) -> tuple[Tensor, ...]: ...
@overload
def max_pool2d(
    input: Tensor,
    kernel_size: _int | _Ints,
    stride: _int | _Ints | None = ...,
    padding: _int | _Ints = ...,
    dilation: _int | _Ints = ...,
    ceil_mode: _bool = ...,
    return_indices: _bool = ...,
) -> Any: ...
def avg_pool2d(
    input: Tensor,
    kernel_size: _int | _Ints,
    stride: _int | _Ints | None = ...,
    padding: _int | _Ints = ...,
    ceil_mode: _bool = ...,
    count_include_pad: _bool = ...,
    divisor_override: _int | None = ...,
) -> Tensor: ...
@overload
def adaptive_max_pool2d(
    input: Tensor, output_size: Any, return_indices: Literal[False] = ...
) -> Tensor: ...
@overload
def adaptive_max_pool2d(
    input: Tensor, output_size: Any, *, return_indices: Literal[True]
) -> tuple[Tensor, ...]: ...
@overload
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: _bool = ...) -> Any: ...
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor: ...
@overload
def max_pool3d(
    input: Tensor,
    kernel_size: _int | _Ints,
    stride: _int | _Ints | None = ...,
    padding: _int | _Ints = ...,
    dilation: _int | _Ints = ...,
    ceil_mode: _bool = ...,
    return_indices: Literal[False] = ...,
) -> Tensor: ...
@overload
def max_pool3d(
    input: Tensor,
    kernel_size: _int | _Ints,
    stride: _int | _Ints | None = ...,
    padding: _int | _Ints = ...,
    dilation: _int | _Ints = ...,
    ceil_mode: _bool = ...,
    *,
    return_indices: Literal[True],
) -> tuple[Tensor, ...]: ...
@overload
def max_pool3d(
    input: Tensor,
    kernel_size: _int | _Ints,
    stride: _int | _Ints | None = ...,
    padding: _int | _Ints = ...,
    dilation: _int | _Ints = ...,
    ceil_mode: _bool = ...,
    return_indices: _bool = ...,
) -> Any: ...
def avg_pool3d(
    input: Tensor,
    kernel_size: _int | _Ints,
    stride: _int | _Ints | None = ...,
    padding: _int | _Ints = ...,
    ceil_mode: _bool = ...,
    count_include_pad: _bool = ...,
    divisor_override: _int | None = ...,
) -> Tensor: ...
@overload
def adaptive_max_pool3d(
    input: Tensor, output_size: Any, return_indices: Literal[False] = ...
) -> Tensor: ...
@overload
def adaptive_max_pool3d(
    input: Tensor, output_size: Any, *, return_indices: Literal[True]
) -> tuple[Tensor, ...]: ...
@overload
def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: _bool = ...) -> Any: ...
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor: ...
def unfold(
    input: Tensor,
    kernel_size: _int | _Ints,
    dilation: _int | _Ints = ...,
    padding: _int | _Ints = ...,
    stride: _int | _Ints = ...,
) -> Tensor: ...
def fold(
    input: Tensor,
    output_size: _int | _Ints,
    kernel_size: _int | _Ints,
    dilation: _int | _Ints = ...,
    padding: _int | _Ints = ...,
    stride: _int | _Ints = ...,
) -> Tensor: ...
def pad(input: Tensor, pad: _Ints, mode: _str = ..., value: _float | None = ...) -> Tensor: ...
def layer_norm(
    input: Tensor,
    normalized_shape: _Ints,
    weight: Tensor | None = ...,
    bias: Tensor | None = ...,
    eps: _float = ...,
) -> Tensor: ...
def rms_norm(
    input: Tensor, normalized_shape: _Ints, weight: Tensor | None = ..., eps: _float | None = ...
) -> Tensor: ...
def group_norm(
    input: Tensor,
    num_groups: _int,
    weight: Tensor | None = ...,
    bias: Tensor | None = ...,
    eps: _float = ...,
) -> Tensor: ...
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = ...,
    bias: Tensor | None = ...,
    training: _bool = ...,
    momentum: _float = ...,
    eps: _float = ...,
) -> Tensor: ...
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = ...,
    running_var: Tensor | None = ...,
    weight: Tensor | None = ...,
    bias: Tensor | None = ...,
    use_input_stats: _bool = ...,
    momentum: _float = ...,
    eps: _float = ...,
) -> Tensor: ...
def gelu(input: Tensor, *, approximate: _str = ..., out: Tensor | None = ...) -> Tensor: ...
def silu(input: Tensor, inplace: _bool = ...) -> Tensor: ...
def softplus(
    input: Tensor,
    beta: _Number | Tensor = ...,
    threshold: _Number | Tensor = ...,
    *,
    out: Tensor | None = ...,
) -> Tensor: ...
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = ...,
    size_average: _bool | None = ...,
    ignore_index: _int = ...,
    reduce: _bool | None = ...,
    reduction: _str = ...,
) -> Tensor: ...
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = ...,
    size_average: _bool | None = ...,
    ignore_index: _int = ...,
    reduce: _bool | None = ...,
    reduction: _str = ...,
    label_smoothing: _float = ...,
) -> Tensor: ...
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: _int | None = ...,
    max_norm: _float | None = ...,
    norm_type: _float = ...,
    scale_grad_by_freq: _bool = ...,
    sparse: _bool = ...,
) -> Tensor: ...
def dropout(
    input: Tensor, p: _float = ..., training: _bool = ..., inplace: _bool = ...
) -> Tensor: ...
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = ...) -> Tensor: ...
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = ...,
    dropout_p: _float = ...,
    is_causal: _bool = ...,
    *,
    scale: _float | None = ...,
    enable_gqa: _bool = ...,
) -> Tensor: ...
