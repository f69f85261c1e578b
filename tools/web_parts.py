"""What the browser page carries of others: LiteRT.js, and the libraries that are compiled into its .wasm files.

The makers of LiteRT.js publish no list of them. So this one was made from the text in the .wasm files (paths of source
files, names of classes, messages), and from what XNNPACK and Emscripten are known to be built with. `marks` are texts
that show a library in the files; tests/web checks that each is there, and that no other source folder is named there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A library of others within LiteRT.js.

    Attributes:
        name: its name.
        licence: its SPDX expression.
        holder: who holds the copyright.
        home: where its source is.
        text: the file in tools/licences with its licence; None for the Apache License 2.0, which is given once.
        marks: texts in the .wasm files that show the library; none if it is known from what it is a part of.
    """

    name: str
    licence: str
    holder: str
    home: str
    text: str | None = None
    marks: tuple[str, ...] = ()


_APACHE = "Apache-2.0"
PARTS = (
    Part(
        "LiteRT",
        _APACHE,
        "Google LLC",
        "https://github.com/google-ai-edge/LiteRT",
        None,
        ("third_party/odml/",),
    ),
    Part(
        "TensorFlow Lite",
        _APACHE,
        "The TensorFlow Authors",
        "https://github.com/tensorflow/tensorflow",
        None,
        ("third_party/tensorflow/lite",),
    ),
    Part(
        "ML Drift",
        _APACHE,
        "Google LLC",
        "https://github.com/google-ai-edge/LiteRT",
        None,
        ("third_party/ml_drift/", "third_party/gloop/"),
    ),
    Part(
        "Abseil",
        _APACHE,
        "The Abseil Authors",
        "https://github.com/abseil/abseil-cpp",
        None,
        ("third_party/absl/",),
    ),
    Part("FlatBuffers", _APACHE, "Google Inc.", "https://github.com/google/flatbuffers"),
    Part("gemmlowp", _APACHE, "Google Inc.", "https://github.com/google/gemmlowp", None, ("8gemmlowp",)),
    Part("ruy", _APACHE, "Google LLC", "https://github.com/google/ruy", None, ("third_party/ruy/",)),
    Part(
        "TCMalloc",
        _APACHE,
        "Google LLC",
        "https://github.com/google/tcmalloc",
        None,
        ("third_party/tcmalloc/",),
    ),
    Part(
        "Protocol Buffers",
        "BSD-3-Clause",
        "Google Inc.",
        "https://github.com/protocolbuffers/protobuf",
        "protobuf.txt",
        ("third_party/protobuf/",),
    ),
    Part(
        "XNNPACK",
        "BSD-3-Clause",
        "Facebook, Inc. and its affiliates, Google LLC",
        "https://github.com/google/XNNPACK",
        "xnnpack.txt",
        ("xnn_define_",),
    ),
    Part(
        "pthreadpool",
        "BSD-2-Clause",
        "Facebook Inc., Georgia Institute of Technology",
        "https://github.com/google/pthreadpool",
        "pthreadpool.txt",
    ),
    Part(
        "cpuinfo",
        "BSD-2-Clause",
        "Facebook Inc., Georgia Institute of Technology, Marat Dukhan",
        "https://github.com/pytorch/cpuinfo",
        "cpuinfo.txt",
    ),
    Part("FXdiv", "MIT", "Marat Dukhan", "https://github.com/Maratyszcza/FXdiv", "fxdiv.txt"),
    Part(
        "FP16",
        "MIT",
        "Facebook Inc., Georgia Institute of Technology",
        "https://github.com/Maratyszcza/FP16",
        "fp16.txt",
    ),
    Part(
        "Eigen",
        "MPL-2.0",
        "the Eigen authors",
        "https://eigen.tuxfamily.org",
        "mpl-2.0.txt",
        ("EigenForTFLite",),
    ),
    Part(
        "fft2d",
        "LicenseRef-Ooura",
        "Takuya OOURA",
        "http://www.kurims.kyoto-u.ac.jp/~ooura/fft.html",
        "fft2d.txt",
        ("rfft2d",),
    ),
    Part(
        "Emscripten",
        "MIT",
        "Emscripten authors",
        "https://github.com/emscripten-core/emscripten",
        "emscripten.txt",
        ("10emscripten",),
    ),
    Part("musl", "MIT", "Rich Felker and others", "https://musl.libc.org", "musl.txt"),
    Part(
        "libc++, libc++abi and compiler-rt",
        "Apache-2.0 WITH LLVM-exception",
        "the LLVM contributors",
        "https://llvm.org",
        "llvm-exception.txt",
        ("libcxxabi",),
    ),
)
