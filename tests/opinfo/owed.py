"""The operator names fastgrad owes, by their PyTorch names.

`DUE` must exist: `test_coverage.py` lists what is missing. `LATER` belongs to the public surface
as well but may still be absent; whatever of it exists is tested like the rest. A name stands for
the function, the method and the in-place method of that name, as far as PyTorch has them.
"""

from __future__ import annotations

CREATION = """
    arange linspace logspace eye full zeros ones empty full_like zeros_like ones_like empty_like
    new_full new_zeros new_ones new_empty tril_indices triu_indices meshgrid cartesian_prod
"""
ATTRIBUTES = """
    T mT H mH real imag item to float double half int long bool clone contiguous fill zero_
    __getitem__ __radd__ __rsub__ __rmul__ __rdiv__ __rmatmul__ __rmod__ __rpow__
    __rand__ __ror__ __rxor__
"""
POINTWISE = """
    abs absolute neg negative sign sgn positive add sub subtract rsub mul multiply div divide
    true_divide floor_divide remainder fmod pow float_power square sqrt rsqrt reciprocal exp exp2
    expm1 log log2 log10 log1p logaddexp logaddexp2 sin cos tan asin arcsin acos arccos atan arctan
    atan2 arctan2 sinh cosh tanh asinh arcsinh acosh arccosh atanh arctanh sinc deg2rad rad2deg
    hypot floor ceil round trunc fix frac clamp clip clamp_min clamp_max maximum minimum fmax fmin
    where lerp addcmul addcdiv sigmoid logit erf erfc erfinv lgamma mvlgamma digamma polygamma i0
    xlogy nan_to_num isnan isinf isfinite isposinf isneginf isreal signbit copysign nextafter ldexp
    frexp heaviside gcd lcm eq ne lt le gt ge isclose allclose equal logical_and logical_or
    logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift
    bitwise_right_shift angle conj
    special.gammaln special.digamma special.psi special.polygamma special.erf special.erfc
    special.erfcx special.erfinv special.ndtr special.log_ndtr special.expit special.logit
    special.xlogy special.xlog1py special.entr special.i0 special.i0e special.i1 special.i1e
    special.logsumexp special.softmax special.log_softmax special.sinc
"""
REDUCTIONS = """
    sum mean prod nansum nanmean std var std_mean var_mean amax amin aminmax max min argmax argmin
    median nanmedian mode quantile nanquantile norm all any count_nonzero logsumexp cumsum cumprod
    cummax cummin logcumsumexp diff trapezoid cumulative_trapezoid histc bincount unique
    unique_consecutive sort argsort msort topk kthvalue searchsorted bucketize cov corrcoef dist
    cdist softmax log_softmax
"""
SHAPE = """
    reshape view view_as flatten unflatten ravel squeeze unsqueeze transpose swapaxes permute
    movedim t expand expand_as broadcast_to broadcast_tensors broadcast_shapes cat concat
    concatenate stack hstack vstack dstack column_stack split tensor_split hsplit vsplit chunk
    unbind narrow select slice_scatter select_scatter index_select index_add index_copy index_fill
    index_put gather scatter scatter_add scatter_reduce take take_along_dim put masked_fill
    masked_select masked_scatter nonzero argwhere flip fliplr flipud roll rot90 repeat
    repeat_interleave tile tril triu diag diagonal diag_embed diagflat diagonal_scatter unfold
    as_strided nn.functional.one_hot atleast_1d atleast_2d atleast_3d block_diag kron vander
    combinations
"""
LINALG = """
    matmul mm bmm mv dot vdot inner outer addmm addmv addbmm baddbmm addr chain_matmul tensordot
    einsum trace cross det slogdet linalg.norm linalg.vector_norm linalg.matrix_norm linalg.det
    linalg.slogdet linalg.inv linalg.pinv linalg.solve linalg.solve_triangular linalg.cholesky
    linalg.qr linalg.svd linalg.svdvals linalg.eigh linalg.eigvalsh linalg.lstsq linalg.lu_factor
    linalg.lu_solve linalg.matrix_power linalg.matrix_exp linalg.multi_dot linalg.cross
    cholesky_solve
"""
DUE = (CREATION + ATTRIBUTES + POINTWISE + REDUCTIONS + SHAPE + LINALG).split()

NOT_DUE_YET = """
    complex polar resolve_conj new_empty_strided empty_strided scalar_tensor byte char short
    reshape_as sum_to_size moveaxis swapdims dsplit index_reduce isin gradient trapz renorm
    cholesky cholesky_inverse triangular_solve logdet matrix_exp matrix_power inverse pinverse
    qr svd lu lu_solve igamma igammac special.gammainc special.gammaincc special.zeta
    special.ndtri special.bessel_j0 special.bessel_j1 special.bessel_y0 special.bessel_y1
    special.modified_bessel_i0 special.modified_bessel_i1 special.modified_bessel_k0
    special.modified_bessel_k1 special.airy_ai linalg.cond linalg.matrix_rank linalg.cholesky_ex
    linalg.inv_ex linalg.eig linalg.eigvals linalg.lu linalg.ldl_factor linalg.tensorsolve
    linalg.tensorinv linalg.diagonal linalg.vecdot linalg.householder_product linalg.vander
    fft.fft fft.ifft fft.rfft fft.irfft fft.hfft fft.ihfft fft.fft2 fft.ifft2 fft.rfft2
    fft.irfft2 fft.fftn fft.ifftn fft.rfftn fft.irfftn fft.fftshift fft.ifftshift
    nn.functional.linear nn.functional.bilinear nn.functional.conv1d nn.functional.conv2d
    nn.functional.conv3d nn.functional.conv_transpose1d nn.functional.conv_transpose2d
    nn.functional.conv_transpose3d nn.functional.unfold nn.functional.max_pool1d
    nn.functional.max_pool2d nn.functional.max_pool3d nn.functional.avg_pool1d
    nn.functional.avg_pool2d nn.functional.avg_pool3d nn.functional.adaptive_avg_pool1d
    nn.functional.adaptive_avg_pool2d nn.functional.adaptive_max_pool2d nn.functional.relu
    nn.functional.relu6 nn.functional.leaky_relu nn.functional.prelu nn.functional.elu
    nn.functional.selu nn.functional.celu nn.functional.gelu nn.functional.silu
    nn.functional.mish nn.functional.softplus nn.functional.softsign nn.functional.softmin
    nn.functional.logsigmoid nn.functional.hardtanh nn.functional.hardsigmoid
    nn.functional.hardswish nn.functional.hardshrink nn.functional.softshrink
    nn.functional.tanhshrink nn.functional.threshold nn.functional.glu nn.functional.layer_norm
    nn.functional.group_norm nn.functional.instance_norm nn.functional.rms_norm
    nn.functional.batch_norm nn.functional.local_response_norm nn.functional.normalize
    nn.functional.embedding nn.functional.embedding_bag nn.functional.pad
    nn.functional.interpolate nn.functional.grid_sample nn.functional.pixel_shuffle
    nn.functional.cosine_similarity nn.functional.pairwise_distance
    nn.functional.scaled_dot_product_attention nn.functional.mse_loss nn.functional.l1_loss
    nn.functional.smooth_l1_loss nn.functional.huber_loss nn.functional.cross_entropy
    nn.functional.nll_loss nn.functional.binary_cross_entropy
    nn.functional.binary_cross_entropy_with_logits nn.functional.kl_div
    nn.functional.poisson_nll_loss nn.functional.gaussian_nll_loss
    nn.functional.hinge_embedding_loss nn.functional.margin_ranking_loss
    nn.functional.cosine_embedding_loss nn.functional.triplet_margin_loss
    nn.functional.multilabel_margin_loss nn.functional.multi_margin_loss
    nn.functional.soft_margin_loss nn.functional.ctc_loss
"""
LATER = NOT_DUE_YET.split()

OWED = frozenset(DUE) | frozenset(LATER)
