"""The smallest Tesseract: a name goes in, a greeting comes out.

tesseract build examples/helloworld
tesseract run helloworld apply '{"inputs": {"name": "Osborne"}}'
"""

from pydantic import BaseModel, Field


class InputSchema(BaseModel):
    name: str = Field(description="Name of the person to greet.")


class OutputSchema(BaseModel):
    greeting: str = Field(description="A greeting for that person.")


def apply(inputs: InputSchema) -> OutputSchema:
    """Greet a person by name."""
    return OutputSchema(greeting=f"Hello {inputs.name}!")
