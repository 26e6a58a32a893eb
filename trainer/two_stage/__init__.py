"""Two-stage multi-task self-supervised learning (Hu & Qin 2024, arXiv 2402.07119)."""
