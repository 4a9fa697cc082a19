"""What tests stand on: real servers, started once, and a corner of its own on them for each test."""
