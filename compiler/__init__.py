"""From an operation to one statement per root field, whose value is the answer's JSON text. What it cannot, it leaves."""
