"""`gateway doctor`: checks every setting and server, and says what to do."""
