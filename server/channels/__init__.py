"""Where the server itself asks others: nothing else here opens a connection to them."""
