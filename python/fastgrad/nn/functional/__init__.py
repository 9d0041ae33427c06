"""Layers and losses as functions, with PyTorch's `torch.nn.functional` names.

Functions of the core stand beside compositions of them; this package only joins the two.

Example:
    >>> from fastgrad.nn import functional as F
    >>> F.gelu(fg.tensor([1.0]))
    tensor([0.8413])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastgrad import _core
from fastgrad.nn.functional.activation import (
    celu,
    celu_,
    elu,
    elu_,
    glu,
    gumbel_softmax,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hardtanh_,
    leaky_relu,
    leaky_relu_,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    rrelu,
    rrelu_,
    selu,
    selu_,
    sigmoid,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
    threshold_,
)
from fastgrad.nn.functional.attention import multi_head_attention_forward
from fastgrad.nn.functional.bilinear_map import bilinear
from fastgrad.nn.functional.channel_dropout import (
    alpha_dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from fastgrad.nn.functional.ctc import ctc_loss
from fastgrad.nn.functional.distance import (
    cosine_similarity,
    normalize,
    pairwise_distance,
    pdist,
)
from fastgrad.nn.functional.images import (
    affine_grid,
    channel_shuffle,
    grid_sample,
    interpolate,
    pixel_shuffle,
    pixel_unshuffle,
    upsample,
    upsample_bilinear,
    upsample_nearest,
)
from fastgrad.nn.functional.margin_loss import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from fastgrad.nn.functional.neighbours import (
    embedding_bag,
    local_response_norm,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
)
from fastgrad.nn.functional.probability_loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    kl_div,
    multilabel_soft_margin_loss,
    soft_margin_loss,
)
from fastgrad.nn.functional.regression_loss import (
    gaussian_nll_loss,
    huber_loss,
    l1_loss,
    mse_loss,
    poisson_nll_loss,
    smooth_l1_loss,
)
from fastgrad.nn.functional.unpooling import (
    fractional_max_pool2d,
    fractional_max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)

relu_ = _core.relu_
_core_functions: dict[str, Any] = vars(getattr(_core.nn, "functional"))  # noqa: B009
globals().update({k: v for k, v in _core_functions.items() if not k.startswith("_")})

if TYPE_CHECKING:
    from fastgrad._core.nn.functional import *  # noqa: F403
