"""`gateway doctor`: checks every setting and every server, and says what to do."""
