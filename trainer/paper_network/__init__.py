"""The network of Karimi & Gholipour and its training as they published them, to be measured beside ours."""
