"""Arrays on the wire: encodings, casting rules and their errors. Knows NumPy and files, no schemas.

Used by the array types of the runtime and by the client.
"""

from tesseract_core.runtime.array_encoding.allowance import ALLOWANCE, Allowance
from tesseract_core.runtime.array_encoding.binref import DEFAULT_MAX_FILE_SIZE, parse_binref, read_binref, write_binref
from tesseract_core.runtime.array_encoding.casting import check_dtype, check_shape, coerce
from tesseract_core.runtime.array_encoding.decode import (
    BUFFERS,
    decode_array,
    decode_items,
    is_encoded_array,
    is_whole,
    parse_header,
)
from tesseract_core.runtime.array_encoding.dtypes import DTYPES, AnyShape, Shape, castable, castable_dtypes
from tesseract_core.runtime.array_encoding.encode import encode_array
from tesseract_core.runtime.array_encoding.lists import leaf_types
from tesseract_core.runtime.array_encoding.opaque import check_opaque, is_opaque, to_host
from tesseract_core.runtime.array_encoding.splice import Splice

__all__ = [
    "ALLOWANCE",
    "BUFFERS",
    "DEFAULT_MAX_FILE_SIZE",
    "DTYPES",
    "Allowance",
    "AnyShape",
    "Shape",
    "Splice",
    "castable",
    "castable_dtypes",
    "check_dtype",
    "check_opaque",
    "check_shape",
    "coerce",
    "decode_array",
    "decode_items",
    "encode_array",
    "is_encoded_array",
    "is_opaque",
    "is_whole",
    "leaf_types",
    "parse_binref",
    "parse_header",
    "read_binref",
    "to_host",
    "write_binref",
]
