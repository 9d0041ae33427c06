"""Distributions: formulas against PyTorch, samples against the moments of their distribution."""

import importlib
import math

import numpy as np
import pytest

from reference import assert_same, fg, needs_torch, only_fastgrad, torch


def tensors(module, *values):
    return [
        module.tensor(v, dtype=module.float64, requires_grad=True) if isinstance(v, list) else v
        for v in values
    ]


PAIR = [0.4, 1.5]
SIMPLEX = [[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]
# name: arguments, other arguments for the divergence, values to ask about
CASES = {
    "Normal": ([[0.5, -1.0], PAIR], [[0.0, 2.0], [1.0, 0.5]], [0.3, -2.0]),
    "Laplace": ([[0.5, -1.0], PAIR], [[0.0, 2.0], [1.0, 0.5]], [0.3, -2.0]),
    "Cauchy": ([[0.5, -1.0], PAIR], None, [0.3, -2.0]),
    "Gumbel": ([[0.5, -1.0], PAIR], None, [0.3, -2.0]),
    "LogNormal": ([[0.5, -1.0], PAIR], [[0.0, 2.0], [1.0, 0.5]], [0.3, 2.0]),
    "HalfNormal": ([PAIR], [[1.0, 0.5]], [0.3, 2.0]),
    "Uniform": ([[0.0, -1.0], [1.0, 3.0]], [[-1.0, 0.0], [1.0, 4.0]], [0.3, 2.0]),
    "Exponential": ([PAIR], [[1.0, 0.5]], [0.3, 2.0]),
    "Gamma": ([[0.5, 3.0], PAIR], [[1.0, 0.5], [2.0, 1.0]], [0.3, 2.0]),
    "Chi2": ([[0.5, 3.0]], [[1.0, 0.5]], [0.3, 2.0]),
    "Beta": ([[0.5, 3.0], PAIR], [[1.0, 0.5], [2.0, 1.0]], [0.3, 0.7]),
    "Dirichlet": ([[[0.5, 2.0, 1.0], [1.0, 1.0, 3.0]]], [[[1.0, 1.0, 1.0]] * 2], SIMPLEX),
    "StudentT": ([[3.0, 0.5], [0.5, 0.0], PAIR], None, [0.3, 2.0]),
    "Bernoulli": ([[0.3, 0.9]], [[0.5, 0.2]], [1.0, 0.0]),
    "Geometric": ([[0.3, 0.9]], [[0.5, 0.2]], [2.0, 0.0]),
    "Binomial": ([5, [0.3, 0.9]], [5, [0.5, 0.2]], [2.0, 5.0]),
    "Poisson": ([PAIR], [[1.0, 3.0]], [2.0, 0.0]),
    "Categorical": ([SIMPLEX], [[[0.3, 0.3, 0.4], [0.5, 0.25, 0.25]]], [2.0, 0.0]),
    "OneHotCategorical": (
        [SIMPLEX],
        [[[0.3, 0.3, 0.4], [0.5, 0.25, 0.25]]],
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]],
    ),
    "MultivariateNormal": (
        [[[0.5, -1.0], [0.0, 1.0]], [[2.0, 0.5], [0.5, 1.0]]],
        [[0.0, 0.0], [[1.0, -0.3], [-0.3, 2.0]]],
        [[0.3, 0.7], [1.0, 1.0]],
    ),
    "Pareto": ([PAIR, [1.5, 3.0]], [[0.2, 1.0], [2.0, 1.0]], [0.7, 2.0]),
    "Weibull": ([PAIR, [1.5, 3.0]], None, [0.7, 2.0]),
    "Kumaraswamy": ([[1.5, 0.7], [2.0, 3.0]], None, [0.3, 0.7]),
    "InverseGamma": ([[3.5, 5.0], PAIR], None, [0.7, 2.0]),
    "HalfCauchy": ([PAIR], None, [0.7, 2.0]),
    "FisherSnedecor": ([[3.0, 5.0], [9.0, 12.0]], None, [0.7, 2.0]),
    "ContinuousBernoulli": ([[0.3, 0.5003]], [[0.6, 0.4]], [0.3, 0.7]),
    "NegativeBinomial": ([[3.0, 1.5], [0.3, 0.6]], None, [2.0, 0.0]),
    "Multinomial": ([6, SIMPLEX], None, [[1.0, 2.0, 3.0], [0.0, 1.0, 5.0]]),
    "LowRankMultivariateNormal": (
        [[[0.5, -1.0, 0.0]] * 2, [[1.0, 0.3], [0.5, -1.0], [0.2, 0.2]], [0.5, 1.0, 2.0]],
        [[0.0, 0.5, 0.0], [[0.2, 0.0], [0.5, 1.0], [0.0, 0.2]], [1.5, 1.0, 2.0]],
        [[0.3, 0.7, 1.0], [1.0, 1.0, -1.0]],
    ),
    "OneHotCategoricalStraightThrough": (
        [SIMPLEX],
        [[[0.3, 0.3, 0.4], [0.5, 0.25, 0.25]]],
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]],
    ),
}
ATTRIBUTES = ("mean", "variance", "stddev", "mode")
# Where PyTorch computes in float32: name and what is asked.
LOOSE = {("Multinomial", "entropy"), ("Multinomial", "perplexity")}
WRONG = {("Kumaraswamy", "mode")}  # PyTorch's is NaN where there is one
METHODS = ("log_prob", "cdf", "icdf")


def asked(module, name):
    """Every formula of a distribution that it has, and the gradients of its log-probabilities."""
    args, other, at = CASES[name]
    kind = getattr(module.distributions, name)
    given = tensors(module, *args)
    d = kind(*given)
    value = module.tensor(at, dtype=module.float64)
    found = {"repr": repr(d).replace("torch.", "").replace("fastgrad.", "")}
    for attribute in ATTRIBUTES:
        try:
            found[attribute] = getattr(d, attribute)
        except (NotImplementedError, AttributeError):
            continue
    for method in METHODS:
        if method == "icdf":
            value = module.full_like(value, 0.3)
        try:
            found[method] = getattr(d, method)(value)
        except NotImplementedError:
            continue
    try:
        found["entropy"] = d.entropy()
        found["perplexity"] = d.perplexity()
    except NotImplementedError:
        pass
    if d.has_enumerate_support:
        found["support"] = d.enumerate_support()
        found["short support"] = d.enumerate_support(expand=False)
    if other is not None:
        found["kl"] = module.distributions.kl_divergence(d, kind(*tensors(module, *other)))
    total = found["log_prob"].sum() + (found["kl"].sum() if "kl" in found else 0)
    leaves = [t for t in given if isinstance(t, module.Tensor)]
    found["gradients"] = module.autograd.grad(total, leaves, allow_unused=True)
    bigger = d.expand((4, *d.batch_shape))
    found["expanded"] = bigger.log_prob(module.tensor(at, dtype=module.float64))
    found["shapes"] = (tuple(bigger.batch_shape), tuple(bigger.event_shape))
    return found


@needs_torch
@pytest.mark.parametrize("name", CASES)
def test_formulas(name):
    ours, theirs = asked(fg, name), asked(torch, name)
    assert {"log_prob", "mean", "variance", "stddev", "gradients"} <= set(ours)
    assert not {key for key in theirs if key not in ours} - {"mode", "cdf"}
    for key in ours:
        if key == "shapes":
            assert ours[key] == theirs[key]
        elif key == "repr":  # PyTorch shows nothing where it keeps parameters elsewhere
            assert theirs[key] in (ours[key], f"{name}()")
        elif key == "gradients":
            for a, b in zip(ours[key], theirs[key], strict=True):
                assert_same(a, b, what=key)
        elif (name, key) in LOOSE:
            np.testing.assert_allclose(
                ours[key].detach().numpy(), theirs[key].detach().numpy(), rtol=1e-6
            )
        elif key in theirs and (name, key) not in WRONG:
            assert_same(ours[key], theirs[key], what=key)


@pytest.mark.parametrize("name", CASES)
def test_samples_have_the_moments_of_their_distribution(name):
    fg.manual_seed(0)
    d = getattr(fg.distributions, name)(*tensors(fg, *CASES[name][0]))
    n = 20_000
    drawn = d.sample((n,))
    assert drawn.shape == (n, *d.batch_shape, *d.event_shape)
    assert not drawn.requires_grad
    assert np.isfinite(d.log_prob(drawn).detach().numpy()).all()
    mean, variance = d.mean.detach().numpy(), d.variance.detach().numpy()
    usable = np.isfinite(mean) & np.isfinite(variance)
    deviation = np.abs(drawn.double().mean(0).numpy() - mean)[usable]
    assert (deviation < 5 * np.sqrt(variance[usable] / n)).all()
    if name == "Categorical":
        counts = np.stack([(drawn == k).double().mean(0).numpy() for k in range(3)], -1)
        assert np.abs(counts - d.probs.detach().numpy()).max() < 0.02
    if name in ("Cauchy", "Gumbel", "Laplace"):  # the median, which all of them have
        below = (d.cdf(drawn) < 0.5).double().mean(0).detach().numpy()
        assert np.abs(below - 0.5).max() < 0.02


@pytest.mark.parametrize("name", [n for n in CASES if getattr(fg.distributions, n).has_rsample])
def test_gradients_pass_rsample(name):
    leaves = tensors(fg, *CASES[name][0])
    d = getattr(fg.distributions, name)(*leaves)
    assert d.has_rsample
    grads = fg.autograd.grad(d.rsample((3,)).sum(), leaves)
    assert all(bool(g.isfinite().all()) for g in grads)


@only_fastgrad
def test_rsample_where_there_is_none():
    d = fg.distributions.Gamma(1.0, 1.0)
    assert not d.has_rsample
    with pytest.raises(NotImplementedError, match="use sample"):
        d.rsample()


@needs_torch
def test_logits_instead_of_probabilities():
    for name, logits in (
        ("Bernoulli", [0.3, -2.0]),
        ("Geometric", [0.3, -2.0]),
        ("Binomial", [0.3, -2.0]),
        ("Categorical", [[0.3, -2.0, 1.0]]),
        ("OneHotCategorical", [[0.3, -2.0, 1.0]]),
    ):
        made = []
        for module in (fg, torch):
            d = getattr(module.distributions, name)(logits=module.tensor(logits))
            made.append((d.probs, d.logits, d.mean, d.variance))
        for a, b in zip(*made):
            assert_same(a, b, what=name)
        with pytest.raises(ValueError, match="but not both"):
            getattr(fg.distributions, name)()


@needs_torch
@pytest.mark.parametrize("matrix", ["covariance_matrix", "precision_matrix", "scale_tril"])
def test_matrices_of_a_normal_vector(matrix):
    made = []
    for module in (fg, torch):
        m = module.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=module.float64)
        m = module.linalg.cholesky(m) if matrix == "scale_tril" else m
        d = module.distributions.MultivariateNormal(module.zeros(2).double(), **{matrix: m})
        x = module.tensor([[0.3, 1.0]] * 3, dtype=module.float64)
        made.append(
            (d.covariance_matrix, d.precision_matrix, d.scale_tril, d.log_prob(x), d.entropy())
        )
    for a, b in zip(*made):
        assert_same(a, b)


def built_of_others(module):
    d = module.distributions
    x = module.tensor([0.2, 0.7], dtype=module.float64)
    w = module.tensor([[0.2, 0.8], [0.5, 0.5]], dtype=module.float64)
    m = module.tensor([[0.0, 1.0], [2.0, -1.0]], dtype=module.float64)
    mixture = d.MixtureSameFamily(d.Categorical(w), d.Normal(m, module.ones_like(m)))
    vectors = d.MixtureSameFamily(
        d.Categorical(w[0]), d.Independent(d.Normal(m, module.ones_like(m)), 1)
    )
    squashed = d.TransformedDistribution(
        d.Normal(x, x + 1), [d.AffineTransform(0.5, -2.0), d.TanhTransform(cache_size=1)]
    )
    independent = d.Independent(d.Normal(m, module.ones_like(m)), 1)
    other = d.Independent(d.Normal(m + 1, module.ones_like(m)), 1)
    results = [
        mixture.log_prob(x),
        mixture.mean,
        mixture.variance,
        mixture.cdf(x),
        vectors.log_prob(m),
        vectors.mean,
        vectors.variance,
        squashed.log_prob(x),
        squashed.cdf(x),
        squashed.icdf(x),
        independent.log_prob(m),
        independent.entropy(),
        independent.mean,
        d.kl_divergence(independent, other),
        independent.expand((3, 2)).log_prob(m),
    ]
    for transform in (
        d.ExpTransform(),
        d.SigmoidTransform(),
        d.SoftplusTransform(),
        d.TanhTransform(),
        d.PowerTransform(module.tensor(2.0, dtype=module.float64)),
        d.AffineTransform(1.0, 3.0),
        d.ComposeTransform([d.ExpTransform(), d.AffineTransform(0.0, 2.0)]),
    ):
        y = transform(x)
        results += [y, transform.inv(y), transform.log_abs_det_jacobian(x, y)]
        results.append(transform.inv.log_abs_det_jacobian(y, x))
    return results, repr(independent)


@needs_torch
def test_distributions_made_of_others():
    (ours, a), (theirs, b) = built_of_others(fg), built_of_others(torch)
    for i, (x, y) in enumerate(zip(ours, theirs, strict=True)):
        assert_same(x, y, what=str(i))
    assert a.replace("fastgrad", "torch") == b


def test_samples_of_mixtures_and_maps():
    fg.manual_seed(0)
    d = fg.distributions
    parts = d.Normal(fg.tensor([-5.0, 5.0]), fg.ones(2))
    mixture = d.MixtureSameFamily(d.Categorical(fg.tensor([0.25, 0.75])), parts)
    drawn = mixture.sample((4000,))
    assert drawn.shape == (4000,)
    assert abs((drawn > 0).float().mean().item() - 0.75) < 0.03
    vectors = d.MixtureSameFamily(
        d.Categorical(fg.ones(2)), d.Independent(d.Normal(fg.zeros(2, 3), fg.ones(2, 3)), 1)
    )
    assert vectors.sample((4, 5)).shape == (4, 5, 3)
    squashed = d.TransformedDistribution(d.Normal(0.0, 1.0), d.TanhTransform(cache_size=1))
    x = squashed.rsample((10,))
    assert squashed.log_prob(x).isfinite().all()


def test_wrong_parameters_and_values():
    d = fg.distributions
    with pytest.raises(ValueError, match="Expected parameter scale"):
        d.Normal(0.0, -1.0)
    with pytest.raises(ValueError, match="within the support"):
        d.Exponential(1.0).log_prob(fg.tensor(-1.0))
    with pytest.raises(ValueError, match="not broadcastable"):
        d.Normal(fg.zeros(2), 1.0).log_prob(fg.zeros(3))
    with pytest.raises(ValueError, match="must be a Tensor"):
        d.Normal(0.0, 1.0).log_prob(0.5)
    with pytest.raises(ValueError, match=r"low\s*>=\s*high|within|satisfy"):
        d.Uniform(1.0, 0.0)
    with pytest.raises(ValueError, match="reinterpreted_batch_ndims"):
        d.Independent(d.Normal(0.0, 1.0), 1)
    with pytest.raises(NotImplementedError, match="No KL"):
        d.kl_divergence(d.Normal(0.0, 1.0), d.Categorical(fg.ones(2)))
    assert math.isnan(d.Normal(0.0, math.nan, validate_args=False).scale.item())


def test_a_divergence_of_ones_own():
    d = fg.distributions

    class Point(d.Distribution):
        pass

    @d.register_kl(Point, d.Normal)
    def _point(p, q):
        return -q.log_prob(fg.tensor(0.0))

    divergence = d.kl_divergence(Point(), d.Normal(0.0, 1.0)).item()
    assert divergence == pytest.approx(0.5 * math.log(2 * math.pi))


@pytest.mark.parametrize("name", ["normal", "categorical", "transformed_distribution", "studentT"])
def test_modules_of_single_distributions(name):
    module = importlib.import_module(f"{fg.__name__}.distributions.{name}")
    kind = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    assert getattr(module, kind) is getattr(fg.distributions, kind)


@only_fastgrad
@pytest.mark.parametrize(
    ("name", "arguments", "ask"),
    [
        ("Distribution", (), lambda d: d.mean),
        ("Binomial", (3, 0.5), lambda d: d.cdf(fg.tensor(1.0))),
        ("Poisson", (2.0,), lambda d: d.entropy()),
        ("Poisson", (2.0,), lambda d: d.icdf(fg.tensor(0.5))),
    ],
)
def test_what_a_distribution_lacks_is_named(name, arguments, ask):
    with pytest.raises(NotImplementedError, match=f"^{name} has no "):
        ask(getattr(fg.distributions, name)(*arguments))


def test_modules_of_pytorch() -> None:
    # Scripts import from the module of a distribution, or reach it by attributes.
    assert fg.distributions.normal.Normal is fg.distributions.Normal
    assert fg.distributions.categorical.Categorical is fg.distributions.Categorical


def relaxed_and_matrices(module):
    """Distributions without moments in closed form, and those over matrices."""
    d = module.distributions

    def t(x):
        return module.tensor(x, dtype=module.float64, requires_grad=True)

    probs, logits, x = t([0.3, 0.8]), t([[0.1, -1.0, 0.5], [0.0, 0.0, 2.0]]), t([0.2, 0.9])
    near = d.RelaxedBernoulli(t(0.7), probs=probs)
    corner = d.RelaxedOneHotCategorical(t(0.7), logits=logits)
    scale = t([[2.0, 0.5], [0.5, 1.0]])
    wishart = d.Wishart(t(4.5), covariance_matrix=scale)
    again = d.Wishart(t(4.5), scale_tril=module.linalg.cholesky(scale))
    matrix = module.tensor([[3.0, -0.5], [-0.5, 2.0]], dtype=module.float64)
    lkj = d.LKJCholesky(3, t([0.7, 2.0]))
    factor = module.linalg.cholesky(
        module.tensor([[1.0, 0.3, -0.2], [0.3, 1.0, 0.1], [-0.2, 0.1, 1.0]], dtype=module.float64)
    )
    half = d.RelaxedBernoulli(module.tensor(0.5).double(), logits=logits)
    n, la, ex = d.Normal(x, probs), d.Laplace(probs, x), d.Exponential(x)
    pairs = [
        (d.Cauchy(x, probs), d.Cauchy(probs, x)),
        (d.Gumbel(x, probs), d.Gumbel(probs, x)),
        (ex, d.Gamma(probs, x)),
        (d.Gamma(probs, x), ex),
        (la, n),
        (d.Uniform(x - 1, x), n),
    ]
    low = d.LowRankMultivariateNormal(x, t([[0.3], [1.0]]), probs)
    full = d.MultivariateNormal(probs, scale)
    pairs += [(low, full), (full, low)]
    found = [
        near.log_prob(x),
        near.probs,
        near.logits,
        half.log_prob(module.full_like(logits, 0.3)),
        corner.log_prob(logits.softmax(-1)),
        corner.probs,
        wishart.log_prob(matrix),
        again.log_prob(matrix),
        wishart.entropy(),
        wishart.mean,
        wishart.mode,
        wishart.variance,
        wishart.precision_matrix,
        lkj.log_prob(factor),
        low.precision_matrix,
        low.covariance_matrix,
        low.scale_tril,
        *(d.kl_divergence(p, q) for p, q in pairs),
    ]
    total = sum(f.sum() for f in found)
    return found + list(module.autograd.grad(total, [probs, logits, x, scale]))


@needs_torch
def test_relaxed_distributions_matrices_and_mixed_divergences():
    for i, (a, b) in enumerate(
        zip(relaxed_and_matrices(fg), relaxed_and_matrices(torch), strict=True)
    ):
        assert_same(a, b, what=str(i))


def test_samples_of_relaxed_distributions_and_matrices():
    fg.manual_seed(0)
    d, n = fg.distributions, 20_000
    p = fg.tensor([0.3, 0.8], requires_grad=True)
    near = d.RelaxedBernoulli(fg.tensor(0.1), probs=p).rsample((n,))
    assert ((near > 0.5).double().mean(0) - p.detach()).abs().max() < 0.02
    near.sum().backward()
    assert p.grad.isfinite().all() and (p.grad > 0).all()
    q = fg.tensor([0.2, 0.5, 0.3], requires_grad=True)
    drawn = d.RelaxedOneHotCategorical(fg.tensor(0.1), probs=q).rsample((n,))
    assert (drawn.sum(-1) - 1).abs().max() < 1e-5
    chosen = fg.nn.functional.one_hot(drawn.argmax(-1), 3).double()
    assert (chosen.mean(0) - q.detach()).abs().max() < 0.02
    straight = d.OneHotCategoricalStraightThrough(probs=q).rsample((5,))
    assert fg.equal(straight.detach().sum(-1), fg.ones(5))
    (straight * fg.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert q.grad is not None
    scale = fg.tensor([[2.0, 0.5], [0.5, 1.0]]).double()
    wishart = d.Wishart(fg.tensor(4.5).double(), scale)
    matrices = wishart.sample((n,))
    error = (matrices.mean(0) - wishart.mean).abs() / (wishart.variance / n).sqrt()
    assert error.max() < 5
    lkj = d.LKJCholesky(4, fg.tensor(1.5).double())
    factors = lkj.sample((n,))
    assert lkj.log_prob(factors).isfinite().all()
    correlations = factors @ factors.mT
    # Each correlation is 2 b - 1 with b from the beta distribution of concentration - 1 + dim / 2.
    expected = 1 / (2 * (1.5 - 1 + 4 / 2) + 1)
    for i, j in ((1, 0), (2, 1), (3, 0), (3, 2)):
        assert abs(correlations[:, i, j].var().item() - expected) < 0.01
    angles = d.VonMises(fg.tensor([3.0, 0.0]), fg.tensor([4.0, 1e-6])).sample((n,))
    assert angles.abs().max() <= math.pi + 1e-6
    assert abs(fg.cos(angles[:, 0] - 3.0).mean().item() - 0.8635) < 0.01
    assert abs(fg.cos(angles[:, 1]).mean().item()) < 0.03


def scipy_cases():
    """Distributions of both: ours, SciPy's frozen one, and values."""
    stats = pytest.importorskip("scipy.stats")
    d, t = fg.distributions, lambda x: fg.tensor(x, dtype=fg.float64)
    at = [0.3, 0.7]
    low = d.LowRankMultivariateNormal(t([0.5, -1.0]), t([[1.0], [0.5]]), t([0.5, 2.0]))
    scale = [[2.0, 0.5], [0.5, 1.0]]
    return {
        "Pareto": (d.Pareto(t(0.2), t(4.5)), stats.pareto(4.5, scale=0.2), at),
        "Weibull": (d.Weibull(t(2.0), t(1.5)), stats.weibull_min(1.5, scale=2.0), at),
        "InverseGamma": (d.InverseGamma(t(4.5), t(2.0)), stats.invgamma(4.5, scale=2.0), at),
        "HalfCauchy": (d.HalfCauchy(t(2.0)), stats.halfcauchy(scale=2.0), at),
        "FisherSnedecor": (d.FisherSnedecor(t(5.0), t(9.0)), stats.f(5, 9), at),
        **{
            f"GeneralizedPareto {c}": (
                d.GeneralizedPareto(t(0.1), t(2.0), t(c)),
                stats.genpareto(c, loc=0.1, scale=2.0),
                at,
            )
            for c in (0.3, 0.0, -0.4)
        },
        "NegativeBinomial": (d.NegativeBinomial(t(3.0), t(0.3)), stats.nbinom(3, 0.7), [0.0, 4.0]),
        "VonMises": (d.VonMises(t(0.5), t(3.0)), stats.vonmises(3.0, loc=0.5), at),
        "Multinomial": (
            d.Multinomial(4, t([0.2, 0.3, 0.5])),
            stats.multinomial(4, [0.2, 0.3, 0.5]),
            [[1.0, 1.0, 2.0], [0.0, 0.0, 4.0]],
        ),
        "LowRankMultivariateNormal": (
            low,
            stats.multivariate_normal([0.5, -1.0], low.covariance_matrix.numpy()),
            [[0.0, 0.3], [1.0, -1.0]],
        ),
        "Wishart": (d.Wishart(t(4.5), t(scale)), stats.wishart(4.5, scale), [scale]),
    }


# What is not there; PyTorch lacks the same.
NO_FORMULA = ("cdf", "icdf", "entropy")
LACKING = {
    "InverseGamma": ("icdf",),
    "FisherSnedecor": NO_FORMULA,
    "NegativeBinomial": NO_FORMULA,
    "VonMises": NO_FORMULA,
    "Multinomial": ("cdf", "icdf"),
    "LowRankMultivariateNormal": ("cdf", "icdf"),
    "Wishart": ("cdf", "icdf"),
}


@only_fastgrad
@pytest.mark.parametrize(
    "name",
    [
        "Pareto",
        "Weibull",
        "InverseGamma",
        "HalfCauchy",
        "FisherSnedecor",
        "GeneralizedPareto 0.3",
        "GeneralizedPareto 0.0",
        "GeneralizedPareto -0.4",
        "NegativeBinomial",
        "VonMises",
        "Multinomial",
        "LowRankMultivariateNormal",
        "Wishart",
    ],
)
def test_beside_scipy(name):
    ours, theirs, at = scipy_cases()[name]
    values = np.array(at)
    discrete = name in ("NegativeBinomial", "Multinomial")
    density = theirs.logpmf if discrete else theirs.logpdf
    expected = density(values[0] if name == "Wishart" else values)
    asked = fg.from_numpy(values)
    np.testing.assert_allclose(ours.log_prob(asked).numpy().squeeze(), expected, rtol=1e-9)
    pairs = []
    if name not in ("VonMises", "Multinomial", "LowRankMultivariateNormal", "Wishart"):
        pairs = [(ours.mean, theirs.mean()), (ours.variance, theirs.var())]
    lacking = LACKING.get(name, ())
    for method, other in (("cdf", "cdf"), ("icdf", "ppf"), ("entropy", "entropy")):
        given = () if method == "entropy" else (values,)
        if method in lacking:
            with pytest.raises(NotImplementedError):
                getattr(ours, method)(*map(fg.from_numpy, given))
        else:
            result = getattr(ours, method)(*map(fg.from_numpy, given))
            pairs.append((result, getattr(theirs, other)(*given)))
    for a, b in pairs:
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-7)


def test_generalized_pareto_has_gradients_and_samples():
    scale = fg.tensor([1.0, 2.0], requires_grad=True)
    d = fg.distributions.GeneralizedPareto(fg.zeros(2), scale, fg.tensor([0.3, 0.0]))
    d.rsample((10,)).sum().backward()
    assert (scale.grad > 0).all()
    fg.manual_seed(0)
    drawn = d.sample((20_000,))
    assert ((drawn <= d.icdf(fg.tensor(0.5))).double().mean(0) - 0.5).abs().max() < 0.02


@only_fastgrad
def test_derivatives_of_angles():
    leaves = [fg.tensor(v, dtype=fg.float64, requires_grad=True) for v in (0.5, 3.0, 1.2)]
    von_mises = fg.distributions.VonMises
    assert fg.autograd.gradcheck(lambda loc, k, x: von_mises(loc, k).log_prob(x), leaves)


@only_fastgrad
def test_the_mode_of_kumaraswamy_numbers_is_the_highest_point():
    d = fg.distributions.Kumaraswamy(fg.tensor(1.5), fg.tensor(2.0))
    grid = fg.linspace(0.01, 0.99, 99)
    assert (d.log_prob(d.mode) >= d.log_prob(grid)).all()
