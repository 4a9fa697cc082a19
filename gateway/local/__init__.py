"""`gateway up`: all servers and processes on this machine."""
