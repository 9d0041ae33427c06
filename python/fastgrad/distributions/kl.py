"""Kullback-Leibler divergences, by the two kinds of distribution."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.distributions.combined import Independent, LogNormal
from fastgrad.distributions.continuous import (
    Cauchy,
    Exponential,
    Gumbel,
    HalfNormal,
    Laplace,
    Normal,
    Uniform,
)
from fastgrad.distributions.discrete import (
    Bernoulli,
    Binomial,
    Categorical,
    Geometric,
    OneHotCategorical,
    Poisson,
)
from fastgrad.distributions.distribution import Distribution, sum_last
from fastgrad.distributions.gamma import Beta, Dirichlet, Gamma
from fastgrad.distributions.heavy_tails import Pareto
from fastgrad.distributions.matrices import LowRankMultivariateNormal
from fastgrad.distributions.multivariate_normal import MultivariateNormal
from fastgrad.distributions.relaxed import ContinuousBernoulli
from fastgrad.nn import functional as F

Rule = TypeVar("Rule", bound=Callable[[Any, Any], Tensor])

_RULES: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Rule], Rule]:
    """Registers the function below it as the divergence between two kinds of distribution.

    Args:
        type_p: The class of the first.
        type_q: The class of the second.
    """
    for given in (type_p, type_q):
        if not (isinstance(given, type) and issubclass(given, Distribution)):
            raise TypeError(f"[register_kl] expected a subclass of Distribution, got {given!r}")

    def register(rule: Rule) -> Rule:
        _RULES[type_p, type_q] = rule
        return rule

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """Returns the divergence of q from p: the mean under p of log p - log q.

    Raises:
        NotImplementedError: There is no rule for the two.

    Example:
        >>> d = fg.distributions
        >>> d.kl_divergence(d.Normal(1.0, 1.0), d.Normal(0.0, 1.0))
        tensor(0.5000)
    """
    for a in type(p).__mro__:
        for b in type(q).__mro__:
            if (a, b) in _RULES:
                return _RULES[a, b](p, q)
    raise NotImplementedError(
        f"No KL(p || q) is implemented for p type {type(p).__name__} and q type "
        f"{type(q).__name__}: give one with register_kl"
    )


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale).square()
    distance = ((p.loc - q.loc) / q.scale).square()
    return 0.5 * (ratio + distance - 1 - ratio.log())


@register_kl(LogNormal, LogNormal)
def _log_normal(p: LogNormal, q: LogNormal) -> Tensor:
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: HalfNormal, q: HalfNormal) -> Tensor:
    return _normal(p._base, q._base)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Multivariate Normals with different event shapes cannot "
            "be computed"
        )
    factor = q._factor
    spread = _core.linalg.solve_triangular(factor, p._factor, upper=False)
    shift = _core.linalg.solve_triangular(factor, (q.loc - p.loc).unsqueeze(-1), upper=False)
    trace, length = sum_last(spread.square(), 2), sum_last(shift.square(), 2)
    half = q._half_log_det() - p._half_log_det()
    return half + 0.5 * (trace + length - p.event_shape[0])


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    won = p.probs * (F.softplus(-q.logits) - F.softplus(-p.logits))
    lost = (1 - p.probs) * (F.softplus(q.logits) - F.softplus(p.logits))
    return won + lost


@register_kl(Binomial, Binomial)
def _binomial(p: Binomial, q: Binomial) -> Tensor:
    if bool((q.total_count < p.total_count).any()):
        raise NotImplementedError(
            "KL between Binomials where q.total_count > p.total_count is not implemented"
        )
    each = p.probs * (p.logits - q.logits) + _core.log1p(-p.probs) - _core.log1p(-q.probs)
    return _core.where(p.total_count > q.total_count, math.inf, p.total_count * each)


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    terms = _core.where(q.probs == 0, math.inf, terms)
    return _core.where(p.probs == 0, 0.0, terms).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: OneHotCategorical, q: OneHotCategorical) -> Tensor:
    return _categorical(p._categorical, q._categorical)


@register_kl(Geometric, Geometric)
def _geometric(p: Geometric, q: Geometric) -> Tensor:
    return -p.entropy() - _core.log1p(-q.probs) / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _poisson(p: Poisson, q: Poisson) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Exponential, Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - ratio.log() - 1


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    ratio = p.scale / q.scale
    distance = (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * _core.exp(-distance / p.scale) - 1


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    inside = _core.log((q.high - q.low) / (p.high - p.low))
    return _core.where((q.low > p.low) | (q.high < p.high), math.inf, inside)


@register_kl(Gamma, Gamma)
def _gamma(p: Gamma, q: Gamma) -> Tensor:
    a, b = p.concentration, q.concentration
    return (
        b * (p.rate / q.rate).log()
        + _core.lgamma(b)
        - _core.lgamma(a)
        + (a - b) * _core.digamma(a)
        + (q.rate - p.rate) * (a / p.rate)
    )


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    norm = _core.lgamma(total) - _core.lgamma(b.sum(-1))
    terms = _core.lgamma(b) - _core.lgamma(a)
    terms = terms + (a - b) * (_core.digamma(a) - _core.digamma(total).unsqueeze(-1))
    return norm + terms.sum(-1)


@register_kl(Beta, Beta)
def _beta(p: Beta, q: Beta) -> Tensor:
    return _dirichlet(p._dirichlet, q._dirichlet)


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            "KL between Independent distributions of different reinterpreted_batch_ndims"
        )
    return sum_last(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Cauchy, q: Cauchy) -> Tensor:
    spread = (p.scale + q.scale).square() + (p.loc - q.loc).square()
    return (spread / (4 * p.scale * q.scale)).log()


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Gumbel, q: Gumbel) -> Tensor:
    ratio, shift = p.scale / q.scale, (q.loc - p.loc) / q.scale
    return (
        -ratio.log()
        - shift
        + Gumbel._EULER * (ratio - 1)
        + (shift + _core.lgamma(1 + ratio)).exp()
        - 1
    )


@register_kl(Pareto, Pareto)
def _pareto(p: Pareto, q: Pareto) -> Tensor:
    ratio = q.alpha / p.alpha
    inside = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return _core.where(p.scale < q.scale, math.inf, inside)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: ContinuousBernoulli, q: ContinuousBernoulli) -> Tensor:
    mean = p.mean * (p.logits - q.logits)
    return mean + p._log_norm() + _core.log1p(-p.probs) - q._log_norm() - _core.log1p(-q.probs)


def _of_covariances(p_covariance: Tensor, q_precision: Tensor, shift: Tensor) -> Tensor:
    """The trace and the distance in the divergence between normal vectors."""
    trace = sum_last(p_covariance * q_precision, 2)
    return trace + (shift.unsqueeze(-2) @ q_precision @ shift.unsqueeze(-1)).flatten(-2).sum(-1)


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _low_rank(p: LowRankMultivariateNormal, q: LowRankMultivariateNormal) -> Tensor:
    terms = _of_covariances(p.covariance_matrix, q.precision_matrix, q.loc - p.loc)
    return 0.5 * (q._log_det() - p._log_det() + terms - p.event_shape[0])


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _normal_of_low_rank(p: MultivariateNormal, q: LowRankMultivariateNormal) -> Tensor:
    terms = _of_covariances(p.covariance_matrix, q.precision_matrix, q.loc - p.loc)
    return 0.5 * (q._log_det() - 2 * p._half_log_det() + terms - p.event_shape[0])


@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _low_rank_of_normal(p: LowRankMultivariateNormal, q: MultivariateNormal) -> Tensor:
    terms = _of_covariances(p.covariance_matrix, q.precision_matrix, q.loc - p.loc)
    return 0.5 * (2 * q._half_log_det() - p._log_det() + terms - p.event_shape[0])


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Exponential, q: Gamma) -> Tensor:
    a, ratio = q.concentration, q.rate / p.rate
    return -a * ratio.log() + ratio + _core.lgamma(a) + a * Gumbel._EULER - (1 + Gumbel._EULER)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p: Gamma, q: Exponential) -> Tensor:
    return -p.entropy() - q.rate.log() + q.rate * p.concentration / p.rate


@register_kl(Laplace, Normal)
def _laplace_normal(p: Laplace, q: Normal) -> Tensor:
    variance = q.scale.square()
    ratio = p.scale.square() / variance
    return (
        -0.5 * (2 * ratio / math.pi).log()
        + ratio
        + (0.5 * p.loc.square() - p.loc * q.loc + 0.5 * q.loc.square()) / variance
        - 1
    )


@register_kl(Uniform, Normal)
def _uniform_normal(p: Uniform, q: Normal) -> Tensor:
    width = p.high - p.low
    shift = (p.mean - q.loc).square() + width.square() / 12
    return (q.scale * math.sqrt(2 * math.pi) / width).log() + 0.5 * shift / q.scale.square()
