"""Log a parameter, a metric over ten steps and an artifact.

They land in the `logs` folder of the output path or, with TESSERACT_MLFLOW_TRACKING_URI set, on that MLflow server.

tesseract run metrics apply --output-path ./output '{"inputs": {}}'
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel
from tesseract_core.runtime.experimental import log_artifact, log_metric, log_parameter


class InputSchema(BaseModel):
    """Nothing to put in."""


class OutputSchema(BaseModel):
    """Nothing comes out: what this Tesseract produces is in its logs."""


def apply(inputs: InputSchema) -> OutputSchema:
    """Log one parameter, ten values of one metric and one text file."""
    print("This is a message from the apply function.")

    log_parameter("example_param", "value")

    for step in range(10):
        log_metric("squared_step", step**2, step=step)

    # log_artifact copies (or uploads) the file at once, so that a temporary one will do.
    with TemporaryDirectory() as folder:
        artifact = Path(folder, "artifact.txt")
        artifact.write_text("An output file, kept with the run as an artifact.\n")
        log_artifact(str(artifact))

    return OutputSchema()
