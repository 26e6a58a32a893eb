"""What lower precisions cost a finished model: Dice, verdicts and AUROC, written into it as permission."""
