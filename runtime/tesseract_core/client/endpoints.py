"""The endpoints of a Tesseract as methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from tesseract_core.client.transport import Transport


class Endpoints(ABC):
    """Endpoint methods, on top of whatever makes the connection."""

    @abstractmethod
    def _connected(self) -> Transport:
        """The connection. Raises: RuntimeError if there is none yet."""

    @abstractmethod
    def _compute(self, endpoint: str, payload: dict[str, Any], run_id: str | None) -> dict[str, Any]:
        """Call an endpoint that runs user code on arrays."""

    @property
    @abstractmethod
    def available_endpoints(self) -> list[str]:
        """Names of the endpoints that this Tesseract implements."""

    def apply(self, inputs: Mapping[str, Any], run_id: str | None = None) -> dict[str, Any]:
        """Run the Tesseract.

        Args:
            inputs: Values of its input schema; arrays may be anything with `__array__`.
            run_id: Names the run; what the server writes goes to `run_<run_id>` below its output path.

        Returns:
            Values of its output schema, with NumPy arrays (rank 0 for scalars).

        Raises:
            pydantic.ValidationError: The inputs do not fit the schema.
            RuntimeError: The Tesseract failed.
            requests.exceptions.RequestException: It cannot be reached, or did not answer in time.
        """
        return self._compute("apply", {"inputs": inputs}, run_id)

    def abstract_eval(self, abstract_inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Shapes and dtypes of the outputs, without computing them.

        Args:
            abstract_inputs: Inputs where each array is `{"shape": ..., "dtype": ...}`.

        Raises:
            NotImplementedError: This Tesseract has no such endpoint.
        """
        self._require("abstract_eval", "Abstract evaluation")
        return self._compute("abstract_eval", {"inputs": abstract_inputs}, None)

    def jacobian(
        self,
        inputs: Mapping[str, Any],
        jac_inputs: Sequence[str],
        jac_outputs: Sequence[str],
        run_id: str | None = None,
    ) -> dict[str, Any]:
        """Jacobian matrices.

        Args:
            inputs: Values of the input schema.
            jac_inputs: Paths of the inputs to derive with respect to.
            jac_outputs: Paths of the outputs to derive.
            run_id: Names the run.

        Returns:
            `{output: {input: array of shape (*output.shape, *input.shape)}}`.

        Raises:
            NotImplementedError: This Tesseract has no such endpoint.
        """
        self._require("jacobian", "Jacobian")
        return self._compute(
            "jacobian", {"inputs": inputs, "jac_inputs": jac_inputs, "jac_outputs": jac_outputs}, run_id
        )

    def jacobian_vector_product(
        self,
        inputs: Mapping[str, Any],
        jvp_inputs: Sequence[str],
        jvp_outputs: Sequence[str],
        tangent_vector: Mapping[str, Any],
        run_id: str | None = None,
    ) -> dict[str, Any]:
        """Jacobian-vector product (forward mode).

        Args:
            inputs: Values of the input schema.
            jvp_inputs: Paths of the inputs to derive with respect to.
            jvp_outputs: Paths of the outputs to derive.
            tangent_vector: `{input: array of the input's shape}`.
            run_id: Names the run.

        Returns:
            `{output: array of the output's shape}`.

        Raises:
            NotImplementedError: This Tesseract has no such endpoint.
        """
        self._require("jacobian_vector_product", "Jacobian vector product (JVP)")
        payload = {
            "inputs": inputs,
            "jvp_inputs": jvp_inputs,
            "jvp_outputs": jvp_outputs,
            "tangent_vector": tangent_vector,
        }
        return self._compute("jacobian_vector_product", payload, run_id)

    def vector_jacobian_product(
        self,
        inputs: Mapping[str, Any],
        vjp_inputs: Sequence[str],
        vjp_outputs: Sequence[str],
        cotangent_vector: Mapping[str, Any],
        run_id: str | None = None,
    ) -> dict[str, Any]:
        """Vector-Jacobian product (reverse mode).

        Args:
            inputs: Values of the input schema.
            vjp_inputs: Paths of the inputs to derive with respect to.
            vjp_outputs: Paths of the outputs to derive.
            cotangent_vector: `{output: array of the output's shape}`.
            run_id: Names the run.

        Returns:
            `{input: array of the input's shape}`.

        Raises:
            NotImplementedError: This Tesseract has no such endpoint.
        """
        self._require("vector_jacobian_product", "Vector Jacobian product (VJP)")
        payload = {
            "inputs": inputs,
            "vjp_inputs": vjp_inputs,
            "vjp_outputs": vjp_outputs,
            "cotangent_vector": cotangent_vector,
        }
        return self._compute("vector_jacobian_product", payload, run_id)

    def health(self) -> dict[str, Any]:
        """`{"status": "ok"}` if the Tesseract answers."""
        result: dict[str, Any] = self._connected().call("health")
        return result

    def test(self, test_spec: Mapping[str, Any]) -> None:
        """Run a regression test.

        Args:
            test_spec: `endpoint`, `payload`, and `expected_outputs` or `expected_exception` (its class, or its name).

        Raises:
            AssertionError: The outcome differs from what is expected.
            RuntimeError: The endpoint raised.
            pydantic.ValidationError: `test_spec` is no test case.
            NotImplementedError: The server does not offer tests.
        """
        if "test" not in self.available_endpoints:
            raise NotImplementedError("This Tesseract offers no regression tests; serve it in debug mode.")
        transport = self._connected()
        expected = test_spec.get("expected_exception")
        if isinstance(expected, type) and transport.negotiates:  # a class cannot be sent
            test_spec = {**test_spec, "expected_exception": _dotted(expected)}
        verdict = transport.call("test", test_spec)
        if verdict["status"] == "failed":
            raise AssertionError(verdict["message"])
        if verdict["status"] != "passed":
            raise RuntimeError(verdict["message"])

    def _require(self, endpoint: str, title: str) -> None:
        if endpoint not in self.available_endpoints:
            raise NotImplementedError(f"{title} not implemented for this Tesseract.")


def _dotted(kind: type) -> str:
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
