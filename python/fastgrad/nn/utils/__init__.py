"""Help for training: limits on gradients, parameters as vectors, parametrizations, sequences."""

from __future__ import annotations

from fastgrad.nn.utils import fusion, parametrizations, parametrize, prune, rnn, stateless
from fastgrad.nn.utils.clip_grad import (
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from fastgrad.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from fastgrad.nn.utils.fusion import (
    fuse_conv_bn_eval,
    fuse_conv_bn_weights,
    fuse_linear_bn_eval,
    fuse_linear_bn_weights,
)
from fastgrad.nn.utils.weight_norms import (
    remove_spectral_norm,
    remove_weight_norm,
    spectral_norm,
    weight_norm,
)
