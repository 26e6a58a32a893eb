"""One network for all datasets against dedicated networks and transfer (Karimi & Gholipour, IEEE TAI 2022)."""
