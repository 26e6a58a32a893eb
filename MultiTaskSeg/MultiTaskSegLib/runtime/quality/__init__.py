"""How good is a result? The Dice to expect, a bound on it that holds, agreement of several passes, and an answer."""
