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
}
ATTRIBUTES = ("mean", "variance", "stddev", "mode")
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
        elif key in theirs:
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
