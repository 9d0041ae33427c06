# Made by tools/make_stubs.py; do not edit.
import builtins
from typing import Final

from fastgrad import accelerator as accelerator
from fastgrad import amp as amp
from fastgrad import autograd as autograd
from fastgrad import backends as backends
from fastgrad import compiler as compiler
from fastgrad import cpu as cpu
from fastgrad import cuda as cuda
from fastgrad import distributed as distributed
from fastgrad import distributions as distributions
from fastgrad import func as func
from fastgrad import gradient_tape as gradient_tape
from fastgrad import integrate as integrate
from fastgrad import jit as jit
from fastgrad import linalg as linalg
from fastgrad import mps as mps
from fastgrad import multiprocessing as multiprocessing
from fastgrad import nn as nn
from fastgrad import numeric as numeric
from fastgrad import optim as optim
from fastgrad import optimize as optimize
from fastgrad import random as random
from fastgrad import return_types as return_types
from fastgrad import serialization as serialization
from fastgrad import testing as testing
from fastgrad import types as types
from fastgrad import utils as utils
from fastgrad import variable as variable
from fastgrad import version as version
from fastgrad import xpu as xpu
from fastgrad._compile import compile as compile
from fastgrad._core import CompiledFunction as CompiledFunction
from fastgrad._core import Generator as Generator
from fastgrad._core import LinAlgError as LinAlgError
from fastgrad._core import Size as Size
from fastgrad._core import Tensor as Tensor
from fastgrad._core import abs as abs
from fastgrad._core import absolute as absolute
from fastgrad._core import acos as acos
from fastgrad._core import acosh as acosh
from fastgrad._core import add as add
from fastgrad._core import addbmm as addbmm
from fastgrad._core import addcdiv as addcdiv
from fastgrad._core import addcmul as addcmul
from fastgrad._core import addmm as addmm
from fastgrad._core import addmv as addmv
from fastgrad._core import addr as addr
from fastgrad._core import adjoint as adjoint
from fastgrad._core import all as all
from fastgrad._core import allclose as allclose
from fastgrad._core import amax as amax
from fastgrad._core import amin as amin
from fastgrad._core import aminmax as aminmax
from fastgrad._core import angle as angle
from fastgrad._core import any as any
from fastgrad._core import arange as arange
from fastgrad._core import arccos as arccos
from fastgrad._core import arccosh as arccosh
from fastgrad._core import arcsin as arcsin
from fastgrad._core import arcsinh as arcsinh
from fastgrad._core import arctan as arctan
from fastgrad._core import arctan2 as arctan2
from fastgrad._core import arctanh as arctanh
from fastgrad._core import argmax as argmax
from fastgrad._core import argmin as argmin
from fastgrad._core import argsort as argsort
from fastgrad._core import argwhere as argwhere
from fastgrad._core import as_strided as as_strided
from fastgrad._core import as_strided_scatter as as_strided_scatter
from fastgrad._core import as_tensor as as_tensor
from fastgrad._core import asarray as asarray
from fastgrad._core import asin as asin
from fastgrad._core import asinh as asinh
from fastgrad._core import atan as atan
from fastgrad._core import atan2 as atan2
from fastgrad._core import atanh as atanh
from fastgrad._core import atleast_1d as atleast_1d
from fastgrad._core import atleast_2d as atleast_2d
from fastgrad._core import atleast_3d as atleast_3d
from fastgrad._core import baddbmm as baddbmm
from fastgrad._core import bernoulli as bernoulli
from fastgrad._core import bfloat16 as bfloat16
from fastgrad._core import bincount as bincount
from fastgrad._core import bitwise_and as bitwise_and
from fastgrad._core import bitwise_left_shift as bitwise_left_shift
from fastgrad._core import bitwise_not as bitwise_not
from fastgrad._core import bitwise_or as bitwise_or
from fastgrad._core import bitwise_right_shift as bitwise_right_shift
from fastgrad._core import bitwise_xor as bitwise_xor
from fastgrad._core import block_diag as block_diag
from fastgrad._core import bmm as bmm
from fastgrad._core import bool as bool
from fastgrad._core import broadcast_shapes as broadcast_shapes
from fastgrad._core import broadcast_tensors as broadcast_tensors
from fastgrad._core import broadcast_to as broadcast_to
from fastgrad._core import bucketize as bucketize
from fastgrad._core import can_cast as can_cast
from fastgrad._core import cartesian_prod as cartesian_prod
from fastgrad._core import cat as cat
from fastgrad._core import cdist as cdist
from fastgrad._core import cdouble as cdouble
from fastgrad._core import ceil as ceil
from fastgrad._core import cfloat as cfloat
from fastgrad._core import chain_matmul as chain_matmul
from fastgrad._core import channels_last as channels_last
from fastgrad._core import channels_last_3d as channels_last_3d
from fastgrad._core import cholesky as cholesky
from fastgrad._core import cholesky_inverse as cholesky_inverse
from fastgrad._core import cholesky_solve as cholesky_solve
from fastgrad._core import chunk as chunk
from fastgrad._core import clamp as clamp
from fastgrad._core import clamp_max as clamp_max
from fastgrad._core import clamp_min as clamp_min
from fastgrad._core import clip as clip
from fastgrad._core import clone as clone
from fastgrad._core import column_stack as column_stack
from fastgrad._core import combinations as combinations
from fastgrad._core import complex as complex
from fastgrad._core import complex64 as complex64
from fastgrad._core import complex128 as complex128
from fastgrad._core import concat as concat
from fastgrad._core import concatenate as concatenate
from fastgrad._core import conj as conj
from fastgrad._core import contiguous_format as contiguous_format
from fastgrad._core import copysign as copysign
from fastgrad._core import corrcoef as corrcoef
from fastgrad._core import cos as cos
from fastgrad._core import cosh as cosh
from fastgrad._core import count_nonzero as count_nonzero
from fastgrad._core import cov as cov
from fastgrad._core import cross as cross
from fastgrad._core import cummax as cummax
from fastgrad._core import cummin as cummin
from fastgrad._core import cumprod as cumprod
from fastgrad._core import cumsum as cumsum
from fastgrad._core import cumulative_trapezoid as cumulative_trapezoid
from fastgrad._core import default_generator as default_generator
from fastgrad._core import deg2rad as deg2rad
from fastgrad._core import det as det
from fastgrad._core import detach as detach
from fastgrad._core import device as device
from fastgrad._core import diag as diag
from fastgrad._core import diag_embed as diag_embed
from fastgrad._core import diagflat as diagflat
from fastgrad._core import diagonal as diagonal
from fastgrad._core import diagonal_scatter as diagonal_scatter
from fastgrad._core import diff as diff
from fastgrad._core import digamma as digamma
from fastgrad._core import dist as dist
from fastgrad._core import div as div
from fastgrad._core import divide as divide
from fastgrad._core import dot as dot
from fastgrad._core import double as double
from fastgrad._core import dsplit as dsplit
from fastgrad._core import dstack as dstack
from fastgrad._core import dtype as dtype
from fastgrad._core import einsum as einsum
from fastgrad._core import empty as empty
from fastgrad._core import empty_like as empty_like
from fastgrad._core import empty_permuted as empty_permuted
from fastgrad._core import empty_strided as empty_strided
from fastgrad._core import entr as entr
from fastgrad._core import eq as eq
from fastgrad._core import equal as equal
from fastgrad._core import erf as erf
from fastgrad._core import erfc as erfc
from fastgrad._core import erfcx as erfcx
from fastgrad._core import erfinv as erfinv
from fastgrad._core import exp as exp
from fastgrad._core import exp2 as exp2
from fastgrad._core import expm1 as expm1
from fastgrad._core import eye as eye
from fastgrad._core import fill as fill
from fastgrad._core import fill_ as fill_
from fastgrad._core import fix as fix
from fastgrad._core import flatten as flatten
from fastgrad._core import flip as flip
from fastgrad._core import fliplr as fliplr
from fastgrad._core import flipud as flipud
from fastgrad._core import float as float
from fastgrad._core import float16 as float16
from fastgrad._core import float32 as float32
from fastgrad._core import float64 as float64
from fastgrad._core import float_power as float_power
from fastgrad._core import floor as floor
from fastgrad._core import floor_divide as floor_divide
from fastgrad._core import fmax as fmax
from fastgrad._core import fmin as fmin
from fastgrad._core import fmod as fmod
from fastgrad._core import frac as frac
from fastgrad._core import frexp as frexp
from fastgrad._core import from_dlpack as from_dlpack
from fastgrad._core import from_numpy as from_numpy
from fastgrad._core import frombuffer as frombuffer
from fastgrad._core import full as full
from fastgrad._core import full_like as full_like
from fastgrad._core import gather as gather
from fastgrad._core import gcd as gcd
from fastgrad._core import ge as ge
from fastgrad._core import geqrf as geqrf
from fastgrad._core import ger as ger
from fastgrad._core import get_default_device as get_default_device
from fastgrad._core import get_default_dtype as get_default_dtype
from fastgrad._core import get_device as get_device
from fastgrad._core import get_num_threads as get_num_threads
from fastgrad._core import get_rng_state as get_rng_state
from fastgrad._core import greater as greater
from fastgrad._core import greater_equal as greater_equal
from fastgrad._core import gt as gt
from fastgrad._core import half as half
from fastgrad._core import heaviside as heaviside
from fastgrad._core import histc as histc
from fastgrad._core import hsplit as hsplit
from fastgrad._core import hstack as hstack
from fastgrad._core import hypot as hypot
from fastgrad._core import i0 as i0
from fastgrad._core import i0e as i0e
from fastgrad._core import i1 as i1
from fastgrad._core import i1e as i1e
from fastgrad._core import igamma as igamma
from fastgrad._core import igammac as igammac
from fastgrad._core import imag as imag
from fastgrad._core import index_add as index_add
from fastgrad._core import index_copy as index_copy
from fastgrad._core import index_fill as index_fill
from fastgrad._core import index_put as index_put
from fastgrad._core import index_select as index_select
from fastgrad._core import initial_seed as initial_seed
from fastgrad._core import inner as inner
from fastgrad._core import int as int
from fastgrad._core import int8 as int8
from fastgrad._core import int16 as int16
from fastgrad._core import int32 as int32
from fastgrad._core import int64 as int64
from fastgrad._core import inverse as inverse
from fastgrad._core import is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled
from fastgrad._core import is_anomaly_enabled as is_anomaly_enabled
from fastgrad._core import is_complex as is_complex
from fastgrad._core import is_conj as is_conj
from fastgrad._core import is_floating_point as is_floating_point
from fastgrad._core import is_grad_enabled as is_grad_enabled
from fastgrad._core import is_inference as is_inference
from fastgrad._core import is_inference_mode_enabled as is_inference_mode_enabled
from fastgrad._core import is_neg as is_neg
from fastgrad._core import is_nonzero as is_nonzero
from fastgrad._core import is_same_size as is_same_size
from fastgrad._core import is_storage as is_storage
from fastgrad._core import is_tensor as is_tensor
from fastgrad._core import isclose as isclose
from fastgrad._core import isfinite as isfinite
from fastgrad._core import isinf as isinf
from fastgrad._core import isnan as isnan
from fastgrad._core import isneginf as isneginf
from fastgrad._core import isposinf as isposinf
from fastgrad._core import isreal as isreal
from fastgrad._core import kron as kron
from fastgrad._core import kthvalue as kthvalue
from fastgrad._core import layout as layout
from fastgrad._core import lcm as lcm
from fastgrad._core import ldexp as ldexp
from fastgrad._core import le as le
from fastgrad._core import lerp as lerp
from fastgrad._core import less as less
from fastgrad._core import less_equal as less_equal
from fastgrad._core import lgamma as lgamma
from fastgrad._core import linspace as linspace
from fastgrad._core import log as log
from fastgrad._core import log1p as log1p
from fastgrad._core import log2 as log2
from fastgrad._core import log10 as log10
from fastgrad._core import log_softmax as log_softmax
from fastgrad._core import logaddexp as logaddexp
from fastgrad._core import logaddexp2 as logaddexp2
from fastgrad._core import logcumsumexp as logcumsumexp
from fastgrad._core import logdet as logdet
from fastgrad._core import logical_and as logical_and
from fastgrad._core import logical_not as logical_not
from fastgrad._core import logical_or as logical_or
from fastgrad._core import logical_xor as logical_xor
from fastgrad._core import logit as logit
from fastgrad._core import logspace as logspace
from fastgrad._core import logsumexp as logsumexp
from fastgrad._core import long as long
from fastgrad._core import lt as lt
from fastgrad._core import lu as lu
from fastgrad._core import lu_solve as lu_solve
from fastgrad._core import lu_unpack as lu_unpack
from fastgrad._core import manual_seed as manual_seed
from fastgrad._core import masked_fill as masked_fill
from fastgrad._core import masked_scatter as masked_scatter
from fastgrad._core import masked_select as masked_select
from fastgrad._core import matmul as matmul
from fastgrad._core import matrix_exp as matrix_exp
from fastgrad._core import matrix_power as matrix_power
from fastgrad._core import max as max
from fastgrad._core import maximum as maximum
from fastgrad._core import mean as mean
from fastgrad._core import median as median
from fastgrad._core import memory as memory
from fastgrad._core import memory_format as memory_format
from fastgrad._core import meshgrid as meshgrid
from fastgrad._core import min as min
from fastgrad._core import minimum as minimum
from fastgrad._core import mm as mm
from fastgrad._core import mode as mode
from fastgrad._core import moveaxis as moveaxis
from fastgrad._core import movedim as movedim
from fastgrad._core import msort as msort
from fastgrad._core import mul as mul
from fastgrad._core import multinomial as multinomial
from fastgrad._core import multiply as multiply
from fastgrad._core import mv as mv
from fastgrad._core import mvlgamma as mvlgamma
from fastgrad._core import nan_to_num as nan_to_num
from fastgrad._core import nanmean as nanmean
from fastgrad._core import nanmedian as nanmedian
from fastgrad._core import nanquantile as nanquantile
from fastgrad._core import nansum as nansum
from fastgrad._core import narrow as narrow
from fastgrad._core import narrow_copy as narrow_copy
from fastgrad._core import ne as ne
from fastgrad._core import neg as neg
from fastgrad._core import negative as negative
from fastgrad._core import nextafter as nextafter
from fastgrad._core import nonzero as nonzero
from fastgrad._core import norm as norm
from fastgrad._core import normal as normal
from fastgrad._core import not_equal as not_equal
from fastgrad._core import numel as numel
from fastgrad._core import ones as ones
from fastgrad._core import ones_like as ones_like
from fastgrad._core import orgqr as orgqr
from fastgrad._core import outer as outer
from fastgrad._core import permute as permute
from fastgrad._core import pinverse as pinverse
from fastgrad._core import poisson as poisson
from fastgrad._core import polar as polar
from fastgrad._core import polygamma as polygamma
from fastgrad._core import positive as positive
from fastgrad._core import pow as pow
from fastgrad._core import preserve_format as preserve_format
from fastgrad._core import prod as prod
from fastgrad._core import promote_types as promote_types
from fastgrad._core import put as put
from fastgrad._core import qr as qr
from fastgrad._core import quantile as quantile
from fastgrad._core import rad2deg as rad2deg
from fastgrad._core import rand as rand
from fastgrad._core import rand_like as rand_like
from fastgrad._core import randint as randint
from fastgrad._core import randint_like as randint_like
from fastgrad._core import randn as randn
from fastgrad._core import randn_like as randn_like
from fastgrad._core import randperm as randperm
from fastgrad._core import ravel as ravel
from fastgrad._core import real as real
from fastgrad._core import reciprocal as reciprocal
from fastgrad._core import relu as relu
from fastgrad._core import relu_ as relu_
from fastgrad._core import remainder as remainder
from fastgrad._core import repeat_interleave as repeat_interleave
from fastgrad._core import reshape as reshape
from fastgrad._core import result_type as result_type
from fastgrad._core import roll as roll
from fastgrad._core import rot90 as rot90
from fastgrad._core import round as round
from fastgrad._core import row_stack as row_stack
from fastgrad._core import rsqrt as rsqrt
from fastgrad._core import rsub as rsub
from fastgrad._core import scalar_tensor as scalar_tensor
from fastgrad._core import scatter as scatter
from fastgrad._core import scatter_add as scatter_add
from fastgrad._core import scatter_reduce as scatter_reduce
from fastgrad._core import searchsorted as searchsorted
from fastgrad._core import seed as seed
from fastgrad._core import select as select
from fastgrad._core import select_scatter as select_scatter
from fastgrad._core import set_default_device as set_default_device
from fastgrad._core import set_default_dtype as set_default_dtype
from fastgrad._core import set_num_threads as set_num_threads
from fastgrad._core import set_rng_state as set_rng_state
from fastgrad._core import sgn as sgn
from fastgrad._core import short as short
from fastgrad._core import show_config as show_config
from fastgrad._core import sigmoid as sigmoid
from fastgrad._core import sign as sign
from fastgrad._core import signbit as signbit
from fastgrad._core import sin as sin
from fastgrad._core import sinc as sinc
from fastgrad._core import sinh as sinh
from fastgrad._core import slice_scatter as slice_scatter
from fastgrad._core import slogdet as slogdet
from fastgrad._core import softmax as softmax
from fastgrad._core import sort as sort
from fastgrad._core import special as special
from fastgrad._core import split as split
from fastgrad._core import split_with_sizes as split_with_sizes
from fastgrad._core import sqrt as sqrt
from fastgrad._core import square as square
from fastgrad._core import squeeze as squeeze
from fastgrad._core import stack as stack
from fastgrad._core import std as std
from fastgrad._core import std_mean as std_mean
from fastgrad._core import strided as strided
from fastgrad._core import sub as sub
from fastgrad._core import subtract as subtract
from fastgrad._core import sum as sum
from fastgrad._core import svd as svd
from fastgrad._core import swapaxes as swapaxes
from fastgrad._core import swapdims as swapdims
from fastgrad._core import t as t
from fastgrad._core import take as take
from fastgrad._core import take_along_dim as take_along_dim
from fastgrad._core import tan as tan
from fastgrad._core import tanh as tanh
from fastgrad._core import tensor as tensor
from fastgrad._core import tensor_split as tensor_split
from fastgrad._core import tensordot as tensordot
from fastgrad._core import tile as tile
from fastgrad._core import topk as topk
from fastgrad._core import trace as trace
from fastgrad._core import transpose as transpose
from fastgrad._core import trapezoid as trapezoid
from fastgrad._core import trapz as trapz
from fastgrad._core import triangular_solve as triangular_solve
from fastgrad._core import tril as tril
from fastgrad._core import tril_indices as tril_indices
from fastgrad._core import triu as triu
from fastgrad._core import triu_indices as triu_indices
from fastgrad._core import true_divide as true_divide
from fastgrad._core import trunc as trunc
from fastgrad._core import uint8 as uint8
from fastgrad._core import unbind as unbind
from fastgrad._core import unflatten as unflatten
from fastgrad._core import unique as unique
from fastgrad._core import unique_consecutive as unique_consecutive
from fastgrad._core import unsqueeze as unsqueeze
from fastgrad._core import vander as vander
from fastgrad._core import var as var
from fastgrad._core import var_mean as var_mean
from fastgrad._core import vdot as vdot
from fastgrad._core import view_as_complex as view_as_complex
from fastgrad._core import view_as_real as view_as_real
from fastgrad._core import vsplit as vsplit
from fastgrad._core import vstack as vstack
from fastgrad._core import where as where
from fastgrad._core import xlog1py as xlog1py
from fastgrad._core import xlogy as xlogy
from fastgrad._core import zero_ as zero_
from fastgrad._core import zeros as zeros
from fastgrad._core import zeros_like as zeros_like
from fastgrad._functions import adaptive_max_pool1d as adaptive_max_pool1d
from fastgrad._functions import alpha_dropout as alpha_dropout
from fastgrad._functions import (
    are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled,
)
from fastgrad._functions import batch_norm as batch_norm
from fastgrad._functions import blackman_window as blackman_window
from fastgrad._functions import dropout as dropout
from fastgrad._functions import embedding as embedding
from fastgrad._functions import get_float32_matmul_precision as get_float32_matmul_precision
from fastgrad._functions import get_num_interop_threads as get_num_interop_threads
from fastgrad._functions import gradient as gradient
from fastgrad._functions import hamming_window as hamming_window
from fastgrad._functions import hann_window as hann_window
from fastgrad._functions import histogram as histogram
from fastgrad._functions import instance_norm as instance_norm
from fastgrad._functions import (
    is_deterministic_algorithms_warn_only_enabled as is_deterministic_algorithms_warn_only_enabled,
)
from fastgrad._functions import isin as isin
from fastgrad._functions import renorm as renorm
from fastgrad._functions import set_default_tensor_type as set_default_tensor_type
from fastgrad._functions import set_float32_matmul_precision as set_float32_matmul_precision
from fastgrad._functions import set_flush_denormal as set_flush_denormal
from fastgrad._functions import set_num_interop_threads as set_num_interop_threads
from fastgrad._functions import typename as typename
from fastgrad._functions import unravel_index as unravel_index
from fastgrad._functions import use_deterministic_algorithms as use_deterministic_algorithms
from fastgrad._printing import get_printoptions as get_printoptions
from fastgrad._printing import printoptions as printoptions
from fastgrad._printing import set_printoptions as set_printoptions
from fastgrad._programs import load_program as load_program
from fastgrad._programs import save_program as save_program
from fastgrad._type_info import finfo as finfo
from fastgrad._type_info import iinfo as iinfo
from fastgrad.amp.autocast_mode import autocast as autocast
from fastgrad.amp.autocast_mode import is_autocast_enabled as is_autocast_enabled
from fastgrad.amp.grad_scaler import GradScaler as GradScaler
from fastgrad.autograd.grad_mode import enable_grad as enable_grad
from fastgrad.autograd.grad_mode import inference_mode as inference_mode
from fastgrad.autograd.grad_mode import no_grad as no_grad
from fastgrad.autograd.grad_mode import set_grad_enabled as set_grad_enabled
from fastgrad.func.batching import vmap as vmap
from fastgrad.func.gradient import grad as grad
from fastgrad.gradient_tape import GradientTape as GradientTape
from fastgrad.nn.functional import adaptive_avg_pool1d as adaptive_avg_pool1d
from fastgrad.nn.functional import avg_pool1d as avg_pool1d
from fastgrad.nn.functional import conv1d as conv1d
from fastgrad.nn.functional import conv2d as conv2d
from fastgrad.nn.functional import conv3d as conv3d
from fastgrad.nn.functional import conv_transpose1d as conv_transpose1d
from fastgrad.nn.functional import conv_transpose2d as conv_transpose2d
from fastgrad.nn.functional import conv_transpose3d as conv_transpose3d
from fastgrad.nn.functional import group_norm as group_norm
from fastgrad.nn.functional import layer_norm as layer_norm
from fastgrad.nn.functional import max_pool1d as max_pool1d
from fastgrad.nn.functional import max_pool2d as max_pool2d
from fastgrad.nn.functional import max_pool3d as max_pool3d
from fastgrad.nn.functional import rms_norm as rms_norm
from fastgrad.nn.functional.activation import celu as celu
from fastgrad.nn.functional.activation import celu_ as celu_
from fastgrad.nn.functional.activation import hardshrink as hardshrink
from fastgrad.nn.functional.activation import prelu as prelu
from fastgrad.nn.functional.activation import rrelu as rrelu
from fastgrad.nn.functional.activation import rrelu_ as rrelu_
from fastgrad.nn.functional.activation import selu as selu
from fastgrad.nn.functional.activation import selu_ as selu_
from fastgrad.nn.functional.activation import threshold as threshold
from fastgrad.nn.functional.activation import threshold_ as threshold_
from fastgrad.nn.functional.bilinear_map import bilinear as bilinear
from fastgrad.nn.functional.distance import cosine_similarity as cosine_similarity
from fastgrad.nn.functional.distance import pairwise_distance as pairwise_distance
from fastgrad.nn.functional.distance import pdist as pdist
from fastgrad.nn.functional.images import channel_shuffle as channel_shuffle
from fastgrad.nn.functional.images import pixel_shuffle as pixel_shuffle
from fastgrad.nn.functional.images import pixel_unshuffle as pixel_unshuffle
from fastgrad.serialization import load as load
from fastgrad.serialization import save as save
from fastgrad.variable import Variable as Variable
from fastgrad.variable import stop_gradient as stop_gradient

__version__: Final[builtins.str]
abs_ = Tensor.abs_
acos_ = Tensor.acos_
acosh_ = Tensor.acosh_
addmv_ = Tensor.addmv_
arccos_ = Tensor.arccos_
arccosh_ = Tensor.arccosh_
arcsin_ = Tensor.arcsin_
arcsinh_ = Tensor.arcsinh_
arctan_ = Tensor.arctan_
arctanh_ = Tensor.arctanh_
as_strided_ = Tensor.as_strided_
asin_ = Tensor.asin_
asinh_ = Tensor.asinh_
atan_ = Tensor.atan_
atanh_ = Tensor.atanh_
ceil_ = Tensor.ceil_
clamp_ = Tensor.clamp_
clamp_max_ = Tensor.clamp_max_
clamp_min_ = Tensor.clamp_min_
clip_ = Tensor.clip_
cos_ = Tensor.cos_
cosh_ = Tensor.cosh_
deg2rad_ = Tensor.deg2rad_
detach_ = Tensor.detach_
e: Final[builtins.float]
erf_ = Tensor.erf_
erfc_ = Tensor.erfc_
exp2_ = Tensor.exp2_
exp_ = Tensor.exp_
expm1_ = Tensor.expm1_
fix_ = Tensor.fix_
floor_ = Tensor.floor_
frac_ = Tensor.frac_
gcd_ = Tensor.gcd_
i0_ = Tensor.i0_
index_put_ = Tensor.index_put_
inf: Final[builtins.float]
lcm_ = Tensor.lcm_
ldexp_ = Tensor.ldexp_
log10_ = Tensor.log10_
log1p_ = Tensor.log1p_
log2_ = Tensor.log2_
log_ = Tensor.log_
logit_ = Tensor.logit_
nan: Final[builtins.float]
nan_to_num_ = Tensor.nan_to_num_
neg_ = Tensor.neg_
negative_ = Tensor.negative_
newaxis: Final[None]
pi: Final[builtins.float]
rad2deg_ = Tensor.rad2deg_
reciprocal_ = Tensor.reciprocal_
resize_as_ = Tensor.resize_as_
round_ = Tensor.round_
rsqrt_ = Tensor.rsqrt_
sigmoid_ = Tensor.sigmoid_
sin_ = Tensor.sin_
sinc_ = Tensor.sinc_
sinh_ = Tensor.sinh_
sqrt_ = Tensor.sqrt_
square_ = Tensor.square_
tan_ = Tensor.tan_
tanh_ = Tensor.tanh_
trunc_ = Tensor.trunc_
xlogy_ = Tensor.xlogy_
