"""What this software is made of: its packages and jars, their licences, and a bill of materials."""
