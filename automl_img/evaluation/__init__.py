"""How good the winner is: scores with intervals, and the test images worth looking at."""
