"""Data that lives elsewhere: a URL as input path is fetched to a cache, a local output directory is uploaded to a URL.

Everything goes through fsspec, with the host's credentials; containers only ever see local directories.
"""
