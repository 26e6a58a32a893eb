"""What a run or a kept result belongs to: fingerprints of settings and of what files hold."""
