"""HTTP as a server and its clients need it here: JSON, refusals, connections on ports and Unix sockets."""
