"""Builds the compiled core. Everything else about the package stands in pyproject.toml.

RLITE_SANITIZE=address,undefined (or thread) builds it under those sanitizers, RLITE_WERROR=1 turns every
warning of Cython and of the C compiler into an error (CI does).
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup

strict = os.environ.get("RLITE_WERROR") == "1"
sanitize = os.environ.get("RLITE_SANITIZE", "")

compile_args = ["-O3", "-fno-strict-aliasing", "-pthread"]
link_args = ["-pthread"]
if sanitize:
    flags = [
        f"-fsanitize={sanitize}",
        "-fno-omit-frame-pointer",
        "-g",
        "-O1",
        "-fno-sanitize-recover=undefined",
    ]
    compile_args += flags
    link_args += flags
if strict:
    Options.warning_errors = True
    # Cython's own generated code leaves some helpers unused; gcc takes the former address of a moved entry,
    # which serves only as a name for it, for a use after free.
    compile_args += [
        "-Wall",
        "-Werror",
        "-Wno-unused-function",
        "-Wno-unused-variable",
        "-Wno-unused-but-set-variable",
        "-Wno-use-after-free",
    ]

core = Path("rlite/engine/core")
setup(
    ext_modules=cythonize(
        [
            Extension(
                f"rlite.engine.core.{source.stem}",
                [str(source)],
                include_dirs=[str(core)],
                extra_compile_args=compile_args,
                extra_link_args=link_args,
            )
            for source in sorted(core.glob("*.pyx"))
        ],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
            "binding": False,
        },
        nthreads=os.cpu_count() or 1,
    ),
)
