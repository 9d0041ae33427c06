"""Grad modes as contexts, decorators and calls."""

import functools
import threading

import pytest

from reference import MODULE_NAME, fg


def records():
    x = fg.ones(2, requires_grad=True)
    return (x * 2).requires_grad


@pytest.fixture(autouse=True)
def grad_mode_is_put_back():
    yield
    assert fg.is_grad_enabled() and not fg.is_inference_mode_enabled()
    assert records()


MODES = [
    (fg.no_grad, False),
    (fg.enable_grad, True),
    (fg.inference_mode, False),
    (lambda: fg.set_grad_enabled(False), False),
    (lambda: fg.set_grad_enabled(True), True),
    (lambda: fg.inference_mode(False), True),
]


@pytest.mark.parametrize(("mode", "recording"), MODES)
@pytest.mark.parametrize("outer", [fg.no_grad, fg.enable_grad])
def test_context(mode, recording, outer):
    with outer():
        before = records()
        with mode():
            assert records() == fg.is_grad_enabled() == recording
        assert records() == before


@pytest.mark.parametrize(("mode", "recording"), MODES)
def test_context_ends_with_an_exception(mode, recording):
    with pytest.raises(KeyError), mode():
        raise KeyError


@pytest.mark.parametrize(("mode", "recording"), MODES)
def test_decorator(mode, recording):
    @mode()
    def function(a, *, b=1):
        """Say something."""
        return records(), a, b

    assert function.__name__ == "function" and function.__doc__ == "Say something."
    assert records()
    assert function(3, b=4) == (recording, 3, 4)
    with fg.no_grad():
        assert function(3)[0] == recording


@pytest.mark.parametrize("mode", [fg.no_grad, fg.inference_mode])
def test_decorator_without_parentheses(mode):
    @mode
    def function():
        return records()

    assert function() is False

    class Holder:
        @mode
        def method(self):
            return self, records()

    holder = Holder()
    assert holder.method() == (holder, False)


def test_recursion_through_a_decorated_function():
    @fg.no_grad()
    def down(n):
        return [records()] + ([] if n == 0 else down(n - 1))

    assert down(3) == [False] * 4


def test_a_decorated_function_can_be_called_from_two_threads():
    entered, proceed = threading.Event(), threading.Event()
    seen = []

    @fg.no_grad()
    def wait():
        entered.set()
        proceed.wait(5)
        seen.append(records())

    thread = threading.Thread(target=wait)
    thread.start()
    assert entered.wait(5)
    # Modes belong to their thread.
    assert records()
    proceed.set()
    thread.join()
    assert seen == [False]


class TestGenerators:
    def test_the_mode_holds_inside_and_not_between(self):
        @fg.no_grad()
        def generate():
            for _ in range(3):
                yield records()

        for inside in generate():
            assert not inside and records()

    def test_values_can_be_sent_in(self):
        @fg.no_grad()
        def echo():
            received = []
            while len(received) < 2:
                received.append((yield records()))
            return received

        generator = echo()
        assert next(generator) is False
        assert generator.send("a") is False
        with pytest.raises(StopIteration) as stop:
            generator.send("b")
        assert stop.value.value == ["a", "b"]

    def test_exceptions_can_be_thrown_in(self):
        @fg.no_grad()
        def careful():
            try:
                yield 1
            except KeyError:
                yield records()

        generator = careful()
        next(generator)
        assert generator.throw(KeyError()) is False
        with pytest.raises(ValueError, match="mine"):
            generator.throw(ValueError("mine"))
        assert records()

    def test_closing_runs_the_cleanup_in_the_mode(self):
        seen = []

        @fg.no_grad()
        def generate():
            try:
                yield 1
            finally:
                seen.append(records())

        generator = generate()
        next(generator)
        generator.close()
        assert seen == [False] and records()

    def test_delegation_returns_the_value(self):
        @fg.enable_grad()
        def generate():
            yield 1
            return "done"

        def outer():
            return (yield from generate())

        generator = outer()
        with fg.no_grad():
            next(generator)
            with pytest.raises(StopIteration, match="done"):
                next(generator)


def test_set_grad_enabled_as_a_call():
    switch = fg.set_grad_enabled(False)
    try:
        assert not records()
        assert repr(switch).endswith("set_grad_enabled(mode=False)")
    finally:
        fg.set_grad_enabled(True)


def test_set_grad_enabled_as_a_decorator_acts_on_the_calls_only():
    @fg.set_grad_enabled(False)
    def function():
        return records()

    assert records() and not function() and records()


def test_decorating_a_class_warns_and_covers_the_constructor():
    with pytest.warns(FutureWarning, match="Decorating classes is deprecated"):

        @fg.no_grad()
        class Model:
            def __init__(self, a):
                self.inside, self.a = records(), a

            def later(self):
                return records()

    model = Model(a=3)
    assert (model.inside, model.a, model.later()) == (False, 3, True)


def test_leaves_made_without_recording_may_require_grad():
    with fg.no_grad():
        x = fg.zeros(2, requires_grad=True)
    assert x.requires_grad and x.is_leaf


class TestInferenceMode:
    def test_tensors_made_inside_stay_out_of_graphs(self):
        with fg.inference_mode():
            y = fg.ones(2) * 2
            assert fg.is_inference_mode_enabled()
        assert y.is_inference() and not y.requires_grad
        x = fg.ones(2, requires_grad=True)
        with pytest.raises(RuntimeError, match=r"[Ii]nference tensors"):
            x * y
        with pytest.raises(RuntimeError, match=r"[Ii]nference tensors"):
            _ = y._version

    def test_can_be_left_for_a_while(self):
        with fg.inference_mode():
            with fg.inference_mode(False):
                assert records() and not fg.is_inference_mode_enabled()
                assert not fg.ones(1).is_inference()
            assert fg.ones(1).is_inference()

    def test_ends_recording_inside_enable_grad(self):
        with fg.enable_grad(), fg.inference_mode(mode=True):
            assert not records()


@pytest.mark.skipif(MODULE_NAME != "fastgrad", reason="PyTorch wraps partials as plain functions")
def test_partials_can_be_decorated():
    assert fg.no_grad()(functools.partial(records))() is False
