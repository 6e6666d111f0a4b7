"""A reproducibility benchmark of cross-modal re-parameterization (Multimodal Pathway, CVPR 2024)."""

__version__ = "0.1.0"
