"""GradientTape, Variable and stop_gradient behave as TensorFlow's."""

import copy
import pickle
import threading

import numpy as np
import pytest

import fastgrad as fg
from reference import only_fastgrad

pytestmark = only_fastgrad


class TestGradient:
    def test_one_variable(self):
        x = fg.Variable(3.0)
        with fg.GradientTape() as tape:
            y = x**2 + 2 * x + 1
        g = tape.gradient(y, x)
        assert (y.item(), g.item()) == (16.0, 8.0)
        assert not g.requires_grad and x.grad is None

    def test_structures(self):
        a, b, c = fg.Variable(3.0), fg.Variable([1.0, 2.0]), fg.Variable(1.0)
        with fg.GradientTape(persistent=True) as tape:
            z = {"s": a * a, "v": [b * a, b**2]}
        g = tape.gradient(z, {"a": a, "rest": (b, c)})
        assert g["a"].item() == 9.0
        assert g["rest"][0].tolist() == [5.0, 7.0] and g["rest"][1] is None
        assert tape.gradient(z["s"], [a])[0].item() == 6.0
        assert tape.gradient([], [a]) == [None]
        assert tape.gradient(z, []) == []

    def test_targets_are_summed_and_weighted(self):
        x = fg.Variable([1.0, 2.0])
        with fg.GradientTape(persistent=True) as tape:
            y, z = x**2, 3 * x
        assert tape.gradient(y, x).tolist() == [2.0, 4.0]
        assert tape.gradient([y, z], x).tolist() == [5.0, 7.0]
        assert tape.gradient(y, x, output_gradients=[10.0, 1.0]).tolist() == [20.0, 4.0]
        weights = [fg.tensor([0.0, 1.0]), None]
        assert tape.gradient([y, z], x, weights).tolist() == [3.0, 7.0]
        with pytest.raises(ValueError, match="do not match the target: expected the structure"):
            tape.gradient([y, z], x, [None])

    def test_unconnected(self):
        x, other = fg.Variable(3.0), fg.Variable([1.0, 2.0])
        with fg.GradientTape(persistent=True) as tape:
            y = x * x
        assert tape.gradient(y, other) is None
        assert tape.gradient(y, fg.tensor(1.0)) is None
        assert tape.gradient(fg.tensor(1.0), x) is None
        zero = tape.gradient(y, [x, other], unconnected_gradients="zero")
        assert zero[0].item() == 6.0 and zero[1].tolist() == [0.0, 0.0]
        assert not zero[1].requires_grad
        with pytest.raises(ValueError, match="Unknown value for unconnected_gradients: 'maybe'"):
            tape.gradient(y, x, unconnected_gradients="maybe")

    def test_intermediate_values_are_sources_too(self):
        x = fg.Variable(3.0)
        with fg.GradientTape(persistent=True) as tape:
            y = x * x
            z = y.sin() * x
        assert tape.gradient(z, y).item() == pytest.approx(3 * np.cos(9.0), rel=1e-6)
        assert tape.gradient(y, y).item() == 1.0
        assert tape.gradient(x, x).item() == 1.0
        assert tape.gradient(y, z) is None

    def test_wrong_kinds(self):
        x = fg.Variable(3.0)
        with fg.GradientTape() as tape:
            y = x * x
        with pytest.raises(TypeError, match=r"expected target to be tensors, .* got float"):
            tape.gradient(3.0, x)
        with fg.GradientTape() as tape:
            y = x * x
        with pytest.raises(TypeError, match=r"expected sources to be tensors, .* got str"):
            tape.gradient(y, ["x"])

    def test_integers_have_no_gradient(self):
        n = fg.Variable(3)
        x = fg.Variable(2.0)
        with fg.GradientTape(persistent=True) as tape:
            y = x * n
        assert tape.gradient(y, n) is None and tape.gradient(n * n, n) is None
        assert tape.gradient(y, x).item() == 3.0


class TestRecording:
    def test_used_once(self):
        x = fg.Variable(3.0)
        with fg.GradientTape() as tape:
            y = x * x
        tape.gradient(y, x)
        with pytest.raises(RuntimeError, match="A non-persistent GradientTape can only be used"):
            tape.gradient(y, x)
        with pytest.raises(RuntimeError, match="persistent"):
            tape.jacobian(y, x)

    def test_persistent(self):
        x = fg.Variable(3.0)
        with fg.GradientTape(persistent=True) as tape:
            y = x * x
            z = y * y
        assert [tape.gradient(t, x).item() for t in (y, z, y)] == [6.0, 108.0, 6.0]

    def test_what_happens_outside_is_not_recorded(self):
        x = fg.Variable(3.0)
        before = x * x
        with fg.GradientTape(persistent=True) as tape:
            y = x * before
            after_watch = x * 2
        later = y * x
        assert tape.gradient(y, x).item() == 9.0  # `before` is a constant
        assert tape.gradient(y, before) is None
        assert tape.gradient(later, x) is None and tape.gradient(later, y) is None
        assert tape.gradient(before, x) is None
        assert tape.gradient(after_watch, x).item() == 2.0

    def test_an_older_value_that_is_watched(self):
        x = fg.Variable(3.0)
        old = x * x
        with fg.GradientTape(persistent=True) as tape:
            tape.watch(old)
            y = old * old * x
        assert tape.gradient(y, old).item() == 54.0
        assert [g.item() for g in tape.gradient(y, [old, x])] == [54.0, 81.0]
        # No gradient got through the border, and the graph outside is whole.
        assert fg.autograd.grad(y, x)[0].item() == 5 * 3.0**4

    def test_stop_recording(self):
        x = fg.Variable(3.0)
        with fg.GradientTape(persistent=True) as tape:
            y = x * x
            with tape.stop_recording():
                z = y * x
            w = z * x
        assert tape.gradient(y, x).item() == 6.0
        assert tape.gradient(z, x) is None
        assert tape.gradient(w, x).item() == 27.0
        with pytest.raises(ValueError, match="not recording"), tape.stop_recording():
            pass

    def test_stopping_one_tape_does_not_stop_another(self):
        x = fg.Variable(3.0)
        with fg.GradientTape() as outer, fg.GradientTape() as inner, inner.stop_recording():
            y = x * x
        assert inner.gradient(y, x) is None and outer.gradient(y, x).item() == 6.0

    def test_reset(self):
        x, c = fg.Variable(3.0), fg.tensor(2.0)
        with fg.GradientTape(persistent=True) as tape:
            tape.watch(c)
            y = x * c
            tape.reset()
            z = x * x * c
        assert tape.gradient(y, x) is None and tape.gradient(z, x).item() == 12.0
        assert tape.gradient(z, c) is None
        assert not c.requires_grad
        with pytest.raises(ValueError, match="not recording"):
            tape.reset()

    def test_entered_again(self):
        x = fg.Variable(3.0)
        tape = fg.GradientTape(persistent=True)
        with tape:
            y = x * x
            with pytest.raises(ValueError, match="Tape is still recording"), tape:
                pass
        with tape:
            z = y * x
        assert tape.gradient(z, x).item() == 27.0

    def test_a_gradient_inside_the_block_ends_a_tape(self):
        x = fg.Variable(3.0)
        with fg.GradientTape() as tape:
            y = x * x
            g = tape.gradient(y, x)
            z = y * x
        assert g.item() == 6.0 and not g.requires_grad and z.item() == 27.0

    def test_errors_inside_the_block_end_it(self):
        x = fg.Variable(3.0)
        with pytest.raises(ZeroDivisionError), fg.GradientTape():
            x / (1 // 0)
        with fg.GradientTape() as tape:
            y = x * x
        assert not tape.gradient(y, x).requires_grad

    def test_inside_no_grad(self):
        x = fg.Variable(3.0)
        with fg.no_grad(), fg.GradientTape() as tape:
            y = x * x
        assert tape.gradient(y, x) is None

    def test_threads_have_their_own_tapes(self):
        x = fg.Variable(3.0)
        seen = []

        def work():
            with fg.GradientTape() as tape:
                y = x**3
            seen.append(tape.gradient(y, x))

        with fg.GradientTape():
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert seen[0].item() == 27.0 and not seen[0].requires_grad


class TestWatching:
    def test_tensors(self):
        c, d = fg.tensor(3.0), fg.tensor([1.0, 2.0])
        with fg.GradientTape(persistent=True) as tape:
            unseen = c * c
            tape.watch({"c": c, "list": [d]})
            y = (c * d).sum() + unseen
            assert c.requires_grad
        assert not c.requires_grad and not d.requires_grad
        assert tape.gradient(y, c).item() == 3.0
        assert tape.gradient(y, d).tolist() == [3.0, 3.0]
        assert tape.gradient(unseen, c) is None
        assert not c.requires_grad and c.grad is None

    def test_two_tapes_watch_the_same_tensor(self):
        c = fg.tensor(3.0)
        with fg.GradientTape() as outer:
            with fg.GradientTape() as inner:
                inner.watch(c)
                outer.watch(c)
                y = c**3
            z = inner.gradient(y, c)
            assert c.requires_grad
        assert not c.requires_grad
        assert (z.item(), outer.gradient(z, c).item()) == (27.0, 18.0)

    def test_only_tensors(self):
        with fg.GradientTape() as tape:
            with pytest.raises(ValueError, match=r"Passed in object 3.0 of type 'float', not a"):
                tape.watch(3.0)
            with pytest.warns(UserWarning, match="dtype of the watched tensor must be floating"):
                tape.watch(fg.tensor(3))

    def test_variables_only_on_request(self):
        a, b = fg.Variable(3.0), fg.Variable(4.0)
        with fg.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(a)
            y = a * b
        assert tape.gradient(y, a).item() == 4.0 and tape.gradient(y, b) is None
        assert tape.watched_variables() == (a,)

    def test_variables_that_are_not_trainable(self):
        a = fg.Variable(3.0, trainable=False)
        assert not a.requires_grad
        with fg.GradientTape(persistent=True) as tape:
            y = a * a
        assert tape.gradient(y, a) is None and a not in set(tape.watched_variables())
        with fg.GradientTape() as tape:
            tape.watch(a)
            y = a * a
        assert tape.gradient(y, a).item() == 6.0 and not a.requires_grad

    def test_watched_variables(self):
        a, unused = fg.Variable(3.0), fg.Variable(1.0)
        with fg.GradientTape() as tape:
            b = fg.Variable(4.0)
            y = b * a
            assert tape.watched_variables() == (a, b)
        late = fg.Variable(1.0)
        assert (late * unused).item() == 1.0
        watched = tape.watched_variables()
        assert watched == (a, b)
        assert [g.item() for g in tape.gradient(y, watched)] == [4.0, 3.0]

    @pytest.mark.parametrize(
        "use",
        [
            lambda v: v + 1,  # saves nothing
            lambda v: 2 * v,
            lambda v: v.exp(),
            lambda v: v.sum(),
            lambda v: v[0],
            lambda v: v.reshape(1, 2),
            lambda v: fg.cat([v, v]),
            lambda v: v.read_value(),
            lambda v: fg.exp(v * v).sum(),
        ],
    )
    def test_any_use_counts(self, use):
        v = fg.Variable([1.0, 2.0])
        with fg.GradientTape() as tape:
            use(v)
        assert tape.watched_variables() == (v,)

    def test_what_does_not_count_as_use(self):
        v = fg.Variable(1.0)
        with fg.GradientTape() as tape:
            assert v.shape == () and v.dtype is fg.float32
            fg.stop_gradient(v)
            with fg.no_grad():
                v * v
        assert tape.watched_variables() == ()

    def test_use_is_noted_by_the_tapes_that_record(self):
        a, b, c, d = (fg.Variable(float(i)) for i in range(4))
        with fg.GradientTape() as outer:
            a * a
            with fg.GradientTape() as inner:
                b * b
                with outer.stop_recording():
                    c * c
                inner.reset()
                d * d
            a * c
        assert inner.watched_variables() == (d,)
        assert outer.watched_variables() == (a, b, c, d)
        d * d
        with fg.GradientTape() as later:
            pass
        assert later.watched_variables() == ()

    def test_tensors_that_require_grad_count_as_watched(self):
        x = fg.tensor(3.0, requires_grad=True)
        with fg.GradientTape() as tape:
            y = x * x
        assert tape.gradient(y, x).item() == 6.0 and x.requires_grad


class TestHigherOrders:
    @pytest.mark.parametrize("order", [2, 3, 4])
    def test_nested(self, order):
        x = fg.Variable(2.0, dtype=fg.float64)

        def derivative(n):
            if n == 0:
                return x**5
            with fg.GradientTape() as tape:
                y = derivative(n - 1)
            return tape.gradient(y, x)

        expected = [32.0, 80.0, 160.0, 240.0, 240.0]
        assert derivative(order).item() == expected[order]

    def test_a_persistent_tape_differentiates_its_own_gradients(self):
        x = fg.Variable(3.0)
        with fg.GradientTape(persistent=True) as tape:
            y = x**3
            slope = tape.gradient(y, x)
        assert tape.gradient(slope, x).item() == 18.0

    def test_gradient_penalty(self):
        w, x = fg.Variable([2.0, -1.0]), fg.tensor([1.0, 3.0])
        with fg.GradientTape() as outer:
            with fg.GradientTape() as inner:
                inner.watch(x)
                y = (w * x**2).sum()
            penalty = (inner.gradient(y, x) ** 2).sum()
        assert outer.gradient(penalty, w).tolist() == [16.0, -72.0]

    def test_tapes_inside_transforms(self):
        def slope(x):
            with fg.GradientTape() as tape:
                tape.watch(x)
                y = x**3
            return tape.gradient(y, x)

        assert slope(fg.tensor(2.0)).item() == 12.0
        assert fg.grad(slope)(fg.tensor(2.0)).item() == 12.0
        v = fg.Variable(2.0)
        with fg.GradientTape() as tape:
            y = fg.grad(lambda x: x**2 * v)(fg.tensor(3.0))
        assert tape.gradient(y, v).item() == 6.0


class TestJacobian:
    def test_shapes_and_values(self):
        x = fg.Variable([[1.0, 2.0], [3.0, 4.0]], dtype=fg.float64)
        s = fg.Variable(2.0, dtype=fg.float64)
        other = fg.Variable([1.0])
        with fg.GradientTape(persistent=True) as tape:
            y = x[0] * x[1] * s
            total = y.sum()
        jx, js = tape.jacobian(y, [x, s])
        expected = fg.func.jacrev(lambda x: x[0] * x[1] * 2)(x.detach())
        assert jx.shape == (2, 2, 2) and fg.equal(jx, expected)
        assert js.tolist() == [3.0, 8.0]
        assert tape.jacobian(y, other) is None
        assert tape.jacobian(y, other, unconnected_gradients="zero").shape == (2, 1)
        assert tape.jacobian(total, s).shape == ()

    def test_hessian(self):
        x = fg.Variable([1.0, 2.0])
        with fg.GradientTape() as outer:
            with fg.GradientTape() as inner:
                y = x[0] ** 2 * x[1]
            g = inner.gradient(y, x)
        assert outer.jacobian(g, x).tolist() == [[4.0, 2.0], [2.0, 0.0]]

    def test_batch_jacobian(self):
        rng = np.random.default_rng(0)
        x = fg.Variable(rng.standard_normal((4, 3)))
        a = fg.tensor(rng.standard_normal((3, 2)))
        with fg.GradientTape(persistent=True) as tape:
            y = (x @ a).sin()
        full = tape.jacobian(y, x)
        batched = tape.batch_jacobian(y, x)
        assert batched.shape == (4, 2, 3)
        expected = fg.stack([full[i, :, i] for i in range(4)])
        fg.testing.assert_close(batched, expected)
        z = fg.Variable(rng.standard_normal((4, 2)))
        assert tape.batch_jacobian(y, z) is None
        zeros = tape.batch_jacobian(y, z, unconnected_gradients="zero")
        assert zeros.shape == (4, 2, 2) and not zeros.any()
        with pytest.raises(ValueError, match=r"Need first dimension of target shape \(4, 2\)"):
            tape.batch_jacobian(y, fg.Variable([1.0]))


class TestVariable:
    def test_kinds_of_values(self):
        assert fg.Variable(3.0).dtype is fg.float32
        assert fg.Variable(3).dtype is fg.int64
        assert fg.Variable(np.ones(2)).dtype is fg.float64
        assert fg.Variable(lambda: [1.0, 2.0]).tolist() == [1.0, 2.0]
        assert fg.Variable(3, dtype=fg.float64).requires_grad
        t = fg.ones(2)
        v = fg.Variable(t, name="w")
        t.zero_()
        assert v.tolist() == [1.0, 1.0] and v.name == "w" and v.trainable
        assert isinstance(v, fg.Tensor) and type(v * 2) is fg.Tensor and v.is_leaf

    def test_assignment(self):
        v = fg.Variable([1.0, 2.0])
        assert v.assign([3.0, 4.0]) is v and v.tolist() == [3.0, 4.0]
        assert v.assign_add(np.array([1.0, 1.0])).tolist() == [4.0, 5.0]
        assert v.assign_sub(fg.tensor([1.0, 1.0], dtype=fg.float64)).tolist() == [3.0, 4.0]
        assert v.dtype is fg.float32 and v.requires_grad and v.grad_fn is None
        assert fg.Variable(3).assign_add(2).item() == 5
        for method in (v.assign, v.assign_add, v.assign_sub):
            with pytest.raises(ValueError, match=r"Shape mismatch. The variable shape \(2,\), and"):
                method(1.0)

    def test_a_training_loop(self):
        w, b = fg.Variable(0.0), fg.Variable(0.0)
        x = fg.linspace(-1, 1, 20)
        target = 3 * x + 2
        for _ in range(200):
            with fg.GradientTape() as tape:
                loss = ((w * x + b - target) ** 2).mean()
            for v, g in zip((w, b), tape.gradient(loss, [w, b])):
                v.assign_sub(0.3 * g)
        assert w.item() == pytest.approx(3.0, abs=1e-4) and b.item() == pytest.approx(2.0, abs=1e-4)

    # The values of the next tests are TensorFlow's.
    def test_a_gradient_is_that_at_the_value_that_was_read(self):
        v = fg.Variable(3.0)
        with fg.GradientTape() as tape:
            y = v * v
        v.assign(5.0)
        assert tape.gradient(y, v).item() == 6.0
        y = v.sin() * 2 + v.exp()
        y.backward()
        assert v.grad.item() == pytest.approx(2 * np.cos(5.0) + np.exp(5.0))

    def test_assignments_inside_the_block(self):
        v, w = fg.Variable(3.0), fg.Variable(2.0)
        with fg.GradientTape() as tape:
            y = v * v
            v.assign(5.0)
            z = y + v * v
        assert tape.gradient(z, v).item() == 16.0
        with fg.GradientTape() as tape:
            v.assign(w * w)
            z = v * v
        dv, dw = tape.gradient(z, [v, w])
        assert dv.item() == 8.0 and dw is None
        v.assign(3.0)
        with fg.GradientTape() as tape:
            v.assign_add(v)
            z = v * v
        assert tape.gradient(z, v).item() == 12.0

    def test_higher_orders_at_the_value_that_was_read(self):
        v = fg.Variable(3.0)
        with fg.GradientTape() as outer:
            with fg.GradientTape() as inner:
                y = v * v * v
            v.assign(10.0)
            g = inner.gradient(y, v)
        assert g.item() == 27.0 and outer.gradient(g, v).item() == 18.0

    @pytest.mark.parametrize(
        "f",
        [
            lambda v: (v[0] * v[1]).sum(),
            lambda v: (v @ v).exp(),
            lambda v: fg.stack([v, v]).prod(),
            lambda v: v.softmax(0).square().sum(),
            lambda v: (v.reshape(1, 2) @ v.reshape(2, 1)).pow(3).sum(),
            lambda v: fg.where(v > 1, v * v, v).sum(),
            lambda v: v.norm(),
        ],
    )
    def test_every_rule_reads_the_old_value(self, f):
        x = fg.tensor([1.5, 0.5], dtype=fg.float64, requires_grad=True)
        (expected,) = fg.autograd.grad(f(x), x)
        v = fg.Variable([1.5, 0.5], dtype=fg.float64)
        with fg.GradientTape(persistent=True) as tape:
            y = f(v)
        for change in (v.assign, v.assign_add, v.assign_sub):
            change([7.0, -3.0])
            assert tape.gradient(y, v).tolist() == expected.tolist()

    def test_a_variable_that_is_not_trainable_keeps_its_old_value_too(self):
        v, scale = fg.Variable(3.0), fg.Variable(2.0, trainable=False)
        with fg.GradientTape() as tape:
            y = v * scale
        scale.assign(10.0)
        assert tape.gradient(y, v).item() == 2.0

    def test_writing_in_place_is_still_an_error(self):
        v = fg.Variable(3.0)
        with fg.GradientTape() as tape:
            y = v * v
        with fg.no_grad():
            v.add_(1.0)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            tape.gradient(y, v)

    def test_optimizers_update_variables(self):
        v = fg.Variable(3.0)
        opt = fg.optim.SGD([v], lr=0.5)
        (v * v).backward()
        opt.step()
        assert v.item() == 0.0 and v.assign(1.0).item() == 1.0 and v.grad.item() == 6.0

    def test_reading(self):
        v = fg.Variable([1.0, 2.0])
        with fg.GradientTape() as tape:
            y = (v.read_value() * v.value()).sum()
        before = v.numpy()
        v.assign([0.0, 0.0])
        assert tape.gradient(y, v).tolist() == [2.0, 4.0]
        assert before.tolist() == [1.0, 2.0]

    def test_copies(self):
        v = fg.Variable([1.0, 2.0], name="w")
        for made in (copy.deepcopy(v), pickle.loads(pickle.dumps(v))):
            assert type(made) is fg.Variable and made.name == "w" and made.requires_grad
            made.assign([0.0, 0.0])
            assert v.tolist() == [1.0, 2.0]
        frozen = copy.deepcopy(fg.Variable(1.0, trainable=False))
        assert not frozen.requires_grad and not frozen.trainable

    def test_backward_works_as_well(self):
        v = fg.Variable(3.0)
        (v * v).backward()
        assert v.grad.item() == 6.0

    def test_repr(self):
        assert repr(fg.Variable(3.0)) == "Variable(3., requires_grad=True)"


class TestStopGradient:
    def test_tensor(self):
        x = fg.Variable(3.0)
        with fg.GradientTape() as tape:
            y = x * fg.stop_gradient(x)
        assert tape.gradient(y, x).item() == 3.0
        assert fg.grad(lambda x: fg.stop_gradient(x) * x)(fg.tensor(2.0)).item() == 2.0

    def test_trees(self):
        x = fg.tensor(3.0, requires_grad=True)
        stopped = fg.stop_gradient({"a": [x, 2.0], "b": None, "c": "text"})
        assert not stopped["a"][0].requires_grad
        assert stopped["a"][1] == 2.0 and stopped["b"] is None and stopped["c"] == "text"
