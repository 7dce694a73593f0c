"""What a project folder is: its configuration, static checks of its API module, its requirements, `init` recipes.

from tesseract import projects
project = projects.load("examples/vectoradd")
project.config.name
"""

from tesseract.projects.config import TesseractConfig as TesseractConfig
from tesseract.projects.config import generate_config_schema as generate_config_schema
from tesseract.projects.loading import Project as Project
from tesseract.projects.loading import load as load
from tesseract.projects.loading import load_config as load_config

__all__ = ["Project", "TesseractConfig", "generate_config_schema", "load", "load_config"]
