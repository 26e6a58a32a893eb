"""How good a result is: the Dice to expect, a bound on it that holds, how far several passes agree, and the answer."""
