"""Files in, files out: each input file holds samples, each output file the same samples scaled to [-1, 1].

Input paths are relative to --input-path (mounted read-only), output paths to --output-path:

cd examples/filereference
tesseract run filereference apply --input-path ./testdata --output-path ./output \
    '{"inputs": {"data": ["sample_2.json", "sample_3.json"]}}'
"""

import json
from pathlib import Path

from pydantic import BaseModel, Field
from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.experimental import InputPath, OutputPath


class InputSchema(BaseModel):
    data: list[InputPath] = Field(description='JSON files, each {"samples": [numbers]}.')


class OutputSchema(BaseModel):
    data: list[OutputPath] = Field(description="One scaled file per input file, in the same order.")


def apply(inputs: InputSchema) -> OutputSchema:
    """Scale the samples of every file to [-1, 1]."""
    output_path = Path(get_config().output_path)
    written = []
    for source in inputs.data:  # absolute paths of files that exist
        samples = json.loads(source.read_text())["samples"]
        largest = max((abs(sample) for sample in samples), default=0) or 1
        target = output_path / f"{source.stem}_scaled.json"
        target.write_text(json.dumps({"samples": [sample / largest for sample in samples]}))
        print(f"{source.name}: {len(samples)} samples scaled by 1/{largest}")
        written.append(target)
    return OutputSchema(data=written)
