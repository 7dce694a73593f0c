"""From a project folder to an image: the build context (a plan, made without an engine) and the build verb.

from tesseract import images
result = images.build(images.BuildRequest("examples/vectoradd"), print)
result.tags
"""

from tesseract.images.build import build as build
from tesseract.images.request import BuildRequest as BuildRequest
from tesseract.images.request import BuildResult as BuildResult

__all__ = ["BuildRequest", "BuildResult", "build"]
