"""Every script in examples/ runs with few steps, draws, and reaches its answer with its default."""

import importlib
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the examples extra is not installed")
pytest.importorskip("tqdm", reason="the examples extra is not installed")

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("[!_]*.py"))
each = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def load(name: str) -> ModuleType:
    text = next(path for path in EXAMPLES if path.stem == name).read_text()
    for library in ("sklearn", "scipy"):
        shared = library == "sklearn" and "from _digits" in text
        if f"from {library}" in text or shared:
            pytest.importorskip(library, reason="the examples extra is not installed")
    return importlib.import_module(name)


@each
def test_two_steps_run_print_and_draw(path, capsys, tmp_path):
    picture = tmp_path / "picture.png"
    load(path.stem).main(steps=2, plot=str(picture))
    assert capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")


@each
def test_the_twin_runs(path):
    example = load(path.stem)
    if "import torch" in path.read_text():
        pytest.importorskip("torch", reason="the reference extra is not installed")
    example.twin(steps=2)


@each
def test_examples_are_short(path):
    assert len(path.read_text().splitlines()) < 100


def test_rosenbrock_reaches_the_minimum():
    values = load("rosenbrock").main()
    far = {name for name, value in values.items() if not value < 1e-2}
    assert far <= {
        "Adadelta",
        "Adagrad",
        "RMSprop",
        "RAdam",
        "ASGD",
    }  # these are slow in this valley
    assert sum(value < 1e-7 for value in values.values()) >= 12


def test_rosenbrock_takes_pytorchs_paths():
    pytest.importorskip("torch", reason="the reference extra is not installed")
    example = load("rosenbrock")
    ours = example.main(steps=100)
    for name, value in example.twin(steps=100).items():
        assert math.isclose(ours[name], value, rel_tol=1e-9, abs_tol=1e-25), name


def test_logistic_regression_agrees_with_the_published_fit():
    intercept, slope = load("logistic_regression").main()
    assert math.isclose(intercept, 15.0429, abs_tol=5e-5)
    assert math.isclose(slope, -0.2322, abs_tol=5e-5)


def test_curve_fit_agrees_with_nist():
    example = load("curve_fit_nist")
    for ours, certified in zip(example.main(), example.CERTIFIED):
        assert math.isclose(ours, certified, rel_tol=1e-9)


def test_robust_fit_resists_what_misleads_the_plain_one():
    example = load("robust_curve_fit")
    found = example.main()
    for ours, certified in zip(found["published"], example.problem.certified):
        assert math.isclose(ours, certified, rel_tol=1e-9)
    for name, near in (("robust", 0.01), ("plain", 0.3)):
        off = abs(found[name][0] / found["published"][0] - 1)
        assert off < near if name == "robust" else off > near
    for name, theirs in example.twin().items():
        assert found[name] == pytest.approx(theirs, rel=1e-5)


def test_breast_cancer_trains_as_pytorch_does():
    example = load("breast_cancer")
    found = example.main()
    assert found["right"] > 0.96
    pytest.importorskip("torch", reason="the reference extra is not installed")
    assert math.isclose(found["loss"], example.twin()["loss"], rel_tol=1e-9)


def test_gaussian_mixture_reaches_the_maximum_of_em():
    total = load("gaussian_mixture").main()
    mixture = pytest.importorskip("sklearn.mixture")
    em = mixture.GaussianMixture(3, tol=1e-9, max_iter=2000, reg_covar=0, n_init=3, random_state=0)
    data = load("gaussian_mixture").flowers
    assert math.isclose(total, 150 * em.fit(data).score(data), abs_tol=1e-3)


def test_orbit_is_found_within_its_errors():
    example = load("orbit")
    found = example.main()
    for ours, true, deviation in zip(found, example.TRUE, (5e-4, 6e-5, 1e-3, 2e-4)):
        assert abs(ours - true) < 3 * deviation
    assert found == pytest.approx(example.twin(), rel=1e-5)


def test_denoising_takes_noise_out():
    example = load("denoising")
    found = example.main(steps=60)
    assert found["after"] > found["before"] + 5
    pytest.importorskip("torch", reason="the reference extra is not installed")
    theirs = example.twin(steps=60)
    assert found["energy"] == pytest.approx(theirs["energy"], rel=1e-4)


@pytest.mark.slow
def test_lenet_reads_digits():
    assert load("lenet_digits").main() >= 0.985


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, limit", [("vae_digits", 26), ("char_lstm", 1.6), ("small_gpt", 2.0)]
)
def test_models_learn(name, limit):
    assert load(name).main() < limit


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp_digits", "residual_digits"])
def test_other_networks_read_digits(name):
    assert load(name).main() >= 0.97


def test_the_pendulum_swings():
    assert load("pendulum_network").main() < 2e-3


def test_sobel_finds_scipys_edges_and_learns_kernels_as_pytorch_does():
    ndimage = pytest.importorskip("scipy.ndimage")
    example = load("sobel_edges")
    found = example.main(steps=40)
    grey = example.photograph()[0, 0]
    exact = np.hypot(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1))[1:-1, 1:-1]
    np.testing.assert_allclose(found["edges"], np.sqrt(exact**2 + 1e-6), rtol=1e-12, atol=1e-12)
    assert found["last"] < found["first"] / 20
    pytest.importorskip("torch", reason="the reference extra is not installed")
    theirs = example.twin(steps=40)
    np.testing.assert_allclose(found["kernels"], theirs["kernels"], rtol=1e-6)
