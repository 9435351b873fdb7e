"""What can be measured. An axis expands a study to cells, prepares what they share, and measures them one by one."""

from __future__ import annotations

from common.registry import Registry

AXES = Registry(
    "axis",
    {
        "fidelity": "benchmarks.axes.fidelity:Fidelity",
        "control": "benchmarks.axes.control:Control",
        "inpainting": "benchmarks.axes.inpainting:Inpainting",
        "frame_rate": "benchmarks.axes.frame_rate:FrameRate",
        "latency": "benchmarks.axes.latency:Latency",
        "reconstruction": "benchmarks.axes.reconstruction:Reconstruction",
        "samplesize": "benchmarks.axes.samplesize:SampleSize",
    },
)
