"""Generated schemas: what each endpoint takes and returns, derived from a user's two models."""

from tesseract_core.runtime.schema_generation.endpoints import EndpointSchemas, SchemaFactory
from tesseract_core.runtime.schema_generation.leaves import ArrayLeaf, Leaves, collect
from tesseract_core.runtime.schema_generation.rewrite import Rewriter, without_validators

__all__ = ["ArrayLeaf", "EndpointSchemas", "Leaves", "Rewriter", "SchemaFactory", "collect", "without_validators"]
