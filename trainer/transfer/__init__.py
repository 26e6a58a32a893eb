"""Transfer: on which source task and domain to pre-train for a target (after Zoetmulder et al., CMPB 214, 2022)."""
