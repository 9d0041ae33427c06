"""Probability distributions, with PyTorch's `torch.distributions` names.

Densities, entropies and divergences are differentiable; so are the samples of `rsample`, where a
distribution has it.

Example:
    >>> policy = fg.distributions.Categorical(logits=fg.zeros(4))
    >>> policy.log_prob(fg.tensor(2))
    tensor(-1.3863)
"""

from __future__ import annotations

import sys as _sys

from fastgrad.distributions import constraints, kl, transforms
from fastgrad.distributions.combined import (
    Independent,
    LogNormal,
    MixtureSameFamily,
    TransformedDistribution,
)
from fastgrad.distributions.continuous import (
    Cauchy,
    Exponential,
    Gumbel,
    HalfNormal,
    Laplace,
    Normal,
    Uniform,
)
from fastgrad.distributions.counts import Multinomial, NegativeBinomial, VonMises
from fastgrad.distributions.discrete import (
    Bernoulli,
    Binomial,
    Categorical,
    Geometric,
    OneHotCategorical,
    Poisson,
)
from fastgrad.distributions.distribution import Distribution
from fastgrad.distributions.gamma import Beta, Chi2, Dirichlet, Gamma, StudentT
from fastgrad.distributions.heavy_tails import (
    FisherSnedecor,
    GeneralizedPareto,
    HalfCauchy,
    InverseGamma,
    Kumaraswamy,
    Pareto,
    Weibull,
)
from fastgrad.distributions.kl import kl_divergence, register_kl
from fastgrad.distributions.matrices import LKJCholesky, LowRankMultivariateNormal, Wishart
from fastgrad.distributions.multivariate_normal import MultivariateNormal
from fastgrad.distributions.relaxed import (
    ContinuousBernoulli,
    OneHotCategoricalStraightThrough,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
)
from fastgrad.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    PowerTransform,
    SigmoidTransform,
    SoftplusTransform,
    TanhTransform,
    Transform,
)

# PyTorch has a module per distribution, which scripts import from.
for _name, _kind in (
    ("bernoulli", Bernoulli),
    ("beta", Beta),
    ("binomial", Binomial),
    ("categorical", Categorical),
    ("cauchy", Cauchy),
    ("chi2", Chi2),
    ("dirichlet", Dirichlet),
    ("exponential", Exponential),
    ("geometric", Geometric),
    ("gumbel", Gumbel),
    ("half_normal", HalfNormal),
    ("independent", Independent),
    ("laplace", Laplace),
    ("log_normal", LogNormal),
    ("mixture_same_family", MixtureSameFamily),
    ("normal", Normal),
    ("one_hot_categorical", OneHotCategorical),
    ("poisson", Poisson),
    ("studentT", StudentT),
    ("transformed_distribution", TransformedDistribution),
    ("uniform", Uniform),
    ("continuous_bernoulli", ContinuousBernoulli),
    ("fishersnedecor", FisherSnedecor),
    ("generalized_pareto", GeneralizedPareto),
    ("half_cauchy", HalfCauchy),
    ("inverse_gamma", InverseGamma),
    ("kumaraswamy", Kumaraswamy),
    ("lkj_cholesky", LKJCholesky),
    ("lowrank_multivariate_normal", LowRankMultivariateNormal),
    ("multinomial", Multinomial),
    ("negative_binomial", NegativeBinomial),
    ("pareto", Pareto),
    ("relaxed_bernoulli", RelaxedBernoulli),
    ("relaxed_categorical", RelaxedOneHotCategorical),
    ("von_mises", VonMises),
    ("weibull", Weibull),
    ("wishart", Wishart),
):
    globals()[_name] = _sys.modules.setdefault(
        f"{__name__}.{_name}", _sys.modules[_kind.__module__]
    )

__all__ = [
    "AffineTransform",
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "Cauchy",
    "Chi2",
    "ComposeTransform",
    "ContinuousBernoulli",
    "Dirichlet",
    "Distribution",
    "ExpTransform",
    "Exponential",
    "FisherSnedecor",
    "Gamma",
    "GeneralizedPareto",
    "Geometric",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "Independent",
    "InverseGamma",
    "Kumaraswamy",
    "LKJCholesky",
    "Laplace",
    "LogNormal",
    "LowRankMultivariateNormal",
    "MixtureSameFamily",
    "Multinomial",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "Pareto",
    "Poisson",
    "PowerTransform",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "SigmoidTransform",
    "SoftplusTransform",
    "StudentT",
    "TanhTransform",
    "Transform",
    "TransformedDistribution",
    "Uniform",
    "VonMises",
    "Weibull",
    "Wishart",
    "constraints",
    "kl",
    "kl_divergence",
    "register_kl",
    "transforms",
]
