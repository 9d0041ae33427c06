"""Images sampled at any place, against PyTorch."""

import numpy as np
import pytest

from nn_reference import randn
from reference import fg, only_fastgrad, torch

if torch is None:
    pytest.skip("needs the reference extra (torch)", allow_module_level=True)
SPACE = {2: (7, 6), 3: (5, 6, 4)}


@only_fastgrad
@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("dims, mode", [(2, "bilinear"), (2, "nearest"), (2, "bicubic"),
                                        (3, "bilinear"), (3, "nearest")])  # fmt: skip
def test_grid_sample(dims, mode, padding_mode, align):
    x = randn(2, 4, *SPACE[dims])
    places = SPACE[dims]
    values = np.random.default_rng(4).uniform(-1.6, 1.6, (2, *places, dims))
    grid = torch.tensor(values, requires_grad=True)
    a, b = (fg.tensor(t.detach().numpy(), requires_grad=True) for t in (x, grid))
    ours = fg.nn.functional.grid_sample(a, b, mode, padding_mode, align)
    theirs = torch.nn.functional.grid_sample(x, grid, mode, padding_mode, align)
    weight = np.random.default_rng(9).standard_normal(theirs.shape)
    (ours * fg.tensor(weight)).sum().backward()
    (theirs * torch.tensor(weight)).sum().backward()
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), atol=1e-10)
    np.testing.assert_allclose(a.grad.numpy(), x.grad.numpy(), atol=1e-10)
    np.testing.assert_allclose(b.grad.numpy(), grid.grad.numpy(), atol=1e-8)


NAN = float("nan")


@only_fastgrad
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
def test_grid_sample_at_places_that_are_no_numbers(mode, padding_mode):
    grid = [[[[NAN, 0.0], [float("inf"), 0.3], [0.2, NAN], [0.2, 0.1]]]]
    image = fg.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    arguments = (mode, padding_mode, False)
    ours = fg.nn.functional.grid_sample(image, fg.tensor(grid), *arguments).flatten().tolist()
    if mode == "bilinear" and padding_mode != "zeros":  # PyTorch reads outside of the image
        assert np.isnan(ours).tolist() == [True, padding_mode == "reflection", True, False]
        return
    image, grid = torch.tensor(image.tolist()), torch.tensor(grid)
    theirs = torch.nn.functional.grid_sample(image, grid, *arguments)
    np.testing.assert_allclose(ours, theirs.flatten().tolist(), rtol=1e-5)


@only_fastgrad
def test_the_image_has_no_gradient_from_places_that_are_no_numbers():
    image = fg.ones(1, 1, 2, 2, requires_grad=True)
    grid = fg.tensor([[[[NAN, 0.0], [0.0, 0.0]]]])
    y = fg.nn.functional.grid_sample(image, grid, align_corners=True)
    (g,) = fg.autograd.grad(y.sum(), image)
    assert g.tolist() == [[[[0.25] * 2] * 2]]


@only_fastgrad
@pytest.mark.parametrize("dims, mode", [(2, "bilinear"), (2, "bicubic"), (3, "bilinear")])
def test_second_derivatives_of_grid_sample(dims, mode):
    r = np.random.default_rng(7)
    x = fg.tensor(r.standard_normal((1, 2, *(4, 5, 3)[:dims])), requires_grad=True)
    grid = fg.tensor(r.uniform(-0.8, 0.8, (1, *(2, 3, 1)[:dims], dims)), requires_grad=True)

    def sample(x, grid):
        return fg.nn.functional.grid_sample(x, grid, mode, "zeros", False)

    assert fg.autograd.gradgradcheck(sample, (x, grid))


@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("size", [(2, 1, 3, 4), (2, 1, 2, 3, 4), (2, 1, 1, 3)])
def test_affine_grid(size, align):
    theta = randn(2, len(size) - 2, len(size) - 1, grad=False)
    ours = fg.nn.functional.affine_grid(fg.tensor(theta.numpy()), size, align)
    theirs = torch.nn.functional.affine_grid(theta, size, align)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-12)


def same_samples(x, grid, *arguments):
    """Compares values and first derivatives with PyTorch's."""
    found = []
    for module in (fg, torch):
        a, b = (module.tensor(v, requires_grad=True) for v in (x, grid))
        y = module.nn.functional.grid_sample(a, b, *arguments)
        weight = module.tensor(np.random.default_rng(9).standard_normal(y.shape).astype(x.dtype))
        found.append([y.detach().numpy(), *(g.numpy() for g in module.autograd.grad(
            (y * weight).sum(), (a, b)))])  # fmt: skip
    for ours, theirs in zip(*found):
        atol = 2e-4 if x.dtype == np.float32 else 1e-9
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=atol * np.abs(theirs).max())


@only_fastgrad
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels, places", [(1, 70), (3, 70), (4, 70), (7, 3)])
def test_samples_of_few_and_many_channels(channels, places, dtype, mode, padding_mode):
    r = np.random.default_rng(channels)
    x = r.standard_normal((2, channels, 9, 13)).astype(dtype)
    grid = r.uniform(-2.5, 2.5, (2, 1, places, 2)).astype(dtype)
    same_samples(x, grid, mode, padding_mode, False)
    same_samples(x, grid, mode, padding_mode, True)


@only_fastgrad
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("sizes", [(3, 1), (1, 3), (2, 2), (4, 3)])
def test_samples_of_narrow_images(sizes, mode, padding_mode):
    """Neighbours are read in pairs, which change places or become one at the edges."""
    r = np.random.default_rng(2)
    x, grid = r.standard_normal((2, 2, *sizes)), r.uniform(-2.5, 2.5, (2, 1, 131, 2))
    for align in (False, True):
        if not align or min(sizes) > 1:  # else PyTorch divides by 0
            same_samples(x, grid, mode, padding_mode, align)


@only_fastgrad
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_samples_of_volumes_in_tiles(mode):
    r = np.random.default_rng(3)
    x, grid = r.standard_normal((2, 3, 4, 5, 6)), r.uniform(-1.5, 1.5, (2, 3, 5, 10, 3))
    for padding_mode in ("zeros", "border", "reflection"):
        same_samples(x, grid, mode, padding_mode, False)


@only_fastgrad
def test_samples_do_not_depend_on_threads():
    r = np.random.default_rng(4)
    x, grid = r.standard_normal((2, 20, 30, 30)), r.uniform(-1.2, 1.2, (2, 40, 40, 2))
    threads, found = fg.get_num_threads(), []
    try:
        for n in (1, 3):
            fg.set_num_threads(n)
            a, b = (fg.tensor(v, requires_grad=True) for v in (x, grid))
            y = fg.nn.functional.grid_sample(a, b, align_corners=False)
            y.sin().sum().backward()
            found.append([t.detach().numpy().tobytes() for t in (y, a.grad, b.grad)])
    finally:
        fg.set_num_threads(threads)
    assert found[0] == found[1]


@only_fastgrad
def test_samples_of_no_channels():
    x, grid = fg.zeros(1, 0, 3, 3), fg.zeros(1, 2, 2, 2, requires_grad=True)
    y = fg.nn.functional.grid_sample(x, grid, align_corners=False)
    (g,) = fg.autograd.grad(y.sum(), grid)
    assert y.shape == (1, 0, 2, 2) and g.tolist() == [[[[0.0] * 2] * 2] * 2]


@only_fastgrad
def test_samples_of_images_that_are_one_pixel():
    grid = np.random.default_rng(1).uniform(-1.5, 1.5, (1, 2, 3, 2))
    for padding_mode in ("zeros", "border", "reflection"):
        for align in (True, False):
            same_samples(np.full((1, 2, 1, 1), 3.0), grid, "bilinear", padding_mode, align)


@only_fastgrad
def test_samples_far_outside():
    grid = fg.tensor([[[[1e30, 0.0], [-3e9, 0.0], [0.0, 5e18]]]])
    image = fg.ones(1, 1, 4, 4)
    for mode in ("bilinear", "nearest", "bicubic"):
        zeros = fg.nn.functional.grid_sample(image, grid, mode, "zeros", False)
        assert zeros.flatten().tolist() == [0, 0, 0]
        border = fg.nn.functional.grid_sample(image, grid, mode, "border", False)
        assert border.flatten().tolist() == [1, 1, 1]


@only_fastgrad
def test_a_pixel_that_is_not_sampled_does_not_matter():
    image = fg.tensor([[[[float("inf"), 1.0], [1.0, 1.0]]]])
    grid = fg.tensor([[[[1.5, 1.5], [3.0, 0.0], [-1.0, -2.0], [1.0, -1.0]]]])
    for padding_mode in ("zeros", "border"):
        y = fg.nn.functional.grid_sample(image, grid, "bilinear", padding_mode, False)
        theirs = torch.nn.functional.grid_sample(
            *(torch.tensor(t.tolist()) for t in (image, grid)), "bilinear", padding_mode, False
        )
        np.testing.assert_allclose(y.numpy(), theirs.numpy())


@only_fastgrad
def test_grid_sample_of_halves_and_of_nothing():
    x = fg.randn(1, 2, 3, 3).half()
    y = fg.nn.functional.grid_sample(x, fg.zeros(1, 1, 1, 2).half(), align_corners=True)
    assert y.dtype == fg.float16 and fg.allclose(y.flatten(), x[0, :, 1, 1])
    assert fg.nn.functional.grid_sample(x.float(), fg.zeros(1, 0, 4, 2)).shape == (1, 2, 0, 4)
    assert fg.nn.functional.grid_sample(fg.zeros(0, 2, 3, 3), fg.zeros(0, 1, 4, 2)).numel() == 0
    with pytest.raises(RuntimeError, match="same batch size"):
        fg.nn.functional.grid_sample(x.float(), fg.zeros(2, 1, 1, 2))
    with pytest.raises(RuntimeError, match="non-empty spatial"):
        fg.nn.functional.grid_sample(fg.zeros(1, 2, 0, 3), fg.zeros(1, 1, 1, 2))
